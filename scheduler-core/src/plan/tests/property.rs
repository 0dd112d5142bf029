//! Whatever the job, its runs and the times at which it is claimed: its fire times are accounted for, each exactly once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Run, RunId, store::RunChange, trigger::Cron};

/// What happens to the job.
#[derive(Debug, Clone)]
enum Step {
    /// So many seconds pass, and the job is claimed and settled.
    Claim(u32),
    /// The oldest running run ends.
    End,
    /// The oldest running run fails and is to be repeated after so many seconds.
    Retry(u32),
    /// The node of the oldest running run dies.
    Die,
    /// The oldest running run turns out not to have started.
    Release,
    /// Somebody asks for a run.
    Request,
    /// Somebody asks the newest open run to stop.
    Cancel,
}

/// A store for one job, without concurrency.
struct Model {
    claimed: ClaimedJob,
    runs: BTreeMap<u64, Run>,
    /// Those that somebody asked for, which stand for no fire time.
    requested: Vec<u64>,
    now: f64,
}

fn triggers() -> impl Strategy<Value = Trigger> {
    prop_oneof![
        (1..30_u64).prop_map(every),
        (1..30_u64, 1..40_u64).prop_map(|(period, jitter)| {
            Trigger::from(Interval::seconds(period).starting_at(at(0.0)).jitter(Duration::from_secs(jitter)))
        }),
        (1..60_u64, 100..400_u64).prop_map(|(period, end)| {
            Trigger::from(Interval::seconds(period).starting_at(at(0.0)).until(at(end as f64)))
        }),
        Just(Cron::fields().second("*/7").build().unwrap().into()).prop_map(bind),
        Just(forward()),
        Just(Date::at(at(20.0)).into()),
    ]
}

fn bind(trigger: Trigger) -> Trigger {
    trigger.bind(at(0.0), chrono_tz::UTC, "report")
}

fn options() -> impl Strategy<Value = JobOptions> {
    let overlap = prop_oneof![
        Just(Overlap::Skip),
        (0..4_u32).prop_map(Overlap::Queue),
        Just(Overlap::Allow),
        Just(Overlap::CancelPrevious),
    ];
    let coalesce = prop_oneof![Just(Coalesce::Latest), Just(Coalesce::Earliest), Just(Coalesce::All)];
    let delivery = prop_oneof![Just(Delivery::AtLeastOnce), Just(Delivery::AtMostOnce)];
    (overlap, coalesce, delivery, 1..4_u32, proptest::option::of(0..60_u64)).prop_map(
        |(overlap, coalesce, delivery, n, misfire)| JobOptions {
            overlap,
            coalesce,
            delivery,
            max_instances: instances(n),
            misfire_grace_time: misfire.map(Duration::from_secs),
            ..JobOptions::default()
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..40_u32).prop_map(Step::Claim),
        1 => (40..400_u32).prop_map(Step::Claim),
        3 => Just(Step::End),
        1 => (0..60_u32).prop_map(Step::Retry),
        1 => Just(Step::Die),
        1 => Just(Step::Release),
        2 => Just(Step::Request),
        1 => Just(Step::Cancel),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_fire_time_gets_exactly_one_run_or_verdict(trigger in triggers(), options in options(), steps in steps()) {
        let first = trigger.next(None, at(0.0)).unwrap().unwrap();
        let mut claimed = with_trigger(trigger, 0.0, |of| *of = options);
        claimed.job.next_fire_time = Some(first);
        let mut model = Model { claimed, runs: BTreeMap::new(), requested: Vec::new(), now: 0.0 };
        for step in steps {
            model.take(step);
        }
        model.check_tiles(first);
    }
}

impl Model {
    fn take(&mut self, step: Step) {
        let running = self.runs.values().find(|run| run.state == RUNNING).map(|run| run.id.seq);
        let put_off = |model: &mut Self, state, due: f64| {
            if let Some(seq) = running {
                let run = model.runs.get_mut(&seq).unwrap();
                (run.state, run.due) = (state, at(due));
                run.takeovers += u32::from(state == ORPHAN);
            }
        };
        match step {
            Step::Claim(seconds) => {
                self.now += f64::from(seconds);
                self.claim();
            }
            Step::End => {
                if let Some(seq) = running {
                    self.runs.get_mut(&seq).unwrap().state = RunState::Ended(crate::Verdict::Ok);
                }
            }
            Step::Retry(seconds) => put_off(self, RETRY, self.now + f64::from(seconds)),
            Step::Die => put_off(self, ORPHAN, self.now),
            Step::Release => put_off(self, RELEASED, self.now),
            Step::Request => {
                let job = &mut self.claimed.job;
                job.last_seq += 1;
                let id = RunId { uid: job.uid, seq: job.last_seq };
                self.requested.push(id.seq);
                self.runs.insert(id.seq, Run::new(id, at(self.now), REQUESTED));
            }
            Step::Cancel => {
                if let Some(run) = self.runs.values_mut().rev().find(|run| run.is_open()) {
                    run.cancel_requested = true;
                }
            }
        }
    }

    fn claim(&mut self) {
        let of = |is_running: bool| {
            let open = self.runs.values().filter(|run| run.is_open());
            open.filter(move |run| (run.state == RUNNING) == is_running).cloned().collect::<Vec<_>>()
        };
        let (running, mut waiting) = (of(true), of(false));
        waiting.sort_by_key(|run| (run.due, run.id.seq));
        (self.claimed.running_count, self.claimed.waiting_count) = (running.len(), waiting.len());
        self.claimed.running = running.into_iter().take(32).collect();
        self.claimed.waiting = waiting.into_iter().take(32).collect();
        let to = plan(&self.claimed, at(self.now)).unwrap();
        for change in &to.runs {
            self.apply(change);
        }
        let job = &mut self.claimed.job;
        assert!(job.next_fire_time <= to.next_fire_time || to.next_fire_time.is_none(), "it moved back");
        (job.state, job.next_fire_time) = (to.state.clone(), to.next_fire_time);
        self.check_slots(to.runs.iter().any(starts));
        self.check_is_going_on(to.due, to.blocked);
    }

    fn apply(&mut self, change: &RunChange) {
        match change {
            RunChange::Insert(run) => {
                assert_eq!(run.id.seq, self.claimed.job.last_seq + 1, "numbers have no gaps");
                self.claimed.job.last_seq = run.id.seq;
                self.runs.insert(run.id.seq, run.clone());
            }
            RunChange::Start { seq, attempt } => {
                let run = self.runs.get_mut(seq).unwrap();
                assert!(matches!(run.state, RunState::Waiting(_)), "{run:?} is started twice");
                assert!(run.due <= at(self.now), "{run:?} is started early");
                (run.state, run.attempt) = (RUNNING, *attempt);
            }
            RunChange::End { seq, verdict, .. } => {
                let run = self.runs.get_mut(seq).unwrap();
                assert!(matches!(run.state, RunState::Waiting(_)), "{run:?} is ended by a plan");
                run.state = RunState::Ended(*verdict);
            }
            RunChange::Cancel { seq } => self.runs.get_mut(seq).unwrap().cancel_requested = true,
        }
    }

    fn check_slots(&self, has_started: bool) {
        let options = &self.claimed.job.body.options;
        let running = self.runs.values().filter(|run| run.state == RUNNING).count();
        let is_bounded = has_started && options.overlap != Overlap::Allow;
        assert!(!is_bounded || running <= options.max_instances.get() as usize, "{running} are running");
    }

    /// Something will bring the job back: its due, or the end of a run.
    fn check_is_going_on(&self, due: Option<DateTime<Utc>>, blocked: bool) {
        let is_running = self.runs.values().any(|run| run.state == RUNNING);
        let is_waiting = self.runs.values().any(|run| matches!(run.state, RunState::Waiting(_)));
        let will_end = blocked && is_running;
        if self.claimed.job.next_fire_time.is_some() || is_waiting {
            assert!(due.is_some() || will_end, "nothing will bring the job back");
        }
        let is_spinning = due.is_some_and(|due| due <= at(self.now)) && !self.is_something_due();
        assert!(!is_spinning, "it is due at once though nothing is");
    }

    fn is_something_due(&self) -> bool {
        let waits = |run: &Run| matches!(run.state, RunState::Waiting(_)) && run.due <= at(self.now);
        self.runs.values().any(waits) || self.claimed.job.next_fire_time.is_some_and(|next| next <= at(self.now))
    }

    /// The rows cover the fire times from the first to the next one, none of them twice.
    fn check_tiles(&self, first: DateTime<Utc>) {
        let trigger = &self.claimed.job.body.trigger;
        let mut covered = Vec::new();
        for run in self.runs.values().filter(|run| !self.requested.contains(&run.id.seq)) {
            let mut fire_time = run.first.unwrap_or(run.fire_time);
            let mut count = 1;
            covered.push(fire_time);
            while fire_time < run.fire_time {
                fire_time = trigger.next(Some(fire_time), fire_time).unwrap().unwrap();
                covered.push(fire_time);
                count += 1;
            }
            assert_eq!(fire_time, run.fire_time, "a range ends with a fire time");
            assert!(run.count.is_none_or(|said| said == count), "{run:?} stands for {count}");
        }
        covered.sort();
        let mut fire_times = Vec::new();
        let mut next = Some(first);
        while let Some(fire_time) = next.filter(|next| Some(*next) != self.claimed.job.next_fire_time) {
            fire_times.push(fire_time);
            next = trigger.next(Some(fire_time), fire_time).unwrap();
            assert!(fire_times.len() < 100_000, "the next fire time is none of the trigger's");
        }
        assert_eq!(covered, fire_times);
    }
}

fn starts(change: &RunChange) -> bool {
    match change {
        RunChange::Insert(run) => run.state == RUNNING,
        RunChange::Start { .. } => true,
        RunChange::End { .. } | RunChange::Cancel { .. } => false,
    }
}
