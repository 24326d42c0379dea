//! How restless the drawn maps are.

use crate::heatmap::NormalizedHeatmap;

/// Sums up the change of one target's maps from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Flicker {
    /// The last frame's map; a plain frame counts as a map of zeros.
    last: Option<Option<NormalizedHeatmap>>,
    sum: f64,
    pairs: u64,
}

impl Flicker {
    /// Adds the next frame's map; `None` for a frame that is drawn plain. The change at a cut does not count.
    pub(super) fn add(&mut self, map: Option<&NormalizedHeatmap>, is_cut: bool) {
        if let (Some(last), false) = (&self.last, is_cut) {
            self.sum += change(last.as_ref(), map);
            self.pairs += 1;
        }
        self.last = Some(map.cloned());
    }

    /// Mean over all pairs of neighbouring frames of the mean absolute change of a cell; none without a pair.
    pub(super) fn score<'a>(of_targets: impl Iterator<Item = &'a Self>) -> Option<f64> {
        let (sum, pairs) = of_targets.fold((0.0, 0), |(sum, pairs), one| {
            (sum + one.sum, pairs + one.pairs)
        });
        (pairs > 0).then(|| sum / pairs as f64)
    }
}

/// Mean absolute difference of two maps, in 0..=1; a plain frame counts as a map of zeros.
pub(crate) fn change(last: Option<&NormalizedHeatmap>, map: Option<&NormalizedHeatmap>) -> f64 {
    let mean = |values: &mut dyn Iterator<Item = f32>, count: usize| {
        values.map(f64::from).sum::<f64>() / count.max(1) as f64
    };
    match (last, map) {
        (Some(a), Some(b)) => {
            let mut changes = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs());
            mean(&mut changes, b.values.len())
        }
        (Some(one), None) | (None, Some(one)) => {
            mean(&mut one.values.iter().copied(), one.values.len())
        }
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: [f32; 2]) -> NormalizedHeatmap {
        NormalizedHeatmap {
            width: 2,
            height: 1,
            values: values.to_vec(),
        }
    }

    fn score(flicker: &Flicker) -> Option<f64> {
        Flicker::score(std::iter::once(flicker))
    }

    #[test]
    fn the_score_is_the_mean_change_outside_cuts() {
        let mut flicker = Flicker::default();
        assert_eq!(score(&flicker), None);
        flicker.add(Some(&map([0.0, 1.0])), false);
        assert_eq!(score(&flicker), None);
        flicker.add(Some(&map([0.5, 0.5])), false);
        assert_eq!(score(&flicker), Some(0.5));
        flicker.add(Some(&map([1.0, 1.0])), true);
        flicker.add(None, false);
        assert_eq!(score(&flicker), Some(0.75));
    }
}
