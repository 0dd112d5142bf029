//! Calls of stores, which may take their time, fail and panic.

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::FutureExt;
use scheduler_core::{
    JobStore,
    engine::{StoreCall, StoreReply},
    store::{StoreError, StoreErrorKind},
};
use scheduler_executors::panics;

/// A call of a store, which may be polled by any executor. A store that panics is one that fails.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<StoreReply, StoreError>> + Send>>;

pub(super) fn work(store: Arc<dyn JobStore>, call: StoreCall) -> Work {
    let performed = panics::contain(Box::pin(perform(store, call)));
    Box::pin(performed.map(|result| {
        result.unwrap_or_else(|panic| {
            Err(StoreError::new(StoreErrorKind::Unavailable, format!("the store panicked: {panic}")))
        })
    }))
}

async fn perform(store: Arc<dyn JobStore>, call: StoreCall) -> Result<StoreReply, StoreError> {
    Ok(match call {
        StoreCall::Insert(at, jobs) => StoreReply::Insert(store.insert(at, &jobs).await?),
        StoreCall::Update(at, update) => StoreReply::Update(store.update(at, &update).await?),
        StoreCall::Cancel(at, job, run) => StoreReply::Cancel(store.cancel(at, &job, run).await?),
        StoreCall::Remove(at, ids) => StoreReply::Remove(store.remove(at, &ids).await?),
        StoreCall::RemoveAll(at) => StoreReply::RemoveAll(store.remove_all(at).await?),
        StoreCall::Job(id) => StoreReply::Job(store.job(&id).await?.map(Box::new)),
        StoreCall::Jobs(query) => StoreReply::Jobs(store.jobs(&query).await?),
        StoreCall::Runs(query) => StoreReply::Runs(store.runs(&query).await?),
        StoreCall::Turn(turn) => StoreReply::Turn(Box::new(store.turn(&turn).await?)),
        StoreCall::Release(at, node) => {
            store.release(at, &node).await?;
            StoreReply::Release
        }
        StoreCall::Changed(seen) => StoreReply::Changed(store.changed(seen).await?),
    })
}
