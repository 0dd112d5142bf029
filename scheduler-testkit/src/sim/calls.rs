//! Store calls of an engine, performed at once on a store that answers without waiting.

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use scheduler_core::{
    JobStore,
    engine::{StoreCall, StoreReply},
    store::{Changed, StoreError},
};

/// Performs a call; none if the store has nothing to say yet, as to a question for changes.
pub(super) fn perform(store: &dyn JobStore, call: &StoreCall) -> Option<Result<StoreReply, StoreError>> {
    call.clone().perform(store).now_or_never()
}

/// The answer of a polled store that has seen no change.
pub(super) fn no_change(seen: u64) -> StoreReply {
    StoreReply::Changed(Changed { seen, hint: None })
}

/// The same call by another clock.
pub(super) fn at_time(mut call: StoreCall, now: DateTime<Utc>) -> StoreCall {
    match &mut call {
        StoreCall::Insert(at, _)
        | StoreCall::Update(at, _)
        | StoreCall::Cancel(at, ..)
        | StoreCall::Remove(at, _)
        | StoreCall::RemoveAll(at)
        | StoreCall::SetKeyLimit(at, ..)
        | StoreCall::Release(at, _) => *at = now,
        StoreCall::Turn(turn) => {
            let turn = std::sync::Arc::make_mut(turn);
            turn.record.iter_mut().for_each(|record| record.at = now);
            turn.settle.iter_mut().for_each(|settle| settle.at = now);
            turn.claim.iter_mut().for_each(|claim| claim.at = now);
        }
        StoreCall::Job(_) | StoreCall::Jobs(_) | StoreCall::Runs(_) | StoreCall::Search(_) | StoreCall::Changed(_) => {}
    }
    call
}

/// The time by which a call was sent, if it carries one.
pub(super) fn time_of(call: &StoreCall) -> Option<DateTime<Utc>> {
    match call {
        StoreCall::Insert(at, _)
        | StoreCall::Update(at, _)
        | StoreCall::Cancel(at, ..)
        | StoreCall::Remove(at, _)
        | StoreCall::RemoveAll(at)
        | StoreCall::SetKeyLimit(at, ..)
        | StoreCall::Release(at, _) => Some(*at),
        StoreCall::Turn(turn) => {
            let record = turn.record.as_ref().map(|record| record.at);
            record
                .or_else(|| turn.settle.as_ref().map(|settle| settle.at))
                .or_else(|| turn.claim.as_ref().map(|claim| claim.at))
        }
        StoreCall::Job(_) | StoreCall::Jobs(_) | StoreCall::Runs(_) | StoreCall::Search(_) | StoreCall::Changed(_) => {
            None
        }
    }
}
