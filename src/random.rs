//! Random numbers that depend on a seed only: ChaCha with 8 rounds, the same on every machine, in every version, and at any number of threads.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A sequence of random numbers.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// Streams of one seed have nothing in common.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // `seed_from_u64` may change with the version of `rand_core`; the key itself does not.
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Evenly from [0, 1).
    pub(crate) fn fraction(&mut self) -> f64 {
        const STEPS: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
        (self.0.next_u64() >> (u64::BITS - f64::MANTISSA_DIGITS)) as f64 / STEPS
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Evenly from `0..end`; 0 if that is empty.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The rounding prefers no number by more than `end / 2^64`.
        ((u128::from(self.0.next_u64()) * end as u128) >> u64::BITS) as usize
    }

    /// Which of `count` things are in a random subset of `size`, all subsets being equally likely.
    ///
    /// # Panics
    /// If `size > count`.
    pub(crate) fn subset(&mut self, count: usize, size: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..count).collect();
        let mut is_in = vec![false; count];
        for place in 0..size {
            order.swap(place, place + self.below(count - place));
            is_in[order[place]] = true;
        }
        is_in
    }

    /// Normal with mean 0 and deviation 1 (Box-Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.fraction(), TAU * self.fraction());
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Should this fail after an update, maps of old seeds would change.
    #[test]
    fn numbers_are_the_same_for_ever() {
        let mut random = Random::new(7, 3);
        let numbers: Vec<usize> = (0..6).map(|_| random.below(1000)).collect();
        assert_eq!(numbers, [662, 504, 736, 43, 1, 636]);
        assert_ne!(
            Random::new(7, 4).fraction().to_bits(),
            Random::new(7, 3).fraction().to_bits()
        );
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut random = Random::new(0, 0);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            counts[random.below(5)] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
        let mean = (0..5000).map(|_| random.fraction()).sum::<f64>() / 5000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn subsets_have_their_size_and_miss_nobody() {
        let mut random = Random::new(1, 0);
        let mut counts = [0; 6];
        for _ in 0..3000 {
            let subset = random.subset(6, 2);
            assert_eq!(subset.iter().filter(|is_in| **is_in).count(), 2);
            for (count, is_in) in counts.iter_mut().zip(subset) {
                *count += usize::from(is_in);
            }
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut random = Random::new(1, 2);
        let numbers: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        let variance = numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.04, "{variance}");
    }
}
