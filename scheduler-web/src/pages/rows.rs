//! Times, words and rows as the pages write them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use scheduler_runtime::Cursor;

use super::{frame::Frame, groups, links};
use crate::{
    clock_changes::{ClockChange, Effect},
    operation::Operation,
    params::Params,
    views::{JobView, RunView},
};

/// An instant: exactly, for machines, and from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    /// In UTC, to the second.
    pub(super) exact: String,
    /// As in RFC 3339, to the microsecond.
    pub(super) machine: String,
    /// As in `in 5 min` and `2 h ago`.
    pub(super) relative: String,
}

impl When {
    pub(super) fn new(now: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        Self {
            exact: at.format("%Y-%m-%d %H:%M:%S").to_string(),
            machine: at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            relative: relative(at.signed_duration_since(now)),
        }
    }
}

/// As in `in 5 min` and `2 h ago`.
fn relative(from_now: TimeDelta) -> String {
    let seconds = from_now.num_seconds();
    let length = seconds.unsigned_abs();
    let words = match length {
        0 => return "now".to_owned(),
        1..=89 => format!("{length} s"),
        90..=5_399 => format!("{} min", (length + 30) / 60),
        5_400..=129_599 => format!("{} h", (length + 1_800) / 3_600),
        _ => format!("{} days", (length + 43_200) / 86_400),
    };
    if seconds > 0 { format!("in {words}") } else { format!("{words} ago") }
}

/// As in `350 ms`, `1.2 s` and `2 min 3 s`.
pub(super) fn took(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match millis {
        0..=999 => format!("{millis} ms"),
        1_000..=59_999 => format!("{:.1} s", duration.as_secs_f64()),
        60_000..=3_599_999 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A word of state, with a shape, so that colour is not needed to tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) word: &'static str,
    pub(super) shape: &'static str,
}

impl Mark {
    pub(super) fn of(word: &'static str) -> Self {
        let shape = match word {
            "ok" | "up" => "✓",
            "error" | "quarantined" | "down" | "unusable" | "gone" => "✕",
            "timeout" | "silent" | "stuck" => "◷",
            "lost" => "?",
            "cancelled" | "stopped" | "ended" | "shut down" => "■",
            "paused" => "‖",
            "running" | "active" => "▶",
            "waiting" => "…",
            "missed" | "late" | "skipped" => "↷",
            "coalesced" | "merged" => "∪",
            "moved" => "→",
            "doubled" => "×",
            _ => "○",
        };
        Self { word, shape }
    }
}

/// A fire time in the zone of its trigger and in UTC.
#[derive(Debug)]
pub(super) struct FireTime {
    pub(super) when: When,
    /// In the zone of the trigger, if it goes by one that is not UTC.
    pub(super) zoned: Option<String>,
}

impl FireTime {
    pub(super) fn new(frame: &Frame<'_>, zone: Option<Tz>, at: DateTime<Utc>) -> Self {
        let zone = zone.filter(|zone| *zone != Tz::UTC);
        let zoned = zone.map(|zone| at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %Z").to_string());
        Self { when: frame.when(at), zoned }
    }
}

/// What a change of the clocks does to a job.
pub(super) struct ClockRow {
    pub(super) when: When,
    pub(super) zone: &'static str,
    pub(super) mark: Mark,
    pub(super) text: String,
}

impl ClockRow {
    pub(super) fn new(frame: &Frame<'_>, change: ClockChange) -> Self {
        let word = match change.effect {
            Effect::Moved => "moved",
            Effect::Merged => "merged",
            Effect::Skipped => "skipped",
            Effect::Doubled => "doubled",
        };
        Self { when: frame.when(change.at), zone: change.zone.name(), mark: Mark::of(word), text: change.text }
    }
}

/// A row of a list of jobs.
pub(super) struct JobRow {
    pub(super) view: JobView,
    pub(super) link: String,
    /// How forms name it.
    pub(super) value: String,
    pub(super) mark: Mark,
    /// When it runs, in words and without what it does where the clocks change.
    pub(super) runs: String,
    pub(super) next: Option<When>,
    pub(super) is_late: bool,
    pub(super) ok: u64,
    /// How many fire times ended as error, timeout or lost.
    pub(super) failed: u64,
    /// Each tag, with a link to the jobs that have it.
    pub(super) tags: Vec<(String, String)>,
}

/// How late a job may be before it is called late: a claim takes its time.
const LATE: TimeDelta = TimeDelta::seconds(5);

impl JobRow {
    pub(super) fn new(frame: &Frame<'_>, view: JobView) -> Self {
        use scheduler_core::Verdict::{Error, Lost, Ok, Timeout};

        let is_due = |next: DateTime<Utc>| frame.now().signed_duration_since(next) > LATE;
        Self {
            link: links::job(&view.store, &view.id),
            value: groups::value(&view.store, &view.id),
            mark: Mark::of(view.state),
            runs: view.trigger_in_words.split("; ").next().unwrap_or_default().to_owned(),
            next: view.next_fire_time.map(|next| frame.when(next)),
            is_late: view.state == "active" && view.next_fire_time.is_some_and(is_due),
            ok: view.total(Ok),
            failed: [Error, Timeout, Lost].into_iter().map(|verdict| view.total(verdict)).fold(0, u64::saturating_add),
            tags: view.tags.iter().map(|tag| (tag.to_owned(), links::to(&[("page", "jobs"), ("tag", tag)]))).collect(),
            view,
        }
    }
}

/// A row of a list of runs.
pub(super) struct RunRow {
    pub(super) view: RunView,
    pub(super) link: String,
    pub(super) mark: Mark,
    pub(super) fire_time: When,
    /// The first fire time of a range, and how many there are.
    pub(super) range: Option<String>,
    pub(super) started: Option<When>,
    pub(super) took: Option<String>,
    pub(super) output: Option<String>,
    /// What the form goes to that cancels it, if it can be.
    pub(super) cancel: Option<String>,
}

impl RunRow {
    pub(super) fn new(frame: &Frame<'_>, view: RunView) -> Self {
        let link = links::job(&view.store, &view.job);
        let range = view.first.map(|first| {
            let count = view.count.map_or_else(String::new, |count| format!("{count} fire times, "));
            format!("{count}from {}", frame.when(first).exact)
        });
        let can_be_cancelled = view.state != "ended" && !view.cancel_requested && frame.may(Operation::CancelRun);
        Self {
            mark: Mark::of(view.word()),
            fire_time: frame.when(view.fire_time),
            range,
            started: view.started.map(|started| frame.when(started)),
            took: view.duration.map(took),
            output: view.output.as_ref().map(ToString::to_string),
            cancel: can_be_cancelled.then(|| link.clone()),
            link,
            view,
        }
    }
}

/// The link to the next page of a list: the same with the cursor.
pub(super) fn next_page(params: &Params, names: &[&str], page: &str, next: Option<&Cursor>) -> Option<String> {
    let cursor = next?.to_string();
    let mut pairs = vec![("page", page)];
    for name in names {
        pairs.extend(params.all(name).map(|value| (*name, value)));
    }
    pairs.push(("cursor", &cursor));
    Some(links::to(&pairs))
}

/// The words that a field of a form offers, and which of them is chosen.
pub(super) struct Choice {
    pub(super) word: &'static str,
    pub(super) is_chosen: bool,
}

pub(super) fn choices(words: &[&'static str], chosen: Option<&str>) -> Vec<Choice> {
    words.iter().map(|word| Choice { word, is_chosen: chosen == Some(*word) }).collect()
}

/// The hour and minute of an instant in UTC.
pub(super) fn clock(at: DateTime<Utc>) -> String {
    format!("{:02}:{:02}", at.hour(), at.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_from_now_and_durations_are_short() {
        for (seconds, words) in [
            (0, "now"),
            (5, "in 5 s"),
            (-89, "89 s ago"),
            (90, "in 2 min"),
            (-3_600, "60 min ago"),
            (7_200, "in 2 h"),
            (86_400, "in 24 h"),
            (-172_800, "2 days ago"),
        ] {
            assert_eq!(relative(TimeDelta::seconds(seconds)), words);
        }
        for (millis, words) in
            [(0, "0 ms"), (350, "350 ms"), (1_250, "1.2 s"), (123_000, "2 min 3 s"), (7_260_000, "2 h 1 min")]
        {
            assert_eq!(took(Duration::from_millis(millis)), words);
        }
    }
}
