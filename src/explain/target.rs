//! What is explained: the class, and the score whose gradient is taken.

use crate::model::softmax;

/// Which class a frame is explained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetChoice {
    /// Each frame's own top class.
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

/// The class and score of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Class index.
    pub class: usize,
    /// What is differentiated.
    pub score: Score,
}

impl Target {
    /// The gradient of the score with respect to every logit: 1 at the class for [`Score::Logit`],
    /// `p_c (delta_cj - p_j)` for [`Score::Softmax`]. In f64, because the softmax form is a difference of nearly equal
    /// numbers when `p_c` is close to 1.
    pub fn logit_weights(self, logits: &[f32]) -> Vec<f64> {
        match self.score {
            Score::Logit => (0..logits.len())
                .map(|index| f64::from(u8::from(index == self.class)))
                .collect(),
            Score::Softmax => {
                let probabilities = softmax(logits);
                let of_class = probabilities[self.class];
                // 1 - p_c as the sum of the others, which does not cancel.
                let of_others: f64 = probabilities
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| *index != self.class)
                    .map(|(_, probability)| probability)
                    .sum();
                probabilities
                    .iter()
                    .enumerate()
                    .map(|(index, probability)| {
                        if index == self.class {
                            of_class * of_others
                        } else {
                            -of_class * probability
                        }
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_weights_are_the_derivative_of_the_probability() {
        let logits = [1.0f32, 2.5, -0.5];
        let target = Target {
            class: 1,
            score: Score::Softmax,
        };
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
        let weights = Target {
            class: 0,
            score: Score::Softmax,
        }
        .logit_weights(&[40.0, 0.0, 0.0]);
        assert!(weights[0] > 0.0 && weights[0] < 1e-16);
        assert!(weights.iter().sum::<f64>().abs() < 1e-30);
    }
}
