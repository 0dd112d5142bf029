//! Names of keys, and what the members of the sorted sets are made of.

use chrono::{DateTime, Utc};
use scheduler_core::{
    JobId, NodeId, RunId, Uid, Verdict,
    store::{JobStateKind, RunKey},
};

/// The keys of one prefix.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{{{prefix}}}:") }
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn of(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }
}

/// The member of the sets that have jobs in the order of their ids: `ids`, `over`, and those of tasks, tags and states.
pub(super) fn id_member(id: &JobId, uid: &str) -> String {
    format!("{id}\0{uid}")
}

/// The id and the uid of a member of `ids`.
pub(super) fn of_id_member(member: &str) -> (JobId, String) {
    let (id, uid) = member.split_once('\0').unwrap_or((member, ""));
    (id.into(), uid.to_owned())
}

/// The member of `next`, such that the order of texts is that of (next fire time, id), and jobs without one come last.
pub(super) fn next_member(time: Option<DateTime<Utc>>, id: &JobId, uid: &str) -> String {
    format!("{}{}", time.map_or_else(|| NEVER.to_owned(), sortable), id_member(id, uid))
}

/// The time, the id and the uid of a member of `next`.
pub(super) fn of_next_member(member: &str) -> (Option<DateTime<Utc>>, JobId, String) {
    let (time, rest) = match member.strip_prefix(NEVER) {
        Some(rest) => (None, rest),
        None => {
            let (time, rest) = member.split_at_checked(TIME).unwrap_or((member, ""));
            (of_sortable(time), rest)
        }
    };
    let (id, uid) = of_id_member(rest);
    (time, id, uid)
}

/// The member of the sets that have runs in the order of (fire time, uid, number): `runs`, `waiting`, and those of verdicts.
pub(super) fn fired_member(fire_time: DateTime<Utc>, uid: &str, seq: u64) -> String {
    format!("{}{}", sortable(fire_time), run_member(uid, seq))
}

/// The run of such a member.
pub(super) fn of_fired_member(member: &str) -> Option<RunKey> {
    let (time, run) = member.split_at_checked(TIME)?;
    Some(RunKey { fire_time: of_sortable(time)?, run: run_of_member(run)? })
}

/// How long the text of a time is.
const TIME: usize = 20;

/// What stands in the place of a time that is none, behind all times.
const NEVER: &str = "2";

/// The digits below a time before 1970.
const BELOW: u64 = 9_999_999_999_999_999_999;

/// A text of a time, such that the order of texts is that of the times; as in `lua/found.lua`.
pub(super) fn sortable(time: DateTime<Utc>) -> String {
    let micros = time.timestamp_micros();
    if micros < 0 { format!("0{:019}", BELOW - micros.unsigned_abs()) } else { format!("1{micros:019}") }
}

fn of_sortable(text: &str) -> Option<DateTime<Utc>> {
    let (sign, digits) = text.split_at_checked(1)?;
    let digits: u64 = digits.parse().ok()?;
    let micros = match sign {
        "0" => i64::try_from(BELOW.checked_sub(digits)?).ok()?.checked_neg()?,
        "1" => i64::try_from(digits).ok()?,
        _ => return None,
    };
    DateTime::from_timestamp_micros(micros)
}

/// The member of `claims:NODE`.
pub(super) fn claim_member(uid: &str, kind: &str) -> String {
    format!("{uid}\n{kind}")
}

/// The uid of a member of `claims:NODE`.
pub(super) fn of_claim_member(member: &str) -> &str {
    member.split_once('\n').map_or(member, |(uid, _)| uid)
}

/// The member of `running:NODE` and `asked:NODE`, such that the order of texts is that of (uid, number).
pub(super) fn run_member(uid: &str, seq: u64) -> String {
    format!("{uid}:{seq:016}")
}

/// The uid and the number of a member of `running:NODE`.
pub(super) fn of_run_member(member: &str) -> (&str, u64) {
    let (uid, seq) = member.rsplit_once(':').unwrap_or((member, ""));
    (uid, seq.parse().unwrap_or_default())
}

/// The run of a member of `asked:NODE`, if its uid is one.
pub(super) fn run_of_member(member: &str) -> Option<RunId> {
    let (uid, seq) = of_run_member(member);
    Some(RunId { uid: uid.parse::<Uid>().ok()?, seq })
}

/// Where a job or a run of it is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Index {
    /// The live ids.
    Ids,
    /// The unclaimed jobs of a kind.
    Due(String),
    /// The jobs that are over, by the time until which they stay known.
    Retained,
    /// The jobs that a node has claimed.
    Claims(NodeId),
    /// The runs that a node runs.
    Running(NodeId),
    /// Those that it is asked to stop.
    Asked(NodeId),
    /// The live jobs by their next fire times.
    Next,
    /// The live jobs of a task.
    Task(String),
    /// The live jobs with a tag.
    Tag(String),
    /// The live jobs in a state, which is not that of most.
    State(JobStateKind),
    /// The jobs that are over, by their ids.
    Over,
    /// All runs by their fire times.
    Runs,
    /// Those that wait.
    Waiting,
    /// Those that ended so, which is not as most do.
    Verdict(Verdict),
}

impl Index {
    pub(super) fn key(&self, names: &Names) -> String {
        match self {
            Self::Ids => names.key("ids"),
            Self::Retained => names.key("retained"),
            Self::Due(kind) => names.of("due", kind),
            Self::Claims(node) => names.of("claims", node.as_str()),
            Self::Running(node) => names.of("running", node.as_str()),
            Self::Asked(node) => names.of("asked", node.as_str()),
            Self::Next => names.key("next"),
            Self::Task(task) => names.of("task", task),
            Self::Tag(tag) => names.of("tag", tag),
            Self::State(state) => names.of("state", state.as_str()),
            Self::Over => names.key("over"),
            Self::Runs => names.key("runs"),
            Self::Waiting => names.key("waiting"),
            Self::Verdict(verdict) => names.of("verdict", verdict.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_is_that_of_times_and_ids() {
        let time = |micros| DateTime::from_timestamp_micros(micros);
        let (far, before) = (DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC);
        let times = [Some(before), time(-10_000_000), time(-1), time(0), time(9), time(10), Some(far), None];
        let places = times.into_iter().flat_map(|time| ["a", "ab", "b"].map(|id| (time, JobId::from(id))));
        let members: Vec<String> = places.clone().map(|(time, id)| next_member(time, &id, "7")).collect();
        assert!(members.is_sorted(), "{members:?}");
        for (member, (time, id)) in members.iter().zip(places) {
            let micros = |time: DateTime<Utc>| time.timestamp_micros();
            let (read, read_id, uid) = of_next_member(member);
            assert_eq!((read.map(micros), read_id, &*uid), (time.map(micros), id, "7"));
        }
    }

    #[test]
    fn the_order_of_members_is_that_of_runs() {
        let key = |at: i64, uid: u128, seq: u64| RunKey {
            fire_time: DateTime::from_timestamp_micros(at).unwrap(),
            run: RunId { uid: Uid(uid), seq },
        };
        let newest_first = [key(7, 2, 1), key(7, 1, 30), key(7, 1, 4), key(0, 9, 9), key(-1, 9, 9), key(-20, 9, 9)];
        let member = |key: &RunKey| fired_member(key.fire_time, &key.run.uid.to_string(), key.run.seq);
        for pair in newest_first.windows(2) {
            assert!(pair[0] < pair[1] && member(&pair[0]) > member(&pair[1]), "{pair:?}");
        }
        for key in newest_first {
            assert_eq!(of_fired_member(&member(&key)), Some(key));
        }
    }
}
