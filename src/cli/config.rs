//! Raw arguments become a configuration that makes sense as a whole.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gradcam_video::Result;
use gradcam_video::explain::{Explainer, GradCam, Score, check_samples};
use gradcam_video::model::batched::BatchSize;
use gradcam_video::model::{DeviceChoice, Precision};
use gradcam_video::preprocess::ResizePolicy;
use gradcam_video::records::RecordsFormat;
use gradcam_video::render::{DrawStyle, RenderOptions};
use gradcam_video::sink::{EncodeOptions, OutputSpec, PictureShape};
use gradcam_video::source::{
    InputSpec, ReadOptions, TimeRange, is_still_image, is_still_image_name,
};
use gradcam_video::temporal::Normalize;

use super::args::{
    EncodingArgs, ExplainArgs, InputArgs, NetworkArgs, OutputArgs, PictureArgs, ReadingArgs,
    RecipeArg, RenderArgs, RunningArgs, ScoreArgs, TargetArgs,
};
use super::console::Console;
use super::values::{Scale, input_spec, output_spec, parse_normalize, parse_time, usage};

/// Most maps beside each other: more would not fit a screen.
pub(super) const MOST_CLASSES: usize = 8;

/// Longest patience with a server: an hour.
const MAXIMUM_TIMEOUT: Duration = Duration::from_secs(3600);

/// A validated request to explain one input.
#[derive(Debug)]
pub(super) struct ExplainConfig {
    pub(super) files: Files,
    pub(super) range: TimeRange,
    pub(super) question: Question,
    /// `None` for each frame's top class.
    pub(super) classes: Vec<Option<String>>,
    pub(super) contrast: Option<String>,
    pub(super) resize: ResizePolicy,
    pub(super) stride: u64,
    /// `None` for the default of what is explained.
    pub(super) hold: Option<f64>,
    pub(super) top_k: usize,
    pub(super) picture: Picture,
    pub(super) records: Option<(RecordsFormat, PathBuf)>,
    pub(super) running: Running,
    pub(super) console: Console,
}

/// A validated request to draw from records.
#[derive(Debug)]
pub(super) struct RenderConfig {
    pub(super) files: Files,
    pub(super) records: PathBuf,
    pub(super) top_k: Option<usize>,
    pub(super) picture: Picture,
    pub(super) console: Console,
}

/// Method, layers, score.
#[derive(Debug)]
pub(super) struct Question {
    /// The first of several.
    pub(super) method: &'static dyn Explainer,
    /// Empty for the default.
    pub(super) layers: Vec<String>,
    /// `None` for the method's own.
    pub(super) score: Option<Score>,
    pub(super) samples: Option<usize>,
    pub(super) seed: u64,
}

/// What is read and written.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) input: InputSpec,
    /// Without the range.
    pub(super) reading: ReadOptions,
    pub(super) output: OutputSpec,
    /// Whether input and output are still images.
    pub(super) is_still_input: bool,
    pub(super) is_still_output: bool,
    pub(super) encode: EncodeOptions,
    pub(super) stats: Option<PathBuf>,
}

/// How results are drawn.
#[derive(Debug)]
pub(super) struct Picture {
    /// Without the number of targets, which is known later.
    pub(super) render: RenderOptions,
    pub(super) scale: Scale,
    pub(super) smooth: f32,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) workers: usize,
    pub(super) network: NetworkChoice,
    pub(super) weights: Option<PathBuf>,
}

/// Why `--batch` does nothing on a CPU.
pub(super) const BATCH_IS_FOR_GPUS: &str =
    "--batch is for GPUs: on the CPU every worker computes its own frame";

/// How and where the network is computed.
#[derive(Debug, Clone)]
pub(super) struct NetworkChoice {
    pub(super) precision: Precision,
    pub(super) device: DeviceChoice,
    pub(super) batch: BatchSize,
}

impl NetworkChoice {
    /// # Errors
    /// If batches are asked for where there are none.
    pub(super) fn new(args: NetworkArgs) -> Result<Self> {
        if args.batch.is_some() && args.device == DeviceChoice::Cpu {
            return Err(usage(BATCH_IS_FOR_GPUS));
        }
        Ok(Self {
            precision: args.precision.into(),
            device: args.device,
            batch: BatchSize {
                most: args.batch.map(usize::from),
                latency: None,
            },
        })
    }
}

impl ExplainConfig {
    /// Checks what can be checked without opening anything.
    pub(super) fn new(args: ExplainArgs) -> anyhow::Result<Self> {
        let (Some(input), Some(output)) = (args.input, args.output) else {
            return Err(usage("INPUT and OUTPUT are required").into());
        };
        let (named, records) = ((input, output), args.records.as_deref());
        let files = Files::new(named, args.input_args, args.output_args, records)?;
        let target = Target::new(args.target)?;
        let range = TimeRange {
            start_secs: args.start.as_deref().map(parse_time).transpose()?,
            end_secs: args.end.as_deref().map(parse_time).transpose()?,
        };
        if files.is_still_input && (args.start.is_some() || args.end.is_some()) {
            return Err(usage(
                "--start and --end choose a part of a video, but INPUT is a still image",
            )
            .into());
        }
        let hold = check_hold(args.hold)?;
        let picture = Picture::new(args.picture, args.recipe, files.is_still_input)?;
        if picture.scale == Scale::WholeVideo && !files.can_read_twice() {
            let message = "--normalize video reads INPUT twice, which a pipe cannot do";
            return Err(usage(message).into());
        }
        let mut question = Question::new(args.method.method, args.method.score)?;
        let mut resize = target.resize;
        if let Some(RecipeArg::Keras) = args.recipe {
            question.method = &GradCam;
            question.score = Some(Score::Softmax);
            resize = ResizePolicy::Nearest;
            if target.classes.len() > 1 {
                return Err(usage("--recipe keras draws one class").into());
            }
        }
        let records = match args.records {
            Some(path) => Some((RecordsFormat::of_path(&path)?, path)),
            None => None,
        };
        Ok(Self {
            files,
            range,
            question,
            classes: target.classes,
            contrast: target.contrast,
            resize,
            stride: args.stride,
            hold,
            top_k: args.top_k,
            picture,
            records,
            running: Running::new(args.running, all_cores())?,
            console: args.verbosity.into(),
        })
    }
}

impl RenderConfig {
    /// As [`ExplainConfig::new`].
    pub(super) fn new(args: RenderArgs) -> anyhow::Result<Self> {
        let (named, records) = ((args.input, args.output), Some(args.records.as_path()));
        let files = Files::new(named, args.input_args, args.output_args, records)?;
        RecordsFormat::of_path(&args.records)?;
        Ok(Self {
            picture: Picture::new(args.picture, args.recipe, files.is_still_input)?,
            files,
            records: args.records,
            top_k: args.top_k,
            console: args.verbosity.into(),
        })
    }
}

impl Question {
    pub(super) fn new(method: &'static dyn Explainer, args: ScoreArgs) -> Result<Self> {
        let name = method.name();
        if method.is_model_agnostic() && !args.layer.is_empty() {
            return Err(usage(format!(
                "{name} looks at no layer: leave out --layer"
            )));
        }
        let samples = args.samples.map(|samples| samples as usize);
        check_samples(method, samples)?;
        Ok(Self::unchecked(method, args))
    }

    fn unchecked(method: &'static dyn Explainer, args: ScoreArgs) -> Self {
        Self {
            method,
            layers: args.layer,
            score: args.score.map(Score::from),
            samples: args.samples.map(|samples| samples as usize),
            seed: args.seed,
        }
    }
}

impl Question {
    /// For methods that are compared: what does not concern one of them may concern another.
    pub(super) fn of_several(methods: &[&'static dyn Explainer], args: ScoreArgs) -> Result<Self> {
        let looks_inside = methods.iter().find(|method| !method.is_model_agnostic());
        let first = looks_inside.or(methods.first());
        let method = *first.ok_or_else(|| usage("--method names no method"))?;
        let samples = args.samples.map(|samples| samples as usize);
        let mut sampling = methods
            .iter()
            .filter(|method| method.sample_count().is_some());
        match sampling.clone().next() {
            None => Self::new(method, args),
            Some(_) if looks_inside.is_none() && !args.layer.is_empty() => Self::new(method, args),
            Some(_) => {
                sampling.try_for_each(|method| check_samples(*method, samples))?;
                Ok(Self::unchecked(method, args))
            }
        }
    }
}

impl Files {
    /// `records` must be another file than the others.
    fn new(
        (input, output): (OsString, OsString),
        reading: InputArgs,
        args: OutputArgs,
        records: Option<&Path>,
    ) -> Result<Self> {
        let options = ReadOptions {
            is_strict: reading.strict,
            ..read_options(&reading.reading, ReadOptions::default())?
        };
        let (input, output) = (input_spec(input), output_spec(output));
        let is_still_input = matches!(&input, InputSpec::Path(path) if is_still_image(path));
        let is_still_output =
            matches!(&output, OutputSpec::Path(path) if is_still_image_name(path));
        if is_still_output && !is_still_input {
            return Err(usage(
                "OUTPUT is a still image, which holds one frame, but INPUT is no still image",
            ));
        }
        let output_path = match &output {
            OutputSpec::Path(path) => Some(path.as_path()),
            OutputSpec::Stdout => None,
        };
        check_distinct([output_path, records, args.results.stats.as_deref()])?;
        if is_still_output && let Some(option) = args.encoding.first_given() {
            return Err(usage(format!(
                "{option} is for videos, but OUTPUT is a still image"
            )));
        }
        check_fragments(args.encoding.frag, output_path)?;
        Ok(Self {
            input,
            reading: options,
            output,
            is_still_input,
            is_still_output,
            encode: EncodeOptions {
                keep_audio: !args.no_audio,
                is_strict: reading.strict,
                ..encode_options(args.encoding, args.results.overwrite)
            },
            stats: args.results.stats,
        })
    }

    /// Pipes under a name cannot be opened again.
    fn can_read_twice(&self) -> bool {
        match &self.input {
            InputSpec::Stdin => false,
            InputSpec::Url(_) => true,
            InputSpec::Device(_) => false,
            // What does not exist is reported when it is opened.
            InputSpec::Path(path) => path.metadata().map_or(true, |metadata| metadata.is_file()),
        }
    }

    /// The input as the user wrote it, without a password.
    pub(super) fn input_name(&self) -> String {
        match &self.input {
            InputSpec::Stdin => "-".to_owned(),
            input => input.to_string(),
        }
    }

    /// The input as it is called in messages.
    pub(super) fn input_title(&self) -> String {
        self.input.to_string()
    }

    /// The output as the user wrote it.
    pub(super) fn output_name(&self) -> String {
        match &self.output {
            OutputSpec::Path(path) => path.display().to_string(),
            OutputSpec::Stdout => "standard output".to_owned(),
        }
    }
}

impl Picture {
    pub(super) fn new(
        args: PictureArgs,
        recipe: Option<RecipeArg>,
        is_still: bool,
    ) -> Result<Self> {
        let default = if is_still {
            Normalize::Frame
        } else {
            Normalize::Rolling
        };
        let scale = match args.normalize.as_deref() {
            _ if recipe.is_some() => Scale::Known(Normalize::Frame),
            None => Scale::Known(default),
            // An image is a video of one frame.
            Some("video") if is_still => Scale::Known(Normalize::Frame),
            Some(text) => parse_normalize(text)?,
        };
        if recipe.is_some() && !is_still {
            return Err(usage(
                "--recipe keras draws still images, but INPUT is none",
            ));
        }
        if !(0.0..1.0).contains(&args.smooth) {
            let message = format!("--smooth {}: valid is 0 to below 1", args.smooth);
            return Err(usage(message));
        }
        Ok(Self {
            render: RenderOptions {
                style: recipe.map_or(DrawStyle::Blend, |RecipeArg::Keras| DrawStyle::Keras),
                colormap: args.colormap.parse()?,
                alpha: args.alpha,
                threshold: args.threshold,
                layout: args.layout.parse()?,
                targets: 1,
            },
            scale,
            smooth: args.smooth,
        })
    }
}

impl Running {
    pub(super) fn new(args: RunningArgs, default_workers: usize) -> Result<Self> {
        Ok(Self {
            workers: args.workers.map_or(default_workers, usize::from),
            network: NetworkChoice::new(args.network)?,
            weights: args.weights.weights,
        })
    }
}

/// Which classes are explained, and how much of the frame the model sees.
#[derive(Debug)]
pub(super) struct Target {
    /// `None` for each frame's top class.
    pub(super) classes: Vec<Option<String>>,
    pub(super) contrast: Option<String>,
    pub(super) resize: ResizePolicy,
}

impl Target {
    pub(super) fn new(args: TargetArgs) -> Result<Self> {
        if args.class.len() > MOST_CLASSES {
            let message = format!("--class can be given {MOST_CLASSES} times at most");
            return Err(usage(message));
        }
        let classes = args.class.into_iter();
        Ok(Self {
            classes: classes
                .map(|class| (class != "top1").then_some(class))
                .collect(),
            contrast: args.contrast,
            resize: args.resize.into(),
        })
    }
}

pub(super) fn check_hold(hold: Option<f64>) -> Result<Option<f64>> {
    match hold.filter(|hold| !(0.0..=1.0).contains(hold)) {
        Some(hold) => Err(usage(format!("--hold {hold}: valid is 0 to 1"))),
        None => Ok(hold),
    }
}

/// How to read, with `defaults` for what is not given.
pub(super) fn read_options(args: &ReadingArgs, defaults: ReadOptions) -> Result<ReadOptions> {
    let network_timeout = match args.network_timeout {
        None => defaults.network_timeout,
        Some(secs) => Duration::try_from_secs_f64(secs)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= MAXIMUM_TIMEOUT)
            .ok_or_else(|| {
                let most = MAXIMUM_TIMEOUT.as_secs();
                usage(format!(
                    "--network-timeout {secs}: valid is more than 0 and at most {most} s"
                ))
            })?,
    };
    Ok(ReadOptions {
        deinterlace: args.deinterlace,
        network_timeout,
        ..defaults
    })
}

/// Refuses `--frag` for files of other kinds. Standard output, `None`, is an .mp4.
pub(super) fn check_fragments(is_wanted: bool, output: Option<&Path>) -> Result<()> {
    let extension = output.map(|path| path.extension().unwrap_or_default());
    let can_be_fragmented = extension.is_none_or(|extension| {
        ["mp4", "m4v", "mov"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    });
    if is_wanted && !can_be_fragmented {
        return Err(usage("--frag is for .mp4, .m4v and .mov"));
    }
    Ok(())
}

pub(super) fn encode_options(args: EncodingArgs, overwrite: bool) -> EncodeOptions {
    EncodeOptions {
        codec: args.codec,
        preset: args.preset,
        crf: args.crf,
        is_fragmented: args.frag,
        overwrite,
        ..EncodeOptions::default()
    }
}

/// Refuses a run that would write two things to one place.
pub(super) fn check_distinct<'a>(files: impl IntoIterator<Item = Option<&'a Path>>) -> Result<()> {
    let mut seen: Vec<PathBuf> = Vec::new();
    for file in files.into_iter().flatten() {
        let place = place(file);
        if seen.contains(&place) {
            let message = format!(
                "{} is named twice: each file of a run needs a place of its own",
                file.display()
            );
            return Err(usage(message));
        }
        seen.push(place);
    }
    Ok(())
}

/// Where a file lies, however it is written; it need not exist yet.
fn place(file: &Path) -> PathBuf {
    if let Ok(place) = file.canonicalize() {
        return place;
    }
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    match (folder.canonicalize(), file.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

/// With as many threads of the encoder as keep pace with the workers, which have use for the cores too: the network takes the same
/// time for every frame, the encoder more for larger pictures. Their number does not depend on `--workers`, as another one makes other bytes.
pub(super) fn with_encoder_threads(options: &EncodeOptions, shape: PictureShape) -> EncodeOptions {
    /// Up to 720p the encoder takes less than half as long as all else.
    const SMALL_PIXELS: usize = 1280 * 720;
    /// At 1080p, on 16 cores beside a GPU, 16 are a third faster than 8; more were not tried.
    const MOST: usize = 16;
    let is_small = shape.width * shape.height <= SMALL_PIXELS;
    let threads = match all_cores() {
        // With `--frag` a crash loses at most a second: more threads would hold more of it.
        _ if options.is_fragmented && !options.is_live => 1,
        cores if is_small => cores / 2,
        cores => cores,
    };
    EncodeOptions {
        threads: threads.clamp(1, MOST),
        ..options.clone()
    }
}

pub(super) fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
