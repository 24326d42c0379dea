//! Whether two maps order places alike: Spearman's rank correlation.
//!
//! Maps are compared as means over a grid ([`Saliency::reduced`](super::saliency::Saliency::reduced)), so that two maps of different
//! resolution are on the same footing and neighbouring pixels do not count many times.

/// Ranks from 1; equal values get the mean of the ranks that they take up.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for run in order.chunk_by(|a, b| values[*a] == values[*b]) {
        // The mean of before + 1 to before + run.len().
        let mean = before as f64 + (run.len() + 1) as f64 / 2.0;
        for index in run {
            ranks[*index] = mean;
        }
        before += run.len();
    }
    ranks
}

/// Pearson's correlation of the ranks, in [-1, 1]; `None` if one of the two has no order: it is constant, or not all of its values are finite.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if !a.iter().chain(b).all(|value| value.is_finite()) {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    // The mean rank, with or without ties.
    let mean = (a.len() + 1) as f64 / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
    };
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| (product(&a, &b) / scale).clamp(-1.0, 1.0))
}

/// [`spearman`] of every map with every other, in their order.
pub fn matrix(maps: &[Vec<f64>]) -> Vec<Vec<Option<f64>>> {
    maps.iter()
        .map(|a| maps.iter().map(|b| spearman(a, b)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_counts() {
        let rising = [1.0, 2.0, 5.0, 100.0];
        assert_eq!(spearman(&rising, &[-3.0, -2.0, 0.0, 0.5]), Some(1.0));
        assert_eq!(spearman(&rising, &[4.0, 3.0, 2.0, 1.0]), Some(-1.0));
        // By the formula for no ties: 1 - 6 * (1 + 1) / (4 * 15).
        let correlation = spearman(&rising, &[2.0, 1.0, 3.0, 4.0]).unwrap();
        assert!((correlation - 0.8).abs() < 1e-12);
    }

    #[test]
    fn ties_get_mean_ranks() {
        assert_eq!(
            ranks(&[2.0, 1.0, 2.0, 3.0, -0.0, 0.0]),
            [4.5, 3.0, 4.5, 6.0, 1.5, 1.5]
        );
        // By hand: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4 have products 4.5 with squares 4.5 and 5.
        let correlation = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((correlation - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_constant_map_agrees_with_nothing() {
        assert_eq!(spearman(&[1.0; 3], &[1.0, 2.0, 3.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, 3.0]), None);
        let matrix = matrix(&[vec![1.0, 2.0], vec![2.0, 1.0], vec![0.0, 0.0]]);
        let [one, minus] = [Some(1.0), Some(-1.0)];
        assert_eq!(
            matrix,
            [[one, minus, None], [minus, one, None], [None, None, None]]
        );
    }
}
