//! What is drawn by lot: a small generator whose seed decides every choice of a workload.
//!
//! Must never be seeded from anything but the run's seed, and must never serve where the real thing is asked for.

use std::time::Duration;

/// splitmix64 (Steele, Lea, Flood 2014): the same draws for the same seed and name.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// A generator of its own for each `name`, so that one client's draws do not depend on how often others drew.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a of the name, over the seed.
        let mut state = seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Draw(state)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; 0 when there is nothing below it.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % bound).unwrap_or(0)
    }

    /// True `percent` times in a hundred.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// At least `from` and below `to`, to the millisecond.
    pub(crate) fn duration(&mut self, from: Duration, to: Duration) -> Duration {
        let span = usize::try_from(to.saturating_sub(from).as_millis()).unwrap_or(usize::MAX);
        from + Duration::from_millis(u64::try_from(self.below(span)).unwrap_or(0))
    }

    /// One of them; `None` of none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// The index of a weight, each as likely as it is heavy.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_and_name_give_one_sequence_and_bounds_hold() {
        let sequence = |seed, name| {
            let mut draw = Draw::new(seed, name);
            (0..8).map(|_| draw.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(sequence(1, "a"), sequence(1, "a"));
        assert_ne!(sequence(1, "a"), sequence(1, "b"));
        assert_ne!(sequence(1, "a"), sequence(2, "a"));
        let mut draw = Draw::new(3, "bounds");
        assert!((0..1000).all(|_| draw.below(7) < 7 && draw.weighted(&[0, 3, 0, 2]) % 2 == 1));
        assert_eq!(draw.pick::<u8>(&[]), None);
        let (from, to) = (Duration::from_millis(5), Duration::from_millis(9));
        assert!(
            (0..100)
                .map(|_| draw.duration(from, to))
                .all(|it| it >= from && it < to)
        );
    }
}
