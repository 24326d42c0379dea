//! Where the map points, against boxes that a person drew: pointing game and energy in box.

use serde::Serialize;

use crate::evaluate::saliency::Saliency;

/// A box in pixels of the model's square: from `x0`, `y0` to just before `x1`, `y1`. A pixel belongs to it if they overlap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BoxInModel {
    /// Left edge.
    pub x0: f64,
    /// Top edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Bottom edge.
    pub y1: f64,
}

impl BoxInModel {
    /// First and last pixel from `low` to `high` in a square of this size, if any.
    fn span(low: f64, high: f64, size: usize) -> Option<(usize, usize)> {
        let (low, high) = (low.max(0.0).floor(), high.min(size as f64).ceil());
        (low < high).then(|| (low as usize, high as usize - 1))
    }

    /// First and last column, first and last row; `None` if the box is empty or outside of the square.
    fn spans(self, size: usize) -> Option<[(usize, usize); 2]> {
        let columns = Self::span(self.x0, self.x1, size)?;
        Some([columns, Self::span(self.y0, self.y1, size)?])
    }

    fn contains(self, (column, row): (usize, usize), size: usize) -> bool {
        self.spans(size).is_some_and(|[columns, rows]| {
            (columns.0..=columns.1).contains(&column) && (rows.0..=rows.1).contains(&row)
        })
    }

    /// Squared distance in pixels from a pixel to the nearest one of the box.
    fn squared_distance(self, (column, row): (usize, usize), size: usize) -> Option<f64> {
        let [columns, rows] = self.spans(size)?;
        let away = |at: usize, (first, last): (usize, usize)| at.abs_diff(at.clamp(first, last));
        let (x, y) = (away(column, columns) as f64, away(row, rows) as f64);
        Some(x * x + y * y)
    }
}

/// The pointing game (Zhang 2016): whether the map's peak hits a box. With TorchRay's rule, a pixel of a box must be nearer to the
/// peak than `tolerance` pixels: at 15, one 14 pixels away is a hit and one 15 pixels away a miss. TorchRay measures in pixels of the
/// photo, here it is the model's square.
pub fn points_at(saliency: &Saliency, boxes: &[BoxInModel], tolerance: f64) -> bool {
    let peak = saliency.peak();
    boxes
        .iter()
        .filter_map(|one| one.squared_distance(peak, saliency.size))
        .any(|squared| squared == 0.0 || squared < tolerance * tolerance)
}

/// Energy-based pointing game (Wang 2020, "Score-CAM"): the share, in [0, 1], of positive saliency that lies in any of the boxes; 0
/// if there is none. Higher is better, and the boxes' share of the picture is what a flat map gets.
pub fn energy_in(saliency: &Saliency, boxes: &[BoxInModel]) -> f64 {
    let (mut inside, mut total) = (0.0, 0.0);
    for (pixel, value) in saliency.values.iter().enumerate() {
        let energy = f64::from(value.max(0.0));
        let place = (pixel % saliency.size, pixel / saliency.size);
        total += energy;
        if boxes.iter().any(|one| one.contains(place, saliency.size)) {
            inside += energy;
        }
    }
    if total > 0.0 { inside / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_peak_at(column: usize, row: usize) -> Saliency {
        let mut values = vec![0.0; 64 * 64];
        values[row * 64 + column] = 1.0;
        Saliency { size: 64, values }
    }

    fn square(x0: f64, y0: f64, x1: f64, y1: f64) -> BoxInModel {
        BoxInModel { x0, y0, x1, y1 }
    }

    #[test]
    fn the_tolerance_is_that_of_torchray() {
        // The last column of the box is 9.
        let boxes = [square(0.0, 0.0, 10.0, 10.0)];
        assert!(points_at(&with_peak_at(9, 9), &boxes, 15.0));
        assert!(points_at(&with_peak_at(9 + 14, 5), &boxes, 15.0));
        assert!(!points_at(&with_peak_at(9 + 15, 5), &boxes, 15.0));
        assert!(!points_at(&with_peak_at(9 + 16, 5), &boxes, 15.0));
        // At a corner the distance is Euclidean: 9 and 12 are 15, 9 and 11 are less.
        assert!(!points_at(&with_peak_at(9 + 9, 9 + 12), &boxes, 15.0));
        assert!(points_at(&with_peak_at(9 + 9, 9 + 11), &boxes, 15.0));
        assert!(points_at(&with_peak_at(9, 9), &boxes, 0.0));
    }

    #[test]
    fn any_box_counts_and_boxes_outside_do_not() {
        let peak = with_peak_at(60, 60);
        let far = square(0.0, 0.0, 5.0, 5.0);
        assert!(!points_at(&peak, &[far], 15.0));
        assert!(points_at(
            &peak,
            &[far, square(55.5, 50.0, 56.5, 90.0)],
            15.0
        ));
        assert!(!points_at(&peak, &[square(70.0, 0.0, 90.0, 64.0)], 15.0));
        assert!(!points_at(&peak, &[], 15.0));
    }

    #[test]
    fn energy_counts_positive_saliency_in_the_union() {
        let mut saliency = Saliency {
            size: 4,
            values: vec![1.0; 16],
        };
        let left = square(0.0, 0.0, 2.0, 4.0);
        assert_eq!(energy_in(&saliency, &[left]), 0.5);
        assert_eq!(
            energy_in(&saliency, &[left, left, square(1.0, 0.0, 3.0, 4.0)]),
            0.75
        );
        saliency.values[..8].fill(-1.0);
        assert_eq!(energy_in(&saliency, &[square(0.0, 0.0, 4.0, 2.0)]), 0.0);
        assert_eq!(energy_in(&saliency, &[left]), 0.5);
        saliency.values.fill(-1.0);
        assert_eq!(energy_in(&saliency, &[left]), 0.0);
    }
}
