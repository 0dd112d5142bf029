//! What `metrics` is without the feature of that name: nothing.

use std::{sync::Arc, time::Duration};

use scheduler_core::{
    Event, ExecutorName, StoreName,
    engine::{Engine, Start, StoreCall},
};

use super::store_call::Work;
use crate::runtime::Runtime;

pub(crate) fn describe() {}

pub(super) fn on_start(_: &Start, _: impl FnOnce() -> Duration) {}

pub(super) fn on_event(_: &Event) {}

pub(super) fn on_held_up(_: Duration) {}

pub(super) fn on_idle(_: &Engine, _: usize) {}

pub(crate) fn on_event_dropped() {}

pub(super) struct Running;

impl Running {
    pub(super) fn on(_: &ExecutorName) -> Self {
        Self
    }
}

pub(super) struct Probe;

impl Probe {
    pub(super) fn on(_: &Arc<dyn Runtime>, _: &StoreName, _: &StoreCall) -> Self {
        Self
    }

    pub(super) fn measure(self, work: Work) -> Work {
        work
    }
}
