//! Rows at the limits: every number and every time near the ends of what its type can hold.
//!
//! Drawn from bytes, so that the property test and the fuzz target `rows` try the same.

use std::{fmt::Display, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::TZ_VARIANTS;
use scheduler_core::{
    JobRow, Now, Outcome, Run, RunId, RunState, Trigger, Uid, Verdict, Wait,
    engine::{CallId, Command, Config, Effect, Engine, Input, Mode, StoreCall, StoreReply},
    explain,
    plan::plan,
    store::{
        CLAIMED_RUNS, Claimed, ClaimedJob, Clock, Durability, Fate, Hold, RecordOutcome, Recorded, SettleOutcome,
        Settled, StoreLimits, TurnReply, Wakes,
    },
};
use serde_json::{Value, json};

/// Draws from bytes; when they are used up, everything is zero.
#[derive(Debug)]
pub struct Draw<'a>(pub &'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    fn is(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn any(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// A number of type `u64`, often one at an end of something.
    fn number(&mut self) -> u64 {
        const YEAR: u64 = 31_557_600_000_000;
        match self.below(4) {
            0 => self.any(),
            1 => self.any() % 1_000_000,
            2 => self.pick(&[1_000_000, 60_000_000, 86_400_000_000, YEAR, 100 * YEAR, 1_000 * YEAR, 10_000 * YEAR]),
            _ => self.pick(&[0, 1, 2, u64::MAX, i64::MAX as u64, 1 << 63, i64::MAX as u64 / 4, 40_009, 40_013]),
        }
    }

    fn small(&mut self) -> u32 {
        let number = self.number();
        self.pick(&[number as u32, (number % 100) as u32, u32::MAX, 0])
    }

    /// A time anywhere, often at an end of something.
    pub fn time(&mut self) -> DateTime<Utc> {
        match self.below(4) {
            0 => DateTime::from_timestamp_micros(self.any() as i64).unwrap_or_default(),
            // 1990 to 2080.
            1 => DateTime::from_timestamp_micros(631_152_000_000_000 + (self.any() % 2_840_000_000_000_000) as i64)
                .unwrap_or_default(),
            2 => self.pick(
                &["0068-09-03", "1969-11-30", "1970-01-01", "2026-11-21", "2100-12-31", "9999-12-31"]
                    .map(|date| format!("{date}T23:59:59.999999Z").parse().expect("a time")),
            ),
            _ => {
                let end = self.pick(&[DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, DateTime::UNIX_EPOCH]);
                let off = Duration::from_micros(self.number() % 200_000_000_000);
                let off = chrono::TimeDelta::from_std(off).unwrap_or_default();
                let moved = if self.is() { end.checked_add_signed(off) } else { end.checked_sub_signed(off) };
                moved.unwrap_or(end)
            }
        }
    }

    fn date(&mut self) -> String {
        self.time().date_naive().to_string()
    }

    fn written(&mut self) -> String {
        self.time().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
    }

    fn zone(&mut self) -> &'static str {
        let any = TZ_VARIANTS[self.any() as usize % TZ_VARIANTS.len()].name();
        self.pick(&["Asia/Tokyo", "America/New_York", "Pacific/Apia", "Europe/Berlin", any])
    }

    fn crontab(&mut self) -> String {
        let any = |draw: &mut Self, from: u32, to: u32| match draw.below(4) {
            0 => "*".to_owned(),
            1 => format!("{}", from + u32::from(draw.byte()) % (to - from + 1)),
            2 => format!("*/{}", 1 + u32::from(draw.byte()) % (to - from)),
            _ => format!("{}-{to}", from + u32::from(draw.byte()) % (to - from + 1)),
        };
        let (minute, hour, day) = (any(self, 0, 59), any(self, 0, 23), any(self, 1, 31));
        let (month, weekday) = (any(self, 1, 12), any(self, 0, 6));
        format!("{minute} {hour} {day} {month} {weekday}")
    }

    fn maybe(&mut self, of: &mut Value, name: &str, value: impl Fn(&mut Self) -> Value) {
        if self.is() {
            of[name] = value(self);
        }
    }

    fn framed(&mut self, mut of: Value, depth: u32) -> Value {
        self.maybe(&mut of, "start", |draw| draw.written().into());
        self.maybe(&mut of, "end", |draw| draw.written().into());
        if depth == 0 {
            self.maybe(&mut of, "jitter_us", |draw| draw.number().into());
        }
        of
    }

    /// The persisted form of a trigger, valid or not.
    fn trigger_json(&mut self, depth: u32) -> Value {
        match self.below(if depth < 3 { 8 } else { 4 }) {
            0 => json!({"type": "date", "at": self.written()}),
            1 => {
                let mut interval = json!({"type": "interval", "every_us": self.number()});
                if depth == 0 {
                    self.maybe(&mut interval, "rate", |_| "after_end".into());
                }
                self.maybe(&mut interval, "first", |_| "now".into());
                self.maybe(&mut interval, "bound", |draw| json!({"anchor": draw.written()}));
                self.framed(interval, depth)
            }
            2 => {
                let mut cron = json!({"type": "cron", "dialect": "crontab", "expression": self.crontab()});
                self.maybe(&mut cron, "timezone", |draw| draw.zone().into());
                self.maybe(&mut cron, "gap", |draw| draw.pick(&["shift", "skip", "next_valid"]).into());
                self.maybe(&mut cron, "overlap", |draw| draw.pick(&["first", "second", "both"]).into());
                self.framed(cron, depth)
            }
            3 => {
                let mut calendar = json!({"type": "calendar_interval"});
                self.maybe(&mut calendar, "months", |draw| draw.small().into());
                self.maybe(&mut calendar, "days", |draw| draw.small().into());
                self.maybe(&mut calendar, "second_of_day", |draw| draw.small().into());
                self.maybe(&mut calendar, "timezone", |draw| draw.zone().into());
                self.maybe(&mut calendar, "start", |draw| draw.date().into());
                self.maybe(&mut calendar, "end", |draw| draw.date().into());
                self.maybe(&mut calendar, "month_end", |_| "clamp".into());
                if depth == 0 {
                    self.maybe(&mut calendar, "jitter_us", |draw| draw.number().into());
                }
                calendar
            }
            4 | 5 => {
                let kind = self.pick(&["and", "or"]);
                let parts: Vec<_> = (0..=self.below(3)).map(|_| self.trigger_json(depth + 1)).collect();
                self.framed(json!({"type": kind, "triggers": parts}), depth)
            }
            _ => {
                let mut except = json!({"type": "except", "trigger": self.trigger_json(depth + 1)});
                self.maybe(&mut except, "dates", |draw| {
                    (0..=draw.below(3)).map(|_| draw.date()).collect::<Vec<_>>().into()
                });
                self.maybe(&mut except, "timezone", |draw| draw.zone().into());
                self.maybe(
                    &mut except,
                    "during",
                    |draw| json!([{"trigger": draw.trigger_json(depth + 1), "lasting_us": draw.number()}]),
                );
                self.framed(except, depth)
            }
        }
    }

    fn options_json(&mut self) -> Value {
        let mut options = json!({});
        let seconds = |draw: &mut Self| -> Value {
            let number = draw.number() as f64;
            draw.pick(&[number / 1e6, number, 0.0, 1e300]).into()
        };
        self.maybe(&mut options, "misfire_grace_time", seconds);
        self.maybe(&mut options, "timeout", seconds);
        self.maybe(&mut options, "retry", |draw| {
            let (first, cap) = (seconds(draw), seconds(draw));
            let factor: f64 = draw.pick(&[0.0, -1.0, 2.0, 1e308]);
            json!({"attempts": draw.small().max(1), "first": first, "cap": cap, "factor": factor})
        });
        self.maybe(&mut options, "coalesce", |draw| draw.pick(&["earliest", "latest", "all"]).into());
        self.maybe(&mut options, "max_instances", |draw| draw.small().max(1).into());
        self.maybe(&mut options, "overlap", |draw| {
            let queue = json!({"queue": draw.small()});
            draw.pick(&["skip".into(), "allow".into(), "cancel_previous".into(), queue])
        });
        self.maybe(&mut options, "delivery", |draw| draw.pick(&["at_least_once", "at_most_once"]).into());
        self.maybe(&mut options, "when_finished", |draw| draw.pick(&["remove", "keep"]).into());
        self.maybe(&mut options, "history", |draw| draw.small().into());
        self.maybe(&mut options, "priority", |draw| (draw.small() as i32).into());
        options
    }

    /// The row of a job, if its trigger and its options can be read.
    pub fn row(&mut self) -> Option<JobRow> {
        let time = |draw: &mut Self| draw.is().then(|| draw.time());
        let row = json!({
            "uid": Uid(1 + u128::from(self.any())),
            "id": "extreme",
            "state": self.pick(&["Active", "Active", "Active", "Paused", "Ending", "Removed", "Kept"]),
            "next_fire_time": time(self),
            "due": time(self),
            "last_end": time(self),
            "blocked": self.is(),
            "revision": self.number(),
            "fence": self.number(),
            "last_seq": self.number(),
            "totals": scheduler_core::Totals::default(),
            "body": {"v": 1, "task": "tick", "trigger": self.trigger_json(0), "options": self.options_json()},
        });
        serde_json::from_value(row).ok()
    }

    fn run(&mut self, uid: Uid, state: RunState) -> Run {
        let mut run = Run::new(RunId { uid, seq: self.number() }, self.time(), state);
        run.first = self.is().then(|| self.time());
        run.count = self.is().then(|| self.number());
        run.attempt = self.small();
        run.takeovers = self.small();
        run.due = self.time();
        run.fence = self.number();
        run.cancel_requested = self.is();
        run.started = self.is().then(|| self.time());
        run.ended = self.is().then(|| self.time());
        run.duration = self.is().then(|| Duration::from_micros(self.number()));
        run
    }

    /// A job as a claim reports it.
    pub fn claimed(&mut self) -> Option<ClaimedJob> {
        let job = self.row()?;
        let waits = [Wait::Queued, Wait::Retry, Wait::Orphan, Wait::Released, Wait::Requested];
        let running: Vec<_> = (0..self.below(4)).map(|_| self.run(job.uid, RunState::Running)).collect();
        let waiting: Vec<_> = (0..self.below(4))
            .map(|_| {
                let wait = self.pick(&waits);
                self.run(job.uid, RunState::Waiting(wait))
            })
            .collect();
        let more = self.pick(&[0, 0, CLAIMED_RUNS]);
        let mut claimed = ClaimedJob::new(job, running.iter().chain(&waiting));
        claimed.running_count += more;
        claimed.waiting_count += self.pick(&[0, 0, CLAIMED_RUNS]);
        Some(claimed)
    }
}

/// Asks a trigger everything that can be asked of it.
pub fn ask(trigger: &Trigger, at: DateTime<Utc>, other: DateTime<Utc>) {
    let zone = chrono_tz::Asia::Tokyo;
    for trigger in [trigger.clone(), trigger.clone().bind(at, zone, "extreme")] {
        let answers = [trigger.next(None, at), trigger.next(Some(at), other), trigger.previous(at)];
        for found in answers.into_iter().flatten().flatten() {
            let _ = (trigger.jitter(7, found), trigger.count(at, found), trigger.previous(found));
        }
        let _ = (trigger.count(at, other), trigger.next_n(at, 3), trigger.never_fires());
        let _ = (trigger.longest_jitter(), trigger.is_same_as_written(&trigger));
        shown(&trigger.describe());
        shown(&trigger);
        let written = serde_json::to_string(&trigger).expect("a trigger has a JSON form");
        let read: Trigger = serde_json::from_str(&written).expect("what is written can be read");
        assert_eq!(read, trigger, "{written}");
    }
}

/// Plans and explains a job.
pub fn decide(claimed: &ClaimedJob, now: DateTime<Utc>, at: DateTime<Utc>, ended: Verdict) {
    let _ = plan(claimed, now);
    let runs: Vec<Run> = claimed.running.iter().chain(&claimed.waiting).cloned().collect();
    let history: Vec<Run> =
        runs.iter().cloned().map(|run| Run { state: RunState::Ended(ended), ..run }).chain(runs.clone()).collect();
    for runs in [&[][..], &runs, &history] {
        for at in runs.iter().map(|run| run.fire_time).chain([at]) {
            let explanation = explain(&claimed.job, runs, now, at);
            shown(&explanation);
            let _ = serde_json::to_string(&explanation);
        }
    }
}

/// Has an engine claim a job, settle it, run what is to run, and record how that has failed. Gives how many ends it has
/// recorded.
pub fn drive(claimed: ClaimedJob, draw: &mut Draw<'_>) -> usize {
    let mut ended = 0;
    let mut now = Now { utc: draw.time(), monotonic: Duration::from_micros(draw.number()) };
    let mut engine = Engine::new(Config::new("node", 7));
    let limits = StoreLimits::new(draw.pick(&[Clock::Server, Clock::Caller]), Wakes::Never, Durability::Durable);
    let commands = [
        Command::AddStore("default".into(), limits),
        Command::AddExecutor("default".into(), None),
        Command::AddTasks(vec!["tick".into()]),
        Command::Start(Mode::Running),
    ];
    for (call, command) in (1..).zip(commands) {
        engine.handle(now, Input::Command(CallId(call), command));
    }
    let mut unclaimed = Some(claimed);
    for _ in 0..8 {
        while let Some(effect) = engine.poll_effect() {
            let input = match effect {
                Effect::Store(op, _, StoreCall::Turn(turn)) => {
                    let store_now = draw.time();
                    ended += turn.record.as_ref().map_or(0, |record| record.entries.len());
                    let jobs = if turn.claim.is_some() { unclaimed.take() } else { None };
                    let claim = || Claimed::nothing(store_now, Some(store_now)).with_jobs(jobs.into_iter().collect());
                    let reply = TurnReply {
                        record: turn.record.as_ref().map(|record| {
                            let outcomes = vec![RecordOutcome::Done; record.entries.len()];
                            Recorded::new(store_now, outcomes, Hold::Kept).with_next_due(Some(store_now))
                        }),
                        settle: turn.settle.as_ref().map(|settle| {
                            let applied = SettleOutcome::Applied { job: Fate::Stays };
                            Settled::new(store_now, vec![applied; settle.moves.len()], None)
                        }),
                        claim: turn.claim.is_some().then(claim),
                    };
                    Input::Stored(op, Ok(StoreReply::Turn(Box::new(reply))))
                }
                Effect::Start(start) => Input::Finished(start.run, Outcome::Error("it fails".to_owned())),
                _ => continue,
            };
            engine.handle(now, input);
        }
        let _ = (engine.next_wake(now), engine.health(now));
        now = Now { utc: draw.time(), ..now.after(Duration::from_micros(draw.number())) };
        engine.handle(now, Input::Wake);
    }
    ended
}

fn shown(what: &impl Display) {
    assert!(!what.to_string().is_empty());
}
