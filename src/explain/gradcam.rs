//! Grad-CAM (Selvaraju et al., 2017, "Grad-CAM: Visual Explanations from Deep Networks").
//!
//! `map = sum_k alpha_k A_k` with `alpha_k` the mean over space of the score's gradient with respect to channel `k`. The ReLU
//! of the paper is part of normalisation, so that raw maps keep their sign.

use crate::error::Result;
use crate::explain::{Explainer, LayerView, Target};
use crate::heatmap::Heatmap;
use crate::model::{Activations, Classifier, FullyConnected};

/// Grad-CAM at any layer. At the last one (global average pooling and a fully connected layer follow) the gradient of
/// a logit is `W[c,k] / Z` in each of the `Z` cells, so the map is exact without a backward pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct GradCam;

impl Explainer for GradCam {
    fn name(&self) -> &'static str {
        "gradcam"
    }

    fn explain(
        &self,
        model: &dyn Classifier,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let logit_weights = target.logit_weights(&view.forward.logits);
        let alphas = if view.layer == model.spec().last_layer() {
            closed_form_alphas(model.fully_connected(), &logit_weights, view.activations)
        } else {
            let weights: Vec<f32> = logit_weights.iter().map(|weight| *weight as f32).collect();
            pooled(&model.backpropagate(view.forward, view.layer, &weights)?)
        };
        Ok(weighted_sum(view.activations, &alphas))
    }
}

/// `alpha_k = sum_j logit_weights[j] W[j,k] / Z`.
fn closed_form_alphas(
    head: &FullyConnected,
    logit_weights: &[f64],
    activations: &Activations,
) -> Vec<f64> {
    let cells = (activations.height * activations.width) as f64;
    let alphas = head.gradient(logit_weights.iter().copied());
    alphas.iter().map(|alpha| alpha / cells).collect()
}

/// Mean over space of each channel.
fn pooled(gradient: &Activations) -> Vec<f64> {
    let cells = (gradient.height * gradient.width) as f64;
    gradient
        .planes()
        .map(|plane| plane.iter().map(|value| f64::from(*value)).sum::<f64>() / cells)
        .collect()
}

/// `sum_k alphas[k] A_k`, accumulated in f64.
fn weighted_sum(activations: &Activations, alphas: &[f64]) -> Heatmap {
    let mut sums = vec![0.0f64; activations.height * activations.width];
    for (plane, alpha) in activations.planes().zip(alphas) {
        for (sum, value) in sums.iter_mut().zip(plane) {
            *sum += alpha * f64::from(*value);
        }
    }
    Heatmap {
        width: activations.width,
        height: activations.height,
        values: sums.into_iter().map(|sum| sum as f32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_the_sum_of_channels_weighted_by_their_mean_gradient() {
        let activations = Activations {
            channels: 2,
            height: 1,
            width: 2,
            values: vec![1.0, 2.0, 10.0, 20.0],
        };
        let gradient = Activations {
            values: vec![1.0, 3.0, -1.0, 0.0],
            ..activations.clone()
        };
        let map = weighted_sum(&activations, &pooled(&gradient));
        assert_eq!(map.values, [2.0 - 5.0, 4.0 - 10.0]);
    }
}
