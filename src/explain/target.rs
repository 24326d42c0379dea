//! What is explained: the class, and the score whose gradient is taken.

use std::borrow::Cow;

use crate::model::{Prediction, TargetLayer, softmax};

/// Which class a frame is explained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetChoice {
    /// Each frame's own top class; should it be the one that is contrasted with, the next.
    #[default]
    Top1,
    /// One class for all frames, by index.
    Class(usize),
}

/// What is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Score {
    /// The class's logit, as in the Grad-CAM paper.
    #[default]
    Logit,
    /// The class's softmax probability, as in the Keras walk-through. Its gradient is contrastive and vanishes as
    /// the probability approaches 1.
    Softmax,
}

impl Score {
    /// Name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logit => "logit",
            Self::Softmax => "softmax",
        }
    }
}

/// The class and score of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Class index.
    pub class: usize,
    /// What is differentiated.
    pub score: Score,
    /// Why the class *and not this one*: its score is subtracted.
    pub contrast: Option<usize>,
}

impl Target {
    /// One class by itself.
    pub fn new(class: usize, score: Score) -> Self {
        Self {
            class,
            score,
            contrast: None,
        }
    }

    /// The same class and not `other`: the difference of the two scores.
    #[must_use]
    pub fn against(self, other: usize) -> Self {
        Self {
            contrast: Some(other),
            ..self
        }
    }

    /// The score's value.
    pub fn value(self, logits: &[f32]) -> f64 {
        let of = match self.score {
            Score::Logit => logits.iter().map(|logit| f64::from(*logit)).collect(),
            Score::Softmax => softmax(logits),
        };
        of[self.class] - self.contrast.map_or(0.0, |other| of[other])
    }

    /// The gradient of the score with respect to every logit: 1 at the class for [`Score::Logit`],
    /// `p_c (delta_cj - p_j)` for [`Score::Softmax`]. In f64, because the softmax form is a difference of nearly equal
    /// numbers when `p_c` is close to 1.
    pub fn logit_weights(self, logits: &[f32]) -> Vec<f64> {
        let mut weights = self.score.logit_weights(self.class, logits);
        if let Some(other) = self.contrast {
            let others = self.score.logit_weights(other, logits);
            for (weight, other) in weights.iter_mut().zip(others) {
                *weight -= other;
            }
        }
        weights
    }
}

impl Score {
    fn logit_weights(self, class: usize, logits: &[f32]) -> Vec<f64> {
        if self == Self::Logit {
            let mut weights = vec![0.0; logits.len()];
            weights[class] = 1.0;
            return weights;
        }
        let probabilities = softmax(logits);
        let of_class = probabilities[class];
        let others = probabilities.iter().enumerate();
        // 1 - p_c as the sum of the others, which does not cancel.
        let of_others: f64 = others
            .filter(|(index, _)| *index != class)
            .map(|(_, probability)| probability)
            .sum();
        let mut weights: Vec<f64> = probabilities
            .iter()
            .map(|probability| -of_class * probability)
            .collect();
        weights[class] = of_class * of_others;
        weights
    }
}

/// What is asked about every picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// One map each; at least one.
    pub targets: Vec<TargetChoice>,
    /// What is differentiated.
    pub score: Score,
    /// Why a class and not this one.
    pub contrast: Option<usize>,
    /// Target layers; a map is the mean of several.
    pub layers: Vec<TargetLayer>,
}

impl Request {
    /// The classes that are named, apart from each picture's own.
    pub fn classes(&self) -> Vec<usize> {
        let targets = self.targets.iter().filter_map(|target| match target {
            TargetChoice::Top1 => None,
            TargetChoice::Class(class) => Some(*class),
        });
        targets.chain(self.contrast).collect()
    }

    /// What [`TargetChoice::Top1`] takes the first of: of a `ranking` by falling logit, all but the class that is contrasted with.
    pub fn candidates<'a>(&self, ranking: &'a [Prediction]) -> Cow<'a, [Prediction]> {
        match self.contrast {
            None => Cow::Borrowed(ranking),
            Some(other) => ranking
                .iter()
                .filter(|prediction| prediction.index != other)
                .copied()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_weights_are_the_derivative_of_the_probability() {
        let logits = [1.0f32, 2.5, -0.5];
        let target = Target::new(1, Score::Softmax);
        let weights = target.logit_weights(&logits);
        let step = 1e-3f32;
        for index in 0..3 {
            let moved = |by: f32| {
                let mut logits = logits;
                logits[index] += by;
                softmax(&logits)[1]
            };
            let numeric = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            assert!(
                (weights[index] - numeric).abs() < 1e-4,
                "{index}: {} {numeric}",
                weights[index]
            );
        }
    }

    #[test]
    fn softmax_weights_stay_contrastive_when_the_class_is_certain() {
        let weights = Target::new(0, Score::Softmax).logit_weights(&[40.0, 0.0, 0.0]);
        assert!(weights[0] > 0.0 && weights[0] < 1e-16);
        assert!(weights.iter().sum::<f64>().abs() < 1e-30);
    }

    #[test]
    fn a_contrast_is_the_difference_of_two_scores() {
        let logits = [1.0f32, 2.5, -0.5];
        for score in [Score::Logit, Score::Softmax] {
            let (this, other) = (Target::new(1, score), Target::new(2, score));
            let both = this.against(2);
            let difference = this.value(&logits) - other.value(&logits);
            assert!((both.value(&logits) - difference).abs() < 1e-12);
            let (a, b) = (this.logit_weights(&logits), other.logit_weights(&logits));
            for (index, weight) in both.logit_weights(&logits).iter().enumerate() {
                assert!((weight - (a[index] - b[index])).abs() < 1e-12);
            }
        }
        assert_eq!(
            Target::new(1, Score::Logit)
                .against(2)
                .logit_weights(&logits),
            [0.0, 1.0, -1.0]
        );
    }
}
