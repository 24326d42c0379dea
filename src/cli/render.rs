//! `gradcam-video render`: draw again from records, without the network.

use gradcam_video::pipeline::{self, CancelToken, Job, Maps, Options, largest_maxima};
use gradcam_video::preprocess::ResizePolicy;
use gradcam_video::records::{RecordsHeader, RecordsReader};
use gradcam_video::render::{DrawStyle, RenderOptions, Renderer};
use gradcam_video::source::{SourceInfo, TimeRange};
use gradcam_video::temporal::Normalize;
use gradcam_video::{Error, ErrorKind, Result};

use super::Outcome;
use super::config::{MOST_CLASSES, RenderConfig};
use super::interrupt;
use super::progress::ProgressView;
use super::values::Scale;

/// Draws the records over the input; the output has its final name when this returns without error.
pub(super) fn run(config: RenderConfig) -> anyhow::Result<Outcome> {
    let cancel = CancelToken::new();
    let (files, console) = (&config.files, config.console);
    interrupt::install(&cancel, console, files.on_interrupt())?;
    let mut reader = RecordsReader::open(&config.records)?;
    reader.keep_top(config.top_k);
    let header = reader.header().clone();
    let targets = reader.targets()?;
    if targets > MOST_CLASSES {
        let message = format!(
            "cannot draw {}: {targets} classes per frame are more than {MOST_CLASSES}",
            config.records.display()
        );
        return Err(Error::new(ErrorKind::Input, message).into());
    }
    let resize = header.resize_policy()?;
    let is_recipe = config.picture.render.style == DrawStyle::Keras;
    let covers_frame = matches!(resize, ResizePolicy::Nearest | ResizePolicy::Stretch);
    if is_recipe && (targets > 1 || !covers_frame) {
        let message =
            "--recipe keras draws one class whose map covers the image; the records have another";
        return Err(Error::new(ErrorKind::InvalidArgument, message).into());
    }
    let range = TimeRange {
        start_secs: header.start_s,
        end_secs: header.end_s,
    };
    let source = files.open_source(range, &cancel)?;
    let info = source.info();
    check_size(&config, &header, info)?;
    let normalize = match &config.picture.scale {
        Scale::Known(normalize) => normalize.clone(),
        Scale::WholeVideo => {
            Normalize::Video(largest_maxima(&mut RecordsReader::open(&config.records)?)?)
        }
    };
    let render = RenderOptions {
        targets,
        ..config.picture.render
    };
    let renderer = Renderer::for_stream(render, info)?;
    let estimated_frames = info.estimated_frames;
    let (sink, notices) = files.create_sink(info, renderer.shape())?;
    for notice in &notices {
        console.note(notice);
    }
    let stats = files.create_stats()?;
    let progress = ProgressView::new(console.is_quiet || files.is_still_input, estimated_frames);
    let job = Job {
        maps: Maps::Recorded(Box::new(reader)),
        source,
        renderer: Some(renderer),
        sink,
        records: None,
        options: Options {
            resize,
            normalize,
            smooth: config.picture.smooth,
        },
    };
    let result = pipeline::run(job, &progress, &cancel);
    progress.finish();
    files.finish(console, &result?, stats)
}

fn check_size(config: &RenderConfig, header: &RecordsHeader, info: &SourceInfo) -> Result<()> {
    let (width, height) = info.orientation.upright_size(info.width, info.height);
    if header.size == [width, height] {
        return Ok(());
    }
    let [recorded_width, recorded_height] = header.size;
    let message = format!(
        "cannot draw {}: the records are of {recorded_width}x{recorded_height} frames, {} has {width}x{height}",
        config.records.display(),
        config.files.input_name()
    );
    Err(Error::new(ErrorKind::Input, message))
}
