//! Ablation-CAM (Desai and Ramaswamy, 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
//! Gradient-free Localization").

use super::gradient::{plane_sum, weighted_sum};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Request, Target, check_logit};
use crate::heatmap::Heatmap;
use crate::model::{ModelSpec, TargetLayer};

/// Scores nearer to 0 do not make a share any larger.
const LEAST_SCORE: f64 = 1.0;

/// `map = sum_k w_k A_k` with `w_k = (s - s_k) / max(|s|, 1)`: the share of the class's logit `s` that is lost without channel `k`.
///
/// At the last layer `s - s_k` is exactly `W[c,k] mean(A_k)`. At inner layers the rest of the network runs once per channel that is not
/// off everywhere.
///
/// The logit's absolute value is our choice: with the signed logit, as in the paper, a negative one would turn the map's sign around. So is
/// the 1: where the logit passes through 0, shares know no bounds, and one frame of a video would set the scale of all around it.
/// The score is always the logit.
#[derive(Debug, Clone, Copy, Default)]
pub struct AblationCam;

impl Explainer for AblationCam {
    fn name(&self) -> &'static str {
        "ablationcam"
    }

    fn check(&self, _: &ModelSpec, request: &Request) -> Result<()> {
        check_logit(self, request.score)
    }

    fn makes_many_passes(&self, spec: &ModelSpec, layers: &[TargetLayer]) -> bool {
        layers.iter().any(|layer| *layer != spec.last_layer())
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        check_logit(self, target.score)?;
        let losses = if view.layer == queries.model().spec().last_layer() {
            losses_at_last_layer(queries, view, target)?
        } else {
            losses_by_ablation(queries, view, target)?
        };
        let scale = target.value(&view.forward.logits).abs().max(LEAST_SCORE);
        Ok(weighted_sum(view.activations()?, |channel, _| {
            losses[channel] / scale
        }))
    }
}

fn losses_at_last_layer(
    queries: &Queries<'_>,
    view: LayerView<'_>,
    target: Target,
) -> Result<Vec<f64>> {
    let weights = target.logit_weights(&view.forward.logits);
    let gradient = queries.model().fully_connected().gradient(weights);
    let planes = view.activations()?.planes().zip(gradient);
    Ok(planes
        .map(|(plane, weight)| weight * plane_sum(plane) / plane.len() as f64)
        .collect())
}

fn losses_by_ablation(
    queries: &Queries<'_>,
    view: LayerView<'_>,
    target: Target,
) -> Result<Vec<f64>> {
    let (model, activations) = (queries.model(), view.activations()?);
    let cells = activations.height * activations.width;
    let planes = activations.planes().enumerate();
    let live: Vec<usize> = planes
        .filter(|(_, plane)| plane.iter().any(|value| *value != 0.0))
        .map(|(channel, _)| channel)
        .collect();
    // By the same way as the ablated ones, so that rounding falls out of the difference.
    let whole = target.value(&model.head(view.layer, activations)?);
    let scores = queries.map(live.len(), |index| {
        let mut ablated = activations.clone();
        ablated.values[live[index] * cells..][..cells].fill(0.0);
        Ok(target.value(&model.head(view.layer, &ablated)?))
    })?;
    let mut losses = vec![0.0; activations.channels];
    for (channel, score) in live.into_iter().zip(scores) {
        losses[channel] = whole - score;
    }
    Ok(losses)
}
