//! Explainers: from a forward pass to a raw heatmap. One file per method behind one trait.

mod gradcam;
mod layers;
mod target;

pub use gradcam::GradCam;
pub use layers::mean_of_layers;
pub use target::{Score, Target, TargetChoice};

use crate::error::Result;
use crate::heatmap::Heatmap;
use crate::model::{Activations, Classifier, TargetLayer};

/// What an explainer works from: one picture's pass through the network.
#[derive(Debug, Clone, Copy)]
pub struct LayerView<'a> {
    /// The layer the map is made for.
    pub layer: TargetLayer,
    /// Its activations.
    pub activations: &'a Activations,
    /// The logits of the same pass.
    pub logits: &'a [f32],
}

/// Turns activations into a raw map for a target class.
pub trait Explainer: Send + Sync {
    /// Name on the command line and in records.
    fn name(&self) -> &'static str;

    /// The raw, signed map at the layer's resolution.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails.
    fn explain(&self, model: &dyn Classifier, view: LayerView<'_>, target: Target) -> Result<Heatmap>;
}
