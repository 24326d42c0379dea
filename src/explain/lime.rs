//! LIME for images (Ribeiro et al., 2016, "Why Should I Trust You?: Explaining the Predictions of Any Classifier").

use super::fill::{compose, mean_fill};
use super::least_squares::LeastSquares;
use super::rasterize::area_averaged;
use super::sampling::number_of_samples;
use super::superpixels::Superpixels;
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, SampleCount, Score, Target};
use crate::heatmap::Heatmap;
use crate::random::Random;

/// Where no other number is asked for.
const DEFAULT_SAMPLES: usize = 1000;

/// A ridge regression of the score on which superpixels are shown: `score(z) ~ b + sum_j c_j z_j`, with `z_j` 0 where superpixel `j` has
/// its mean colour. Each pixel of the map has the coefficient `c_j` of its superpixel.
///
/// As in the `lime` package: every superpixel is shown or not by the toss of a coin, the first sample shows all, and a sample weighs
/// `sqrt(exp(-d^2 / width^2))` with `d` the cosine distance of `z` from all ones. The superpixels are SLIC's instead of quickshift's. As in
/// the package, probabilities are explained where nothing else is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Lime {
    /// About how many superpixels to cut the picture into.
    pub superpixels: usize,
    /// How fast samples lose weight with their distance.
    pub kernel_width: f64,
    /// The ridge penalty.
    pub penalty: f64,
}

impl Default for Lime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Lime {
    pub(super) const DEFAULT: Self = Self {
        superpixels: 50,
        kernel_width: 0.25,
        penalty: 1.0,
    };

    /// Of a sample that shows `shown` of `count` superpixels.
    fn weight(self, shown: usize, count: usize) -> f64 {
        // The cosine between zeros and ones and all ones; 0 for the sample that shows nothing.
        let distance = 1.0 - (shown as f64 / count as f64).sqrt();
        (-(distance / self.kernel_width).powi(2)).exp().sqrt()
    }

    /// The superpixels and their coefficients.
    fn coefficients(
        self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<(Superpixels, Vec<f64>)> {
        let samples = number_of_samples(&self, queries, DEFAULT_SAMPLES)?;
        let normalization = &queries.model().spec().normalization;
        let superpixels = Superpixels::of(view.input, normalization, self.superpixels);
        let fill = mean_fill(view.input, &superpixels);
        let mut random = Random::new(queries.seed(), 0);
        let mut is_shown = vec![vec![true; superpixels.count]];
        is_shown.resize_with(samples, || {
            (0..superpixels.count).map(|_| random.chance(0.5)).collect()
        });
        // The first sample is the picture itself, whose score is known.
        let mut scores = vec![target.value(&view.forward.logits)];
        scores.extend(queries.scores(samples - 1, target, |index| {
            compose(view.input, &fill, &superpixels, &is_shown[index + 1])
        })?);
        let rows: Vec<Vec<f64>> = is_shown
            .iter()
            .map(|sample| {
                sample
                    .iter()
                    .map(|is_on| f64::from(u8::from(*is_on)))
                    .collect()
            })
            .collect();
        let weights: Vec<f64> = is_shown
            .iter()
            .map(|sample| {
                let shown = sample.iter().filter(|is_on| **is_on).count();
                self.weight(shown, superpixels.count)
            })
            .collect();
        let regression = LeastSquares {
            penalty: self.penalty,
            has_intercept: true,
        };
        let coefficients = regression.coefficients(&rows, &scores, &weights)?;
        Ok((superpixels, coefficients))
    }
}

impl Explainer for Lime {
    fn name(&self) -> &'static str {
        "lime"
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
        let (superpixels, coefficients) = self.coefficients(queries, view, target)?;
        Ok(area_averaged(
            &superpixels.spread(&coefficients),
            view.input.size,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::explain::rasterize::GRID;
    use crate::explain::toy_model::{ToyModel, switches, textured_picture};
    use crate::model::{ModelInput, Normalization};

    const NINE: Lime = Lime {
        superpixels: 9,
        ..Lime::DEFAULT
    };

    /// A model that is linear in nine superpixels, with the coefficients.
    fn linear() -> (ToyModel, ModelInput, Superpixels, Vec<f64>) {
        let input = textured_picture(GRID);
        let superpixels = Superpixels::of(&input, &Normalization::TORCH, 9);
        let fill = mean_fill(&input, &superpixels);
        let coefficients: Vec<f64> = (0..superpixels.count)
            .map(|label| 3.0 * ((label * 5 + 2) % 11) as f64 - 12.0)
            .collect();
        let (read, of_model) = (switches(&input, &fill, &superpixels), coefficients.clone());
        let model = ToyModel::new(GRID, move |shown| {
            let states = read(shown).into_iter().zip(&of_model);
            40.0 + states.map(|(state, weight)| state * weight).sum::<f64>()
        });
        (model, input, superpixels, coefficients)
    }

    #[test]
    fn a_linear_model_has_its_coefficients_back() {
        let (model, input, superpixels, coefficients) = linear();
        let method = Lime {
            penalty: 1e-9,
            ..NINE
        };
        let queries = Queries::new(&model).with_sampling(Some(60), 1);
        let map = model.explain(&method, &input, queries).unwrap();
        assert_eq!(model.passes(), 59);
        assert_eq!((map.width, map.height), (GRID, GRID));
        for (value, label) in map.values.iter().zip(&superpixels.labels) {
            let expected = coefficients[*label] as f32;
            assert!((value - expected).abs() < 1e-3, "{value} {expected}");
        }
    }

    #[test]
    fn the_default_penalty_keeps_order_and_signs() {
        let (model, input, superpixels, coefficients) = linear();
        let map = model.explain(&NINE, &input, Queries::new(&model)).unwrap();
        assert_eq!(model.passes(), 999);
        let found: Vec<f32> = (0..superpixels.count)
            .map(|label| {
                let pixel = superpixels.labels.iter().position(|other| *other == label);
                map.values[pixel.unwrap()]
            })
            .collect();
        for (i, a) in coefficients.iter().enumerate() {
            assert!(
                (f64::from(found[i]) - a).abs() < 0.2 * a.abs().max(1.0),
                "{found:?}"
            );
            for (j, b) in coefficients.iter().enumerate() {
                assert!(a <= b || found[i] > found[j], "{coefficients:?} {found:?}");
            }
        }
    }

    #[test]
    fn samples_weigh_as_in_the_lime_package() {
        // Cosine distance of (1, 0, 0, 0) from (1, 1, 1, 1): 1 - 1 / 2.
        assert!((Lime::DEFAULT.weight(1, 4) - (-4.0f64).exp().sqrt()).abs() < 1e-15);
        assert_eq!(Lime::DEFAULT.weight(4, 4), 1.0);
        assert!((Lime::DEFAULT.weight(0, 4) - (-8.0f64).exp()).abs() < 1e-15);
    }

    #[test]
    fn a_seed_gives_one_map_at_any_number_of_threads() {
        let (model, input, ..) = linear();
        model.assert_is_reproducible(&NINE, &input, Some(30));
    }

    #[test]
    fn one_sample_is_too_few() {
        let (model, input, ..) = linear();
        let queries = Queries::new(&model).with_sampling(Some(1), 0);
        let error = model.explain(&NINE, &input, queries).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.one_line(), "lime needs at least 2 samples, not 1");
    }
}
