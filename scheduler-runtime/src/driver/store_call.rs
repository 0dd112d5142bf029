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
    let performed = panics::contain(Box::pin(async move { call.perform(&*store).await }));
    Box::pin(performed.map(|result| {
        result.unwrap_or_else(|panic| {
            Err(StoreError::new(StoreErrorKind::Unavailable, format!("the store panicked: {panic}")))
        })
    }))
}
