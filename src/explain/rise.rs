//! RISE (Petsiuk et al., 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models").

use super::rasterize::{GRID, parts_of_line};
use super::sampling::number_of_samples;
use crate::error::{Error, ErrorKind, Result};
use crate::explain::{Explainer, LayerView, Queries, SampleCount, Score, Target};
use crate::heatmap::Heatmap;
use crate::model::ModelInput;
use crate::random::Random;

/// Where no other number is asked for.
const DEFAULT_SAMPLES: usize = 4000;

/// `map = 1 / (N p) sum_i (f(x m_i) - mean score) m_i` over `N` random masks `m_i`: how much better the score is where a pixel is shown.
///
/// The masks are made as in the authors' code: cells that are 1 with probability `p`, scaled up bilinearly to one cell more than the
/// picture, and cut to its size at a random place. The paper's formula has no mean in it. As masks are `p` on average, it differs by
/// `mean score * (mean of the masks) / p`: a constant, but for noise that grows with the score and drowns the map where scores are logits
/// with a large common part. Without it the map is signed, and 0 where nothing depends on a pixel. As in the paper,
/// probabilities are explained where nothing else is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Rise {
    /// Cells along each side of a mask, at least 1.
    pub cells: usize,
    /// How likely a cell is shown, between 0 and 1.
    pub probability: f64,
}

impl Default for Rise {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Rise {
    pub(super) const DEFAULT: Self = Self {
        cells: 8,
        probability: 0.5,
    };
}

impl Explainer for Rise {
    fn name(&self) -> &'static str {
        "rise"
    }

    fn sample_count(&self) -> Option<SampleCount> {
        Some(SampleCount {
            default: Some(DEFAULT_SAMPLES),
            least: 2,
        })
    }

    fn is_model_agnostic(&self) -> bool {
        true
    }

    fn default_score(&self) -> Score {
        Score::Softmax
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        if self.cells == 0 || !(self.probability > 0.0 && self.probability < 1.0) {
            let message = "rise needs masks of at least one cell and a probability between 0 and 1";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let samples = number_of_samples(self, queries, DEFAULT_SAMPLES)?;
        let masks = Masks::new(*self, view.input.size, queries.seed());
        let scores = queries.scores(samples, target, |index| {
            masked(view.input, &masks.pixels(index))
        })?;
        let mean = scores.iter().sum::<f64>() / samples as f64;
        let mut sums = vec![0.0; GRID * GRID];
        // The masks are made anew: all at once would take gigabytes.
        for (index, score) in scores.iter().enumerate() {
            for (sum, share) in sums.iter_mut().zip(masks.averages(index)) {
                *sum += (score - mean) * share;
            }
        }
        let scale = 1.0 / (samples as f64 * self.probability);
        Ok(Heatmap {
            width: GRID,
            height: GRID,
            values: sums.into_iter().map(|sum| (sum * scale) as f32).collect(),
        })
    }
}

/// The input times the mask, in every channel.
fn masked(input: &ModelInput, mask: &[f64]) -> ModelInput {
    let values = input.values.iter().zip(mask.iter().cycle());
    ModelInput {
        size: input.size,
        values: values.map(|(value, share)| value * *share as f32).collect(),
    }
}

/// A line as weights of the cells that it is interpolated from.
type Line = Vec<(usize, f64)>;

/// All masks: each is made from the seed and its number alone.
struct Masks {
    settings: Rise,
    size: usize,
    seed: u64,
    /// The pixels of a line of cells, scaled up to one cell more than `size`.
    scaled: Vec<Line>,
    /// [`parts_of_line`] of `size` pixels.
    parts: Vec<Line>,
}

impl Masks {
    fn new(settings: Rise, size: usize, seed: u64) -> Self {
        let cells = settings.cells;
        let length = (cells + 1) * size.div_ceil(cells);
        let last = (cells - 1) as f64;
        let scaled = (0..length)
            .map(|pixel| {
                let place = (pixel as f64 + 0.5) * cells as f64 / length as f64 - 0.5;
                // Mirrored at the middles of the outermost cells, as scikit-image does.
                let place = if place > last {
                    2.0 * last - place
                } else {
                    place
                };
                let place = place.abs().min(last);
                let below = place.floor() as usize;
                let above = place - below as f64;
                vec![(below, 1.0 - above), ((below + 1).min(cells - 1), above)]
            })
            .collect();
        Self {
            settings,
            size,
            seed,
            scaled,
            parts: parts_of_line(size),
        }
    }

    /// The cells of a mask, and the rows and columns of pixels.
    fn draw(&self, index: usize) -> (Vec<f64>, &[Line], &[Line]) {
        let Rise { cells, probability } = self.settings;
        let mut random = Random::new(self.seed, index as u64);
        let is_shown = (0..cells * cells).map(|_| random.chance(probability));
        let values = is_shown
            .map(|is_shown| f64::from(u8::from(is_shown)))
            .collect();
        let mut cut = || &self.scaled[random.below(self.size.div_ceil(cells))..][..self.size];
        let rows = cut();
        (values, rows, cut())
    }

    /// `size * size` values in [0, 1].
    fn pixels(&self, index: usize) -> Vec<f64> {
        let (cells, rows, columns) = self.draw(index);
        interpolated(&cells, rows, columns)
    }

    /// The mask's mean over each of [`GRID`] x [`GRID`] equal areas: a mean of interpolations is one too, with the means of the weights.
    fn averages(&self, index: usize) -> Vec<f64> {
        let (cells, rows, columns) = self.draw(index);
        let means = |lines: &[Line]| -> Vec<Line> {
            let of_part = |part: &Line| {
                let mut weights = vec![0.0; self.settings.cells];
                for (pixel, share) in part {
                    for (cell, weight) in &lines[*pixel] {
                        weights[*cell] += share * weight;
                    }
                }
                weights.into_iter().enumerate().collect()
            };
            self.parts.iter().map(of_part).collect()
        };
        interpolated(&cells, &means(rows), &means(columns))
    }
}

/// The values at these rows and columns of a square of cells.
fn interpolated(cells: &[f64], rows: &[Line], columns: &[Line]) -> Vec<f64> {
    let side = cells.len().isqrt();
    let mut values = Vec::with_capacity(rows.len() * columns.len());
    for row in rows {
        let mut blend = vec![0.0; side];
        for (cell, weight) in row {
            for (sum, value) in blend.iter_mut().zip(&cells[cell * side..]) {
                *sum += weight * value;
            }
        }
        for column in columns {
            values.push(
                column
                    .iter()
                    .map(|(cell, weight)| weight * blend[*cell])
                    .sum(),
            );
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::rasterize::area_averaged;
    use crate::explain::toy_model::ToyModel;

    const SIZE: usize = 56;

    fn ones() -> ModelInput {
        ModelInput {
            size: SIZE,
            values: vec![1.0; 3 * SIZE * SIZE],
        }
    }

    /// The mean of rows 8 to 15 and columns 36 to 43 of the first channel, times `scale`, plus `offset`.
    fn patch_model(scale: f64, offset: f64) -> ToyModel {
        ToyModel::new(SIZE, move |input| {
            let rows = (8..16).map(|row| &input.values[row * SIZE + 36..row * SIZE + 44]);
            let sum: f64 = rows.flatten().map(|value| f64::from(*value)).sum();
            offset + scale * sum / 64.0
        })
    }

    #[test]
    fn masks_are_scaled_up_and_cut_as_in_the_authors_code() {
        let settings = Rise {
            cells: 2,
            ..Rise::DEFAULT
        };
        let masks = Masks::new(settings, 4, 0);
        // skimage.transform.resize([0, 1], [6], order=1, mode="reflect")
        let line: Vec<f64> = masks
            .scaled
            .iter()
            .map(|line| {
                line.iter()
                    .map(|(cell, weight)| *cell as f64 * weight)
                    .sum()
            })
            .collect();
        let expected = [1.0 / 3.0, 0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0, 2.0 / 3.0];
        for (value, expected) in line.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{line:?}");
        }
    }

    #[test]
    fn averages_are_those_of_the_masks_pixels() {
        for (settings, size) in [
            (Rise::DEFAULT, 224),
            (Rise::DEFAULT, 50),
            (
                Rise {
                    cells: 1,
                    ..Rise::DEFAULT
                },
                32,
            ),
        ] {
            let masks = Masks::new(settings, size, 9);
            for index in 0..5 {
                let pixels = masks.pixels(index);
                assert_eq!(pixels.len(), size * size);
                assert!(
                    pixels
                        .iter()
                        .all(|share| (-1e-12..=1.0 + 1e-12).contains(share))
                );
                let expected = area_averaged(&pixels, size).values;
                for (value, expected) in masks.averages(index).iter().zip(expected) {
                    assert!((*value as f32 - expected).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn masks_are_as_bright_as_their_probability() {
        let settings = Rise {
            probability: 0.3,
            ..Rise::DEFAULT
        };
        let masks = Masks::new(settings, SIZE, 0);
        let sum: f64 = (0..200).flat_map(|index| masks.averages(index)).sum();
        let mean = sum / (200 * GRID * GRID) as f64;
        assert!((mean - 0.3).abs() < 0.02, "{mean}");
    }

    #[test]
    fn the_map_peaks_at_the_patch_and_is_signed() {
        for sign in [1.0, -1.0] {
            let model = patch_model(sign, 0.0);
            let queries = Queries::new(&model).with_sampling(Some(1000), 2);
            let mut map = model.explain(&Rise::DEFAULT, &ones(), queries).unwrap();
            assert_eq!(model.passes(), 1000);
            map.values
                .iter_mut()
                .for_each(|value| *value *= sign as f32);
            let (column, row) = map.peak_cell();
            // Cells of the map are 2 pixels wide, those of the masks 7.
            assert!(
                column.abs_diff(20) <= 2 && row.abs_diff(6) <= 2,
                "{column} {row}"
            );
            let corner = map.values[GRID * (GRID - 1)].abs();
            assert!(corner < 0.2 * map.positive_maximum(), "{corner}");
        }
    }

    #[test]
    fn a_constant_part_of_the_score_adds_nothing() {
        let map = |offset| {
            let model = patch_model(1.0, offset);
            let queries = Queries::new(&model).with_sampling(Some(50), 2);
            model.explain(&Rise::DEFAULT, &ones(), queries).unwrap()
        };
        for (a, b) in map(0.0).values.iter().zip(map(64.0).values) {
            assert!((a - b).abs() < 1e-4);
        }
    }

    #[test]
    fn a_seed_gives_one_map_at_any_number_of_threads() {
        patch_model(1.0, 5.0).assert_is_reproducible(&Rise::DEFAULT, &ones(), Some(40));
    }

    #[test]
    fn settings_without_a_meaning_are_refused() {
        let model = patch_model(1.0, 0.0);
        let kind = |cells, probability, samples| {
            let queries = Queries::new(&model).with_sampling(Some(samples), 0);
            let method = Rise { cells, probability };
            model.explain(&method, &ones(), queries).unwrap_err().kind()
        };
        assert_eq!(kind(0, 0.5, 10), ErrorKind::InvalidArgument);
        assert_eq!(kind(8, 0.0, 10), ErrorKind::InvalidArgument);
        assert_eq!(kind(8, f64::NAN, 10), ErrorKind::InvalidArgument);
        assert_eq!(kind(8, 0.5, 1), ErrorKind::InvalidArgument);
    }
}
