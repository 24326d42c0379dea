//! Explainers: from a forward pass to a raw heatmap. One file per method behind one trait.
//!
//! Why a tabby and not a lynx, at an inner layer, and what LIME says, on two threads:
//!
//! ```no_run
//! use gradcam_video::explain::{Queries, Request, Score, TargetChoice, explain_forward, method_by_name};
//! # fn example(model: &dyn gradcam_video::model::Classifier, input: &gradcam_video::model::ModelInput) -> gradcam_video::Result<()> {
//! let labels = &model.spec().labels;
//! let request = Request {
//!     targets: vec![TargetChoice::Class(labels.find("tabby")?)],
//!     score: Score::Logit,
//!     contrast: Some(labels.find("lynx")?),
//!     layers: vec![model.spec().layer_by_name("layer3")?],
//! };
//! let forward = model.forward(input, &request.layers)?;
//! let queries = Queries::new(model).with_threads(2).with_sampling(Some(500), 7);
//! for name in ["layercam", "lime"] {
//!     let method = method_by_name(name)?;
//!     method.check(model.spec(), &request)?;
//!     let explanation = explain_forward(&queries, method, input, &forward, &request)?;
//!     let (column, row) = explanation.maps[0].heatmap.peak_cell();
//! }
//! # Ok(())
//! # }
//! ```

mod ablationcam;
mod coalitions;
mod eigencam;
mod fill;
mod finercam;
mod gradcam;
mod gradcam_plus_plus;
mod gradient;
mod hirescam;
mod kernelshap;
mod layercam;
mod layers;
mod least_squares;
mod lime;
mod occlusion;
mod principal;
mod queries;
mod rasterize;
mod rise;
mod sampling;
mod scorecam;
mod shared_passes;
mod superpixels;
mod target;
#[cfg(test)]
mod test_views;
#[cfg(test)]
pub(crate) mod toy_model;
mod xgradcam;

pub use ablationcam::AblationCam;
pub use eigencam::{EigenCam, EigenGradCam};
pub use fill::Fill;
pub use finercam::FinerCam;
pub use gradcam::GradCam;
pub use gradcam_plus_plus::GradCamPlusPlus;
pub use hirescam::HiResCam;
pub use kernelshap::KernelShap;
pub use layercam::LayerCam;
pub use layers::mean_of_layers;
pub use lime::Lime;
pub use occlusion::Occlusion;
pub use queries::{OnPass, Queries};
pub use rise::Rise;
pub use sampling::SampleCount;
pub use scorecam::ScoreCam;
pub use target::{Request, Score, Target, TargetChoice};
pub use xgradcam::XGradCam;

use crate::error::{Error, ErrorKind, Result};
use crate::heatmap::Heatmap;
use crate::model::{Activations, Forward, ModelInput, ModelSpec, Prediction, TargetLayer, ranked};
use shared_passes::SharedPasses;

/// What an explainer works from: one picture and its pass through the network.
#[derive(Debug, Clone, Copy)]
pub struct LayerView<'a> {
    /// The layer the map is made for.
    pub layer: TargetLayer,
    /// The picture's pass, in which the layer was requested.
    pub forward: &'a Forward,
    /// The picture.
    pub input: &'a ModelInput,
}

impl<'a> LayerView<'a> {
    /// The layer's activations.
    ///
    /// # Errors
    /// As [`Forward::activations_of`].
    pub fn activations(&self) -> Result<&'a Activations> {
        self.forward.activations_of(self.layer)
    }
}

/// Turns a picture and its activations into a raw map for a target class.
pub trait Explainer: std::fmt::Debug + Send + Sync {
    /// Name on the command line and in records.
    fn name(&self) -> &'static str;

    /// Whether the method works for what is asked; called once, before the first picture.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] that says what does not go together.
    fn check(&self, spec: &ModelSpec, request: &Request) -> Result<()> {
        let _ = (spec, request);
        Ok(())
    }

    /// Whether a map at these layers takes so many passes of the network that they, not pictures, are what threads should share.
    fn makes_many_passes(&self, spec: &ModelSpec, layers: &[TargetLayer]) -> bool {
        let _ = (spec, layers);
        self.is_model_agnostic()
    }

    /// How many passes a map takes, if that can be chosen ([`Queries::samples`]).
    fn sample_count(&self) -> Option<SampleCount> {
        None
    }

    /// Whether only input and output of the network are looked at, so that no layer has a part in the map.
    fn is_model_agnostic(&self) -> bool {
        false
    }

    /// Whether all inputs that the network is asked about are the same for every target, so that several targets can share the passes.
    fn asks_the_same_for_every_target(&self) -> bool {
        self.is_model_agnostic()
    }

    /// What is explained where nothing else is asked for.
    fn default_score(&self) -> Score {
        Score::Logit
    }

    /// Whether a score of a class is explained; else the map is the same for every class and score.
    fn explains_score(&self) -> bool {
        true
    }

    /// The raw, signed map: at the layer's resolution, or 28x28 if the method is model-agnostic.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if the backend fails, [`ErrorKind::Cancelled`] if [`Queries`] were told to stop, and what
    /// [`check`](Self::check) reports.
    ///
    /// # Panics
    /// If the model has no such class.
    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap>;
}

/// All methods with their default settings, Grad-CAM first.
pub static METHODS: [&dyn Explainer; 14] = [
    &GradCam,
    &GradCamPlusPlus::DEFAULT,
    &XGradCam,
    &HiResCam,
    &LayerCam,
    &EigenCam,
    &EigenGradCam,
    &AblationCam,
    &ScoreCam,
    &FinerCam::DEFAULT,
    &Rise::DEFAULT,
    &Occlusion::DEFAULT,
    &Lime::DEFAULT,
    &KernelShap::DEFAULT,
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

/// Whether a method can do with so many samples; to be asked before the first picture.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if it takes none, or needs more.
pub fn check_samples(method: &dyn Explainer, samples: Option<usize>) -> Result<()> {
    samples.map_or(Ok(()), |samples| sampling::check_samples(method, samples))
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

/// The error of methods that explain no score.
fn check_no_score(method: &dyn Explainer, score: Score) -> Result<()> {
    // What nobody asked for.
    if score == method.default_score() {
        return Ok(());
    }
    let message = format!(
        "{} knows no class and no score; leave out --score {}",
        method.name(),
        score.name()
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// The error of methods that cannot set one class against another.
fn check_no_contrast(method: &dyn Explainer, contrast: Option<usize>) -> Result<()> {
    if contrast.is_none() {
        return Ok(());
    }
    let message = format!("{} knows no --contrast", method.name());
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// What a frame was explained as: what the model saw, and a raw map for each target.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// All classes, best first.
    pub ranking: Vec<Prediction>,
    /// One for each of the targets asked for, in their order.
    pub maps: Vec<TargetMap>,
}

/// Why one class.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetMap {
    /// The class and score that the map is made for.
    pub target: Target,
    /// The target's place in the prediction.
    pub prediction: Prediction,
    /// The raw map.
    pub heatmap: Heatmap,
}

/// Explains one picture: runs `explainer` for each target over all layers (the mean of several), or once if it looks at none. `forward` is the picture's pass, with the
/// request's layers.
///
/// # Errors
/// As [`Explainer::explain`]; [`ErrorKind::InvalidArgument`] if the model has no such class.
pub fn explain_forward(
    queries: &Queries<'_>,
    explainer: &dyn Explainer,
    input: &ModelInput,
    forward: &Forward,
    request: &Request,
) -> Result<Explanation> {
    let ranking = ranked(&forward.logits);
    let find = |class: usize| {
        let found = ranking.iter().find(|prediction| prediction.index == class);
        found.copied().ok_or_else(|| {
            let message = format!("class {class} is not one of the model's {}", ranking.len());
            Error::new(ErrorKind::InvalidArgument, message)
        })
    };
    if let Some(other) = request.contrast {
        find(other)?;
    }
    let candidates = request.candidates(&ranking);
    // At every layer the map would be the same, and the mean of several is no longer signed.
    let layers = match request.layers.as_slice() {
        [first, ..] if explainer.is_model_agnostic() => std::slice::from_ref(first),
        layers => layers,
    };
    let mut maps = Vec::with_capacity(request.targets.len());
    let shared = SharedPasses::default();
    let queries = if request.targets.len() > 1 && explainer.asks_the_same_for_every_target() {
        queries.sharing(&shared)
    } else {
        *queries
    };
    for choice in &request.targets {
        shared.rewind();
        let class = match choice {
            TargetChoice::Top1 => candidates.first().map_or(0, |prediction| prediction.index),
            TargetChoice::Class(index) => *index,
        };
        let target = Target {
            class,
            score: request.score,
            contrast: request.contrast,
        };
        let prediction = find(class)?;
        let of_layers = layers.iter().map(|layer| {
            let view = LayerView {
                layer: *layer,
                forward,
                input,
            };
            explainer.explain(&queries, view, target)
        });
        maps.push(TargetMap {
            target,
            prediction,
            heatmap: mean_of_layers(of_layers.collect::<Result<_>>()?),
        });
    }
    Ok(Explanation { ranking, maps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Classifier;
    use toy_model::{ToyModel, textured_picture};

    #[test]
    fn a_method_that_looks_at_no_layer_is_run_once_and_keeps_signs() {
        let model = ToyModel::new(64, |input| {
            f64::from(input.values[100] - input.values[4000])
        });
        let input = textured_picture(64);
        let layers = [2, 3].map(|stage| TargetLayer { stage, block: 0 });
        let forward = model.forward(&input, &layers).unwrap();
        let explain = |layers: &[TargetLayer]| {
            let request = Request {
                targets: vec![TargetChoice::Class(0)],
                score: Score::Logit,
                contrast: None,
                layers: layers.to_vec(),
            };
            let before = model.passes();
            let queries = Queries::new(&model);
            let explanation =
                explain_forward(&queries, &Occlusion::DEFAULT, &input, &forward, &request);
            let heatmap = explanation.unwrap().maps.remove(0).heatmap;
            (heatmap, model.passes() - before)
        };
        let both = explain(&layers);
        assert_eq!(both, explain(&layers[..1]));
        assert!(both.0.values.iter().any(|value| *value < 0.0));
    }

    #[test]
    fn several_targets_share_the_passes_and_have_the_maps_that_each_has_alone() {
        let model = ToyModel::new(64, |input| {
            f64::from(input.values[100] - input.values[4000])
        });
        let input = textured_picture(64);
        for method in METHODS.iter().filter(|method| method.is_model_agnostic()) {
            let layers = vec![TargetLayer { stage: 3, block: 0 }];
            let forward = model.forward(&input, &layers).unwrap();
            let explain = |classes: &[usize]| {
                let request = Request {
                    targets: classes.iter().copied().map(TargetChoice::Class).collect(),
                    score: Score::Softmax,
                    contrast: None,
                    layers: layers.clone(),
                };
                let before = model.passes();
                let queries = Queries::new(&model).with_threads(2);
                let queries = match method.sample_count() {
                    Some(_) => queries.with_sampling(Some(200), 1),
                    None => queries,
                };
                let explanation =
                    explain_forward(&queries, *method, &input, &forward, &request).unwrap();
                (explanation.maps, model.passes() - before)
            };
            let (both, passes) = explain(&[0, 1]);
            let (first, passes_of_one) = explain(&[0]);
            let (second, _) = explain(&[1]);
            assert_eq!(both, [first, second].concat(), "{}", method.name());
            assert_eq!(passes, passes_of_one, "{}", method.name());
            assert_ne!(both[0].heatmap, both[1].heatmap, "{}", method.name());
        }
    }
}
