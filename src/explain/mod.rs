//! Explainers: from a forward pass to a raw heatmap. One file per method behind one trait.

mod ablationcam;
mod eigencam;
mod finercam;
mod gradcam;
mod gradcam_plus_plus;
mod gradient;
mod hirescam;
mod layercam;
mod layers;
mod principal;
mod target;
#[cfg(test)]
mod test_views;
mod xgradcam;

pub use ablationcam::AblationCam;
pub use eigencam::{EigenCam, EigenGradCam};
pub use finercam::FinerCam;
pub use gradcam::GradCam;
pub use gradcam_plus_plus::GradCamPlusPlus;
pub use hirescam::HiResCam;
pub use layercam::LayerCam;
pub use layers::mean_of_layers;
pub use target::{Score, Target, TargetChoice};
pub use xgradcam::XGradCam;

use crate::error::{Error, ErrorKind, Result};
use crate::heatmap::Heatmap;
use crate::model::{Activations, Classifier, Forward, ModelSpec, Prediction, TargetLayer, ranked};

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
pub trait Explainer: std::fmt::Debug + Send + Sync {
    /// Name on the command line and in records.
    fn name(&self) -> &'static str;

    /// Whether the method works at these layers for this score; asked once, before the first picture.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] that says what does not go together.
    fn check(&self, spec: &ModelSpec, layers: &[TargetLayer], score: Score) -> Result<()> {
        let _ = (spec, layers, score);
        Ok(())
    }

    /// The raw, signed map at the layer's resolution.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails, and what [`check`](Self::check) reports.
    ///
    /// # Panics
    /// If the model has no such class.
    fn explain(
        &self,
        model: &dyn Classifier,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap>;
}

/// All methods with their default settings, Grad-CAM first.
pub static METHODS: [&dyn Explainer; 9] = [
    &GradCam,
    &GradCamPlusPlus::DEFAULT,
    &XGradCam,
    &HiResCam,
    &LayerCam,
    &EigenCam,
    &EigenGradCam,
    &AblationCam,
    &FinerCam::DEFAULT,
];

/// The method of this name.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] that lists the names if there is none.
pub fn method_by_name(name: &str) -> Result<&'static dyn Explainer> {
    let found = METHODS.into_iter().find(|method| method.name() == name);
    found.ok_or_else(|| {
        let names = METHODS.map(|method| method.name()).join(", ");
        let message = format!("there is no method {name:?}; there are {names}");
        Error::new(ErrorKind::InvalidArgument, message)
    })
}

/// The error of methods whose score is made of logits.
fn check_logit(method: &dyn Explainer, score: Score) -> Result<()> {
    if score == Score::Logit {
        return Ok(());
    }
    let message = format!(
        "{} explains logits; leave out --score {}",
        method.name(),
        score.name()
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
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
