//! Occlusion (Zeiler and Fergus, 2014, "Visualizing and Understanding Convolutional Networks").

use super::fill::Fill;
use super::rasterize::area_averaged;
use crate::error::{Error, ErrorKind, Result};
use crate::explain::{Explainer, LayerView, Queries, Score, Target};
use crate::heatmap::Heatmap;
use crate::model::ModelInput;

/// What the score loses when a square is hidden, `f(x) - f(x without the square)`; a pixel of the map has the mean over the squares that
/// it lies in.
///
/// The squares stand a stride apart, the last of a row or column at the picture's edge: 13 x 13 of them in a picture of 224.
#[derive(Debug, Clone, Copy)]
pub struct Occlusion {
    /// Side of a square in pixels; a larger one than the picture hides all of it.
    pub patch: usize,
    /// Pixels from one square to the next, at most the side of one.
    pub stride: usize,
    /// What is shown in place of a square.
    pub fill: Fill,
}

impl Default for Occlusion {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Occlusion {
    pub(super) const DEFAULT: Self = Self {
        patch: 32,
        stride: 16,
        fill: Fill::MeanColour,
    };
}

impl Explainer for Occlusion {
    fn name(&self) -> &'static str {
        "occlusion"
    }

    fn default_score(&self) -> Score {
        Score::Softmax
    }

    fn is_model_agnostic(&self) -> bool {
        true
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        if self.stride == 0 || self.stride > self.patch {
            let message = format!(
                "occlusion with a patch of {} pixels needs a stride of 1 to {0}, not {}",
                self.patch, self.stride
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let size = view.input.size;
        let patch = self.patch.min(size);
        let starts = starts(size, patch, self.stride);
        let corner = |index: usize| (starts[index % starts.len()], starts[index / starts.len()]);
        let fill = self.fill.picture(view.input);
        let count = starts.len() * starts.len();
        let scores = queries.scores(count, target, |index| {
            hidden(view.input, &fill, corner(index), patch)
        })?;
        let score = target.value(&view.forward.logits);
        let (mut sums, mut covers) = (vec![0.0; size * size], vec![0.0; size * size]);
        for (index, without) in scores.into_iter().enumerate() {
            for pixels in rows(corner(index), patch, size) {
                for pixel in pixels {
                    sums[pixel] += score - without;
                    covers[pixel] += 1.0;
                }
            }
        }
        let means: Vec<f64> = sums
            .iter()
            .zip(covers)
            .map(|(sum, count)| sum / count)
            .collect();
        Ok(area_averaged(&means, size))
    }
}

/// Where squares begin along a side, so that they cover all of it.
fn starts(size: usize, patch: usize, stride: usize) -> Vec<usize> {
    let last = size - patch;
    (0..last).step_by(stride).chain([last]).collect()
}

/// The pixels of each row of the square with this corner (column, row).
fn rows(
    (column, row): (usize, usize),
    patch: usize,
    size: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    (row..row + patch).map(move |row| row * size + column..row * size + column + patch)
}

/// The input with `fill` in place of the square.
fn hidden(
    input: &ModelInput,
    fill: &ModelInput,
    corner: (usize, usize),
    patch: usize,
) -> ModelInput {
    let mut hidden = input.clone();
    let area = input.size * input.size;
    let planes = hidden.values.chunks_exact_mut(area);
    for (plane, fill) in planes.zip(fill.values.chunks_exact(area)) {
        for pixels in rows(corner, patch, input.size) {
            plane[pixels.clone()].copy_from_slice(&fill[pixels]);
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::rasterize::GRID;
    use crate::explain::toy_model::{ToyModel, textured_picture};

    const SIZE: usize = 56;
    const SMALL: Occlusion = Occlusion {
        patch: 8,
        stride: 4,
        ..Occlusion::DEFAULT
    };

    fn flat(value: f32) -> ModelInput {
        ModelInput {
            size: SIZE,
            values: vec![value; 3 * SIZE * SIZE],
        }
    }

    #[test]
    fn squares_reach_the_edge() {
        let thirteen: Vec<usize> = (0..13).map(|index| index * 16).collect();
        assert_eq!(starts(224, 32, 16), thirteen);
        assert_eq!(starts(60, 32, 16), [0, 16, 28]);
        assert_eq!(starts(32, 32, 16), [0]);
    }

    #[test]
    fn the_map_peaks_at_the_patch_with_what_hiding_it_costs() {
        let model = ToyModel::new(SIZE, |input| {
            let rows = (16..24).map(|row| &input.values[row * SIZE + 32..row * SIZE + 40]);
            rows.flatten().map(|value| f64::from(*value)).sum()
        });
        let map = model
            .explain(&SMALL, &flat(2.0), Queries::new(&model))
            .unwrap();
        assert_eq!(model.passes(), 13 * 13);
        assert_eq!((map.width, map.height), (GRID, GRID));
        // In cells of 2 pixels the patch is rows 8 to 11 and columns 16 to 19. Each of its pixels lies in four squares, which hide all,
        // half (twice), and a quarter of it.
        let all = 2.0 * 64.0;
        for (index, value) in map.values.iter().enumerate() {
            let (column, row) = (index % GRID, index / GRID);
            if (16..20).contains(&column) && (8..12).contains(&row) {
                assert_eq!(*value, all * (1.0 + 0.5 + 0.5 + 0.25) / 4.0);
            } else {
                assert!(*value <= all * (0.5 + 0.25) / 2.0, "{column} {row} {value}");
            }
        }
        assert_eq!(map.values[0], 0.0);
    }

    #[test]
    fn evidence_against_the_class_is_negative_and_borders_count_alike() {
        let model = ToyModel::new(SIZE, |input| {
            -input
                .values
                .iter()
                .map(|value| f64::from(*value))
                .sum::<f64>()
        });
        let method = Occlusion {
            patch: 12,
            stride: 10,
            ..SMALL
        };
        let map = model
            .explain(&method, &flat(1.0), Queries::new(&model))
            .unwrap();
        assert!(map.values.iter().all(|value| *value == -3.0 * 144.0));
    }

    #[test]
    fn a_blurred_fill_hides_texture_only() {
        let model = ToyModel::new(SIZE, |input| f64::from(input.values[0]));
        let method = Occlusion {
            fill: Fill::Blur,
            ..SMALL
        };
        let map = model
            .explain(&method, &flat(3.0), Queries::new(&model))
            .unwrap();
        assert!(map.values.iter().all(|value| value.abs() < 1e-5));
        let map = model
            .explain(&SMALL, &flat(3.0), Queries::new(&model))
            .unwrap();
        assert_eq!(map.values[0], 3.0);
    }

    #[test]
    fn the_map_is_the_same_at_any_number_of_threads_and_seed() {
        let model = ToyModel::new(SIZE, |input| {
            input
                .values
                .iter()
                .map(|value| f64::from(*value).powi(3))
                .sum()
        });
        model.assert_is_reproducible(&SMALL, &textured_picture(SIZE), None);
    }

    #[test]
    fn strides_that_leave_gaps_are_refused_and_large_patches_hide_all() {
        let model = ToyModel::new(SIZE, |input| f64::from(input.values[0]));
        let explain = |patch, stride| {
            let method = Occlusion {
                patch,
                stride,
                ..SMALL
            };
            model.explain(&method, &flat(1.0), Queries::new(&model))
        };
        for (patch, stride) in [(8, 0), (8, 9), (0, 0)] {
            let error = explain(patch, stride).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        assert!(
            explain(100, 50)
                .unwrap()
                .values
                .iter()
                .all(|value| *value == 1.0)
        );
    }
}
