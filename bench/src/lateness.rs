//! How late runs started, written down by many threads at once.

use std::sync::atomic::{
    AtomicI64, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed},
};

use apscheduler::RunContext;
use chrono::{DateTime, Utc};

/// The lateness of runs whose fire time lies within a window.
pub(crate) struct Lateness {
    /// Microseconds, in the order in which the runs started.
    micros: Box<[AtomicU32]>,
    count: AtomicUsize,
    /// Of fire times, in microseconds: the first one that counts, and the first after it that does not.
    from: AtomicI64,
    to: AtomicI64,
    /// When the last one started.
    last: AtomicI64,
}

impl Lateness {
    /// Room for so many runs, all of it in memory from now on. The window is empty.
    pub(crate) fn new(room: usize) -> Self {
        let micros = (0..room).map(|_| AtomicU32::new(u32::MAX)).collect();
        let none = || AtomicI64::new(i64::MAX);
        Self { micros, count: AtomicUsize::new(0), from: none(), to: none(), last: AtomicI64::new(0) }
    }

    /// Counts the fire times from the first to before the second.
    pub(crate) fn watch(&self, from: DateTime<Utc>, to: DateTime<Utc>) {
        self.to.store(to.timestamp_micros(), Relaxed);
        self.from.store(from.timestamp_micros(), Relaxed);
    }

    /// Notes that a run starts.
    pub(crate) fn note(&self, context: &RunContext) {
        let due = context.fire_time.timestamp_micros();
        if due < self.from.load(Relaxed) || due >= self.to.load(Relaxed) {
            return;
        }
        let now = Utc::now().timestamp_micros();
        let at = self.count.fetch_add(1, Relaxed);
        if let Some(place) = self.micros.get(at) {
            place.store(u32::try_from(now - due).unwrap_or(if now < due { 0 } else { u32::MAX }), Relaxed);
        }
        self.last.fetch_max(now, Relaxed);
    }

    /// How many have started.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Acquire)
    }

    /// When the last one started.
    pub(crate) fn last(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.last.load(Relaxed)).filter(|_| self.count() > 0)
    }

    /// In microseconds, those that were written down.
    pub(crate) fn micros(&self) -> Vec<f64> {
        self.micros.iter().take(self.count()).map(|late| f64::from(late.load(Relaxed))).collect()
    }
}
