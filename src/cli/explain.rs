//! The main command: explain a video or an image into a file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use gradcam_video::explain::{Explainer, TargetChoice};
use gradcam_video::model::{Labels, ModelSpec, Prediction, WeightFile};
use gradcam_video::pipeline::{self, CancelToken, Job, Options, Summary};
use gradcam_video::records::{RecordsHeader, RecordsWriter};
use gradcam_video::render::Renderer;
use gradcam_video::sink::{
    FfmpegSink, FrameSink, OutputSpec, PartialFile, PictureShape, StillSink,
};
use gradcam_video::source::{FfmpegSource, FrameSource, InputSpec, SourceInfo, StillSource};

use super::Outcome;
use super::config::ExplainConfig;
use super::interrupt;
use super::model::{load_model, load_weights};
use super::progress::ProgressView;

/// Classes printed for an image.
const PRINTED_CLASSES: usize = 5;

/// Explains the input; the output has its final name when this returns without error.
pub(super) fn run(config: ExplainConfig) -> anyhow::Result<Outcome> {
    let cancel = CancelToken::new();
    interrupt::install(&cancel)?;
    let console = Console {
        is_quiet: config.is_quiet,
        is_verbose: config.is_verbose,
    };

    // What can be wrong with the request is found before the output is touched.
    let source = open_source(&config, &cancel)?;
    let weights = Arc::new(load_weights(config.weights.as_deref())?);
    console.detail(&format!(
        "weights {} (sha256 {})",
        weights.origin(),
        weights.sha256()
    ));
    let model = load_model(Arc::clone(&weights), config.precision)?;
    let options = options(&config, model.spec())?;
    config
        .method
        .check(model.spec(), &options.layers, options.score)?;
    console.detail(&format!(
        "layer {}, {} workers, {} kernels",
        options.layer_name,
        options.workers,
        model.backend().isa
    ));

    let info = source.info();
    let renderer = Renderer::new(
        config.render,
        info.width,
        info.height,
        info.format,
        info.color,
        info.orientation,
    )?;
    let explainer = config.method;
    let header = records_header(&config, &options, explainer, info, &weights);
    let estimated_frames = info.estimated_frames;
    let (sink, mut notices) = open_sink(&config, info, renderer.shape())?;
    notices.extend(info.notices.iter().cloned());
    if model.backend().is_emulated {
        notices.push(format!(
            "this CPU does not multiply {0}: it is emulated, slower than f32",
            config.precision
        ));
    }
    for notice in &notices {
        console.note(notice);
    }
    let records = Records::create(&config, &header)?;
    let stats = config
        .stats
        .as_deref()
        .map(|path| PartialFile::create(path, config.encode.overwrite, config.input_path()))
        .transpose()?;

    let (records_writer, records_file) = records.into_parts();
    let progress = ProgressView::new(config.is_quiet || config.is_still_input, estimated_frames);
    let job = Job {
        model: &*model,
        explainer,
        source,
        renderer,
        sink,
        records: records_writer,
        options,
    };
    let result = pipeline::run(job, &progress, &cancel);
    progress.finish();
    let summary = result?;
    if let Some(file) = records_file {
        file.commit()?;
    }
    if let Some(file) = stats {
        write_stats(file, &summary)?;
    }
    report(&config, console, &summary, &model.spec().labels)
}

fn open_source(
    config: &ExplainConfig,
    cancel: &CancelToken,
) -> anyhow::Result<Box<dyn FrameSource>> {
    Ok(match &config.input {
        InputSpec::Path(path) if config.is_still_input => Box::new(StillSource::open(path)?),
        input => Box::new(FfmpegSource::open(input, config.range, cancel)?),
    })
}

fn open_sink(
    config: &ExplainConfig,
    info: &SourceInfo,
    shape: PictureShape,
) -> anyhow::Result<(Box<dyn FrameSink>, Vec<String>)> {
    match &config.output {
        OutputSpec::Path(path) if config.is_still_output => {
            let sink =
                StillSink::create(path, config.encode.overwrite, config.input_path(), shape)?;
            Ok((Box::new(sink), Vec::new()))
        }
        output => {
            let sink = FfmpegSink::create(output, info, shape, &config.encode)?;
            let notices = sink.notices().to_vec();
            Ok((Box::new(sink), notices))
        }
    }
}

fn options(config: &ExplainConfig, spec: &ModelSpec) -> anyhow::Result<Options> {
    let layers = config
        .layers
        .iter()
        .map(|name| spec.layer_by_name(name))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> = layers.iter().map(|layer| spec.layer_name(*layer)).collect();
    let target = match &config.class {
        None => TargetChoice::Top1,
        Some(class) => TargetChoice::Class(spec.labels.find(class)?),
    };
    Ok(Options {
        target,
        score: config.score,
        layers,
        layer_name: names.join(","),
        top_k: config.top_k,
        resize: config.resize,
        normalize: config.normalize,
        smooth: config.smooth,
        stride: config.stride,
        workers: config.workers,
    })
}

fn records_header(
    config: &ExplainConfig,
    options: &Options,
    explainer: &dyn Explainer,
    info: &SourceInfo,
    weights: &WeightFile,
) -> RecordsHeader {
    let (width, height) = info.orientation.upright_size(info.width, info.height);
    RecordsHeader {
        header: true,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        input: config.input_name(),
        size: [width, height],
        rotation: u16::from(info.orientation.quarter_turns) * 90,
        resize: options.resize.name().to_owned(),
        layer: options.layer_name.clone(),
        method: explainer.name().to_owned(),
        score: options.score.name().to_owned(),
        precision: config.precision.name().to_owned(),
        weights_sha256: weights.sha256().to_owned(),
    }
}

/// The records file under its temporary name, and what writes to it.
struct Records(Option<(RecordsWriter, PartialFile)>);

impl Records {
    fn create(config: &ExplainConfig, header: &RecordsHeader) -> anyhow::Result<Self> {
        let Some((path, format)) = &config.records else {
            return Ok(Self(None));
        };
        let file = PartialFile::create(path, config.encode.overwrite, config.input_path())?;
        let output = File::create(file.path())
            .with_context(|| format!("cannot create {}", path.display()))?;
        let output = Box::new(BufWriter::new(output));
        let writer = RecordsWriter::new(output, *format, &path.display().to_string(), header)?;
        Ok(Self(Some((writer, file))))
    }

    fn into_parts(self) -> (Option<RecordsWriter>, Option<PartialFile>) {
        self.0.unzip()
    }
}

fn write_stats(file: PartialFile, summary: &Summary) -> anyhow::Result<()> {
    let write = |path: &Path| -> anyhow::Result<()> {
        let mut output = File::create(path)?;
        serde_json::to_writer_pretty(&mut output, summary)?;
        output.write_all(b"\n")?;
        Ok(())
    };
    write(file.path()).with_context(|| format!("cannot write {}", file.path().display()))?;
    file.commit()?;
    Ok(())
}

/// Prints the result and says how the run ended.
fn report(
    config: &ExplainConfig,
    console: Console,
    summary: &Summary,
    labels: &Labels,
) -> anyhow::Result<Outcome> {
    if let (true, Some(last)) = (config.is_still_input, &summary.last) {
        print_classes(&last.ranking, labels, &config.output)?;
    }
    if config.is_still_input {
        console.info(&format!("wrote {}", config.output_name()));
    } else {
        console.info(&format!(
            "wrote {}: {} frames in {:.1} s, {:.1} fps, {:.0} ms CPU per frame",
            config.output_name(),
            summary.frames_out,
            summary.wall_s,
            summary.fps,
            summary.cpu_ms_per_frame
        ));
    }
    if summary.no_positive_evidence > 0 {
        console.note(&format!(
            "{} frames have no positive evidence for their class and are drawn plain",
            summary.no_positive_evidence
        ));
    }
    let stages = &summary.stages;
    for (name, time) in [
        ("decode", stages.decode),
        ("preprocess", stages.preprocess),
        ("model", stages.model),
        ("explain", stages.explain),
        ("render", stages.render),
        ("encode", stages.encode),
    ] {
        console.detail(&format!(
            "{name:10} {:9.1} ms CPU {:9.1} ms waiting",
            time.cpu_ms, time.wait_ms
        ));
    }
    if summary.was_cancelled {
        return Ok(Outcome::Interrupted);
    }
    if summary.decode_errors > 0 {
        eprintln!(
            "gradcam-video: {} is damaged: {} packets or frames could not be decoded cleanly",
            config.input_name(),
            summary.decode_errors
        );
        return Ok(Outcome::Damaged);
    }
    Ok(Outcome::Done)
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
            labels.wnid(prediction.index),
            labels.name(prediction.index),
            prediction.probability
        );
    }
    match output {
        OutputSpec::Stdout => std::io::stderr().write_all(text.as_bytes()),
        OutputSpec::Path(_) => std::io::stdout().write_all(text.as_bytes()),
    }
    .context("cannot write the prediction")
}

/// What is said on stderr besides errors.
#[derive(Debug, Clone, Copy)]
struct Console {
    is_quiet: bool,
    is_verbose: bool,
}

impl Console {
    fn info(self, text: &str) {
        if !self.is_quiet {
            eprintln!("gradcam-video: {text}");
        }
    }

    fn note(self, text: &str) {
        self.info(&format!("note: {text}"));
    }

    fn detail(self, text: &str) {
        if self.is_verbose {
            self.info(text);
        }
    }
}
