//! Evaluation: how faithful heatmaps are to the network, in numbers, and against explanations that know nothing of it.
//!
//! ```text
//! picture ──► forward ──► explainers ──► raw maps ─┐
//!                         baselines ─────────────► ├──► saliency ──► metrics, by many more passes ──► report
//! ```
//!
//! ```no_run
//! use gradcam_video::evaluate::{Report, Settings, Subject, evaluate_picture, plot::plot};
//! use gradcam_video::explain::{Explainer, GradCam, LayerCam, Queries, TargetChoice};
//! # fn example(model: &dyn gradcam_video::model::Classifier, input: &gradcam_video::model::ModelInput) -> gradcam_video::Result<()> {
//! let settings = Settings::new(model.spec().input_size);
//! let explainers: [&dyn Explainer; 2] = [&GradCam, &LayerCam];
//! let subject = Subject { name: "photo", input, choice: TargetChoice::Top1, boxes: &[] };
//! let layers = [model.spec().last_layer()];
//! let queries = Queries::new(model).with_threads(2);
//! let picture = evaluate_picture(&queries, &explainers, subject, &layers, &settings)?;
//! let report = Report::new(settings, vec![picture]);
//! let svg = plot(&report.methods)?;
//! # Ok(())
//! # }
//! ```
//!
//! One file per metric. All are deterministic for a seed, at any number of threads, and all measure the *softmax probability* of the
//! explained class, whatever score the maps explain: so do the papers.

pub mod agreement;
pub mod baselines;
pub mod blur;
pub mod boxes;
pub mod confidence;
pub mod curves;
pub mod imputation;
pub mod localisation;
mod means;
pub mod plot;
pub mod randomisation;
mod report;
pub mod road;
pub mod saliency;
mod seed;
mod settings;
#[cfg(test)]
mod test_model;

pub use localisation::BoxInModel;
pub use report::{Agreement, MethodMeans, Report};
pub use settings::Settings;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::explain::{Explainer, Queries, Request, Score, Target, TargetChoice, explain_forward};
use crate::heatmap::Heatmap;
use crate::model::{Forward, ModelInput, TargetLayer, ranked};
use confidence::confidence;
use curves::{deletion, insertion};
use road::{Removal, road};
use saliency::Saliency;

/// A picture to explain, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its name in the report.
    pub name: &'a str,
    /// What the network reads.
    pub input: &'a ModelInput,
    /// The class to explain.
    pub choice: TargetChoice,
    /// Where the class is to be seen; empty if nobody says.
    pub boxes: &'a [BoxInModel],
}

/// What one method's map of one picture is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodScores {
    /// Name of the explainer or baseline.
    pub method: &'static str,
    /// Whether it knows nothing of the network.
    pub is_baseline: bool,
    /// Area under the deletion curve, in [0, 1]. Lower is better.
    pub deletion_auc: f64,
    /// Area under the insertion curve, in [0, 1]. Higher is better.
    pub insertion_auc: f64,
    /// Drop of the probability behind the map, as a share of the original, in [0, 1]. Lower is better.
    pub drop: f64,
    /// Whether the probability rose behind the map.
    pub is_increase: bool,
    /// ROAD, combined, in [-0.5, 0.5]. Higher is better.
    pub road: f64,
    /// Whether the peak hits a box; `None` without boxes.
    pub pointing: Option<bool>,
    /// Share of the positive saliency in the boxes, in [0, 1]; `None` without boxes. Higher is better.
    pub energy_in_box: Option<f64>,
    /// Probability after each step of deletion, from none to all pixels.
    pub deletion_curve: Vec<f64>,
    /// Probability after each step of insertion, from none to all pixels.
    pub insertion_curve: Vec<f64>,
    /// The raw map.
    #[serde(skip)]
    pub heatmap: Heatmap,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PictureReport {
    /// Its name.
    pub picture: String,
    /// Index of the explained class.
    pub class: usize,
    /// Its name.
    pub class_name: String,
    /// Its softmax probability.
    pub probability: f64,
    /// The explainers in their order, then the baselines.
    pub methods: Vec<MethodScores>,
    /// Spearman correlation between the maps of all methods, in the order of `methods`; `None` if a map has no order.
    pub agreement: Vec<Vec<Option<f64>>>,
}

/// Explains a picture with every explainer and measures all maps, together with those of the baselines.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if the model has no such class; as [`Explainer::explain`] and [`Queries::scores`].
pub fn evaluate_picture(
    queries: &Queries<'_>,
    explainers: &[&dyn Explainer],
    subject: Subject<'_>,
    layers: &[TargetLayer],
    settings: &Settings,
) -> Result<PictureReport> {
    let input = subject.input;
    let forward = queries.model().forward(input, layers)?;
    let ranking = ranked(&forward.logits);
    let class = match subject.choice {
        TargetChoice::Top1 => ranking.first().map_or(0, |prediction| prediction.index),
        TargetChoice::Class(index) => index,
    };
    let found = ranking.iter().find(|prediction| prediction.index == class);
    let Some(prediction) = found else {
        let message = format!("class {class} is not one of the model's {}", ranking.len());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    };
    let scene = Scene {
        queries,
        subject,
        settings,
        target: Target::new(class, Score::Softmax),
        probability: prediction.probability,
        blurred: blur::blurred(input, settings.blur_side_px, settings.blur_deviation_px),
        seed: seed::picture_seed(settings.seed, input),
    };
    let mut methods = Vec::with_capacity(explainers.len() + 2);
    for explainer in explainers {
        let score = settings
            .explained_score
            .unwrap_or(explainer.default_score());
        let request = request(class, layers, score);
        let heatmap = raw_map(queries, *explainer, input, &forward, &request)?;
        methods.push(scene.measure(explainer.name(), false, heatmap)?);
    }
    let centre = baselines::centre(input.size);
    methods.push(scene.measure(baselines::CENTRE, true, centre)?);
    let random = baselines::random(scene.seed);
    methods.push(scene.measure(baselines::RANDOM, true, random)?);
    let reduced: Vec<_> = methods
        .iter()
        .map(|scores| Saliency::new(&scores.heatmap, input.size).reduced(settings.agreement_cells))
        .collect();
    Ok(PictureReport {
        picture: subject.name.to_owned(),
        class,
        class_name: queries.model().spec().labels.name(class).to_owned(),
        probability: prediction.probability,
        agreement: agreement::matrix(&reduced),
        methods,
    })
}

/// Asks why one class.
fn request(class: usize, layers: &[TargetLayer], score: Score) -> Request {
    Request {
        targets: vec![TargetChoice::Class(class)],
        score,
        contrast: None,
        layers: layers.to_vec(),
    }
}

/// The raw map of the request's first target.
fn raw_map(
    queries: &Queries<'_>,
    explainer: &dyn Explainer,
    input: &ModelInput,
    forward: &Forward,
    request: &Request,
) -> Result<Heatmap> {
    queries.one_pass()?;
    let explanation = explain_forward(queries, explainer, input, forward, request)?;
    let map = explanation.maps.into_iter().next();
    map.map(|map| map.heatmap)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "an explanation has no map"))
}

/// What all maps of one picture are measured with.
struct Scene<'a> {
    queries: &'a Queries<'a>,
    subject: Subject<'a>,
    settings: &'a Settings,
    target: Target,
    probability: f64,
    blurred: ModelInput,
    seed: u64,
}

impl Scene<'_> {
    fn measure(
        &self,
        method: &'static str,
        is_baseline: bool,
        heatmap: Heatmap,
    ) -> Result<MethodScores> {
        let (queries, target, settings) = (self.queries, self.target, self.settings);
        let (input, boxes) = (self.subject.input, self.subject.boxes);
        let saliency = Saliency::new(&heatmap, input.size);
        let (ranking, mask) = (saliency.ranking(), saliency.mask());
        let step = settings.pixels_per_step;
        let deleted = deletion(queries, target, input, &ranking, step)?;
        let inserted = insertion(queries, target, input, &self.blurred, &ranking, step)?;
        let confidence = confidence(queries, target, input, &mask, self.probability)?;
        let removal = Removal {
            percentiles: &settings.road_percentiles,
            noise: settings.road_noise,
            seed: self.seed,
        };
        let has_boxes = !boxes.is_empty();
        let tolerance = settings.pointing_tolerance_px;
        Ok(MethodScores {
            method,
            is_baseline,
            deletion_auc: deleted.auc,
            insertion_auc: inserted.auc,
            drop: confidence.drop(),
            is_increase: confidence.is_increase(),
            road: road(queries, target, input, &ranking, removal)?.score,
            pointing: has_boxes.then(|| localisation::points_at(&saliency, boxes, tolerance)),
            energy_in_box: has_boxes.then(|| localisation::energy_in(&saliency, boxes)),
            deletion_curve: deleted.scores,
            insertion_curve: inserted.scores,
            heatmap,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Classifier;
    use test_model::{Fixed, PATCH, PatchModel, SIZE};

    fn evaluate(model: &PatchModel, choice: TargetChoice, threads: usize) -> Result<PictureReport> {
        let perfect = Heatmap {
            width: SIZE,
            height: SIZE,
            values: model.perfect().values,
        };
        let mut inverse = perfect.clone();
        inverse
            .values
            .iter_mut()
            .for_each(|value| *value = 1.0 - *value);
        let explainers = [Fixed("perfect", perfect), Fixed("inverse", inverse)];
        let (low, high) = (PATCH.start as f64, PATCH.end as f64);
        let patch = BoxInModel {
            x0: low,
            y0: low,
            x1: high,
            y1: high,
        };
        let settings = Settings {
            pointing_tolerance_px: 2.0,
            ..Settings::new(SIZE)
        };
        let subject = Subject {
            name: "toy",
            input: &model.picture,
            choice,
            boxes: &[patch],
        };
        let queries = Queries::new(model).with_threads(threads);
        let layers = [model.spec().last_layer()];
        let explainers = [&explainers[0] as &dyn Explainer, &explainers[1]];
        evaluate_picture(&queries, &explainers, subject, &layers, &settings)
    }

    #[test]
    fn a_perfect_map_wins_everything() {
        let model = PatchModel::new();
        let report = evaluate(&model, TargetChoice::Top1, 1).unwrap();
        let names: Vec<_> = report.methods.iter().map(|scores| scores.method).collect();
        assert_eq!(names, ["perfect", "inverse", "centre", "random"]);
        assert_eq!((report.class, report.class_name.as_str()), (0, "patch"));
        assert!((report.probability - 0.9).abs() < 1e-6);
        let perfect = &report.methods[0];
        for other in &report.methods[1..] {
            assert!(perfect.deletion_auc < other.deletion_auc, "{other:?}");
            assert!(perfect.insertion_auc > other.insertion_auc, "{other:?}");
            assert!(perfect.road > other.road, "{other:?}");
            assert!(perfect.drop < other.drop, "{other:?}");
            assert!(perfect.energy_in_box > other.energy_in_box, "{other:?}");
        }
        assert_eq!(
            (perfect.pointing, perfect.energy_in_box),
            (Some(true), Some(1.0))
        );
        let inverse = &report.methods[1];
        assert_eq!(
            (inverse.pointing, inverse.energy_in_box),
            (Some(false), Some(0.0))
        );
        assert_eq!(report.agreement[0][..2], [Some(1.0), Some(-1.0)]);
    }

    #[test]
    fn threads_change_nothing() {
        let model = PatchModel::new();
        let [one, three] = [1, 3].map(|threads| evaluate(&model, TargetChoice::Class(0), threads));
        assert_eq!(one.unwrap(), three.unwrap());
    }

    #[test]
    fn a_class_that_does_not_exist_is_an_error() {
        let error = evaluate(&PatchModel::new(), TargetChoice::Class(2), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
