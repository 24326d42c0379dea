//! The main command: explain a video or an image into a file.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context;
use gradcam_video::explain::{Request, Score, TargetChoice};
use gradcam_video::model::{Classifier, Labels, ModelSpec, Prediction};
use gradcam_video::pipeline::{
    self, CancelToken, Explaining, Job, Maps, Options, run_over_whole_video,
};
use gradcam_video::records::{RecordsHeader, RecordsWriter};
use gradcam_video::render::{RenderOptions, Renderer};
use gradcam_video::sink::{OutputSpec, PartialFile};
use gradcam_video::temporal::Normalize;
use gradcam_video::{Error, ErrorKind};

use super::Outcome;
use super::config::{ExplainConfig, Question};
use super::console::printable;
use super::interrupt;
use super::model::{load_model, load_weights, note_batch};
use super::progress::ProgressView;
use super::results::{RecordedAs, open_partial};
use super::values::Scale;

/// Classes printed for an image.
const PRINTED_CLASSES: usize = 5;
/// Margin of `--hold` for videos: five of a hundred.
pub(super) const DEFAULT_HOLD: f64 = 0.05;
/// Name of the layer in records where a method looks at none.
const NO_LAYER: &str = "input";

/// Explains the input; the output has its final name when this returns without error.
pub(super) fn run(config: ExplainConfig) -> anyhow::Result<Outcome> {
    let cancel = CancelToken::new();
    let (files, console) = (&config.files, config.console);
    interrupt::install(&cancel, console, files.on_interrupt())?;

    // What can be wrong with the request is found before the output is touched.
    let source = files.open_source(config.range, &cancel)?;
    let weights = Arc::new(load_weights(config.running.weights.as_deref())?);
    console.detail(&format!(
        "weights {} (sha256 {})",
        weights.origin(),
        weights.sha256()
    ));
    let network = &config.running.network;
    let model = load_model(Arc::clone(&weights), network, console)?;
    let explaining = explaining(&config, &*model)?;
    explaining
        .explainer
        .check(model.spec(), &explaining.request)?;
    let backend = model.backend();
    console.detail(&format!(
        "layer {}, {} workers, {} kernels",
        explaining.layer_name, explaining.workers, backend.isa
    ));
    if backend.is_emulated {
        console.note(&format!(
            "this CPU does not multiply {0}: it is emulated, slower than f32",
            network.precision
        ));
    }

    if explaining.makes_many_passes() && config.stride == 1 && !files.is_still_input {
        console.note(&format!(
            "{} makes many passes for every frame: --stride N explains every Nth only",
            explaining.explainer.name()
        ));
    }
    let info = source.info();
    let render = RenderOptions {
        targets: config.classes.len(),
        ..config.picture.render
    };
    let renderer = Renderer::for_stream(render, info)?;
    let recorded_as = RecordedAs {
        input: files.input_name(),
        info,
        spec: model.spec(),
        weights: &weights,
        precision: network.precision,
        resize: config.resize,
        explainer: explaining.explainer,
        request: &explaining.request,
        layer_name: &explaining.layer_name,
    };
    let header = RecordsHeader {
        start_s: config.range.start_secs,
        end_s: config.range.end_secs,
        ..recorded_as.header()
    };
    let estimated_frames = info.estimated_frames;
    let (sink, notices) = files.create_sink(info, renderer.shape())?;
    for notice in &notices {
        console.note(notice);
    }
    let records = Records::create(&config, &header)?;
    let (records_writer, records_file) = records.into_parts();
    let stats = files.create_stats()?;

    let batch = model.batch();
    let has_progress = !files.is_still_input || explaining.makes_many_passes();
    let progress = ProgressView::new(console.is_quiet || !has_progress, estimated_frames);
    let (is_over_whole_video, normalize) = match &config.picture.scale {
        Scale::Known(normalize) => (false, normalize.clone()),
        Scale::WholeVideo => (true, Normalize::Frame),
    };
    let job = Job {
        maps: Maps::Explained(explaining),
        source,
        renderer: Some(renderer),
        sink,
        records: records_writer,
        options: Options {
            resize: config.resize,
            normalize,
            smooth: config.picture.smooth,
        },
    };
    let result = if is_over_whole_video {
        let reopen = |cancel: &CancelToken| files.open_source(config.range, cancel);
        run_over_whole_video(job, reopen, &header, &progress, &cancel)
    } else {
        pipeline::run(job, &progress, &cancel)
    };
    progress.finish();
    let summary = result?;
    note_batch(console, batch, &*model);
    if let Some(file) = records_file {
        file.commit()?;
    }
    if let (true, Some(last)) = (files.is_still_input, &summary.last) {
        print_classes(&last.ranking, &model.spec().labels, &files.output)?;
    }
    files.finish(console, &summary, stats)
}

fn explaining<'a>(
    config: &ExplainConfig,
    model: &'a dyn Classifier,
) -> gradcam_video::Result<Explaining<'a>> {
    let spec = model.spec();
    let contrast = config.contrast.as_deref();
    let (request, layer_name) = config.question.ask(spec, &config.classes, contrast)?;
    let mut explaining = Explaining {
        request,
        layer_name,
        top_k: config.top_k,
        stride: config.stride,
        hold: config.hold.unwrap_or(0.0),
        samples: config.question.samples,
        seed: config.question.seed,
        workers: config.running.workers,
        ..Explaining::new(model, config.question.method)
    };
    // What was explained for one class would have to be explained again for the one that is held.
    if config.hold.is_none() && !config.files.is_still_input && !explaining.makes_many_passes() {
        explaining.hold = DEFAULT_HOLD;
    }
    Ok(explaining)
}

impl Question {
    /// The request for these classes (`None` for each picture's top class), and the name of its layers.
    pub(super) fn ask(
        &self,
        spec: &ModelSpec,
        classes: &[Option<String>],
        contrast: Option<&str>,
    ) -> gradcam_video::Result<(Request, String)> {
        let targets = classes.iter().map(|class| match class {
            None => Ok(TargetChoice::Top1),
            Some(class) => spec.labels.find(class).map(TargetChoice::Class),
        });
        let contrast = contrast.map(|class| spec.labels.find(class)).transpose()?;
        let (mut request, layer_name) = self.request(spec)?;
        request.targets = targets.collect::<Result<_, _>>()?;
        if contrast.is_some_and(|other| request.targets.contains(&TargetChoice::Class(other))) {
            let message = "--contrast names the class itself";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        request.contrast = contrast;
        if contrast.is_some() && self.score.is_none() {
            // Of two rare classes, probabilities hardly differ.
            request.score = Score::Logit;
        }
        Ok((request, layer_name))
    }

    /// The request for each picture's top class, and the name of its layers.
    pub(super) fn request(&self, spec: &ModelSpec) -> gradcam_video::Result<(Request, String)> {
        let mut layers = Vec::with_capacity(self.layers.len());
        for name in &self.layers {
            layers.push(spec.layer_by_name(name)?);
        }
        if layers.is_empty() {
            layers.push(spec.last_layer());
        }
        let names: Vec<_> = layers.iter().map(|layer| spec.layer_name(*layer)).collect();
        let name = if self.method.is_model_agnostic() {
            NO_LAYER.to_owned()
        } else {
            names.join(",")
        };
        let request = Request {
            targets: vec![TargetChoice::Top1],
            score: self.score.unwrap_or(self.method.default_score()),
            contrast: None,
            layers,
        };
        Ok((request, name))
    }
}

/// The records file under its temporary name, and what writes to it.
struct Records(Option<(RecordsWriter, PartialFile)>);

impl Records {
    fn create(config: &ExplainConfig, header: &RecordsHeader) -> anyhow::Result<Self> {
        let Some((format, path)) = &config.records else {
            return Ok(Self(None));
        };
        let file = config.files.create_beside(path)?;
        let output = Box::new(open_partial(&file, path)?);
        let writer = RecordsWriter::new(output, *format, &path.display().to_string(), header)?;
        Ok(Self(Some((writer, file))))
    }

    fn into_parts(self) -> (Option<RecordsWriter>, Option<PartialFile>) {
        self.0.unzip()
    }
}

/// On stdout, or on stderr if the output is there.
fn print_classes(
    ranking: &[Prediction],
    labels: &Labels,
    output: &OutputSpec,
) -> anyhow::Result<()> {
    let mut text = String::new();
    for prediction in ranking.iter().take(PRINTED_CLASSES) {
        text += &format!(
            "{:4}  {}  {:<24} {:7.4}\n",
            prediction.index,
            printable(labels.wnid(prediction.index)),
            printable(labels.name(prediction.index)),
            prediction.probability
        );
    }
    match output {
        OutputSpec::Stdout => std::io::stderr().write_all(text.as_bytes()),
        OutputSpec::Path(_) => std::io::stdout().write_all(text.as_bytes()),
    }
    .context("cannot write the prediction")
}
