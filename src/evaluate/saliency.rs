//! Saliency: a raw heatmap spread over the pixels that the network read.
//!
//! Kept signed: every metric that ranks pixels also needs an order among those below zero. A ReLU first would tie them all, and
//! the ranking would depend on how ties are broken.

use crate::heatmap::{Heatmap, NormalizedHeatmap, VANISHING_MAXIMUM};

/// One signed value per pixel of the model's square.
#[derive(Debug, Clone, PartialEq)]
pub struct Saliency {
    /// Side of the square in pixels.
    pub size: usize,
    /// `size * size` values, row-major.
    pub values: Vec<f32>,
}

impl Saliency {
    /// Bilinear resize with half-pixel centres and clamped edges, without ReLU.
    pub fn new(heatmap: &Heatmap, size: usize) -> Self {
        // The resize is linear, so that it does not mind signs.
        let map = NormalizedHeatmap {
            width: heatmap.width,
            height: heatmap.height,
            values: heatmap.values.clone(),
        };
        Self {
            size,
            values: map.resized(size, size).values,
        }
    }

    /// Pixel indices from the most to the least relevant; equal values by rising index.
    pub fn ranking(&self) -> Vec<usize> {
        // Adding zero makes -0 the same as 0.
        let value = |index: &usize| self.values[*index] + 0.0;
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|a, b| value(b).total_cmp(&value(a)));
        order
    }

    /// ReLU, then division by the maximum: in [0, 1], and all 0 if there is no positive evidence.
    pub fn mask(&self) -> Vec<f32> {
        let maximum = self.values.iter().copied().fold(0.0, f32::max);
        if maximum <= VANISHING_MAXIMUM {
            return vec![0.0; self.values.len()];
        }
        let share = |value: &f32| value.max(0.0) / maximum;
        self.values.iter().map(share).collect()
    }

    /// Pixel (column, row) of the largest value; the first in reading order on ties.
    pub fn peak(&self) -> (usize, usize) {
        let mut best = 0;
        for (index, value) in self.values.iter().enumerate() {
            if *value > self.values[best] {
                best = index;
            }
        }
        (best % self.size, best / self.size)
    }

    /// The means over the cells of a grid of `side * side`, row-major; over single pixels if there are fewer.
    pub fn reduced(&self, side: usize) -> Vec<f64> {
        let side = side.clamp(1, self.size);
        let span = |cell: usize| cell * self.size / side..(cell + 1) * self.size / side;
        let mut means = Vec::with_capacity(side * side);
        for row in 0..side {
            for column in 0..side {
                let (rows, columns) = (span(row), span(column));
                let count = (rows.len() * columns.len()) as f64;
                let sum: f64 = rows
                    .flat_map(|y| &self.values[y * self.size..][columns.clone()])
                    .map(|value| f64::from(*value))
                    .sum();
                means.push(sum / count);
            }
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Heatmap {
        Heatmap {
            width: values.len(),
            height: 1,
            values: values.to_vec(),
        }
    }

    #[test]
    fn negative_values_survive_and_are_ranked() {
        let saliency = Saliency::new(&row(&[-2.0, 2.0]), 4);
        assert_eq!(saliency.values[..4], [-2.0, -1.0, 1.0, 2.0]);
        let ranking = saliency.ranking();
        assert_eq!(ranking[..4], [3, 7, 11, 15]);
        assert_eq!(ranking[12..], [0, 4, 8, 12]);
    }

    #[test]
    fn both_zeros_tie() {
        let saliency = Saliency {
            size: 2,
            values: vec![-0.0, 0.0, 1.0, -0.0],
        };
        assert_eq!(saliency.ranking(), [2, 0, 1, 3]);
    }

    #[test]
    fn the_mask_is_positive_and_reaches_one() {
        let saliency = Saliency::new(&row(&[-2.0, 2.0]), 4);
        assert_eq!(saliency.mask()[..4], [0.0, 0.0, 0.5, 1.0]);
        assert_eq!(saliency.peak(), (3, 0));
        let nothing = Saliency::new(&row(&[-2.0, -1.0]), 4);
        assert_eq!(nothing.mask(), [0.0; 16]);
    }

    #[test]
    fn reduction_takes_means() {
        let saliency = Saliency {
            size: 4,
            values: (0..16u8).map(f32::from).collect(),
        };
        assert_eq!(saliency.reduced(2), [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(saliency.reduced(28).len(), 16);
    }
}
