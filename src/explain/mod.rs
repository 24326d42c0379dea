//! Explainers: from a forward pass to a raw heatmap. One file per method behind one trait.

mod gradcam;
mod layers;
mod target;

pub use gradcam::GradCam;
pub use layers::mean_of_layers;
pub use target::{Score, Target, TargetChoice};

use crate::error::{Error, ErrorKind, Result};
use crate::heatmap::Heatmap;
use crate::model::{Activations, Classifier, Forward, Prediction, TargetLayer, ranked};

/// What an explainer works from: one picture's pass through the network.
#[derive(Debug, Clone, Copy)]
pub struct LayerView<'a> {
    /// The layer the map is made for.
    pub layer: TargetLayer,
    /// Its activations.
    pub activations: &'a Activations,
    /// The pass they are of.
    pub forward: &'a Forward,
}

/// Turns activations into a raw map for a target class.
pub trait Explainer: Send + Sync {
    /// Name on the command line and in records.
    fn name(&self) -> &'static str;

    /// The raw, signed map at the layer's resolution.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails.
    fn explain(
        &self,
        model: &dyn Classifier,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap>;
}

/// What a frame was explained as: the target, what the model saw, and the raw map.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The class and score that the map is made for.
    pub target: Target,
    /// The target's place in the prediction.
    pub target_prediction: Prediction,
    /// All classes, best first.
    pub ranking: Vec<Prediction>,
    /// The raw map.
    pub heatmap: Heatmap,
}

/// Runs `explainer` for one forward pass over all `layers` (the mean of several).
///
/// # Errors
/// As [`Explainer::explain`].
pub fn explain_forward(
    model: &dyn Classifier,
    explainer: &dyn Explainer,
    forward: &Forward,
    layers: &[TargetLayer],
    choice: TargetChoice,
    score: Score,
) -> Result<Explanation> {
    let ranking = ranked(&forward.logits);
    let class = match choice {
        TargetChoice::Top1 => ranking.first().map_or(0, |prediction| prediction.index),
        TargetChoice::Class(index) => index,
    };
    let target = Target { class, score };
    let target_prediction = ranking
        .iter()
        .find(|prediction| prediction.index == class)
        .copied()
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("class {class} is not one of the model's {}", ranking.len()),
            )
        })?;
    let maps = layers
        .iter()
        .zip(&forward.activations)
        .map(|(layer, activations)| {
            let view = LayerView {
                layer: *layer,
                activations,
                forward,
            };
            explainer.explain(model, view, target)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Explanation {
        target,
        target_prediction,
        ranking,
        heatmap: mean_of_layers(maps),
    })
}
