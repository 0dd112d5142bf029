//! Random numbers that a seed decides, the same on every machine.

/// SplitMix64: small, fast, and good enough to draw faults.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = (high - low + 1) as u128;
        low + ((u128::from(self.bits()) * span) >> 64) as i64
    }

    /// True in so many of a thousand cases.
    pub(super) fn permille(&mut self, n: i64) -> bool {
        self.between(0, 999) < n
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() as i64 - 1) as usize].clone()
    }
}
