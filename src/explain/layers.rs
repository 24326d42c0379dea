//! Several target layers: the mean of their maps.

use crate::heatmap::{Heatmap, NormalizedHeatmap};

/// The mean of several maps: each is normalised by its own maximum (one without positive evidence counts as 0), resized
/// to the largest grid, and averaged. A single map passes through raw.
pub fn mean_of_layers(maps: Vec<Heatmap>) -> Heatmap {
    let Ok([single]) = <[Heatmap; 1]>::try_from(maps.clone()) else {
        let width = maps.iter().map(|map| map.width).max().unwrap_or(0);
        let height = maps.iter().map(|map| map.height).max().unwrap_or(0);
        let mut values = vec![0.0; width * height];
        for map in &maps {
            if let Some(normalized) = map.normalized(map.positive_maximum()) {
                let resized = normalized.resized(width, height);
                for (sum, value) in values.iter_mut().zip(&resized.values) {
                    *sum += value / maps.len() as f32;
                }
            }
        }
        return Heatmap {
            width,
            height,
            values,
        };
    };
    single
}

impl NormalizedHeatmap {
    /// Bilinear resize with half-pixel centres and clamped edges.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let coordinates = |output: usize, input: usize| -> Vec<(usize, usize, f32)> {
            (0..output)
                .map(|index| {
                    let centre = (index as f32 + 0.5) * input as f32 / output as f32 - 0.5;
                    let clamped = centre.clamp(0.0, (input - 1) as f32);
                    let low = clamped.floor() as usize;
                    (low, (low + 1).min(input - 1), clamped - low as f32)
                })
                .collect()
        };
        let columns = coordinates(width, self.width);
        let mut values = Vec::with_capacity(width * height);
        for (top, bottom, down) in coordinates(height, self.height) {
            let (top, bottom) = (
                &self.values[top * self.width..],
                &self.values[bottom * self.width..],
            );
            for &(left, right, along) in &columns {
                let upper = top[left] + (top[right] - top[left]) * along;
                let lower = bottom[left] + (bottom[right] - bottom[left]) * along;
                values.push(upper + (lower - upper) * down);
            }
        }
        Self {
            width,
            height,
            values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_map_passes_through_raw() {
        let map = Heatmap {
            width: 2,
            height: 1,
            values: vec![-3.0, 7.0],
        };
        assert_eq!(mean_of_layers(vec![map.clone()]), map);
    }

    #[test]
    fn several_maps_are_normalised_resized_and_averaged() {
        let coarse = Heatmap {
            width: 1,
            height: 1,
            values: vec![5.0],
        };
        let fine = Heatmap {
            width: 2,
            height: 1,
            values: vec![2.0, -1.0],
        };
        let mean = mean_of_layers(vec![coarse, fine]);
        assert_eq!((mean.width, mean.height), (2, 1));
        assert_eq!(mean.values, [1.0, 0.5]);
    }

    #[test]
    fn resizing_uses_half_pixel_centres() {
        let map = NormalizedHeatmap {
            width: 2,
            height: 1,
            values: vec![0.0, 1.0],
        };
        assert_eq!(map.resized(4, 1).values, [0.0, 0.25, 0.75, 1.0]);
    }
}
