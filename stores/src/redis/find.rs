//! How jobs and runs are found and loaded, and what indexes say of them.

use redis::{Cmd, Value, cmd};
use scheduler_core::{
    JobId, NodeId, Run, Uid,
    store::{Claim, Declined, Hint, StoreError},
};

use super::{
    backend::Keyspace,
    failure::Misread,
    names::{Index, claim_member, of_claim_member, of_id_member, of_run_member},
    reply::{fixed, items, number, optional, packed, scored, text, texts},
    row::{Row, fields, read_run},
    script::{Lua, list},
    write::Write,
};
use crate::kit::{Access, HoldKind, LoadedJob, columns::READ_LIMIT, rules::is_for};

/// The bodies that one reply carries, in bytes.
const REPLY_BYTES: usize = 8 << 20;

/// An entry of an index of due or claimed jobs, with its job.
#[derive(Debug)]
pub(super) struct Found {
    kind: String,
    /// Who has claimed the job, as the index says.
    node: Option<NodeId>,
    due: i64,
    row: Row,
}

/// An entry that does not agree with its job.
#[derive(Debug)]
pub(super) struct Stray {
    entry: (Index, String),
    uid: String,
    version: u64,
    job: Option<LoadedJob>,
}

/// A page of a job's runs.
#[derive(Debug)]
pub(super) struct RunPage {
    pub(super) runs: Vec<Run>,
    /// Below which number the next page begins, if there may be one.
    pub(super) rest: Option<u64>,
}

impl Found {
    /// An entry of the reply of `lua/due.lua`.
    pub(super) fn of(value: Value) -> Result<Self, Misread> {
        let [kind, node, due, row] = fixed(value)?;
        let node = optional(node, text)?.map(NodeId::from);
        Ok(Self { kind: text(kind)?, node, due: number(due)?, row: Row::of_script(row)? })
    }

    /// The job without its definition, which is left to another claim.
    pub(super) fn left_out(self) -> LoadedJob {
        self.row.loaded(Access::Change)
    }

    pub(super) fn has_definition(&self) -> bool {
        self.row.has_body()
    }

    /// The job, if it is what the index says of it: other programs may have written one without the other.
    pub(super) fn checked(self) -> Result<LoadedJob, Box<Stray>> {
        let Self { kind, node, due, row } = self;
        let (uid, version, is_there) = (row.uid.clone(), row.version(), row.is_there());
        let is_other = row.kind() != kind || row.is_quarantined() || !is_there;
        let job = row.loaded(Access::Redefine);
        let claim = job.head().claim.as_ref();
        let is_as_indexed = match &node {
            Some(node) => claim.is_some_and(|claim| claim.owner == *node),
            // What cannot be read is put aside under the kind under which it is found.
            None => job.is_broken() || claim.is_none() && job.head().due.map(|due| due.timestamp_micros()) == Some(due),
        };
        if is_as_indexed && !is_other {
            return Ok(job);
        }
        let entry = match node {
            Some(node) => (Index::Claims(node), claim_member(&uid, &kind)),
            None => (Index::Due(kind), uid.clone()),
        };
        Err(Box::new(Stray { entry, uid, version, job: is_there.then_some(job) }))
    }
}

impl Keyspace {
    /// Loads the jobs with these uids, each with the id under which it was found, also those that are not there; in as many
    /// replies as the definitions need.
    pub(super) async fn load(
        &self,
        found: Vec<(Option<JobId>, String)>,
        access: Access,
    ) -> Result<Vec<Row>, StoreError> {
        let is_defined = matches!(access, Access::Show | Access::Redefine);
        let mut rows: Vec<Row> = Vec::with_capacity(found.len());
        while let Some(left) = found.get(rows.len()..).filter(|left| !left.is_empty()) {
            let mut call = Lua::Rows.call(&self.link.names);
            wanted(&mut call, is_defined);
            list(&mut call, left.iter().take(Self::BATCH).map(|(_, uid)| uid));
            let reply = self.one(call).await?;
            let page = packed(reply).and_then(items);
            let page = page.and_then(|rows| rows.into_iter().map(Row::of_script).collect::<Result<Vec<_>, _>>());
            let page = self.understood(page.and_then(|page| match page.is_empty() {
                true => Err(Misread("nothing")),
                false => Ok(page),
            }))?;
            rows.extend(page);
        }
        Ok(rows.into_iter().zip(found).map(|(row, (id, _))| row.found_by(id)).collect())
    }

    /// The jobs that a node holds, and the entries that say so of others.
    pub(super) async fn find_held(
        &self,
        node: &NodeId,
        hold: HoldKind,
        limit: usize,
        access: Access,
    ) -> Result<(Vec<LoadedJob>, Vec<Write>), StoreError> {
        let index = index(node, hold);
        let members = self.members_of_jobs(&index, limit).await?;
        let uids = members.iter().map(|members| (None, members.uid.clone())).collect();
        let (mut jobs, mut mends) = (Vec::new(), Vec::new());
        for (members, row) in members.into_iter().zip(self.load(uids, access).await?) {
            let (uid, version, is_there) = (row.uid.clone(), row.version(), row.is_there());
            let kind = row.kind();
            let is_run = |member: &str| {
                let run = row.running(of_run_member(member).1, node);
                run.is_some_and(|run| hold != HoldKind::Stop || run.cancel_requested)
            };
            let is_held = members.of.iter().map(|member| match hold {
                HoldKind::Claim => *member == claim_member(&uid, &kind),
                HoldKind::Run | HoldKind::Stop => is_run(member),
            });
            let is_held: Vec<bool> = is_held.collect();
            let job = row.loaded(access);
            let is_claim = hold == HoldKind::Claim;
            let is_owner = !is_claim || job.head().claim.as_ref().is_some_and(|claim| claim.owner == *node);
            let mut is_any_held = false;
            for (member, is_held) in members.of.into_iter().zip(is_held) {
                if is_there && is_held && is_owner {
                    is_any_held = true;
                } else {
                    let job = Some(&job).filter(|_| is_there);
                    mends.push(Write::mend((index.clone(), member), &uid, version, job));
                }
            }
            if is_any_held {
                jobs.push(job);
            }
        }
        Ok((jobs, mends))
    }

    /// The members of an index, of up to so many jobs.
    async fn members_of_jobs(&self, index: &Index, limit: usize) -> Result<Vec<Members>, StoreError> {
        let mut jobs: Vec<Members> = Vec::new();
        let mut from = 0_usize;
        loop {
            let mut range = cmd("ZRANGE");
            let till = from.saturating_add(limit).saturating_sub(1);
            range.arg(index.key(&self.link.names)).arg(from).arg(till);
            let page = self.understood(texts(self.one(range).await?))?;
            let is_last = page.len() < limit;
            from = from.saturating_add(page.len());
            for member in page {
                let uid = match index {
                    Index::Claims(_) => of_claim_member(&member),
                    _ => of_run_member(&member).0,
                };
                let found = jobs.len();
                match jobs.last_mut().filter(|last| last.uid == uid) {
                    Some(last) => last.of.push(member),
                    None if found == limit => return Ok(jobs),
                    None => jobs.push(Members { uid: uid.to_owned(), of: vec![member] }),
                }
            }
            if is_last {
                return Ok(jobs);
            }
        }
    }

    pub(super) async fn page_of_runs(&self, uid: Uid, before: u64, limit: usize) -> Result<RunPage, StoreError> {
        let uid = uid.to_string();
        let mut ended = cmd("ZREVRANGEBYSCORE");
        let till = if before == u64::MAX { "+inf".to_owned() } else { format!("({before}") };
        ended.arg(self.link.names.of("ended", &uid)).arg(till).arg("-inf");
        ended.arg(&["WITHSCORES", "LIMIT", "0"]).arg(limit);
        let mut open = cmd("HVALS");
        open.arg(self.link.names.of("open", &uid));
        let replies = self.link.read(vec![ended, open]).await?;
        let read = || {
            let [ended, open] = fixed(Value::Array(replies))?;
            let ended = scored(ended)?;
            let lowest = ended.last().filter(|_| ended.len() == limit).map(|(_, seq)| *seq as u64);
            let is_shown = |run: &Run| run.id.seq < before && lowest.is_none_or(|lowest| run.id.seq >= lowest);
            let kept = ended.into_iter().map(|(run, _)| run).chain(items(open)?);
            // Those that cannot be read are left out.
            let runs = kept.filter_map(|kept| read_run(&uid, kept).ok()).filter(is_shown);
            let mut runs: Vec<Run> = runs.collect();
            runs.sort_by_key(|run| std::cmp::Reverse(run.id.seq));
            Ok(RunPage { runs, rest: lowest })
        };
        self.understood(read())
    }
}

/// The members of an index that are about one job.
#[derive(Debug)]
struct Members {
    uid: String,
    of: Vec<String>,
}

impl Stray {
    pub(super) fn mend(&self) -> Write {
        Write::mend(self.entry.clone(), &self.uid, self.version, self.job.as_ref())
    }
}

/// The ids and uids of members of `ids`.
pub(super) fn names(members: &[String]) -> Vec<(Option<JobId>, String)> {
    members.iter().map(|member| of_id_member(member)).map(|(id, uid)| (Some(id), uid)).collect()
}

/// Adds to a call what a node can run.
pub(super) fn kinds_of(call: &mut Cmd, claim: &Claim) {
    call.arg(claim.max_v);
    list(call, claim.tasks.iter().map(|task| task.as_str()));
}

/// Adds to a call which fields of jobs it loads, and how much of their definitions.
pub(super) fn wanted(call: &mut Cmd, is_defined: bool) {
    call.arg(READ_LIMIT).arg(REPLY_BYTES);
    list(call, fields(is_defined).collect::<Vec<_>>().into_iter());
}

/// Whether the claim's node can run jobs of a kind, as `can_run` in `lua/base.lua`.
pub(super) fn can_run(claim: &Claim, kind: &str) -> bool {
    let (v, task) = kind.split_once(':').unwrap_or_default();
    is_for(claim, task, v.parse().unwrap_or_default())
}

pub(super) fn index(node: &NodeId, hold: HoldKind) -> Index {
    match hold {
        HoldKind::Claim => Index::Claims(node.clone()),
        HoldKind::Run => Index::Running(node.clone()),
        HoldKind::Stop => Index::Asked(node.clone()),
    }
}

pub(super) fn declined(value: Value) -> Result<Declined, Misread> {
    let [id, task, v] = fixed(value)?;
    let word = |value| Ok(optional(value, text)?.unwrap_or_default());
    // A version that is no number is not a newer one.
    let v = number(v).ok().and_then(|v| u32::try_from(v).ok()).unwrap_or_default();
    Ok(Declined { id: word(id)?.into(), task: word(task)?.into(), v })
}

/// What the other nodes are told: `due TIME`, `cancel NODE`, or `resync`, which is anything.
pub(super) fn announcement(hints: &[Hint]) -> String {
    let merged = hints.iter().cloned().reduce(|a, b| match (a, b) {
        (Hint::Due(a), Hint::Due(b)) => Hint::Due(a.min(b)),
        (a, b) if a == b => a,
        _ => Hint::Resync,
    });
    match merged {
        Some(Hint::Due(due)) => format!("due {}", due.timestamp_micros()),
        Some(Hint::Cancel(node)) => format!("cancel {node}"),
        _ => "resync".to_owned(),
    }
}
