//! Explanations as sentences.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Answer, ClockChange, Explanation};
use crate::{
    NodeId, Outdated, Wait,
    trigger::{Gap, RepeatedHour},
};

/// As in `` `report` at 2026-11-21 09:00:00 UTC: it will run; that is its next fire time ``.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at {}: ", self.job, self.time(self.fire_time.unwrap_or(self.at)))?;
        self.answer(f)?;
        if let Some(together) = &self.together {
            write!(f, "; so were all from {} to {}", self.time(together.first), self.time(together.last))?;
            if let Some(count) = together.count {
                write!(f, " ({count})")?;
            }
        }
        if let Some(due) = self.due {
            write!(f, "; with its jitter it is due at {}", self.time(due))?;
        }
        self.clocks.map_or(Ok(()), |change| self.change(f, change))?;
        self.outdated.map_or(Ok(()), |outdated| self.outdated(f, outdated))
    }
}

impl Explanation {
    fn answer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Answer::Ran { verdict, started, late, took, attempt, node, error } => {
                write!(f, "it ran, from {}", self.time(*started))?;
                match late {
                    Some(late) if !late.is_zero() => write!(f, " ({} late)", seconds(*late))?,
                    _ => {}
                }
                match took {
                    Some(took) => write!(f, ", and ended as {verdict} after {}", seconds(*took))?,
                    None => write!(f, ", and ended as {verdict}")?,
                }
                place(f, *attempt, node.as_ref())?;
                because(f, error.as_deref())
            }
            Answer::Running { started, attempt, node } => {
                write!(f, "it is running since {}", self.time(*started))?;
                place(f, *attempt, node.as_ref())
            }
            Answer::Waiting { wait: Wait::Queued, .. } => f.write_str("its run waits until fewer runs are running"),
            Answer::Waiting { wait: Wait::Retry, until, attempt, error } => {
                write!(f, "its attempt {attempt} failed, and the next one starts at {}", self.time(*until))?;
                because(f, error.as_deref())
            }
            Answer::Waiting { wait: Wait::Orphan, .. } => {
                f.write_str("its node died while it ran, and it waits for another node")
            }
            Answer::Waiting { wait: Wait::Released, .. } => {
                f.write_str("its node gave it back, and it waits for another node")
            }
            Answer::Waiting { wait: Wait::Requested, .. } => {
                f.write_str("a user asked for it, and it waits until fewer runs are running")
            }
            Answer::Missed { late, grace } => {
                f.write_str("it was missed")?;
                late.map_or(Ok(()), |late| write!(f, ", being {} late", seconds(late)))?;
                grace.map_or(Ok(()), |grace| write!(f, "; the misfire grace time is {}", seconds(grace)))
            }
            Answer::Coalesced { into: Some(into) } => {
                write!(f, "it was coalesced into the run for {}", self.time(*into))
            }
            Answer::Coalesced { into: None } => f.write_str("it was coalesced into a run that is not in the history"),
            Answer::Skipped { max_instances } => {
                write!(
                    f,
                    "it was skipped, since as many runs were running as may be (max_instances is {max_instances})"
                )
            }
            Answer::Cancelled { why } => {
                f.write_str("it was cancelled before it started")?;
                because(f, why.as_deref())
            }
            Answer::Due { late, grace, task } => {
                write!(f, "it is due since {}, and no node has taken it", seconds(*late))?;
                match grace {
                    Some(grace) if late > grace => write!(f, "; later than {}, it will be missed", seconds(*grace)),
                    _ => write!(f, "; is a scheduler with the task `{task}` running, and in reach of the store?"),
                }
            }
            Answer::NoPlace { key, limit, running, late, grace } => {
                write!(f, "it waits for a place under the limit key `{key}`, of which {running} of {limit} are taken")?;
                late.map_or(Ok(()), |late| write!(f, "; it is due since {}", seconds(late)))?;
                match (late, grace) {
                    (Some(late), Some(grace)) if late > grace => {
                        write!(f, "; later than {}, it will be missed", seconds(*grace))
                    }
                    _ => Ok(()),
                }
            }
            Answer::Next => f.write_str("it will run; that is its next fire time"),
            Answer::Later { next } => write!(f, "it will run; its next fire time is {}", self.time(*next)),
            Answer::NotAFireTime { before, after } => self.neighbours(f, *before, *after),
            Answer::AfterRun => f.write_str("that depends on its run; it fires next some time after the end of that"),
            Answer::NotThen => f.write_str(
                "the trigger fires then, but the job was not to: it was added, resumed or rescheduled only afterwards",
            ),
            Answer::Forgotten { oldest, history } => {
                write!(f, "the history does not reach back that far; it keeps {history} runs")?;
                oldest.map_or(Ok(()), |oldest| write!(f, ", the oldest for {}", self.time(oldest)))
            }
            Answer::Paused => {
                f.write_str("it does not run, since the job is paused")?;
                let words = self.pause.as_ref().map(|pause| pause.words(|time| self.time(time).to_string()));
                words.filter(|words| !words.is_empty()).map_or(Ok(()), |words| write!(f, " ({words})"))?;
                match self.pause.as_ref().and_then(|pause| pause.until) {
                    Some(_) => f.write_str("; it goes on by itself then"),
                    None => f.write_str("; resume it"),
                }
            }
            Answer::Over { last: Some(last) } => {
                write!(f, "it does not run; the last fire time of the job was {}", self.time(*last))
            }
            Answer::Over { last: None } => f.write_str("it does not run; the job has no further fire time"),
            Answer::Quarantined { reason } => {
                write!(f, "it does not run, since the job is in quarantine: {reason}; repair or remove it")
            }
            Answer::TriggerFailed { error } => write!(f, "its trigger cannot say: {error}"),
        }
    }

    fn neighbours(
        &self,
        f: &mut fmt::Formatter<'_>,
        before: Option<DateTime<Utc>>,
        after: Option<DateTime<Utc>>,
    ) -> fmt::Result {
        f.write_str("that is not a fire time; ")?;
        match (before, after) {
            (Some(before), Some(after)) => {
                write!(f, "the trigger fires at {} before it and at {} after it", self.time(before), self.time(after))
            }
            (None, Some(after)) => write!(f, "the trigger fires at {} for the first time", self.time(after)),
            (Some(before), None) => write!(f, "the trigger fires at {} for the last time", self.time(before)),
            (None, None) => f.write_str("the trigger never fires"),
        }
    }

    fn change(&self, f: &mut fmt::Formatter<'_>, change: ClockChange) -> fmt::Result {
        match change {
            ClockChange::Skips { from, to, rule, .. } => {
                let rule = match rule {
                    Gap::Skip => "does not fire for what lies between",
                    Gap::Shift => "fires for what lies between as much later as the gap is long",
                    Gap::Auto | Gap::NextValid => "fires once, right after it, for what lies between",
                };
                write!(f, "; the clocks went from {from} to {to}, and the trigger {rule}")
            }
            ClockChange::Repeats { first, second, rule } => {
                let rule = match rule {
                    RepeatedHour::Second => "at the second",
                    RepeatedHour::Both => "at both",
                    RepeatedHour::Auto | RepeatedHour::First => "at the first",
                };
                let (first, second) = (self.time(first), self.time(second));
                write!(f, "; the clocks show that time twice, at {first} and at {second}, and the trigger fires {rule}")
            }
        }
    }

    fn outdated(&self, f: &mut fmt::Formatter<'_>, outdated: Outdated) -> fmt::Result {
        let (kept, right, when) = match outdated {
            Outdated::ClockWasAhead { kept, right } => (kept, right, "when the clock was ahead"),
            Outdated::OtherZoneRules { kept, right } | Outdated::LateByOtherZoneRules { kept, right } => {
                (kept, right, "by other rules of the zone")
            }
        };
        let (kept, right) = (self.time(kept), self.time(right));
        write!(
            f,
            "; the next fire time {kept} was computed {when}, and the trigger gives {right}: replace, resume or reschedule \
             the job, which computes it anew"
        )
    }

    fn time(&self, at: DateTime<Utc>) -> impl fmt::Display + use<> {
        at.with_timezone(&self.zone.unwrap_or(Tz::UTC)).format("%Y-%m-%d %H:%M:%S%.f %Z")
    }
}

fn place(f: &mut fmt::Formatter<'_>, attempt: u32, node: Option<&NodeId>) -> fmt::Result {
    write!(f, ", in attempt {attempt}")?;
    node.map_or(Ok(()), |node| write!(f, " on node {node}"))
}

fn because(f: &mut fmt::Formatter<'_>, why: Option<&str>) -> fmt::Result {
    why.map_or(Ok(()), |why| write!(f, ": {why}"))
}

/// A duration in seconds, or in what is shorter.
fn seconds(duration: Duration) -> String {
    if duration.is_zero() { "0s".to_owned() } else { format!("{duration:?}") }
}
