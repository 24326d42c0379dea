//! The suspicion put to the test: what the network says when it cannot see the region.
//!
//! SpRAy (Lapuschkin 2019) ends with a person who looks at clusters. Here the region is masked and the network asked again, beside random
//! regions of the same shape and size: only if the class's probability falls far more without this region is the suspicion confirmed.

use serde::Serialize;

use super::rereading::{Remembered, Rereading};
use super::spray::{FocusMap, SIDE};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::imputation::impute;
use crate::explain::Queries;
use crate::model::{Classifier, ModelInput, ranked};
use crate::pipeline::{CancelToken, Explaining};
use crate::preprocess::{Preprocessor, ResizePolicy};
use crate::random::Random;

/// Pictures that are asked about.
pub(super) const MOST_PICTURES: usize = 32;
/// Fewer say nothing.
const FEWEST_PICTURES: usize = 3;
/// Random regions per picture.
const RANDOM_REGIONS: usize = 4;
/// The probability must fall by so much on average...
const CONFIRMING_DROP: f64 = 0.1;
/// ...so many times as far as without a random region...
const CONFIRMING_FACTOR: f64 = 2.0;
/// ...and farther in this share of the pictures.
const CONFIRMING_SHARE: f64 = 0.75;

/// A neighbour of the region with so much of its evidence per cell is masked, too: what is left of an artefact would be seen, and carried
/// into the hole when it is filled in.
const NEIGHBOUR_SHARE: f32 = 0.25;

/// What is masked for a suspicious region (cells of the 7x7 grid, ascending): the region, and those cells around it that have a quarter of
/// its evidence per cell in the cluster's mean map.
pub(super) fn region_to_mask(region: &[usize], mean: &FocusMap) -> Vec<usize> {
    let sum: f32 = region.iter().map(|cell| mean[*cell]).sum();
    let least = NEIGHBOUR_SHARE * sum / region.len().max(1) as f32;
    let is_beside = |cell: usize, other: &usize| {
        let (row, column) = (cell / SIDE, cell % SIDE);
        row.abs_diff(other / SIDE) <= 1 && column.abs_diff(other % SIDE) <= 1
    };
    let is_masked = |cell: &usize| {
        region.contains(cell)
            || (mean[*cell] >= least && region.iter().any(|other| is_beside(*cell, other)))
    };
    (0..SIDE * SIDE).filter(is_masked).collect()
}

/// What came of masking a region. Probabilities are softmax probabilities of the cluster's class, means over the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Trial {
    /// Pictures that were asked about.
    pub pictures: usize,
    /// Probability of the whole picture.
    pub prob: f64,
    /// Probability with the region filled in from its surroundings.
    pub prob_masked: f64,
    /// Probability with random other regions of the same size filled in.
    pub prob_random: f64,
    /// Share of the pictures that lose more by the region than by random ones.
    pub share_of_larger_drops: f64,
    /// Whether the network needs this region as it needs no other.
    pub is_confirmed: bool,
}

/// How pictures are read again and asked about.
pub(super) struct Trying<'a> {
    pub(super) rereading: Rereading<'a>,
    pub(super) explaining: &'a Explaining<'a>,
    pub(super) resize: ResizePolicy,
    pub(super) cancel: &'a CancelToken,
}

/// Probabilities of one picture.
#[derive(Debug, Clone, Copy)]
struct Answer {
    whole: f64,
    masked: f64,
    random: f64,
}

impl Trying<'_> {
    /// Masks `region` (cells of the 7x7 grid) in these pictures, whose class is `class`. None if too few of them can still be read, or if the
    /// region leaves no room for others.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if the network fails, [`ErrorKind::Cancelled`] if the run is to stop.
    pub(super) fn run(
        &self,
        remembered: &[Remembered],
        class: usize,
        region: &[usize],
    ) -> Result<Option<Trial>> {
        let explaining = self.explaining;
        let queries = Queries::new(explaining.model).with_threads(explaining.workers);
        let answers = queries.map(remembered.len(), |index| {
            self.check()?;
            let Some(input) = self.input(&remembered[index])? else {
                return Ok(None);
            };
            // A region at random for each picture, the same in every run.
            let mut random = Random::new(explaining.seed, index as u64);
            ask(explaining.model, &input, class, region, &mut random)
        })?;
        let answers: Vec<Answer> = answers.into_iter().flatten().collect();
        Ok((answers.len() >= FEWEST_PICTURES).then(|| conclude(&answers)))
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the run is to stop.
    pub(super) fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        Ok(())
    }

    /// What the network read; none if the file is gone or has changed.
    fn input(&self, remembered: &Remembered) -> Result<Option<ModelInput>> {
        let read = match self.rereading.read(remembered) {
            Ok(Some(read)) => read,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Ok(None) | Err(_) => return Ok(None),
        };
        let spec = self.explaining.model.spec();
        let mut preprocessor =
            Preprocessor::new(self.resize, spec).with_pixel_aspect(read.pixel_aspect);
        preprocessor.run(&read.picture, read.orientation).map(Some)
    }
}

fn ask(
    model: &dyn Classifier,
    input: &ModelInput,
    class: usize,
    region: &[usize],
    random: &mut Random,
) -> Result<Option<Answer>> {
    let probability = |input: &ModelInput| -> Result<f64> {
        let ranking = ranked(&model.forward(input, &[])?.logits);
        let found = ranking.iter().find(|prediction| prediction.index == class);
        Ok(found.map_or(0.0, |prediction| prediction.probability))
    };
    let mut sum = 0.0;
    for _ in 0..RANDOM_REGIONS {
        let Some(other) = elsewhere(region, random) else {
            return Ok(None);
        };
        sum += probability(&masked(input, &other)?)?;
    }
    Ok(Some(Answer {
        whole: probability(input)?,
        masked: probability(&masked(input, region)?)?,
        random: sum / RANDOM_REGIONS as f64,
    }))
}

/// The input with these cells of the 7x7 grid filled in from their surroundings. A patch of one colour would be an artefact of its own: in
/// the planted dataset of the tests the network takes it for half of the mark that it covers.
fn masked(input: &ModelInput, region: &[usize]) -> Result<ModelInput> {
    let size = input.size;
    let mut is_missing = vec![false; size * size];
    let span = |index: usize| index * size / SIDE..(index + 1) * size / SIDE;
    for cell in region {
        for row in span(cell / SIDE) {
            is_missing[row * size..][span(cell % SIDE)].fill(true);
        }
    }
    impute(input, &is_missing)
}

/// As many cells that do not touch the region's: its shape at a random other place if it fits anywhere, else cells at random.
fn elsewhere(region: &[usize], random: &mut Random) -> Option<Vec<usize>> {
    let is_free = |cell: usize| !region.contains(&cell);
    let mut places = Vec::new();
    let side = SIDE as isize;
    for down in 1 - side..side {
        for right in 1 - side..side {
            let moved = |cell: &usize| -> Option<usize> {
                let (row, column) = (
                    (cell / SIDE) as isize + down,
                    (cell % SIDE) as isize + right,
                );
                let is_inside = (0..side).contains(&row) && (0..side).contains(&column);
                let cell = is_inside.then(|| (row * side + column) as usize)?;
                is_free(cell).then_some(cell)
            };
            places.extend(region.iter().map(moved).collect::<Option<Vec<usize>>>());
        }
    }
    if !places.is_empty() {
        return Some(places.swap_remove(random.below(places.len())));
    }
    let free: Vec<usize> = (0..SIDE * SIDE).filter(|cell| is_free(*cell)).collect();
    if free.len() < region.len() {
        return None;
    }
    let chosen = random.subset(free.len(), region.len());
    let cells = free
        .into_iter()
        .zip(chosen)
        .filter(|(_, is_chosen)| *is_chosen);
    Some(cells.map(|(cell, _)| cell).collect())
}

fn conclude(answers: &[Answer]) -> Trial {
    let mean = |value: &dyn Fn(&Answer) -> f64| {
        answers.iter().map(value).sum::<f64>() / answers.len() as f64
    };
    let (prob, prob_masked, prob_random) = (
        mean(&|answer| answer.whole),
        mean(&|answer| answer.masked),
        mean(&|answer| answer.random),
    );
    let larger = answers
        .iter()
        .filter(|answer| answer.masked < answer.random)
        .count();
    let share = larger as f64 / answers.len() as f64;
    let (drop, random_drop) = (prob - prob_masked, prob - prob_random);
    Trial {
        pictures: answers.len(),
        prob,
        prob_masked,
        prob_random,
        share_of_larger_drops: share,
        is_confirmed: drop >= CONFIRMING_DROP
            && drop >= CONFIRMING_FACTOR * random_drop
            && share >= CONFIRMING_SHARE,
    }
}

/// How suspicions are tested, in a sentence.
pub(super) fn how() -> String {
    format!(
        "Each suspicion is tested: in up to {MOST_PICTURES} pictures of the cluster, each of another file, the region is filled in from its surroundings and the network \
         asked again, beside {RANDOM_REGIONS} random other regions of the same size. It is confirmed if the probability falls by at \
         least {:.0} points, at least {CONFIRMING_FACTOR} times as far as without a random region, and farther in at least {:.0} % of the \
         pictures.",
        100.0 * CONFIRMING_DROP,
        100.0 * CONFIRMING_SHARE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_cells_are_filled_in_and_others_stay() {
        let values = (0..3 * 14 * 14).map(|index| (index % 14) as f32).collect();
        let mut input = ModelInput { size: 14, values };
        // A spot that nothing around it explains.
        input.values[6 * 14 + 6] = 100.0;
        let masked = masked(&input, &[3 * 7 + 3]).unwrap();
        assert!(
            masked.values[6 * 14 + 6] < 8.0,
            "{}",
            masked.values[6 * 14 + 6]
        );
        let changed = input
            .values
            .iter()
            .zip(&masked.values)
            .filter(|(a, b)| (**a - **b).abs() > 1e-3);
        assert_eq!(changed.count(), 1, "a slope goes on as it was");
    }

    #[test]
    fn neighbours_with_evidence_are_masked_too() {
        let mut mean = [0.0; 49];
        (mean[5], mean[6]) = (0.2, 0.3);
        (mean[12], mean[13], mean[4]) = (0.1, 0.05, 0.06);
        // Far away.
        mean[40] = 0.2;
        assert_eq!(region_to_mask(&[5, 6], &mean), [5, 6, 12]);
        assert_eq!(region_to_mask(&[6], &mean), [5, 6, 12]);
    }

    #[test]
    fn a_random_region_has_the_size_and_touches_none_of_the_cells() {
        let mut random = Random::new(0, 0);
        let corner = [0, 1, 7, 8];
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let other = elsewhere(&corner, &mut random).unwrap();
            assert_eq!(other.len(), 4);
            assert!(other.iter().all(|cell| !corner.contains(cell)));
            assert_eq!(other[3] - other[0], 8, "the shape stays");
            seen.insert(other);
        }
        assert!(seen.len() > 25, "of 32 places");
        let ring: Vec<usize> = (0..49)
            .filter(|cell| matches!(cell / 7, 0 | 6) || matches!(cell % 7, 0 | 6))
            .collect();
        assert_eq!(elsewhere(&ring, &mut random).unwrap().len(), 24);
        assert_eq!(elsewhere(&(0..30).collect::<Vec<_>>(), &mut random), None);
    }

    #[test]
    fn only_a_drop_far_beyond_chance_confirms() {
        let answers = |whole, masked, random| {
            [Answer {
                whole,
                masked,
                random,
            }; 4]
        };
        assert!(conclude(&answers(0.9, 0.3, 0.85)).is_confirmed);
        assert!(
            !conclude(&answers(0.9, 0.85, 0.9)).is_confirmed,
            "hardly a drop"
        );
        assert!(
            !conclude(&answers(0.9, 0.3, 0.5)).is_confirmed,
            "everything is needed"
        );
        let mut mixed = answers(0.9, 0.0, 0.9);
        mixed[0] = Answer {
            whole: 0.9,
            masked: 0.9,
            random: 0.5,
        };
        mixed[1] = mixed[0];
        assert!(!conclude(&mixed).is_confirmed, "half of them need it");
    }
}
