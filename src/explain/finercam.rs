//! Finer-CAM (Zhang et al., 2025, "Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation").

use super::gradcam::gradcam;
use crate::error::Result;
use crate::explain::{
    Explainer, LayerView, Queries, Request, Target, check_logit, check_no_contrast,
};
use crate::heatmap::Heatmap;
use crate::model::{ModelSpec, softmax};

/// Grad-CAM of what sets the class apart from those most like it:
/// `score = logit_c - strength * sum_j p_j logit_j / sum_j p_j`, with `j` the classes whose logits are nearest to `logit_c`.
///
/// The probabilities `p_j` are constants here: pytorch-grad-cam differentiates them too, which mixes in a second-order
/// preference for classes near the mean. The score is always made of logits.
#[derive(Debug, Clone, Copy)]
pub struct FinerCam {
    /// How much of the others is taken off; 0 gives Grad-CAM.
    pub strength: f64,
    /// How many classes to compare with.
    pub comparisons: usize,
}

impl Default for FinerCam {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FinerCam {
    pub(super) const DEFAULT: Self = Self {
        strength: 1.0,
        comparisons: 3,
    };

    /// The score's gradient with respect to each logit.
    fn logit_weights(self, class: usize, logits: &[f32]) -> Vec<f64> {
        let mut others: Vec<usize> = (0..logits.len()).filter(|other| *other != class).collect();
        let distance = |other: usize| (logits[other] - logits[class]).abs();
        others.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
        others.truncate(self.comparisons);
        // Of these classes' logits alone, so that the sum cannot vanish.
        let nearest: Vec<f32> = others.iter().map(|other| logits[*other]).collect();
        let mut weights = vec![0.0; logits.len()];
        weights[class] = 1.0;
        for (other, share) in others.into_iter().zip(softmax(&nearest)) {
            weights[other] = -self.strength * share;
        }
        weights
    }
}

impl Explainer for FinerCam {
    fn name(&self) -> &'static str {
        "finercam"
    }

    fn check(&self, _: &ModelSpec, request: &Request) -> Result<()> {
        check_logit(self, request.score)?;
        check_no_contrast(self, request.contrast)
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        check_logit(self, target.score)?;
        check_no_contrast(self, target.contrast)?;
        let logit_weights = self.logit_weights(target.class, &view.forward.logits);
        gradcam(queries.model(), view, &logit_weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_classes_are_taken_off_by_their_share_of_probability() {
        let logits = [5.0, 1.0, 4.0, 5.5, -9.0];
        let weights = FinerCam {
            strength: 0.5,
            comparisons: 2,
        }
        .logit_weights(0, &logits);
        let (near, far) = (5.5f64.exp(), 4.0f64.exp());
        let expected = [
            1.0,
            0.0,
            -0.5 * far / (near + far),
            -0.5 * near / (near + far),
            0.0,
        ];
        for (weight, expected) in weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-12, "{weights:?}");
        }
    }
}
