//! HiResCAM (Draelos and Carin, 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks").

use super::gradient::{ScoreGradient, gradcam_of_class_maps, sum_over_channels};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Target};
use crate::heatmap::Heatmap;

/// `map = sum_k G_k A_k`, cell by cell, with the gradient `G` not pooled.
///
/// At the last layer the gradient is the same in all cells of a channel, so that the map *is* Grad-CAM's there; it
/// differs at inner layers.
#[derive(Debug, Clone, Copy, Default)]
pub struct HiResCam;

impl Explainer for HiResCam {
    fn name(&self) -> &'static str {
        "hirescam"
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let logit_weights = target.logit_weights(&view.forward.logits);
        if let Some(map) = gradcam_of_class_maps(queries.model(), view, &logit_weights) {
            return Ok(map);
        }
        let gradient = ScoreGradient::of(queries.model(), view, &logit_weights)?;
        let activations = view.activations()?;
        Ok(sum_over_channels(activations, |channel, cell, value| {
            gradient.at(channel, cell) * value
        }))
    }
}
