//! Average drop and increase in confidence (Chattopadhay 2018, "Grad-CAM++"): the picture seen through its own map.
//!
//! The picture is multiplied by the mask in normalised space, so that what the map calls irrelevant fades to the mean colour.

use crate::error::Result;
use crate::explain::{Queries, Target};
use crate::model::ModelInput;

/// The class's probability before and after masking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// Of the whole picture.
    pub probability: f64,
    /// Of the picture times the mask.
    pub masked: f64,
}

impl Confidence {
    /// `max(0, probability - masked) / probability`, in [0, 1]; 0 if the probability was 0, NaN if one of the two is. Lower is better.
    pub fn drop(self) -> f64 {
        if self.probability == 0.0 {
            return 0.0;
        }
        // Unlike `max`, this keeps NaN.
        ((self.probability - self.masked) / self.probability).clamp(0.0, 1.0)
    }

    /// Whether the class became more probable. More often is better.
    pub fn is_increase(self) -> bool {
        self.masked > self.probability
    }
}

/// Masks the picture and asks the network once. `probability` is that of the whole picture; `mask` has one value in [0, 1] per pixel.
///
/// # Errors
/// As [`Queries::scores`].
pub fn confidence(
    queries: &Queries<'_>,
    target: Target,
    input: &ModelInput,
    mask: &[f32],
    probability: f64,
) -> Result<Confidence> {
    let scores = queries.scores(1, target, |_| ModelInput {
        size: input.size,
        values: input
            .values
            .iter()
            .zip(mask.iter().cycle())
            .map(|(value, share)| value * share)
            .collect(),
    })?;
    Ok(Confidence {
        probability,
        masked: scores.into_iter().sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::test_model::{PatchModel, SIZE};

    #[test]
    fn keeping_the_patch_keeps_the_class_and_keeping_the_rest_loses_it() {
        let model = PatchModel::new();
        let queries = Queries::new(&model);
        let drop = |mask: &[f32]| {
            let masked = confidence(&queries, model.target(), &model.picture, mask, 0.9).unwrap();
            masked.drop()
        };
        let mask = model.perfect().mask();
        assert!(drop(&mask) < 1e-6);
        let inverse: Vec<f32> = mask.iter().map(|share| 1.0 - share).collect();
        assert!((drop(&inverse) - 0.8 / 0.9).abs() < 1e-6);
        let half: Vec<f32> = (0..SIZE * SIZE)
            .map(|pixel| f32::from(u8::from(pixel % 2 == 0)))
            .collect();
        assert!((drop(&half) - 0.4 / 0.9).abs() < 1e-6);
    }

    #[test]
    fn an_increase_is_no_drop() {
        let increase = Confidence {
            probability: 0.5,
            masked: 0.75,
        };
        assert!(increase.is_increase() && increase.drop() == 0.0);
        let same = Confidence {
            probability: 0.5,
            masked: 0.5,
        };
        assert!(!same.is_increase() && same.drop() == 0.0);
        let impossible = Confidence {
            probability: 0.0,
            masked: 0.0,
        };
        assert_eq!(impossible.drop(), 0.0);
        for (probability, masked) in [(f64::NAN, 0.5), (0.5, f64::NAN)] {
            let unknown = Confidence {
                probability,
                masked,
            };
            assert!(unknown.drop().is_nan(), "not the best value");
        }
    }
}
