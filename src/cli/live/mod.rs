//! `live`: see what the model sees, now.

mod args;
mod config;
mod show;
mod source;
#[cfg(feature = "window")]
mod window;

use std::path::Path;
use std::sync::Arc;

use gradcam_video::pipeline::live::{
    Asking, LiveJob, LiveRecords, LiveSource, LiveSummary, Question, run_live,
};
use gradcam_video::pipeline::{CancelToken, Options};
use gradcam_video::records::RecordsHeader;
use gradcam_video::render::{RenderOptions, Renderer};
use gradcam_video::sink::{FfmpegSink, FittingSink, FrameSink, OutputSpec, PartialFile};
use gradcam_video::temporal::Normalize;

pub(super) use self::args::LiveArgs;
use self::config::LiveConfig;
use super::Outcome;
use super::config::with_encoder_threads;
use super::interrupt;
use super::model::{load_model, load_weights};
use super::results::{RecordedAs, open_partial, write_stats};
use super::values::Scale;

/// Shows until a viewer quits, the source ends, or an interrupt.
pub(super) fn run(args: LiveArgs) -> anyhow::Result<Outcome> {
    let config = LiveConfig::new(args)?;
    let console = config.console;
    let cancel = CancelToken::new();
    interrupt::install(&cancel, console, "stopping")?;
    let weights = Arc::new(load_weights(config.running.weights.as_deref())?);
    let model = load_model(Arc::clone(&weights), &config.running.network, console)?;
    let spec = model.spec();
    let target = &config.target;
    let (request, layer_name) =
        config
            .question
            .ask(spec, &target.classes, target.contrast.as_deref())?;
    let question = Question::new(config.question.method, request, layer_name);
    question.explainer.check(spec, &question.request)?;

    if question
        .explainer
        .makes_many_passes(spec, &question.request.layers)
    {
        console.note(&format!(
            "{} makes many passes: a map takes seconds or minutes; freeze the picture to explain it",
            question.explainer.name()
        ));
    }

    let (sources, reading) = (config.sources.clone(), config.reading);
    let open = move |cancel: &CancelToken| sources.open(reading, cancel);
    let source = LiveSource::open(Box::new(open), &cancel)?;
    let info = source.info();
    for notice in &info.notices {
        console.note(notice);
    }
    let render = RenderOptions {
        targets: target.classes.len(),
        ..config.picture.render
    };
    let preview = show::open(&config, info)?;
    let shape = Renderer::for_stream(render, info)?.shape();
    let recording = match &config.record {
        None => None,
        Some(output) => {
            let info = source.recording_info();
            let encode = with_encoder_threads(&config.encode, shape);
            let sink = FfmpegSink::create(output, &info, shape, &encode)?;
            sink.notices()
                .iter()
                .for_each(|notice| console.note(notice));
            let sink: Box<dyn FrameSink + Send> = Box::new(FittingSink::new(sink, shape));
            Some((sink, output_name(output)))
        }
    };
    let recorded_as = RecordedAs {
        input: config.sources.name(),
        info,
        spec,
        weights: &weights,
        precision: config.running.network.precision,
        resize: target.resize,
        explainer: question.explainer,
        request: &question.request,
        layer_name: &question.layer_name,
    };
    let header = recorded_as.header();
    let (records, records_file) = create_records(&config, header)?.unzip();
    let stats = config.stats.as_deref();
    let stats = stats.map(|path| create_beside(&config, path)).transpose()?;

    let job = LiveJob {
        asking: Asking {
            model: &*model,
            top_k: config.top_k,
            hold: config.hold,
            samples: config.question.samples,
            seed: config.question.seed,
            workers: config.running.workers,
            score: config.question.score,
        },
        question,
        render,
        options: Options {
            resize: target.resize,
            normalize: match &config.picture.scale {
                Scale::Known(normalize) => normalize.clone(),
                Scale::WholeVideo => Normalize::Rolling,
            },
            smooth: config.picture.smooth,
        },
        source,
        source_name: config.sources.name(),
        recording,
        records,
        give_up: config.give_up,
        duration: config.duration,
    };
    let summary = run_live(job, preview, &cancel)?;
    if let Some(file) = records_file {
        file.commit()?;
    }
    if let Some(file) = stats {
        write_stats(file, &summary)?;
    }
    finish(&config, summary)
}

fn output_name(output: &OutputSpec) -> String {
    match output {
        OutputSpec::Path(path) => path.display().to_string(),
        OutputSpec::Stdout => "standard output".to_owned(),
    }
}

/// A file for a result, under its temporary name.
fn create_beside(config: &LiveConfig, path: &Path) -> gradcam_video::Result<PartialFile> {
    PartialFile::create(path, config.encode.overwrite, config.sources.file_path())
}

fn create_records(
    config: &LiveConfig,
    header: RecordsHeader,
) -> anyhow::Result<Option<(LiveRecords, PartialFile)>> {
    let Some((format, path)) = &config.records else {
        return Ok(None);
    };
    let file = create_beside(config, path)?;
    let output = Box::new(open_partial(&file, path)?);
    let records = LiveRecords::new(output, *format, &path.display().to_string(), header);
    Ok(Some((records, file)))
}

/// Says what was done, and how it ended.
fn finish(config: &LiveConfig, summary: LiveSummary) -> anyhow::Result<Outcome> {
    let (console, live) = (config.console, &summary.live);
    let frames = live.frames;
    console.info(&format!(
        "showed {} of {} frames in {:.1} s, {:.1} fps, with {} maps ({:.1} per second)",
        frames.shown,
        frames.captured,
        summary.summary.wall_s,
        summary.summary.fps,
        frames.explained,
        frames.explained as f64 / summary.summary.wall_s,
    ));
    if let (Some(picture), Some(map)) = (live.latency_ms, live.map_latency_ms) {
        console.info(&format!(
            "from capture to sight: pictures {:.0} ms (p50), {:.0} ms (p95); maps {:.0} ms, {:.0} ms",
            picture.p50, picture.p95, map.p50, map.p95
        ));
    }
    if let Some(output) = &config.record {
        let name = output_name(output);
        console.info(&match summary.summary.frames_out {
            // A recording without a picture is not kept.
            0 => format!("nothing was recorded: {name} is not written"),
            frames => format!("wrote {name}: {frames} frames"),
        });
    }
    if frames.unrecorded > 0 {
        console.note(&format!(
            "{} frames are not in the recording: the encoder was too slow (see --preset)",
            frames.unrecorded
        ));
    }
    if summary.summary.decode_errors > 0 {
        console.note(&format!(
            "{} things were wrong with the input",
            summary.summary.decode_errors
        ));
    }
    match summary.failure {
        Some(error) => Err(error.into()),
        None if summary.summary.was_cancelled => Ok(Outcome::Interrupted),
        None => Ok(Outcome::Done),
    }
}
