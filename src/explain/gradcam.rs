//! Grad-CAM (Selvaraju et al., 2017, "Grad-CAM: Visual Explanations from Deep Networks").

use super::gradient::{ScoreGradient, weighted_sum};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Target};
use crate::heatmap::Heatmap;

/// `map = sum_k alpha_k A_k` with `alpha_k` the mean over space of the score's gradient with respect to channel `k`. The ReLU
/// of the paper is part of normalisation, so that raw maps keep their sign.
#[derive(Debug, Clone, Copy, Default)]
pub struct GradCam;

impl Explainer for GradCam {
    fn name(&self) -> &'static str {
        "gradcam"
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let gradient = ScoreGradient::of_target(queries.model(), view, target)?;
        Ok(gradcam_map(view, &gradient))
    }
}

/// Grad-CAM's map of any score.
pub(super) fn gradcam_map(view: LayerView<'_>, gradient: &ScoreGradient) -> Heatmap {
    weighted_sum(view.activations, |channel, _| gradient.mean(channel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::test_views::view_of_two_channels;

    #[test]
    fn the_map_is_the_sum_of_channels_weighted_by_their_mean_gradient() {
        view_of_two_channels(|view, gradient| {
            let map = gradcam_map(view, gradient);
            assert_eq!(map.values, [2.0 - 5.0, 4.0 - 10.0]);
        });
    }
}
