//! Two explanations that know nothing of the network: what a method must beat to be worth looking at.

use crate::heatmap::Heatmap;
use crate::random::Random;

/// Name of [`centre`] in reports.
pub const CENTRE: &str = "centre";

/// Name of [`random`] in reports.
pub const RANDOM: &str = "random";

/// Deviation of [`centre`] as a share of the side.
pub const CENTRE_DEVIATION: f64 = 0.25;

/// Side of [`random`] in cells: that of `layer4`'s maps.
pub const RANDOM_CELLS: usize = 7;

/// A Gaussian around the middle of the picture, 1 there, with deviation `size / 4`. Photographers centre their subject: its peak is
/// TorchRay's "center" baseline of the pointing game, which is a single point; the falloff gives all other pixels an order.
pub fn centre(size: usize) -> Heatmap {
    let middle = size as f64 / 2.0;
    let deviation = CENTRE_DEVIATION * size as f64;
    let profile: Vec<f64> = (0..size)
        .map(|index| (-0.5 * ((index as f64 + 0.5 - middle) / deviation).powi(2)).exp())
        .collect();
    Heatmap {
        width: size,
        height: size,
        values: profile
            .iter()
            .flat_map(|y| profile.iter().map(move |x| (x * y) as f32))
            .collect(),
    }
}

/// 7x7 independent uniform values in [0, 1): as smooth as a map of `layer4`, and as good as chance.
pub fn random(seed: u64) -> Heatmap {
    // A stream that ROAD's noise of the same seed does not use.
    let mut random = Random::new(seed, u64::MAX);
    Heatmap {
        width: RANDOM_CELLS,
        height: RANDOM_CELLS,
        values: (0..RANDOM_CELLS * RANDOM_CELLS)
            .map(|_| random.fraction() as f32)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_falls_off_alike_on_all_sides() {
        let map = centre(8);
        let value = |x: usize, y: usize| map.values[y * 8 + x];
        assert_eq!(map.peak_cell(), (3, 3));
        assert_eq!(value(0, 2), value(7, 2));
        assert_eq!(value(0, 2), value(2, 0));
        // Two pixels from the middle is one deviation, here 2.5 and 0.5 pixels.
        let expected = (-0.5 * (2.5f64.powi(2) + 0.5f64.powi(2)) / 4.0).exp();
        assert!((f64::from(value(6, 4)) - expected).abs() < 1e-6);
    }

    #[test]
    fn random_maps_depend_on_the_seed_only() {
        assert_eq!(random(3), random(3));
        assert_ne!(random(3), random(4));
        assert!(
            random(3)
                .values
                .iter()
                .all(|value| (0.0..1.0).contains(value))
        );
    }
}
