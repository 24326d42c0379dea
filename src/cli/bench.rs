//! `gradcam-video bench`: how fast this machine explains.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use gradcam_video::Error;
use gradcam_video::explain::{Explainer, GradCam, LayerView, Queries, Score, Target};
use gradcam_video::frame::{
    ColorModel, ColorSpec, Frame, FrameIndex, Orientation, Picture, PictureFormat, Pts, Samples,
    TimeBase, Transfer,
};
use gradcam_video::model::{Classifier, ranked};
use gradcam_video::pipeline::{self, CancelToken, Explaining, Job, Maps, Options, SilentReporter};
use gradcam_video::preprocess::{Preprocessor, ResizePolicy};
use gradcam_video::render::{RenderOptions, Renderer};
use gradcam_video::sink::{EncodeOptions, FfmpegSink, FrameSink, OutputSpec};
use gradcam_video::source::{
    FfmpegSource, FrameSource, InputSpec, ReadOptions, SourceEnd, SourceInfo,
};
use gradcam_video::temporal::Normalize;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::Outcome;
use super::args::BenchArgs;
use super::config::{NetworkChoice, with_encoder_threads};
use super::console::Console;
use super::interrupt;
use super::model::{load_model, load_weights};

/// Size of the made-up video.
const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const FRAMES_PER_SECOND: i32 = 25;
/// Frames that are run before the clock starts: caches fill, buffers are made.
const WARM_UP_FRAMES: usize = 3;
/// Whole runs, of which the median counts.
const PIPELINE_RUNS: usize = 3;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    cpu: String,
    device: String,
    isa: &'static str,
    precision: &'static str,
    is_emulated: bool,
    threads: usize,
    frames: usize,
    preprocess: StageReport,
    model: StageReport,
    explain: StageReport,
    pipeline: StageReport,
}

/// Medians.
#[derive(Debug, Serialize)]
struct StageReport {
    cpu_ms_per_frame: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<f64>,
}

pub(super) fn run(args: BenchArgs) -> anyhow::Result<Outcome> {
    // So that an interrupt leaves no temporary video.
    let cancel = CancelToken::new();
    interrupt::install(&cancel, Console::default(), "stopping")?;
    let weights = load_weights(args.weights.weights.as_deref())?;
    let network = NetworkChoice::new(args.network)?;
    let model = load_model(Arc::new(weights), &network, Console::default())?;
    let backend = model.backend();
    let threads = usize::from(args.threads).max(model.concurrency());
    let frames = usize::from(args.frames);

    let mut times = StageSamples::default();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let spawn = |index: usize| {
            std::thread::Builder::new()
                .name(format!("bench-{index}"))
                .spawn_scoped(scope, || time_stages(&*model, frames))
                .context("cannot start a thread")
        };
        let handles = (0..threads)
            .map(spawn)
            .collect::<anyhow::Result<Vec<_>>>()?;
        for handle in handles {
            let samples = handle.join().map_err(|_| anyhow!("a thread panicked"))??;
            times.extend(samples);
        }
        Ok(())
    })?;
    let network_fps = median(times.network_fps.clone()) * threads as f64;
    let report = Report {
        cpu: cpu_name(),
        device: backend.device,
        isa: backend.isa,
        precision: backend.precision.name(),
        is_emulated: backend.is_emulated,
        threads,
        frames,
        preprocess: StageReport {
            cpu_ms_per_frame: median(times.preprocess),
            fps: None,
        },
        model: StageReport {
            cpu_ms_per_frame: median(times.model),
            fps: Some(network_fps),
        },
        explain: StageReport {
            cpu_ms_per_frame: median(times.explain),
            fps: None,
        },
        pipeline: time_pipeline(&*model, threads, frames, &cancel)?,
    };
    let text = if args.json {
        serde_json::to_string(&report)? + "\n"
    } else {
        describe(&report)
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write the figures")?;
    Ok(Outcome::Done)
}

/// A line on the machine, and one for each stage.
fn describe(report: &Report) -> String {
    let mut text = format!(
        "{}, network on {}, {} kernels, {}{}, {} threads, {} frames each; medians\n",
        report.cpu,
        report.device,
        report.isa,
        report.precision,
        if report.is_emulated {
            " (emulated)"
        } else {
            ""
        },
        report.threads,
        report.frames
    );
    let stages = [
        ("preprocess", &report.preprocess, "1280x720 to 224x224"),
        ("model", &report.model, "ResNet50, a frame per thread"),
        ("explain", &report.explain, "Grad-CAM at layer4"),
        (
            "pipeline",
            &report.pipeline,
            "1280x720: decode, all of the above, draw, encode",
        ),
    ];
    for (name, stage, what) in stages {
        let fps = stage
            .fps
            .map_or_else(String::new, |fps| format!("{fps:.1} fps"));
        let _ = writeln!(
            text,
            "{name:10} {:8.2} ms CPU per frame {fps:>10}   {what}",
            stage.cpu_ms_per_frame
        );
    }
    text
}

/// CPU milliseconds per frame, frame by frame.
#[derive(Debug, Default)]
struct StageSamples {
    preprocess: Vec<f64>,
    model: Vec<f64>,
    explain: Vec<f64>,
    /// Of one thread, over all its frames.
    network_fps: Vec<f64>,
}

impl StageSamples {
    fn extend(&mut self, other: Self) {
        self.preprocess.extend(other.preprocess);
        self.model.extend(other.model);
        self.explain.extend(other.explain);
        self.network_fps.extend(other.network_fps);
    }
}

/// Times each stage on this thread, while the other threads do the same.
fn time_stages(model: &dyn Classifier, frames: usize) -> gradcam_video::Result<StageSamples> {
    // As in the pipeline: one frame per thread, whatever candle would like.
    let _this_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    let mut preprocessor = Preprocessor::new(ResizePolicy::Stretch, model.spec());
    let layer = model.spec().last_layer();
    let picture = picture(0);
    let mut samples = StageSamples::default();
    let mut model_wall_s = 0.0;
    for frame in 0..WARM_UP_FRAMES + frames {
        let start = thread_cpu_ms();
        let input = preprocessor.run(&picture, Orientation::default())?;
        let (preprocessed, wall_start) = (thread_cpu_ms(), Instant::now());
        let forward = model.forward(&input, &[layer])?;
        let (ran, wall_s) = (thread_cpu_ms(), wall_start.elapsed().as_secs_f64());
        let view = LayerView {
            layer,
            forward: &forward,
            input: &input,
        };
        let target = Target::new(ranked(&forward.logits)[0].index, Score::Logit);
        GradCam.explain(&Queries::new(model), view, target)?;
        let explained = thread_cpu_ms();
        if frame >= WARM_UP_FRAMES {
            samples.preprocess.push(preprocessed - start);
            samples.model.push(ran - preprocessed);
            samples.explain.push(explained - ran);
            model_wall_s += wall_s;
        }
    }
    samples.network_fps.push(frames as f64 / model_wall_s);
    Ok(samples)
}

/// Encodes a made-up video, then explains it as the main command does.
fn time_pipeline(
    model: &dyn Classifier,
    threads: usize,
    frames: usize,
    cancel: &CancelToken,
) -> anyhow::Result<StageReport> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let input = folder.path().join("input.mp4");
    write_clip(&input, frames * threads)?;
    let (mut cpu_ms, mut fps) = (Vec::new(), Vec::new());
    for index in 0..PIPELINE_RUNS {
        let input = InputSpec::Path(input.clone());
        let source = FfmpegSource::open(&input, ReadOptions::default(), cancel)?;
        let renderer = renderer()?;
        let output = OutputSpec::Path(folder.path().join(format!("output{index}.mp4")));
        let encode = with_encoder_threads(&EncodeOptions::default(), renderer.shape());
        let sink = FfmpegSink::create(&output, source.info(), renderer.shape(), &encode)?;
        let job = Job {
            maps: Maps::Explained(Explaining {
                workers: threads,
                ..Explaining::new(model, &GradCam)
            }),
            source: Box::new(source),
            renderer: Some(renderer),
            sink: Box::new(sink),
            records: None,
            options: Options {
                resize: ResizePolicy::Stretch,
                normalize: Normalize::default(),
                smooth: 0.0,
            },
        };
        let summary = pipeline::run(job, &SilentReporter, cancel)?;
        if summary.was_cancelled {
            return Err(Error::cancelled().into());
        }
        cpu_ms.push(summary.cpu_ms_per_frame);
        fps.push(summary.fps);
    }
    Ok(StageReport {
        cpu_ms_per_frame: median(cpu_ms),
        fps: Some(median(fps)),
    })
}

/// As cameras and files mostly have it.
const FORMAT: PictureFormat = PictureFormat {
    chroma_shift: (1, 1),
    bit_depth: 8,
};
const COLOR: ColorSpec = ColorSpec {
    model: ColorModel::YuvBt709,
    is_full_range: false,
    transfer: Transfer::Sdr,
};

fn renderer() -> gradcam_video::Result<Renderer> {
    Renderer::new(
        RenderOptions::default(),
        WIDTH,
        HEIGHT,
        FORMAT,
        COLOR,
        Orientation::default(),
    )
}

fn write_clip(path: &Path, frames: usize) -> gradcam_video::Result<()> {
    let info = SourceInfo {
        width: WIDTH,
        height: HEIGHT,
        format: FORMAT,
        color: COLOR,
        pixel_aspect: 1.0,
        orientation: Orientation::default(),
        time_base: TimeBase {
            numerator: 1,
            denominator: FRAMES_PER_SECOND,
        },
        estimated_frames: Some(frames as u64),
        is_endless: false,
        clock_start_micros: None,
        notices: Vec::new(),
        template: None,
    };
    let output = OutputSpec::Path(path.to_owned());
    let encode = EncodeOptions::default();
    let mut sink = FfmpegSink::create(&output, &info, renderer()?.shape(), &encode)?;
    for index in 0..frames {
        sink.write(Frame {
            index: FrameIndex(index as u64),
            pts: Pts(index as i64),
            duration: 1,
            picture: picture(index),
            passthrough: Vec::new(),
        })?;
    }
    Box::new(sink).finish(SourceEnd::default())?;
    Ok(())
}

/// Bands that move from frame to frame, with some noise: not so smooth that coding it costs nothing.
fn picture(frame: usize) -> Picture {
    let mut picture = Picture::filled(WIDTH, HEIGHT, FORMAT, COLOR, [128; 3]);
    for (index, plane) in picture.planes.iter_mut().enumerate() {
        let Samples::U8(samples) = &mut plane.samples else {
            continue;
        };
        for (y, row) in samples.chunks_exact_mut(plane.width).enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                let band = (x * (index + 1) + y * 2 + frame * 3) / 6 % 160;
                let noise = (x * 7919 + y * 104_729 + frame * 31) % 3;
                *sample = (40 + band + noise) as u8;
            }
        }
    }
    picture
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn thread_cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// As the system names it.
fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| {
            Some(
                line.strip_prefix("model name")?
                    .trim_start_matches([' ', '\t', ':']),
            )
        })
        .unwrap_or("unknown CPU")
        .to_owned()
}
