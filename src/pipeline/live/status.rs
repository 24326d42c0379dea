//! A live run in words and figures, for viewers and for `--stats`.

use std::time::Instant;

use serde::Serialize;

use super::desk::Look;
use super::messages::Signal;
use super::meter::Percentiles;
use super::view::Facts;
use crate::explain::{METHODS, TargetChoice};
use crate::model::ModelSpec;
use crate::pipeline::report::Summary;
use crate::render::{ColorMap, Layout};

/// Everything that a viewer may want to know. Serialises as what the page of the HTTP preview reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveStatus {
    /// Where the run stands.
    pub state: LiveState,
    /// Why there is no signal.
    pub message: Option<String>,
    /// Name of the source.
    pub source: String,
    /// Width and height of the upright frame in pixels.
    pub size: Option<[usize; 2]>,
    /// Rates per second.
    pub fps: Rates,
    /// From capture to the viewer's eyes, of late.
    pub latency_ms: Option<Percentiles>,
    /// From the capture of the explained frame to the first picture with its map, of late.
    pub map_latency_ms: Option<Percentiles>,
    /// Numbers of frames.
    pub frames: Counts,
    /// How long the run has been going on, in seconds.
    pub uptime_s: f64,
    /// The file that is recorded.
    pub recording: Option<String>,
    /// The explained classes.
    pub targets: Vec<Class>,
    /// The most probable classes.
    pub top: Vec<Class>,
    /// What is asked and how it is drawn.
    pub settings: Chosen,
    /// What can be chosen.
    pub choices: Choices,
    /// How far the current explanation is, if it takes many passes.
    pub progress: Option<Passes>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveState {
    /// Frames come and are shown.
    Live,
    /// A frame is kept on the screen.
    Frozen,
    /// No frames come.
    NoSignal,
    /// The run is over.
    Ended,
}

/// Events per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// Frames that come.
    pub captured: f64,
    /// Frames that are shown.
    pub shown: f64,
    /// Explanations.
    pub explained: f64,
}

/// Numbers of frames since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Frames that came.
    pub captured: u64,
    /// Frames that were shown.
    pub shown: u64,
    /// Explanations.
    pub explained: u64,
    /// Frames that came while all workers were busy: they were shown with the map of a frame before.
    pub dropped: u64,
    /// Frames that were never shown.
    pub unshown: u64,
    /// Frames that were shown but not recorded, because the encoder was busy.
    pub unrecorded: u64,
}

/// A class and its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Class {
    /// Class index.
    pub index: usize,
    /// Name.
    pub label: String,
    /// Softmax probability.
    pub prob: f64,
}

/// What is asked and how it is drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chosen {
    /// `top1`, or the name of the first target.
    pub class: String,
    /// Explainer.
    pub method: &'static str,
    /// Target layers.
    pub layer: String,
    /// Arrangement of the picture.
    pub layout: String,
    /// Palette.
    pub colormap: String,
    /// Weight of the heatmap.
    pub alpha: f64,
    /// Whether the picture stays.
    pub frozen: bool,
}

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choices {
    /// Explainers.
    pub method: Vec<Method>,
    /// Layers.
    pub layer: Vec<String>,
    /// Arrangements.
    pub layout: Vec<String>,
    /// Palettes.
    pub colormap: Vec<String>,
}

/// An explainer that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Method {
    /// Name.
    pub name: &'static str,
    /// Whether a map takes seconds.
    pub is_slow: bool,
}

/// Passes of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Passes {
    /// Done.
    pub done: usize,
    /// In all.
    pub total: usize,
}

/// What a live run did. Serialises as the `--stats` file: the offline run's figures, and `live`.
#[derive(Debug, Serialize)]
pub struct LiveSummary {
    /// As of an offline run.
    #[serde(flatten)]
    pub summary: Summary,
    /// What only live runs have.
    pub live: LiveFigures,
    /// Why the run ended too early, if it did; what was recorded until then is finished.
    #[serde(skip)]
    pub failure: Option<crate::Error>,
}

/// Figures of a whole live run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveFigures {
    /// Name of the source.
    pub source: String,
    /// Numbers of frames.
    pub frames: Counts,
    /// From capture to the viewer's eyes.
    pub latency_ms: Option<Percentiles>,
    /// From the capture of the explained frame to the first picture with its map.
    pub map_latency_ms: Option<Percentiles>,
    /// How often there was no signal.
    pub losses: u64,
}

impl LiveFigures {
    pub(super) fn of(look: Look<'_>, source: &str) -> Self {
        Self {
            source: source.to_owned(),
            frames: counts(&look),
            latency_ms: look.meters.picture.overall(),
            map_latency_ms: look.meters.map.overall(),
            losses: look.meters.losses,
        }
    }
}

fn counts(look: &Look<'_>) -> Counts {
    let meters = &look.meters;
    Counts {
        captured: meters.captured.count,
        shown: meters.shown.count,
        explained: meters.explained.count,
        dropped: meters.dropped + look.untaken,
        unshown: meters.unshown,
        unrecorded: meters.unrecorded,
    }
}

/// Puts a look into words.
pub(super) fn describe(
    mut look: Look<'_>,
    facts: &Facts,
    spec: &ModelSpec,
    start: Instant,
) -> LiveStatus {
    let now = Instant::now();
    let labels = &spec.labels;
    let class = |index: usize, prob: f64| Class {
        index,
        label: labels.name(index).to_owned(),
        prob,
    };
    let explanation = look.explanation.map(|last| &last.explanation);
    let targets = explanation.into_iter().flat_map(|last| &last.maps);
    let top = explanation.into_iter().flat_map(|last| &last.ranking);
    let (state, message) = match look.signal {
        _ if look.is_over => (LiveState::Ended, None),
        Signal::Lost { since, cause } => {
            let secs = since.elapsed().as_secs();
            let message = format!("no signal for {secs} s: {cause}");
            (LiveState::NoSignal, Some(message))
        }
        Signal::Live if look.is_frozen => (LiveState::Frozen, None),
        Signal::Live => (LiveState::Live, None),
    };
    let size = look.shown.map(|frame| {
        let (width, height) = frame
            .orientation
            .upright_size(frame.picture.width, frame.picture.height);
        [width, height]
    });
    let settings = look.settings;
    let (question, render) = (&settings.question, &settings.render);
    LiveStatus {
        state,
        message,
        source: facts.source.clone(),
        size,
        fps: Rates {
            captured: look.meters.captured.per_second(now),
            shown: look.meters.shown.per_second(now),
            explained: look.meters.explained.per_second(now),
        },
        latency_ms: look.meters.picture.recent(now),
        map_latency_ms: look.meters.map.recent(now),
        frames: counts(&look),
        uptime_s: start.elapsed().as_secs_f64(),
        recording: facts.recording.clone(),
        targets: targets
            .map(|map| class(map.target.class, map.prediction.probability))
            .collect(),
        top: top
            .take(settings.top_k)
            .map(|top| class(top.index, top.probability))
            .collect(),
        settings: Chosen {
            class: match question.request.targets.first() {
                Some(TargetChoice::Class(class)) => labels.name(*class).to_owned(),
                _ => "top1".to_owned(),
            },
            method: question.explainer.name(),
            layer: question.layer_name.clone(),
            layout: render.layout.to_string(),
            colormap: render.colormap.to_string(),
            // To four decimals: the shortest text that says what was wished for.
            alpha: (f64::from(render.alpha) * 1e4).round() / 1e4,
            frozen: look.is_frozen,
        },
        choices: choices(spec, &question.request.layers),
        progress: look
            .passes
            .take()
            .map(|(done, total)| Passes { done, total }),
    }
}

fn choices(spec: &ModelSpec, layers: &[crate::model::TargetLayer]) -> Choices {
    let stages = spec.blocks.iter().enumerate();
    let last_blocks = stages.map(|(stage, blocks)| crate::model::TargetLayer {
        stage,
        block: blocks - 1,
    });
    Choices {
        method: METHODS
            .iter()
            .map(|method| Method {
                name: method.name(),
                is_slow: method.makes_many_passes(spec, layers),
            })
            .collect(),
        layer: last_blocks.map(|layer| spec.layer_name(layer)).collect(),
        layout: Layout::ALL.iter().map(ToString::to_string).collect(),
        colormap: ColorMap::ALL.iter().map(ToString::to_string).collect(),
    }
}
