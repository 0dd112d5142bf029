//! How late runs started, written down by many threads at once.

use std::sync::atomic::{
    AtomicI64, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed},
};

use chrono::{DateTime, Utc};

/// The lateness of runs whose fire time lies within a window.
#[derive(Debug)]
pub struct Lateness {
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
    pub fn new(room: usize) -> Self {
        let micros = (0..room).map(|_| AtomicU32::new(u32::MAX)).collect();
        let none = || AtomicI64::new(i64::MAX);
        Self { micros, count: AtomicUsize::new(0), from: none(), to: none(), last: AtomicI64::new(0) }
    }

    /// Counts the fire times from the first to before the second.
    pub fn watch(&self, from: DateTime<Utc>, to: DateTime<Utc>) {
        self.to.store(to.timestamp_micros(), Relaxed);
        self.from.store(from.timestamp_micros(), Relaxed);
    }

    /// Notes that the run of a fire time starts.
    pub fn note(&self, fire_time: DateTime<Utc>) {
        let due = fire_time.timestamp_micros();
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
    pub fn count(&self) -> usize {
        self.count.load(Acquire)
    }

    /// When the last one started.
    pub fn last(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.last.load(Relaxed)).filter(|_| self.count() > 0)
    }

    /// In microseconds, those that were written down.
    pub fn micros(&self) -> Vec<f64> {
        self.micros.iter().take(self.count()).map(|late| f64::from(late.load(Relaxed))).collect()
    }
}
