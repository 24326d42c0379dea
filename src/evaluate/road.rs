//! ROAD, "remove and debias" (Rong 2022): the probability when the most and when the least relevant pixels are gone.
//!
//! Pixels are removed by [`impute`] plus a little noise, because a hole of one colour has a shape that the network may read. As in
//! pytorch-grad-cam's `ROADCombined`, percentile `p` keeps `p` % of the pixels and removes the others, and the score is the mean
//! over percentiles of `(least relevant first - most relevant first) / 2`. Its pixels are chosen by a threshold, so that it removes
//! all that tie with it; here they are chosen by rank, and it is always the same number.

use crate::error::Result;
use crate::evaluate::imputation::impute;
use crate::explain::{Queries, Target};
use crate::model::{ModelInput, Normalization};
use crate::random::Random;

/// The target's score per percentile, and what is made of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Road {
    /// With the most relevant pixels removed.
    pub most_relevant_first: Vec<f64>,
    /// With the least relevant pixels removed.
    pub least_relevant_first: Vec<f64>,
    /// Mean of `(least - most) / 2`, in [-0.5, 0.5] for probabilities. Higher is better.
    pub score: f64,
}

/// How pixels are removed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Removal<'a> {
    /// Shares of pixels that stay, in percent.
    pub percentiles: &'a [f64],
    /// Deviation of the noise in units of torchvision's normalisation, whatever the network's own: 0.01 is 0.6 of 255 grey levels.
    pub noise: f64,
    /// Of the noise.
    pub seed: u64,
}

/// Removes pixels by both orders at all percentiles. Takes two passes per percentile.
///
/// # Errors
/// As [`Queries::map`] and [`impute`].
pub fn road(
    queries: &Queries<'_>,
    target: Target,
    input: &ModelInput,
    ranking: &[usize],
    removal: Removal<'_>,
) -> Result<Road> {
    let deviations = noise_deviations(&queries.model().spec().normalization, removal.noise);
    let count = removal.percentiles.len();
    let scores = queries.map(2 * count, |index| {
        let share = 1.0 - removal.percentiles[index % count] / 100.0;
        let removed = (share * ranking.len() as f64).round() as usize;
        let removed = removed.min(ranking.len());
        let pixels = if index < count {
            &ranking[..removed]
        } else {
            &ranking[ranking.len() - removed..]
        };
        let mut random = Random::new(removal.seed, index as u64);
        let input = without(input, pixels, deviations, &mut random)?;
        let forward = queries.model().forward(&input, &[])?;
        Ok(target.value(&forward.logits))
    })?;
    let (most, least) = scores.split_at(count);
    let sum: f64 = least
        .iter()
        .zip(most)
        .map(|(least, most)| least - most)
        .sum();
    Ok(Road {
        score: sum / 2.0 / count.max(1) as f64,
        most_relevant_first: most.to_vec(),
        least_relevant_first: least.to_vec(),
    })
}

/// The noise of each input channel in the network's own units.
fn noise_deviations(normalization: &Normalization, noise: f64) -> [f64; 3] {
    [0, 1, 2].map(|channel| {
        let colour = normalization.channel_order[channel];
        let grey_levels = noise * f64::from(Normalization::TORCH.deviation[colour]);
        grey_levels / f64::from(normalization.deviation[channel])
    })
}

/// The picture with these pixels imputed, with noise on them.
fn without(
    input: &ModelInput,
    pixels: &[usize],
    deviations: [f64; 3],
    random: &mut Random,
) -> Result<ModelInput> {
    let area = input.size * input.size;
    let mut is_missing = vec![false; area];
    for &pixel in pixels {
        is_missing[pixel] = true;
    }
    let mut output = impute(input, &is_missing)?;
    for (plane, deviation) in output.values.chunks_exact_mut(area).zip(deviations) {
        for (value, _) in plane.iter_mut().zip(&is_missing).filter(|(_, is)| **is) {
            *value += (deviation * random.normal()) as f32;
        }
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::baselines;
    use crate::evaluate::saliency::Saliency;
    use crate::evaluate::test_model::{PatchModel, SIZE};

    const REMOVAL: Removal<'_> = Removal {
        percentiles: &[20.0, 40.0, 60.0, 80.0],
        noise: 0.01,
        seed: 7,
    };

    fn run(model: &PatchModel, saliency: &Saliency, threads: usize) -> Road {
        let queries = Queries::new(model).with_threads(threads);
        let ranking = saliency.ranking();
        road(&queries, model.target(), &model.picture, &ranking, REMOVAL).unwrap()
    }

    /// Every imputed pixel of the patch has noise, so that it counts as gone.
    #[test]
    fn a_perfect_map_scores_the_most_and_its_inverse_the_least() {
        let model = PatchModel::new();
        let perfect = run(&model, &model.perfect(), 1);
        assert!(
            perfect
                .most_relevant_first
                .iter()
                .all(|p| (p - 0.1).abs() < 1e-6)
        );
        assert!(
            perfect
                .least_relevant_first
                .iter()
                .all(|p| (p - 0.9).abs() < 1e-6)
        );
        assert!((perfect.score - 0.4).abs() < 1e-6);
        let mut inverse = model.perfect();
        inverse.values.iter_mut().for_each(|value| *value = -*value);
        assert!((run(&model, &inverse, 1).score + 0.4).abs() < 1e-6);
        let random = Saliency::new(&baselines::random(7), SIZE);
        assert!(run(&model, &random, 1).score.abs() < 0.3);
    }

    #[test]
    fn threads_change_nothing() {
        let model = PatchModel::new();
        let random = Saliency::new(&baselines::random(7), SIZE);
        assert_eq!(run(&model, &random, 1), run(&model, &random, 3));
    }

    #[test]
    fn noise_is_the_same_in_grey_levels_for_every_normalisation() {
        for deviation in noise_deviations(&Normalization::TORCH, 0.01) {
            assert!((deviation - 0.01).abs() < 1e-9);
        }
        // BGR with deviation 1.
        let caffe = noise_deviations(&Normalization::CAFFE, 0.01);
        assert!((caffe[0] - 0.573_75).abs() < 1e-6 && (caffe[2] - 0.583_95).abs() < 1e-6);
    }

    #[test]
    fn noise_lies_on_removed_pixels_only() {
        let model = PatchModel::new();
        let mut random = Random::new(1, 0);
        let output = without(&model.picture, &[3, 20], [0.5; 3], &mut random).unwrap();
        let area = SIZE * SIZE;
        for (index, (value, before)) in output.values.iter().zip(&model.picture.values).enumerate()
        {
            assert_eq!(
                value == before,
                ![3, 20].contains(&(index % area)),
                "{index}"
            );
        }
    }
}
