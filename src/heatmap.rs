//! Heatmaps: the raw map an explainer makes, and its normalised form that is drawn.

use crate::frame::Orientation;

/// A raw map in model space: signed, upright, row-major, at the target layer's resolution
/// (7x7 at `layer4`). For Grad-CAM a value is the sum over channels of weight times activation,
/// before ReLU and normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values.
    pub values: Vec<f32>,
}

/// A map in [0, 1]: what is drawn. 0 is "no evidence", 1 is the strongest evidence at the chosen scale.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalizedHeatmap {
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values in [0, 1].
    pub values: Vec<f32>,
}

/// Maps whose largest value is at or below this are "no positive evidence": dividing by it would
/// stretch rounding noise to full red. The softmax score's map vanishes so when the probability is 1.
pub const VANISHING_MAXIMUM: f32 = 1e-12;

impl Heatmap {
    /// The largest value, or 0 if none is positive (or a value is not a number).
    pub fn positive_maximum(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// Whether any cell speaks for the target.
    pub fn has_positive_evidence(&self) -> bool {
        self.positive_maximum() > VANISHING_MAXIMUM
    }

    /// Cell (column, row) of the largest value; the first in reading order on ties.
    pub fn peak_cell(&self) -> (usize, usize) {
        let mut best = 0;
        for (index, value) in self.values.iter().enumerate() {
            if *value > self.values[best] {
                best = index;
            }
        }
        (best % self.width, best / self.width)
    }

    /// ReLU, then division by `scale`, clamped to 1. `None` if there is no positive evidence or the
    /// scale vanishes: the plain frame is drawn then.
    pub fn normalized(&self, scale: f32) -> Option<NormalizedHeatmap> {
        if !self.has_positive_evidence() || scale <= VANISHING_MAXIMUM {
            return None;
        }
        Some(NormalizedHeatmap {
            width: self.width,
            height: self.height,
            values: self
                .values
                .iter()
                .map(|value| (value.max(0.0) / scale).min(1.0))
                .collect(),
        })
    }
}

impl NormalizedHeatmap {
    /// The same map in the orientation in which the frame was coded.
    pub fn to_coded(&self, orientation: Orientation) -> Self {
        let (width, height) = orientation.upright_size(self.width, self.height);
        Self {
            width,
            height,
            values: orientation.to_coded(&self.values, self.width, self.height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32]) -> Heatmap {
        Heatmap {
            width: values.len(),
            height: 1,
            values: values.to_vec(),
        }
    }

    #[test]
    fn normalisation_drops_negatives_and_divides_by_the_scale() {
        let normalized = map(&[-1.0, 1.0, 4.0]).normalized(2.0).unwrap();
        assert_eq!(normalized.values, [0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_map_without_positive_evidence_is_not_stretched() {
        assert_eq!(map(&[-1.0, -2.0]).normalized(1.0), None);
        assert_eq!(map(&[0.0, 0.0]).normalized(0.0), None);
        assert_eq!(map(&[1e-13, 0.0]).normalized(1e-13), None);
    }

    #[test]
    fn the_peak_is_the_first_largest_cell() {
        assert_eq!(map(&[1.0, 3.0, 3.0]).peak_cell(), (1, 0));
    }
}
