//! The blur from which insertion starts: RISE's (Petsiuk 2018, `gkern` in its `evaluation.py`), edges included.
//!
//! Their kernel is `scipy.ndimage.gaussian_filter` of a single 1 in the middle of an 11x11 array with deviation 5. Scipy mirrors
//! the array at its borders, so the Gaussian (cut off at 4 deviations) folds back into the array: the weights sum to 1 and are
//! almost equal. Then `conv2d` pads with 0, which in normalised space is the mean colour.

use crate::model::ModelInput;

/// Scipy cuts a Gaussian off at so many deviations.
const TRUNCATION: f64 = 4.0;

/// `side` weights (odd), which sum to 1: a Gaussian of this deviation in pixels, folded into them.
pub fn folded_gaussian(side: usize, deviation: f64) -> Vec<f64> {
    let radius = (TRUNCATION * deviation + 0.5).floor() as i64;
    let value = |offset: i64| (-0.5 * (offset as f64 / deviation).powi(2)).exp();
    let total: f64 = (-radius..=radius).map(value).sum();
    let mut weights = vec![0.0; side];
    for offset in -radius..=radius {
        let index = (offset + side as i64 / 2).rem_euclid(side as i64);
        weights[index as usize] += value(offset) / total;
    }
    weights
}

/// The picture convolved in both directions with [`folded_gaussian`]; beyond its edges lies 0.
pub fn blurred(input: &ModelInput, side: usize, deviation: f64) -> ModelInput {
    let (size, half) = (input.size, side / 2);
    let weights = folded_gaussian(side, deviation);
    let mut values = Vec::with_capacity(input.values.len());
    for plane in input.values.chunks_exact(size * size) {
        let along = |values: &[f64], is_vertical: bool| -> Vec<f64> {
            let mut sums = vec![0.0; size * size];
            for (index, sum) in sums.iter_mut().enumerate() {
                let (y, x) = (index / size, index % size);
                let (centre, stride) = if is_vertical { (y, size) } else { (x, 1) };
                let first = index - centre * stride;
                for (tap, weight) in weights.iter().enumerate() {
                    let position = centre + tap;
                    if (half..size + half).contains(&position) {
                        *sum += weight * values[first + (position - half) * stride];
                    }
                }
            }
            sums
        };
        let plane: Vec<f64> = plane.iter().map(|value| f64::from(*value)).collect();
        let both = along(&along(&plane, false), true);
        values.extend(both.into_iter().map(|value| value as f32));
    }
    ModelInput { size, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_one_of_the_rise_notebook() {
        let weights = folded_gaussian(11, 5.0);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // By hand: e(0) + 2 e(11), and e(5) + e(6) + e(16) + e(17), over the sum of e(-20..=20), where e(d) = exp(-d^2 / 50).
        let e = |distance: f64| (-distance * distance / 50.0).exp();
        let total = e(0.0) + 2.0 * (1..=20).map(|d| e(f64::from(d))).sum::<f64>();
        assert!((weights[5] - (e(0.0) + 2.0 * e(11.0)) / total).abs() < 1e-12);
        let edge = (e(5.0) + e(6.0) + e(16.0) + e(17.0)) / total;
        assert!((weights[0] - edge).abs() < 1e-12 && (weights[10] - edge).abs() < 1e-12);
    }

    #[test]
    fn a_flat_picture_stays_flat_inside_and_fades_at_its_edges() {
        let input = ModelInput {
            size: 32,
            values: vec![2.0; 3 * 32 * 32],
        };
        let output = blurred(&input, 11, 5.0);
        assert!((output.values[16 * 32 + 16] - 2.0).abs() < 1e-6);
        let share: f64 = folded_gaussian(11, 5.0)[5..].iter().sum();
        assert!((f64::from(output.values[0]) - 2.0 * share * share).abs() < 1e-6);
    }

    #[test]
    fn a_single_point_spreads_in_its_own_plane_only() {
        let mut input = ModelInput {
            size: 16,
            values: vec![0.0; 3 * 256],
        };
        input.values[256 + 8 * 16 + 8] = 1.0;
        let output = blurred(&input, 11, 5.0);
        let weights = folded_gaussian(11, 5.0);
        assert!(output.values[..256].iter().all(|value| *value == 0.0));
        let value = f64::from(output.values[256 + 6 * 16 + 9]);
        assert!((value - weights[3] * weights[6]).abs() < 1e-8);
    }
}
