//! Deletion and insertion (Petsiuk 2018, "RISE"): how the probability changes while pixels disappear or appear in the map's order.
//!
//! As in the authors' `evaluation.py`: deletion sets pixels to 0 in normalised space (the mean colour), insertion starts from the
//! blurred picture ([`blurred`](super::blur::blurred)). A good map has a small area under the deletion curve and a large one under
//! the insertion curve.

use crate::error::Result;
use crate::explain::{Queries, Target};
use crate::model::ModelInput;

/// The target's score after each step, from none to all pixels changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// `steps + 1` scores.
    pub scores: Vec<f64>,
    /// Their [`area_under`].
    pub auc: f64,
}

/// Trapezoid rule over [0, 1]: `(sum - first / 2 - last / 2) / steps`; the score itself if there is only one.
pub fn area_under(scores: &[f64]) -> f64 {
    match scores {
        [] => 0.0,
        [only] => *only,
        [first, .., last] => {
            let sum: f64 = scores.iter().sum();
            (sum - first / 2.0 - last / 2.0) / (scores.len() - 1) as f64
        }
    }
}

/// How many steps change `pixels` pixels; the last may be shorter.
pub fn step_count(pixels: usize, pixels_per_step: usize) -> usize {
    pixels.div_ceil(pixels_per_step.max(1))
}

/// Sets the pixels to 0 in the order of `ranking`. Lower is better. Takes `step_count + 1` passes.
///
/// # Errors
/// As [`Queries::scores`].
pub fn deletion(
    queries: &Queries<'_>,
    target: Target,
    input: &ModelInput,
    ranking: &[usize],
    pixels_per_step: usize,
) -> Result<Curve> {
    let empty = ModelInput {
        size: input.size,
        values: vec![0.0; input.values.len()],
    };
    change(queries, target, input, &empty, ranking, pixels_per_step)
}

/// Copies the pixels of `input` into `blurred` in the order of `ranking`. Higher is better. Takes `step_count + 1` passes.
///
/// # Errors
/// As [`Queries::scores`].
pub fn insertion(
    queries: &Queries<'_>,
    target: Target,
    input: &ModelInput,
    blurred: &ModelInput,
    ranking: &[usize],
    pixels_per_step: usize,
) -> Result<Curve> {
    change(queries, target, blurred, input, ranking, pixels_per_step)
}

fn change(
    queries: &Queries<'_>,
    target: Target,
    start: &ModelInput,
    finish: &ModelInput,
    ranking: &[usize],
    pixels_per_step: usize,
) -> Result<Curve> {
    let area = start.size * start.size;
    let steps = step_count(ranking.len(), pixels_per_step);
    let scores = queries.scores(steps + 1, target, |step| {
        let changed = (step * pixels_per_step.max(1)).min(ranking.len());
        let mut input = start.clone();
        let planes = input.values.chunks_exact_mut(area);
        for (plane, finish) in planes.zip(finish.values.chunks_exact(area)) {
            for &pixel in &ranking[..changed] {
                plane[pixel] = finish[pixel];
            }
        }
        input
    })?;
    let auc = area_under(&scores);
    Ok(Curve { scores, auc })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::blur::blurred;
    use crate::evaluate::test_model::{PatchModel, SIZE};

    #[test]
    fn the_area_is_that_of_rise() {
        assert_eq!(area_under(&[1.0, 0.5, 0.0]), 0.5);
        assert_eq!(area_under(&[0.5, 1.0, 1.0, 0.0]), (0.75 + 1.0 + 0.5) / 3.0);
        assert_eq!(area_under(&[0.25]), 0.25);
        assert_eq!(step_count(224 * 224, 224), 224);
        assert_eq!(step_count(10, 4), 3);
    }

    /// The patch has as many pixels as one step, and gives 0.9 if whole and 0.1 if gone.
    #[test]
    fn a_perfect_ranking_deletes_the_patch_first_and_an_inverse_one_last() {
        let model = PatchModel::new();
        let queries = Queries::new(&model).with_threads(2);
        let run = |ranking: &[usize]| {
            deletion(&queries, model.target(), &model.picture, ranking, SIZE).unwrap()
        };
        let mut ranking = model.perfect().ranking();
        let perfect = run(&ranking);
        assert_eq!(perfect.scores.len(), SIZE + 1);
        assert!((perfect.scores[0] - 0.9).abs() < 1e-6);
        let expected = (0.9 / 2.0 + 15.5 * 0.1) / 16.0;
        assert!((perfect.auc - expected).abs() < 1e-6, "{}", perfect.auc);
        ranking.reverse();
        let inverse = run(&ranking).auc;
        assert!((inverse - (15.5 * 0.9 + 0.1 / 2.0) / 16.0).abs() < 1e-6);
    }

    #[test]
    fn a_perfect_ranking_inserts_the_patch_first_and_an_inverse_one_last() {
        let model = PatchModel::new();
        let queries = Queries::new(&model).with_threads(2);
        let blurred = blurred(&model.picture, 11, 5.0);
        let run = |ranking: &[usize]| {
            let target = model.target();
            insertion(&queries, target, &model.picture, &blurred, ranking, SIZE).unwrap()
        };
        let mut ranking = model.perfect().ranking();
        let perfect = run(&ranking).auc;
        assert!((perfect - (0.1 / 2.0 + 15.5 * 0.9) / 16.0).abs() < 1e-6);
        ranking.reverse();
        let inverse = run(&ranking).auc;
        assert!((inverse - (15.5 * 0.1 + 0.9 / 2.0) / 16.0).abs() < 1e-6);
    }
}
