//! Random numbers that depend on a seed only: ChaCha with 8 rounds, the same on every machine and with any number of threads.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::model::ModelInput;

/// One of many independent sequences of a seed.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // `seed_from_u64` may change with the version of `rand_core`; the key itself does not.
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal with mean 0 and deviation 1 (Box-Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), TAU * self.uniform());
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    }
}

/// A seed of this picture's own, so that no two pictures share their random numbers, in whatever order they come: FNV-1a over the
/// bits of all values.
pub(super) fn picture_seed(seed: u64, input: &ModelInput) -> u64 {
    input
        .values
        .iter()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, value| {
            (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut random = Random::new(1, 2);
        let numbers: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        let variance = numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.04, "{variance}");
    }

    #[test]
    fn streams_and_pictures_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).uniform();
        assert_eq!(first(3, 1), first(3, 1));
        assert_ne!(first(3, 1), first(3, 2));
        let picture = |value| ModelInput {
            size: 1,
            values: vec![value; 3],
        };
        assert_eq!(
            picture_seed(3, &picture(1.0)),
            picture_seed(3, &picture(1.0))
        );
        assert_ne!(
            picture_seed(3, &picture(1.0)),
            picture_seed(3, &picture(2.0))
        );
    }
}
