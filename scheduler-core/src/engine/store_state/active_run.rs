//! A run that a node executes, or is going to, and what is reported of its end.

use std::{hash::Hasher, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use siphasher::sip::SipHasher13;

use super::queues::QueueKey;
use crate::{
    Delivery, Failures, LimitKey, Now, Outcome, Output, Retry, Run, RunId, RunOutput, RunRef, Verdict,
    store::{Entry, RunReport},
};

/// A run that this node executes, or is going to when its executor has room.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct ActiveRun {
    pub(in crate::engine) run: RunRef,
    pub(in crate::engine) fence: u64,
    /// The key under which it counts.
    pub(in crate::engine) limit_key: Option<LimitKey>,
    /// Since when it is this node's.
    pub(in crate::engine) since: Duration,
    /// When its executor was given it.
    pub(in crate::engine) started: Duration,
    /// Where it waits for its executor, if it does.
    pub(in crate::engine) waiting: Option<QueueKey>,
    pub(in crate::engine) delivery: Delivery,
    pub(in crate::engine) output: Output,
    pub(in crate::engine) timeout: Option<Duration>,
    /// When it has to stop.
    pub(in crate::engine) deadline: Option<Duration>,
    pub(in crate::engine) retry: Option<Box<Retry>>,
    /// How often it will have failed if it fails now.
    pub(in crate::engine) failures: u32,
    pub(in crate::engine) stop: Stop,
    /// Whether the listeners know that its job was removed.
    pub(in crate::engine) is_removed: bool,
    /// What came of it, until the store has confirmed that.
    pub(in crate::engine) ended: Option<(Outcome, Duration)>,
}

/// Whether a run has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Stop {
    No,
    /// A call asked for that, here or on another node.
    Asked,
    /// The run has taken as long as it may.
    TimedOut,
    /// The node has lost its lease, so that others may have the run.
    Lost,
    /// The scheduler ends and waits no longer.
    ShutDown,
}

impl ActiveRun {
    /// What is reported of it.
    pub(in crate::engine) fn entry(&self, report: RunReport) -> Entry {
        Entry { run: self.run.run, fence: self.fence, report, limit_key: self.limit_key.clone() }
    }

    /// Whether its executor has it.
    pub(in crate::engine) fn is_running(&self) -> bool {
        self.ended.is_none() && self.waiting.is_none()
    }

    /// Notes how it has ended; gives what is reported of that.
    pub(in crate::engine) fn end(&mut self, now: Now, outcome: Outcome, store_now: DateTime<Utc>) -> RunReport {
        let duration = now.monotonic.saturating_sub(self.started);
        let outcome = match (self.stop, outcome) {
            // It returned a value after being told to stop, which counts.
            (Stop::TimedOut, Outcome::Ok(output)) => Outcome::Ok(output),
            (Stop::TimedOut, _) => Outcome::TimedOut(duration),
            (Stop::No | Stop::Asked | Stop::Lost | Stop::ShutDown, outcome) => outcome,
        };
        let report = self.report_of(&outcome, duration, store_now);
        self.ended = Some((outcome, duration));
        report
    }

    fn report_of(&self, outcome: &Outcome, duration: Duration, store_now: DateTime<Utc>) -> RunReport {
        const LOST: &str = "its node lost its lease";
        let is_lost = self.stop == Stop::Lost && *outcome == Outcome::Cancelled;
        // What else came of it came of being told to stop, as likely as not.
        let is_cut_off = self.stop == Stop::ShutDown && !matches!(outcome, Outcome::Ok(_)) && !self.is_removed;
        match self.delivery {
            Delivery::AtLeastOnce if is_cut_off => return RunReport::Release,
            // Its end was not asked for: should no other node have taken it over yet, it is left to be run again.
            Delivery::AtLeastOnce if is_lost => {
                return RunReport::Retry { due: store_now, error: Some(LOST.to_owned()) };
            }
            Delivery::AtMostOnce if is_lost => {
                return RunReport::End { verdict: Verdict::Lost, error: Some(LOST.to_owned()), duration, output: None };
            }
            Delivery::AtLeastOnce | Delivery::AtMostOnce => {}
        }
        let failure = failure_of(outcome);
        let pause = failure.as_ref().and_then(|(failure, _)| self.pause_after(*failure));
        let error = failure.map(|(_, error)| Run::error_text(error));
        match pause {
            Some(pause) => RunReport::Retry { due: store_now.checked_add_signed(pause).unwrap_or(store_now), error },
            None => RunReport::End { verdict: verdict_of(outcome), error, duration, output: self.output_of(outcome) },
        }
    }

    /// What is kept of what the task returned.
    fn output_of(&self, outcome: &Outcome) -> Option<RunOutput> {
        match (self.output, outcome) {
            (Output::Keep, Outcome::Ok(value)) => Some(RunOutput::of(value)),
            _ => None,
        }
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn pause_after(&self, failure: Failures) -> Option<TimeDelta> {
        /// A pause beyond that is a mistake in the unit, and a time beyond it none that every store can keep.
        const LONGEST: TimeDelta = TimeDelta::days(36_525);
        let is_wanted = self.stop != Stop::Asked && !self.is_removed;
        let retry = self.retry.as_ref().filter(|retry| is_wanted && retry.repeats(failure, self.failures))?;
        let pause = retry.pause(self.failures, random(self.run.run, self.run.attempt));
        Some(TimeDelta::from_std(pause).map_or(LONGEST, |pause| pause.min(LONGEST)))
    }
}

/// A number that is the same for each look at an attempt, and another for each attempt.
fn random(run: RunId, attempt: u32) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&run.uid.0.to_le_bytes());
    hasher.write(&run.seq.to_le_bytes());
    hasher.write(&attempt.to_le_bytes());
    hasher.finish()
}

fn verdict_of(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Ok(_) => Verdict::Ok,
        Outcome::Error(_) | Outcome::Panicked(_) | Outcome::Crashed(_) => Verdict::Error,
        Outcome::Cancelled => Verdict::Cancelled,
        Outcome::TimedOut(_) => Verdict::Timeout,
    }
}

/// How an attempt failed, in kind and in words, if it did.
pub(in crate::engine) fn failure_of(outcome: &Outcome) -> Option<(Failures, String)> {
    match outcome {
        Outcome::Ok(_) | Outcome::Cancelled => None,
        Outcome::Error(error) => Some((Failures::ERROR, error.clone())),
        Outcome::Panicked(message) => Some((Failures::PANIC, format!("panicked: {message}"))),
        Outcome::Crashed(how) => Some((Failures::CRASH, format!("crashed: {how}"))),
        Outcome::TimedOut(after) => Some((Failures::TIMEOUT, format!("timed out after {after:?}"))),
    }
}
