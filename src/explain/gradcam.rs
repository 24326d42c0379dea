//! Grad-CAM (Selvaraju et al., 2017, "Grad-CAM: Visual Explanations from Deep Networks").

use super::gradient::{ScoreGradient, gradcam_of_class_maps, weighted_sum};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Target};
use crate::heatmap::Heatmap;
use crate::model::Classifier;

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
        let logit_weights = target.logit_weights(&view.forward.logits);
        gradcam(queries.model(), view, &logit_weights)
    }
}

/// Grad-CAM of `sum_j logit_weights[j] * logit_j`.
pub(super) fn gradcam(
    model: &dyn Classifier,
    view: LayerView<'_>,
    logit_weights: &[f64],
) -> Result<Heatmap> {
    if let Some(map) = gradcam_of_class_maps(model, view, logit_weights) {
        return Ok(map);
    }
    let gradient = ScoreGradient::of(model, view, logit_weights)?;
    gradcam_map(view, &gradient)
}

fn gradcam_map(view: LayerView<'_>, gradient: &ScoreGradient) -> Result<Heatmap> {
    let activations = view.activations()?;
    Ok(weighted_sum(activations, |channel, _| {
        gradient.mean(channel)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::test_views::view_of_two_channels;

    #[test]
    fn the_map_is_the_sum_of_channels_weighted_by_their_mean_gradient() {
        view_of_two_channels(|view, gradient| {
            let map = gradcam_map(view, gradient).unwrap();
            assert_eq!(map.values, [2.0 - 5.0, 4.0 - 10.0]);
        });
    }
}
