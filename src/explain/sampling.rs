//! Random numbers and the number of samples, for the methods that draw them.
//!
//! The numbers come from ChaCha8, which is the same on every platform and in every version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::error::{Error, ErrorKind, Result};
use crate::explain::{Explainer, Queries};

/// A sequence of random numbers.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    /// Streams of one seed have nothing in common.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // `seed_from_u64` may change with the version of `rand_core`; the key itself does not.
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Evenly from [0, 1).
    pub(super) fn fraction(&mut self) -> f64 {
        const STEPS: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
        (self.0.next_u64() >> (u64::BITS - f64::MANTISSA_DIGITS)) as f64 / STEPS
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Evenly from `0..end`; 0 if that is empty.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The rounding prefers no number by more than `end / 2^64`.
        ((u128::from(self.0.next_u64()) * end as u128) >> u64::BITS) as usize
    }

    /// Which of `count` things are in a random subset of `size`, all subsets being equally likely.
    ///
    /// # Panics
    /// If `size > count`.
    pub(super) fn subset(&mut self, count: usize, size: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..count).collect();
        let mut is_in = vec![false; count];
        for place in 0..size {
            order.swap(place, place + self.below(count - place));
            is_in[order[place]] = true;
        }
        is_in
    }
}

/// How many samples to draw, `default` if nothing was asked for.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if there are fewer than the method needs.
pub(super) fn number_of_samples(
    method: &dyn Explainer,
    queries: &Queries<'_>,
    default: usize,
    least: usize,
) -> Result<usize> {
    let samples = queries.samples(default);
    if samples >= least {
        return Ok(samples);
    }
    let message = format!(
        "{} needs at least {least} samples, not {samples}",
        method.name()
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
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
}
