//! Names of keys, and what the members of the sorted sets are made of.

use scheduler_core::{JobId, NodeId, RunId, Uid};

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

/// The member of `ids`.
pub(super) fn id_member(id: &JobId, uid: &str) -> String {
    format!("{id}\0{uid}")
}

/// The id and the uid of a member of `ids`.
pub(super) fn of_id_member(member: &str) -> (JobId, String) {
    let (id, uid) = member.split_once('\0').unwrap_or((member, ""));
    (id.into(), uid.to_owned())
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
        }
    }
}
