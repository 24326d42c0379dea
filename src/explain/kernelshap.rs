//! Kernel SHAP (Lundberg and Lee, 2017, "A Unified Approach to Interpreting Model Predictions").

use std::iter;

use super::coalitions::{Coalition, chosen_coalitions};
use super::fill::{Fill, compose};
use super::least_squares::LeastSquares;
use super::rasterize::area_averaged;
use super::sampling::number_of_samples;
use super::superpixels::Superpixels;
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, SampleCount, Target};
use crate::heatmap::Heatmap;
use crate::random::Random;

/// Where no other number is asked for.
const DEFAULT_SAMPLES: usize = 1000;
/// Passes that are no coalitions: nothing shown and everything shown.
const ENDS: usize = 2;

/// The Shapley values of superpixels: what each adds to the score on average over all orders in which they could be shown. Each pixel of
/// the map has the value of its superpixel, and the values add up to `f(x) - f(baseline)`, the baseline being the fill alone.
///
/// `minimise sum_z w(z) (f(z) - f(baseline) - sum_j phi_j z_j)^2` with that sum held fixed, over coalitions `z` in pairs with their
/// complements, and the kernel `w(z) = (M - 1) / (C(M, |z|) |z| (M - |z|))`. Sizes of coalitions of which all fit are complete, the others
/// are drawn by the kernel's weight. Exact if all `2^M` coalitions fit in the samples, of which `f(x)` and `f(baseline)` are two. What too
/// few samples leave open is shared equally.
#[derive(Debug, Clone, Copy)]
pub struct KernelShap {
    /// About how many superpixels to cut the picture into: the players.
    pub superpixels: usize,
    /// What superpixels that do not take part show.
    pub fill: Fill,
}

impl Default for KernelShap {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl KernelShap {
    pub(super) const DEFAULT: Self = Self {
        superpixels: 50,
        fill: Fill::Blur,
    };
}

impl Explainer for KernelShap {
    fn name(&self) -> &'static str {
        "kernelshap"
    }

    fn sample_count(&self) -> Option<SampleCount> {
        Some(SampleCount {
            default: Some(DEFAULT_SAMPLES),
            // Beside the ends one coalition and its complement.
            least: ENDS + 2,
        })
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
        let samples = number_of_samples(self, queries, DEFAULT_SAMPLES)?;
        let normalization = &queries.model().spec().normalization;
        let superpixels = Superpixels::of(view.input, normalization, self.superpixels);
        let fill = self.fill.picture(view.input);
        let mut random = Random::new(queries.seed(), 0);
        let coalitions = chosen_coalitions(superpixels.count, samples - ENDS, &mut random);
        let scores = queries.scores(1 + coalitions.len(), target, |index| match index {
            0 => fill.clone(),
            _ => compose(
                view.input,
                &fill,
                &superpixels,
                &coalitions[index - 1].is_in,
            ),
        })?;
        let full = target.value(&view.forward.logits);
        let values = shapley_values(
            &coalitions,
            &scores[1..],
            superpixels.count,
            scores[0],
            full,
        )?;
        Ok(area_averaged(&superpixels.spread(&values), view.input.size))
    }
}

/// The value of each player, given the coalitions' scores and those of no players (`empty`) and all (`full`).
///
/// # Errors
/// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if a score is no number.
fn shapley_values(
    coalitions: &[Coalition],
    scores: &[f64],
    players: usize,
    empty: f64,
    full: f64,
) -> Result<Vec<f64>> {
    // What is sought is each player's difference from an equal share. They add up to 0, so that the rows may be centred; then a row of
    // ones holds that sum, against nothing else, and where coalitions leave something open, the shortest solution is the most equal.
    let share = (full - empty) / players as f64;
    let mut rows = vec![vec![1.0; players]];
    let mut targets = vec![0.0];
    for (coalition, score) in coalitions.iter().zip(scores) {
        let in_or_out = |player: usize| f64::from(u8::from(coalition.is_in[player]));
        let size: f64 = (0..players).map(in_or_out).sum();
        let mean = size / players as f64;
        rows.push(
            (0..players)
                .map(|player| in_or_out(player) - mean)
                .collect(),
        );
        targets.push(score - empty - size * share);
    }
    let total: f64 = coalitions.iter().map(|coalition| coalition.weight).sum();
    // As much as all coalitions together, so that neither drowns the other in rounding.
    let sum_weight = if total > 0.0 {
        total / players as f64
    } else {
        1.0
    };
    let weights: Vec<f64> = iter::once(sum_weight)
        .chain(coalitions.iter().map(|coalition| coalition.weight))
        .collect();
    let regression = LeastSquares {
        penalty: 0.0,
        has_intercept: false,
    };
    let differences = regression.coefficients(&rows, &targets, &weights)?;
    Ok(differences.into_iter().map(|value| share + value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::explain::rasterize::GRID;
    use crate::explain::toy_model::{ToyModel, switches, textured_picture};
    use crate::model::{ModelInput, Normalization};

    /// Values of a game from `samples` passes.
    fn values(players: usize, samples: usize, game: impl Fn(&[bool]) -> f64) -> Vec<f64> {
        let mut random = Random::new(11, 0);
        let coalitions = chosen_coalitions(players, samples - ENDS, &mut random);
        let scores: Vec<f64> = coalitions.iter().map(|c| game(&c.is_in)).collect();
        let (empty, full) = (game(&vec![false; players]), game(&vec![true; players]));
        shapley_values(&coalitions, &scores, players, empty, full).unwrap()
    }

    /// By their definition: a player's mean contribution over all coalitions of the others, each size counting the same.
    fn brute_force(players: usize, game: impl Fn(&[bool]) -> f64) -> Vec<f64> {
        let factorial = |n: usize| (1..=n).map(|factor| factor as f64).product::<f64>();
        (0..players)
            .map(|player| {
                (0..1usize << players)
                    .filter(|bits| bits >> player & 1 == 0)
                    .map(|bits| {
                        let mut is_in: Vec<bool> =
                            (0..players).map(|other| bits >> other & 1 == 1).collect();
                        let size = bits.count_ones() as usize;
                        let without = game(&is_in);
                        is_in[player] = true;
                        let orders = factorial(size) * factorial(players - size - 1);
                        orders / factorial(players) * (game(&is_in) - without)
                    })
                    .sum()
            })
            .collect()
    }

    /// Interactions of neighbours and of all, with an offset.
    fn game(is_in: &[bool]) -> f64 {
        let on: Vec<f64> = is_in
            .iter()
            .map(|is_in| f64::from(u8::from(*is_in)))
            .collect();
        let alone: f64 = on
            .iter()
            .enumerate()
            .map(|(i, on)| (i as f64 - 2.0) * on)
            .sum();
        let pairs: f64 = on.windows(2).map(|pair| 3.0 * pair[0] * pair[1]).sum();
        10.0 + alone + pairs + on.iter().sum::<f64>().powi(3) / 20.0 - 4.0 * on[0] * on[2]
    }

    fn assert_close(values: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(expected) {
            assert!(
                (value - expected).abs() < tolerance,
                "{values:?} {expected:?}"
            );
        }
    }

    #[test]
    fn values_are_exact_if_all_coalitions_fit() {
        for players in 3..=9 {
            let expected = brute_force(players, game);
            assert_close(&values(players, 1 << players, game), &expected, 1e-8);
        }
    }

    #[test]
    fn one_and_two_players_have_their_closed_forms() {
        let pair = |is_in: &[bool]| match is_in {
            [true, true] => 10.0,
            [true, false] => 4.0,
            [false, true] => 2.0,
            _ => 1.0,
        };
        assert_close(&values(2, 4, pair), &[5.5, 3.5], 1e-12);
        assert_close(
            &values(1, 4, |is_in| f64::from(u8::from(is_in[0]))),
            &[1.0],
            1e-12,
        );
    }

    #[test]
    fn a_linear_game_is_exact_if_the_samples_determine_it() {
        let weight = |player: usize| ((player * 7) % 11) as f64 - 5.0;
        let linear = |is_in: &[bool]| {
            let players = is_in.iter().enumerate();
            3.0 + players
                .map(|(player, is_in)| weight(player) * f64::from(u8::from(*is_in)))
                .sum::<f64>()
        };
        let expected: Vec<f64> = (0..49).map(weight).collect();
        for samples in [200, 500, 1000] {
            assert_close(&values(49, samples, linear), &expected, 1e-7);
        }
    }

    #[test]
    fn values_add_up_whatever_is_sampled_and_come_near_the_truth() {
        for samples in [4, 9, 60, 500, 4000] {
            let values = values(12, samples, game);
            let expected = game(&[true; 12]) - game(&[false; 12]);
            assert!(
                (values.iter().sum::<f64>() - expected).abs() < 1e-9,
                "{samples}"
            );
            if samples >= 500 {
                assert_close(&values, &brute_force(12, game), 1.0);
            }
        }
    }

    /// Of five players only the first is asked about: what is left is nobody's more than anybody else's, the last's included.
    #[test]
    fn what_is_left_open_is_shared_equally() {
        let coalition = |is_in: [bool; 5]| Coalition {
            is_in: is_in.to_vec(),
            weight: 1.0,
        };
        let pair = [
            [true, false, false, false, false],
            [false, true, true, true, true],
        ];
        let values = shapley_values(&pair.map(coalition), &[10.0, 0.0], 5, 0.0, 10.0).unwrap();
        assert_close(&values, &[10.0, 0.0, 0.0, 0.0, 0.0], 1e-6);
        let pair = [
            [true, false, false, false, true],
            [false, true, true, true, false],
        ];
        let values = shapley_values(&pair.map(coalition), &[10.0, 1.0], 5, 0.0, 11.0).unwrap();
        let third = 1.0 / 3.0;
        assert_close(&values, &[5.0, third, third, third, 5.0], 1e-6);
    }

    /// Four superpixels that interact.
    fn four() -> (KernelShap, ToyModel, ModelInput, Superpixels) {
        let method = KernelShap {
            superpixels: 4,
            ..KernelShap::DEFAULT
        };
        let input = textured_picture(GRID);
        let superpixels = Superpixels::of(&input, &Normalization::TORCH, 4);
        let read = switches(&input, &method.fill.picture(&input), &superpixels);
        let model = ToyModel::new(GRID, move |shown| {
            let is_in: Vec<bool> = read(shown).iter().map(|state| *state > 0.5).collect();
            game(&is_in)
        });
        (method, model, input, superpixels)
    }

    #[test]
    fn the_map_has_the_exact_value_of_each_superpixel() {
        let (method, model, input, superpixels) = four();
        let map = model
            .explain(&method, &input, Queries::new(&model))
            .unwrap();
        assert_eq!(model.passes(), (1 << superpixels.count) - 1);
        let expected = brute_force(superpixels.count, game);
        for (value, label) in map.values.iter().zip(&superpixels.labels) {
            assert!((f64::from(*value) - expected[*label]).abs() < 1e-4);
        }
    }

    #[test]
    fn a_seed_gives_one_map_at_any_number_of_threads() {
        let (_, _, input, _) = four();
        let fill = Fill::MeanColour;
        let method = KernelShap {
            superpixels: 16,
            fill,
        };
        let superpixels = Superpixels::of(&input, &Normalization::TORCH, 16);
        let read = switches(&input, &fill.picture(&input), &superpixels);
        let model = ToyModel::new(GRID, move |shown| {
            let states = read(shown);
            states
                .windows(2)
                .map(|pair| pair[0] * pair[1])
                .sum::<f64>()
                .powi(2)
        });
        model.assert_is_reproducible(&method, &input, Some(60));
        assert_eq!(model.passes(), 59);
    }

    #[test]
    fn three_samples_are_too_few() {
        let (method, model, input, _) = four();
        let queries = Queries::new(&model).with_sampling(Some(3), 0);
        let error = model.explain(&method, &input, queries).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            error.one_line(),
            "kernelshap needs at least 4 samples, not 3"
        );
    }
}
