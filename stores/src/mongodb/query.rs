//! What is asked of the jobs' collection, and the indexes that answer it.

use ::mongodb::{
    IndexModel,
    bson::{Bson, Document as Bsons, doc},
    options::IndexOptions,
};
use chrono::{DateTime, Utc};
use scheduler_core::{JobId, NodeId, Uid, store::Claim};

use super::{
    form::TAGS,
    runs::{FIRED, MARKED},
};

/// The order of claims, and the index that has it.
pub(super) fn by_due() -> Bsons {
    doc! { "due": 1, "_id": 1 }
}

/// The order of the jobs that are over, and the index that has it.
pub(super) fn by_retention() -> Bsons {
    doc! { "retained_until": 1 }
}

/// The order of next fire times, and the index that has it.
pub(super) fn by_next() -> Bsons {
    doc! { "next_fire_time": 1, "live_id": 1 }
}

/// The order in which jobs that are over are found, and the index that has it.
pub(super) fn by_over() -> Bsons {
    doc! { "id": 1, "_id": 1 }
}

/// The jobs that are over and stay known, with ids as `id` says.
pub(super) fn over(id: impl Into<Bson>) -> Bsons {
    doc! { "retained_until": { "$exists": true }, "state": "ending", "id": id }
}

/// The order of the runs in documents, the newest first, and the index that has it.
pub(super) fn by_name(field: &str) -> Bsons {
    doc! { field: -1 }
}

/// The index of the nodes that run a run.
pub(super) fn by_running() -> Bsons {
    doc! { "running": 1, "_id": 1 }
}

/// The order of ended runs, the newest first, and the index that has it.
pub(super) fn by_fire_time() -> Bsons {
    doc! { "fire_time": -1, "_id": -1 }
}

/// The same of those that ended in one way.
pub(super) fn by_verdict() -> Bsons {
    doc! { "verdict": 1, "fire_time": -1, "_id": -1 }
}

/// The jobs with these uids.
pub(super) fn with_uids<'u>(uids: impl IntoIterator<Item = &'u Uid>) -> Bsons {
    doc! { "_id": { "$in": uids.into_iter().map(Uid::to_string).collect::<Vec<_>>() } }
}

/// The indexes by which ended runs are searched.
pub(super) fn indexes_of_runs() -> Vec<IndexModel> {
    [by_fire_time(), by_verdict()].map(|keys| IndexModel::builder().keys(keys).build()).into()
}

/// The indexes by which jobs are searched. A claim changes none of them.
pub(super) fn search_indexes() -> Vec<IndexModel> {
    let of_live = |keys: Bsons| {
        let filter = doc! { "live_id": { "$exists": true } };
        let options = IndexOptions::builder().partial_filter_expression(filter).build();
        IndexModel::builder().keys(keys).options(options).build()
    };
    let of_over = {
        let filter = doc! { "retained_until": { "$exists": true } };
        let options = IndexOptions::builder().partial_filter_expression(filter).build();
        IndexModel::builder().keys(by_over()).options(options).build()
    };
    // Only what has the field is there, and is found by no other index.
    let sparse = |keys: Bsons| {
        let options = IndexOptions::builder().sparse(true).build();
        IndexModel::builder().keys(keys).options(options).build()
    };
    vec![
        of_live(by_next()),
        of_live(doc! { "task": 1 }),
        of_live(doc! { "state": 1 }),
        of_live(doc! { TAGS: 1 }),
        of_over,
        sparse(by_name(FIRED)),
        sparse(by_name(MARKED)),
    ]
}

/// The jobs' indexes. Each has only the documents that it is asked for.
pub(super) fn indexes() -> Vec<IndexModel> {
    let partial = |keys: Bsons, field: &str| {
        let filter = doc! { field: { "$exists": true } };
        let options = IndexOptions::builder().partial_filter_expression(filter).build();
        IndexModel::builder().keys(keys).options(options).build()
    };
    let live =
        IndexOptions::builder().unique(true).partial_filter_expression(doc! { "live_id": { "$exists": true } }).build();
    vec![
        IndexModel::builder().keys(doc! { "live_id": 1 }).options(live).build(),
        partial(by_due(), "due"),
        partial(doc! { "owner": 1, "claim_until": 1 }, "owner"),
        // It has all jobs, since only then the server jumps from one node to the next to list them.
        IndexModel::builder().keys(by_running()).build(),
        partial(doc! { "asked": 1, "_id": 1 }, "asked"),
        partial(by_retention(), "retained_until"),
    ]
}

/// The jobs due by `now`, and since a time if one is given, that a claim can take.
pub(super) fn due(claim: &Claim, since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Bsons {
    let mut free = unclaimed();
    free.push(doc! { "owner": claim.owner.as_str() });
    if let Some(by) = claim.lapsed_by(now) {
        free.push(doc! { "claim_until": { "$lte": by.timestamp_micros() } });
    }
    let mut due = doc! { "$lte": now.timestamp_micros() };
    if let Some(since) = since {
        due.insert("$gte", since.timestamp_micros());
    }
    let mut query = doc! { "due": due, "state": { "$ne": "quarantined" }, "$or": free };
    query.extend(able(claim));
    // Others are not the store's, and could not be quarantined.
    query.insert("_id", doc! { "$type": ["string", "objectId"] });
    query
}

/// The jobs that are due later and that no other node has claimed.
pub(super) fn due_later(claim: &Claim, now: DateTime<Utc>) -> Bsons {
    let mut free = unclaimed();
    free.push(doc! { "owner": claim.owner.as_str() });
    let mut query = doc! { "due": { "$gt": now.timestamp_micros() }, "state": { "$ne": "quarantined" }, "$or": free };
    query.extend(able(claim));
    query
}

/// The jobs that other nodes have claimed.
pub(super) fn claimed_by_others(claim: &Claim) -> Bsons {
    let mut query = doc! {
        "owner": { "$gt": "", "$ne": claim.owner.as_str() },
        "claim_until": { "$type": "number" },
        "state": { "$ne": "quarantined" },
    };
    query.extend(able(claim));
    query
}

/// The jobs that are over and stay known until a time up to now.
pub(super) fn expired(now: DateTime<Utc>) -> Bsons {
    doc! { "retained_until": { "$lte": now.timestamp_micros() }, "state": "ending" }
}

/// The due jobs that no node has claimed and that are not for the claim.
pub(super) fn declined(claim: &Claim, now: DateTime<Utc>) -> Bsons {
    doc! {
        "due": { "$lte": now.timestamp_micros() },
        "state": { "$ne": "quarantined" },
        "$or": unclaimed(),
        "$nor": [able(claim)],
    }
}

/// The jobs with live ids after this one.
pub(super) fn after(id: Option<&JobId>) -> Bsons {
    match id {
        Some(id) => doc! { "live_id": { "$gt": id.as_str() } },
        None => doc! { "live_id": { "$gte": "" } },
    }
}

/// The jobs that have this node in a field that names nodes.
pub(super) fn naming(field: &str, node: &NodeId) -> Bsons {
    doc! { field: node.as_str() }
}

/// The jobs that a node has claimed.
pub(super) fn claimed_by(node: &NodeId) -> Bsons {
    doc! { "owner": node.as_str(), "claim_until": { "$type": "number" } }
}

fn unclaimed() -> Vec<Bsons> {
    vec![doc! { "owner": Bson::Null }, doc! { "claim_until": Bson::Null }]
}

/// Jobs whose task and version the claim's node knows.
fn able(claim: &Claim) -> Bsons {
    let tasks: Vec<&str> = claim.tasks.iter().map(|task| task.as_str()).collect();
    doc! { "task": { "$in": tasks }, "v": { "$lte": i64::from(claim.max_v) } }
}
