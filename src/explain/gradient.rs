//! The gradient of a score with respect to a layer, and the sums that methods make of it.

use crate::error::Result;
use crate::explain::{LayerView, Target};
use crate::heatmap::Heatmap;
use crate::model::{Activations, Classifier};

/// `d score / d A` for one picture.
#[derive(Debug)]
pub(super) enum ScoreGradient {
    /// At the last layer: the average pooling gives each of the `Z` cells of channel `k` the same `sum_j w_j W[j,k] / Z`. Exact, in
    /// f64, without a backward pass.
    PerChannel(Vec<f64>),
    /// At inner layers: from the backward pass.
    PerCell(Activations),
}

impl ScoreGradient {
    /// Of the target's score.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(super) fn of_target(
        model: &dyn Classifier,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Self> {
        Self::of(model, view, &target.logit_weights(&view.forward.logits))
    }

    /// Of `sum_j logit_weights[j] * logit_j`.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backward pass fails.
    pub(super) fn of(
        model: &dyn Classifier,
        view: LayerView<'_>,
        logit_weights: &[f64],
    ) -> Result<Self> {
        if view.layer == model.spec().last_layer() {
            let activations = view.activations()?;
            let cells = (activations.height * activations.width) as f64;
            let sums = model
                .fully_connected()
                .gradient(logit_weights.iter().copied());
            return Ok(Self::PerChannel(
                sums.iter().map(|sum| sum / cells).collect(),
            ));
        }
        let weights: Vec<f32> = logit_weights.iter().map(|weight| *weight as f32).collect();
        let gradient = model.backpropagate(view.forward, view.layer, &weights)?;
        Ok(Self::PerCell(gradient))
    }

    /// Mean over space of a channel.
    pub(super) fn mean(&self, channel: usize) -> f64 {
        match self {
            Self::PerChannel(values) => values[channel],
            Self::PerCell(all) => {
                let cells = all.height * all.width;
                plane_sum(&all.values[channel * cells..][..cells]) / cells as f64
            }
        }
    }

    /// At one cell of a channel.
    pub(super) fn at(&self, channel: usize, cell: usize) -> f64 {
        match self {
            Self::PerChannel(values) => values[channel],
            Self::PerCell(all) => f64::from(all.values[channel * all.height * all.width + cell]),
        }
    }
}

/// Grad-CAM's map at the last layer of `sum_j logit_weights[j] * logit_j`, where the pass came with the class activation maps that it is made of:
/// their sum with these weights over the number of cells. `None` where it must be made of activations.
pub(super) fn gradcam_of_class_maps(
    model: &dyn Classifier,
    view: LayerView<'_>,
    logit_weights: &[f64],
) -> Option<Heatmap> {
    let maps = view.forward.class_maps()?;
    if view.layer != model.spec().last_layer() {
        return None;
    }
    let mut sums = vec![0.0; maps.height * maps.width];
    let weights = logit_weights.iter().enumerate();
    for (class, weight) in weights.filter(|(_, weight)| **weight != 0.0) {
        for (sum, value) in sums.iter_mut().zip(maps.of(class)?) {
            *sum += weight * f64::from(*value);
        }
    }
    let cells = sums.len() as f64;
    Some(Heatmap {
        width: maps.width,
        height: maps.height,
        values: sums.into_iter().map(|sum| (sum / cells) as f32).collect(),
    })
}

/// `map[i] = sum_k term(k, i, A_k[i])`, in f64.
pub(super) fn sum_over_channels(
    activations: &Activations,
    term: impl Fn(usize, usize, f64) -> f64,
) -> Heatmap {
    let mut sums = vec![0.0f64; activations.height * activations.width];
    for (channel, plane) in activations.planes().enumerate() {
        for (cell, (sum, value)) in sums.iter_mut().zip(plane).enumerate() {
            *sum += term(channel, cell, f64::from(*value));
        }
    }
    Heatmap {
        width: activations.width,
        height: activations.height,
        values: sums.into_iter().map(|sum| sum as f32).collect(),
    }
}

/// `map = sum_k weight(k, A_k) A_k`, in f64.
pub(super) fn weighted_sum(
    activations: &Activations,
    weight: impl Fn(usize, &[f32]) -> f64,
) -> Heatmap {
    let weights: Vec<f64> = activations
        .planes()
        .enumerate()
        .map(|(channel, plane)| weight(channel, plane))
        .collect();
    sum_over_channels(activations, |channel, _, value| weights[channel] * value)
}

/// Sum over space of one channel, in f64.
pub(super) fn plane_sum(plane: &[f32]) -> f64 {
    plane.iter().map(|value| f64::from(*value)).sum()
}
