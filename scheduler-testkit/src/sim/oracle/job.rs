//! One job, as far as the store was seen to take it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use scheduler_core::{
    Delivery, JobId, JobOptions, JobRow, JobState, LimitKey, NodeId, Overlap, Run, RunId, RunState, Trigger, Uid,
    Verdict, Wait,
    store::{Move, RunChange, Update},
};

use super::Broken;

#[derive(Debug)]
pub(super) struct Job {
    uid: Uid,
    pub(super) id: JobId,
    pub(super) options: JobOptions,
    trigger: Trigger,
    /// The first fire time without a verdict or a run.
    next: Option<DateTime<Utc>>,
    revision: u64,
    last_seq: u64,
    runs: BTreeMap<u64, Seen>,
    /// Whether the last claim has shown all waiting runs.
    pub(super) is_all_shown: bool,
    /// The fences whose moves have been applied.
    moves: BTreeSet<u64>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    None,
    Removed,
    Over,
}

/// The verdicts of a job's runs, by number.
pub(super) type Verdicts = Vec<(u64, Option<Verdict>)>;

/// A run, as far as the store was seen to take it.
#[derive(Debug)]
struct Seen {
    verdict: Option<Verdict>,
    /// Who runs it.
    runner: Option<(NodeId, u64)>,
    /// Who ran it last, or gave it back.
    former: Option<(NodeId, u64)>,
    /// Whether it was asked to stop.
    is_asked: bool,
    /// Whether a user asked it to stop, so that it may not start any more.
    is_to_stop: bool,
    /// How many runs of the job might run at once when it was settled; none if any number.
    slots: Option<usize>,
    /// How often it was settled to run.
    settled: u32,
    /// How often an executor was given it.
    starts: u32,
    /// When that was last.
    started: Option<DateTime<Utc>>,
    /// How often it was put off to be repeated.
    retries: u32,
    /// How often it was started again as the run of a job that is run at least once.
    takeovers: u32,
    /// How often it was given back after it had started.
    given_back: u32,
    /// The most attempts, takeovers left out, and how long one may take, when it was settled last.
    most_attempts: u32,
    timeout: Option<Duration>,
    /// As it was then.
    delivery: Delivery,
    /// The key under which it was settled to run last.
    key: Option<LimitKey>,
}

impl Job {
    pub(super) fn new(row: &JobRow) -> Self {
        Self {
            uid: row.uid,
            id: row.id.clone(),
            options: row.body.options.clone(),
            trigger: row.body.trigger.clone(),
            next: row.next_fire_time,
            revision: 0,
            last_seq: 0,
            runs: BTreeMap::new(),
            is_all_shown: true,
            moves: BTreeSet::new(),
            end: End::None,
        }
    }

    pub(super) fn updated(&mut self, update: &Update, row: &JobRow, at: DateTime<Utc>) -> Result<(), Broken> {
        if row.revision <= self.revision {
            return Ok(());
        }
        self.revision = row.revision;
        for run in &update.runs {
            self.insert(run, None, at)?;
        }
        let is_request = update.runs.iter().any(Run::is_open);
        if is_request && (update.next_fire_time != self.next || update.body.is_some()) {
            return Err(format!("job {}: a request for a run changes the job", self.id));
        }
        let is_left = update.runs.is_empty() && self.next != update.next_fire_time;
        if is_left && self.next.is_some_and(|next| next <= at) && !matches!(self.trigger, Trigger::Date(_)) {
            let next = update.next_fire_time;
            // Going back before what is due leaves nothing out.
            if next.is_none() || next > self.next {
                return Err(format!("job {}: a change at {at} drops the fire time {:?}", self.id, self.next));
            }
        }
        self.next = update.next_fire_time;
        if let Some(body) = &update.body {
            self.trigger = body.trigger.clone();
            self.options = body.options.clone();
        }
        Ok(())
    }

    /// A user has asked an open run to stop.
    pub(super) fn asked_to_stop(&mut self, seq: u64) -> Result<(), Broken> {
        let run = self.runs.get_mut(&seq).ok_or_else(|| format!("an unknown run {}-{seq} is to stop", self.uid))?;
        (run.is_asked, run.is_to_stop) = (true, true);
        Ok(())
    }

    /// A user has removed the job, with which the runs that wait have ended.
    pub(super) fn removed(&mut self, cancelled: impl Iterator<Item = u64>) -> Result<(), Broken> {
        for seq in cancelled {
            let run =
                self.runs.get_mut(&seq).ok_or_else(|| format!("an unknown run {}-{seq} is cancelled", self.uid))?;
            run.verdict = Some(Verdict::Cancelled);
        }
        self.end = End::Removed;
        Ok(())
    }

    pub(super) fn uid(&self) -> Uid {
        self.uid
    }

    /// The store says that the job is over.
    pub(super) fn finished(&mut self) -> Result<(), Broken> {
        if let Some(run) = self.open_runs().next() {
            return Err(format!("job {} is over while run {run} is open", self.id));
        }
        // One that was removed goes with its last run, and is not known any more.
        if self.end != End::Removed {
            self.end = End::Over;
        }
        Ok(())
    }

    /// A move has been applied, by this sending or an earlier one.
    pub(super) fn moved(&mut self, to: &Move, owner: &NodeId, now: DateTime<Utc>) -> Result<(), Broken> {
        if !self.moves.insert(to.fence) {
            return Ok(());
        }
        for change in &to.runs {
            match change {
                RunChange::Insert(run) => {
                    let runner = (run.state == RunState::Running).then(|| (owner.clone(), to.fence));
                    self.insert(run, runner, now)?;
                }
                RunChange::Start { seq, .. } => {
                    let (slots, most_attempts) = (self.slots(), self.most_attempts());
                    let (timeout, delivery) = (self.options.timeout, self.options.delivery);
                    let run = self.waiting(*seq, "started")?;
                    if run.is_to_stop {
                        return Err(format!("run {}-{seq} starts after it was asked to stop", to.uid));
                    }
                    (run.slots, run.most_attempts) = (slots, most_attempts);
                    (run.timeout, run.delivery) = (timeout, delivery);
                    run.runner = Some((owner.clone(), to.fence));
                    run.started = None;
                    run.settled += 1;
                }
                RunChange::End { seq, verdict, .. } => {
                    let is_lenient = self.options.delivery == Delivery::AtMostOnce || self.end != End::None;
                    let run = self.waiting(*seq, "ended")?;
                    run.verdict = Some(*verdict);
                    if *verdict == Verdict::Lost && !is_lenient && run.settled <= 3 {
                        let settled = run.settled;
                        return Err(format!("run {}-{seq} is lost after {settled} attempts", self.uid));
                    }
                }
                RunChange::Cancel { seq } => {
                    self.runs.entry(*seq).and_modify(|run| run.is_asked = true);
                }
            }
        }
        for seq in to.starts() {
            self.runs.entry(seq).and_modify(|run| run.key.clone_from(&to.limit_key));
            if to.limit_key != self.options.limit_key {
                return Err(format!(
                    "run {}-{seq} starts under the key {:?} instead of its job's",
                    self.uid, to.limit_key
                ));
            }
        }
        let is_fixed_delay = self.trigger.waits_for_end();
        if to.state == JobState::Active && !is_fixed_delay && to.next_fire_time != self.next {
            return Err(format!("job {} goes on at {:?} instead of {:?}", self.id, to.next_fire_time, self.next));
        }
        if matches!(to.state, JobState::Ending | JobState::Kept) && !is_fixed_delay && self.next.is_some() {
            return Err(format!("job {} is over though it has the fire time {:?}", self.id, self.next));
        }
        if is_fixed_delay {
            self.next = to.next_fire_time;
        }
        Ok(())
    }

    /// A row is written for one fire time or a range: it has to continue where the last one ended.
    fn insert(&mut self, run: &Run, runner: Option<(NodeId, u64)>, now: DateTime<Utc>) -> Result<(), Broken> {
        let (id, first) = (run.id, run.first.unwrap_or(run.fire_time));
        if id.seq != self.last_seq + 1 {
            return Err(format!("run {id} follows number {}", self.last_seq));
        }
        let is_requested = run.state == RunState::Waiting(Wait::Requested);
        if run.fire_time > now && !is_requested {
            return Err(format!("run {id} is decided at {now}, before its fire time {}", run.fire_time));
        }
        if Some(first) != self.next && !is_requested {
            return Err(format!("run {id} begins at {first} instead of {:?}", self.next));
        }
        self.last_seq = id.seq;
        if !self.trigger.waits_for_end() && !is_requested {
            self.next = self.after(run, first)?;
        }
        let settled = u32::from(runner.is_some());
        self.runs.insert(
            id.seq,
            Seen {
                verdict: run.verdict(),
                runner,
                former: None,
                is_asked: false,
                is_to_stop: false,
                slots: self.slots(),
                settled,
                starts: 0,
                started: None,
                retries: 0,
                takeovers: 0,
                given_back: 0,
                most_attempts: self.most_attempts(),
                timeout: self.options.timeout,
                delivery: self.options.delivery,
                key: None,
            },
        );
        Ok(())
    }

    /// The fire time after a row's range, which has to end with a fire time and to count them right.
    fn after(&self, run: &Run, first: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Broken> {
        let next = |previous| self.trigger.next(Some(previous), previous).map_err(|error| error.to_string());
        let (mut fire_time, mut count) = (first, 1);
        while fire_time < run.fire_time {
            fire_time = next(fire_time)?.ok_or_else(|| format!("run {} ends after the last fire time", run.id))?;
            count += 1;
        }
        if fire_time != run.fire_time || run.count.is_some_and(|said| said != count) {
            return Err(format!("run {} stands for {count} fire times up to {fire_time}: {run:?}", run.id));
        }
        next(fire_time)
    }

    fn waiting(&mut self, seq: u64, what: &str) -> Result<&mut Seen, Broken> {
        let uid = self.uid;
        let run = self.runs.get_mut(&seq).ok_or_else(|| format!("run {uid}-{seq} is {what} before it exists"))?;
        match (&run.runner, run.verdict) {
            (None, None) => Ok(run),
            (Some((node, _)), None) => Err(format!("run {uid}-{seq} is {what} while {node} runs it")),
            (_, Some(verdict)) => Err(format!("run {uid}-{seq} is {what} after it ended as {verdict}")),
        }
    }

    /// A claim shows a run as taken from its node; says from which, if that is news.
    pub(super) fn adopted(&mut self, seq: u64) -> Result<Option<NodeId>, Broken> {
        let run = self.runs.get_mut(&seq).ok_or_else(|| format!("a claim shows an unknown run {seq}"))?;
        let Some(runner) = run.runner.take() else {
            return Ok(None);
        };
        run.former = Some(runner.clone());
        Ok(Some(runner.0))
    }

    /// The end of a run has been recorded, by this sending or an earlier one.
    pub(super) fn ended(
        &mut self,
        now: DateTime<Utc>,
        seq: u64,
        (owner, fence): (&NodeId, u64),
        verdict: Verdict,
        is_stopping: bool,
    ) -> Result<(), Broken> {
        let (uid, is_over) = (self.uid, self.is_over());
        let run = self.runs.get_mut(&seq).ok_or_else(|| format!("an unknown run {uid}-{seq} ends"))?;
        // A shutdown loses no run that is to run at least once.
        let may_be_lost = is_stopping && run.delivery == Delivery::AtMostOnce;
        let is_asked = run.is_asked || may_be_lost || is_over;
        let by = Some((owner.clone(), fence));
        // The removal of its job has ended one that waited to be taken over, with the same verdict.
        let was_removed = is_over && run.runner.is_none() && verdict == Verdict::Cancelled;
        if (run.verdict.is_some() || was_removed) && run.former == by {
            run.verdict = run.verdict.or(Some(verdict));
            return Ok(());
        }
        if run.verdict.is_some() || run.runner != by {
            return Err(format!("{owner} ends run {uid}-{seq} under fence {fence}, which is {run:?}"));
        }
        if run.starts == 0 && !(is_asked && verdict == Verdict::Cancelled) {
            return Err(format!("run {uid}-{seq} ends as {verdict} and was never started"));
        }
        if verdict == Verdict::Cancelled && !is_asked {
            return Err(format!("run {uid}-{seq} ends as cancelled, and that was not asked for"));
        }
        if matches!(verdict, Verdict::Error | Verdict::Timeout) && !is_asked && run.retries + 1 < run.most_attempts {
            return Err(format!("run {uid}-{seq} ends as {verdict} though it may be repeated: {run:?}"));
        }
        let is_in_time = |started| run.timeout.is_none_or(|timeout| now < started + timeout);
        if verdict == Verdict::Timeout && run.started.is_none_or(is_in_time) {
            return Err(format!("run {uid}-{seq} timed out at {now} and had not taken so long: {run:?}"));
        }
        run.former = run.runner.take();
        run.verdict = Some(verdict);
        Ok(())
    }

    /// A run has been put off to be repeated, by this sending or an earlier one.
    pub(super) fn put_off(&mut self, seq: u64, (owner, fence): (&NodeId, u64), is_lost: bool) -> Result<(), Broken> {
        let (uid, is_over) = (self.uid, self.is_over());
        let run = self.runs.get_mut(&seq).ok_or_else(|| format!("an unknown run {uid}-{seq} is put off"))?;
        if run.runner != Some((owner.clone(), fence)) {
            return Ok(());
        }
        run.former = run.runner.take();
        run.retries += 1;
        if is_over {
            run.verdict = Some(Verdict::Error);
        } else if !is_lost && run.retries >= run.most_attempts {
            return Err(format!("run {uid}-{seq} is to be repeated once more: {run:?}"));
        }
        Ok(())
    }

    pub(super) fn given_back(&mut self, seq: u64, owner: &NodeId, fence: u64) {
        if let Some(run) = self.runs.get_mut(&seq)
            && run.runner == Some((owner.clone(), fence))
        {
            run.former = run.runner.take();
            run.given_back += u32::from(run.started.take().is_some());
        }
    }

    pub(super) fn was_given_back(&self, seq: u64) -> bool {
        self.runs.get(&seq).is_some_and(|run| run.given_back > 0)
    }

    /// How often runs were given back after they had started.
    pub(super) fn given_back_runs(&self) -> u64 {
        self.runs.values().map(|run| u64::from(run.given_back)).sum()
    }

    pub(super) fn released(&mut self, node: &NodeId) {
        for run in self.runs.values_mut() {
            if run.runner.as_ref().is_some_and(|(runner, _)| runner == node) {
                run.former = run.runner.take();
            }
        }
    }

    /// An executor is given a run while others of the job execute.
    pub(super) fn starts(&mut self, now: DateTime<Utc>, seq: u64, others: usize) -> Result<(), Broken> {
        let (id, slots_now) = (RunId { uid: self.uid, seq }, self.slots());
        let run = self.runs.get_mut(&seq).ok_or_else(|| format!("an unknown run {id} starts"))?;
        run.starts += 1;
        run.started = Some(now);
        // While it waited for its executor, the job may have been given more slots, and others of its runs have them.
        let slots = run.slots.and_then(|when_settled| Some(when_settled.max(slots_now?)));
        if slots.is_some_and(|slots| others >= slots) {
            return Err(format!("run {id} starts while {others} runs of its job execute"));
        }
        if run.starts > 1 + run.retries + run.takeovers + run.given_back {
            match run.delivery {
                // What it has been before counts, however the job may be changed.
                Delivery::AtLeastOnce => run.takeovers += 1,
                Delivery::AtMostOnce => {
                    return Err(format!("run {id} is to start at most once and starts {} times", run.starts));
                }
            }
        }
        Ok(())
    }

    fn slots(&self) -> Option<usize> {
        (self.options.overlap != Overlap::Allow).then_some(self.options.max_instances.get() as usize)
    }

    fn most_attempts(&self) -> u32 {
        self.options.retry.as_ref().map_or(1, |retry| retry.most_attempts().get())
    }

    pub(super) fn timeout(&self, seq: u64) -> Option<Duration> {
        self.runs.get(&seq)?.timeout
    }

    pub(super) fn retries(&self, seq: u64) -> u32 {
        self.runs.get(&seq).map_or(0, |run| run.retries)
    }

    pub(super) fn all_retries(&self) -> u64 {
        self.runs.values().map(|run| u64::from(run.retries)).sum()
    }

    pub(super) fn timeouts(&self) -> u64 {
        self.runs.values().filter(|run| run.verdict == Some(Verdict::Timeout)).count() as u64
    }

    /// Whether a move of this fence has been applied.
    pub(super) fn has_moved(&self, fence: u64) -> bool {
        self.moves.contains(&fence)
    }

    /// The runs that a node runs, or has run, under a key, as far as is known.
    pub(super) fn running_under(&self, key: &LimitKey) -> impl Iterator<Item = RunId> {
        let running = self.runs.iter().filter(move |(_, run)| run.runner.is_some() && run.key.as_ref() == Some(key));
        running.map(|(seq, _)| RunId { uid: self.uid, seq: *seq })
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.runs.contains_key(&seq)
    }

    pub(super) fn has_been_started(&self, seq: u64) -> bool {
        self.runs.get(&seq).is_some_and(|run| run.settled > 0)
    }

    pub(super) fn verdict(&self, seq: u64) -> Option<Verdict> {
        self.runs.get(&seq).and_then(|run| run.verdict)
    }

    pub(super) fn runner(&self, seq: u64) -> Option<(NodeId, u64)> {
        self.runs.get(&seq).and_then(|run| run.runner.clone())
    }

    /// Whether a node runs one of its runs.
    pub(super) fn is_run_by(&self, node: &NodeId) -> bool {
        self.runs.values().any(|run| run.runner.as_ref().is_some_and(|(runner, _)| runner == node))
    }

    pub(super) fn is_over(&self) -> bool {
        self.end != End::None
    }

    /// Whether the job is over and stays known for an hour at least.
    pub(super) fn is_retained(&self) -> bool {
        self.end == End::Over && self.options.retention >= Duration::from_secs(3_600)
    }

    pub(super) fn verdicts(&self) -> Verdicts {
        self.runs.iter().map(|(seq, run)| (*seq, run.verdict)).collect()
    }

    pub(super) fn open_runs(&self) -> impl Iterator<Item = RunId> + '_ {
        let open = self.runs.iter().filter(|(_, run)| self.end == End::None && run.verdict.is_none());
        open.map(|(seq, _)| RunId { uid: self.uid, seq: *seq })
    }

    pub(super) fn run_count(&self) -> usize {
        self.runs.len()
    }
}
