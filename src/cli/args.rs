//! Raw command-line arguments, as typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use gradcam_video::explain::{Explainer, METHODS, Score, method_by_name};
use gradcam_video::model::{DeviceChoice, Precision};
use gradcam_video::preprocess::ResizePolicy;

use super::audit::AuditArgs;
use super::live::LiveArgs;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 usage; 3 finished, but some input was damaged; \
                          4 audit findings as bad as --fail-on; \
                          130 interrupted, the output is finished and playable.";

/// Show for every frame of a video where a ResNet50 looked and what it saw.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) explain: ExplainArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what the model sees now: of a camera, the screen, a stream
    Live(Box<LiveArgs>),
    /// Look at a whole dataset and find what the model got right for the wrong reason
    Audit(Box<AuditArgs>),
    /// Draw again from records, without the network: another palette, blend, layout or scale
    Render(Box<RenderArgs>),
    /// Measure how faithful explanations of images are, beside two that know nothing of the network
    Evaluate(Box<EvaluateArgs>),
    /// Print the model's layer table: name, output shape, parameters, connected to
    Summary(SummaryArgs),
    /// Measure how fast this machine explains: CPU time per frame, frames per second
    Bench(BenchArgs),
    /// Inspect or convert weight files
    Weights(WeightsArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Video or image to explain: a path, `-` for standard input, or a URL
    #[arg(required = true)]
    pub(super) input: Option<OsString>,
    /// Result: the extension chooses the container; .png, .jpg for an image; `-` for standard output
    #[arg(required = true)]
    pub(super) output: Option<OsString>,

    /// Reproduce a well-known walk-through exactly: `keras` resizes an image to its nearest pixels, explains the probability, and adds 0.4 times
    /// the interpolated colours to the image
    #[arg(
        long,
        value_enum,
        conflicts_with_all = ["method", "layer", "score", "contrast", "resize", "layout", "colormap", "alpha", "threshold", "normalize"],
        help_heading = "Explanation"
    )]
    pub(super) recipe: Option<RecipeArg>,
    #[command(flatten)]
    pub(super) method: MethodArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Explain every Nth frame; the others reuse the last map
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Explanation")]
    pub(super) stride: u64,
    /// How much more probable another class must be before a frame of a video is explained for it instead of the class before, 0 to 1; 0
    /// explains every frame's own top class [default: 0.05; images, and methods that make many passes: 0]
    #[arg(long, value_name = "MARGIN", help_heading = "Explanation")]
    pub(super) hold: Option<f64>,
    /// Start of the range, as ffmpeg writes it: 12.5, 1:02.5, 00:01:02.5, 1500ms
    #[arg(long, value_name = "TIME", help_heading = "Explanation")]
    pub(super) start: Option<String>,
    /// End of the range, counted from the beginning of the input
    #[arg(long, value_name = "TIME", help_heading = "Explanation")]
    pub(super) end: Option<String>,

    /// Classes listed in the label; 0 draws none
    #[arg(long, value_name = "K", default_value_t = 3, help_heading = "Picture")]
    pub(super) top_k: usize,
    #[command(flatten)]
    pub(super) picture: PictureArgs,
    #[command(flatten)]
    pub(super) input_args: InputArgs,
    #[command(flatten)]
    pub(super) output_args: OutputArgs,
    /// Write a header and one record per frame and class (.jsonl, .csv or .parquet): target, top classes, raw heatmap
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) records: Option<PathBuf>,
    #[command(flatten)]
    pub(super) running: RunningArgs,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

/// Which explainer, and what it explains.
#[derive(Debug, clap::Args)]
pub(super) struct MethodArgs {
    /// Explainer
    #[arg(
        long,
        value_parser = PossibleValuesParser::new(METHODS.map(|method| method.name()))
            .try_map(|name| method_by_name(&name)),
        default_value = "gradcam",
        help_heading = "Explanation"
    )]
    pub(super) method: &'static dyn Explainer,
    #[command(flatten)]
    pub(super) score: ScoreArgs,
}

/// Which classes are explained, and how much of the frame the model sees.
#[derive(Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// Class to explain: `top1` for each frame's own, or an index, name (tabby) or WordNet id (n02123045); given several times, the maps
    /// stand side by side
    #[arg(long, default_value = "top1", help_heading = "Explanation")]
    pub(super) class: Vec<String>,
    /// Explain why the class and not this one: the difference of the two scores
    #[arg(long, value_name = "CLASS", help_heading = "Explanation")]
    pub(super) contrast: Option<String>,
    /// How a frame becomes the model's square
    #[arg(
        long,
        value_enum,
        default_value = "stretch",
        help_heading = "Explanation"
    )]
    pub(super) resize: ResizeArg,
}

/// What is explained, whatever the method.
#[derive(Debug, clap::Args)]
pub(super) struct ScoreArgs {
    /// Target layer by torchvision's (layer3, layer4.1) or Keras' name (conv5_block3_out); several, separated by commas, are
    /// averaged [default: layer4]
    #[arg(
        long,
        value_name = "LAYER,...",
        value_delimiter = ',',
        help_heading = "Explanation"
    )]
    pub(super) layer: Vec<String>,
    /// What is explained: the class's logit (the paper's way) or its softmax probability [default: logit; rise, occlusion and lime
    /// without --contrast: softmax]
    #[arg(long, value_enum, help_heading = "Explanation")]
    pub(super) score: Option<ScoreArg>,
    /// Forward passes per map for scorecam (the strongest channels), rise, lime, kernelshap [default: per method]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Explanation")]
    pub(super) samples: Option<u32>,
    /// Seed of all that is random in rise, lime and kernelshap
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0,
        help_heading = "Explanation"
    )]
    pub(super) seed: u64,
}

#[derive(Debug, clap::Args)]
pub(super) struct RenderArgs {
    /// The video or image that the records were made of
    pub(super) input: OsString,
    /// What `--records` wrote
    pub(super) records: PathBuf,
    /// Result, as for the main command
    pub(super) output: OsString,
    /// Draw an image as `--recipe` of the main command does
    #[arg(
        long,
        value_enum,
        conflicts_with_all = ["layout", "colormap", "alpha", "threshold", "normalize"],
        help_heading = "Picture"
    )]
    pub(super) recipe: Option<RecipeArg>,
    /// Classes listed in the label, at most those recorded; 0 draws none [default: all recorded]
    #[arg(long, value_name = "K", help_heading = "Picture")]
    pub(super) top_k: Option<usize>,
    #[command(flatten)]
    pub(super) picture: PictureArgs,
    #[command(flatten)]
    pub(super) input_args: InputArgs,
    #[command(flatten)]
    pub(super) output_args: OutputArgs,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct EvaluateArgs {
    /// Images
    #[arg(required = true, value_name = "IMAGE")]
    pub(super) images: Vec<PathBuf>,
    /// Explainers, separated by commas
    #[arg(
        long,
        value_name = "METHOD,...",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(METHODS.map(|method| method.name()))
            .try_map(|name| method_by_name(&name)),
        default_value = "gradcam,gradcam++,layercam,eigencam",
        help_heading = "Explanation"
    )]
    pub(super) method: Vec<&'static dyn Explainer>,
    #[command(flatten)]
    pub(super) score: ScoreArgs,
    /// Class to explain: `top1` for each image's own, or an index, name or WordNet id
    #[arg(long, default_value = "top1", help_heading = "Explanation")]
    pub(super) class: String,
    /// How an image becomes the model's square
    #[arg(
        long,
        value_enum,
        default_value = "stretch",
        help_heading = "Explanation"
    )]
    pub(super) resize: ResizeArg,
    /// Boxes of the class in the images, for the pointing game and energy in box: COCO .json, Pascal VOC .xml or a
    /// folder of them, or .csv with the columns file,x0,y0,x1,y1 in pixels
    #[arg(long, value_name = "FILE", help_heading = "Explanation")]
    pub(super) boxes: Option<PathBuf>,
    /// Leave out the check with random weights, which explains everything five times more
    #[arg(long, help_heading = "Explanation")]
    pub(super) no_randomisation: bool,
    /// Pixels that deletion and insertion change per step; more are faster and coarser [default: a row, 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Explanation")]
    pub(super) pixels_per_step: Option<u32>,
    /// Print one line of JSON instead of tables
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Draw the deletion and insertion curves into an .svg file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) plot: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(short = 'y', long = "yes", help_heading = "Output")]
    pub(super) overwrite: bool,
    #[command(flatten)]
    pub(super) running: RunningArgs,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct PictureArgs {
    /// Arrangement of the picture
    #[arg(
        long,
        default_value = "overlay",
        help_heading = "Picture",
        value_name = "overlay|side-by-side|triple|heatmap"
    )]
    pub(super) layout: String,
    /// Palette
    #[arg(
        long,
        default_value = "jet",
        help_heading = "Picture",
        value_name = "jet|turbo|viridis|inferno|gray"
    )]
    pub(super) colormap: String,
    /// Weight of the heatmap in the blend, 0 to 1
    #[arg(long, default_value_t = 0.4, help_heading = "Picture")]
    pub(super) alpha: f32,
    /// Pixels with less evidence than this, 0 to 1, stay untouched
    #[arg(
        long,
        value_name = "T",
        default_value_t = 0.0,
        help_heading = "Picture"
    )]
    pub(super) threshold: f32,
    /// Heatmap scale: over a causal window of two seconds (default for videos), per frame (default for images), over the whole video (read
    /// twice), or a constant
    #[arg(
        long,
        help_heading = "Picture",
        value_name = "rolling|frame|video|fixed=V"
    )]
    pub(super) normalize: Option<String>,
    /// Smoothing of maps over time, 0 (off) to below 1: the share of the frames before. Starts anew at scene cuts
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0.0,
        help_heading = "Picture"
    )]
    pub(super) smooth: f32,
}

#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    /// Make any damage in the input a failure, without a result; else what can be read is explained, and the exit code is 3
    #[arg(long, help_heading = "Input")]
    pub(super) strict: bool,
    #[command(flatten)]
    pub(super) reading: ReadingArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReadingArgs {
    /// Deinterlace before all else; frames that are not interlaced stay as they are
    #[arg(long, help_heading = "Input")]
    pub(super) deinterlace: bool,
    /// How long a server, or a camera, may be silent before reading ends, in seconds [default: 10; live: 5]
    #[arg(long, value_name = "SECONDS", help_heading = "Input")]
    pub(super) network_timeout: Option<f64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    #[command(flatten)]
    pub(super) encoding: EncodingArgs,
    /// Leave the audio out
    #[arg(long, help_heading = "Output")]
    pub(super) no_audio: bool,
    #[command(flatten)]
    pub(super) results: ResultArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct EncodingArgs {
    /// FFmpeg's name of the video encoder: libx264, libx265, libvpx-vp9, libsvtav1, libaom-av1, ... [default: libx264; .webm: libvpx-vp9]
    #[arg(long, value_name = "ENCODER", help_heading = "Output")]
    pub(super) codec: Option<String>,
    /// Speed against size: ultrafast to placebo for libx264 and libx265, else a number, larger is faster [default: veryfast; libvpx-vp9: 5;
    /// libsvtav1: 10; libaom-av1: 8]
    #[arg(long, help_heading = "Output")]
    pub(super) preset: Option<String>,
    /// Constant rate factor: lower is better and larger [default: 20; libx265: 24; libvpx-vp9, libsvtav1, libaom-av1: 30]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=63), help_heading = "Output")]
    pub(super) crf: Option<u8>,
    /// Write MP4 in fragments of a second, which survive a crash
    #[arg(long, help_heading = "Output")]
    pub(super) frag: bool,
}

impl EncodingArgs {
    /// The first option that was given, as it is written.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        let options = [
            ("--codec", self.codec.is_some()),
            ("--preset", self.preset.is_some()),
            ("--crf", self.crf.is_some()),
            ("--frag", self.frag),
        ];
        first_given(options)
    }
}

/// Of options by name, and whether they are there.
pub(super) fn first_given<const N: usize>(
    options: [(&'static str, bool); N],
) -> Option<&'static str> {
    let given = options.into_iter().find(|(_, is_given)| *is_given);
    given.map(|(option, _)| option)
}

#[derive(Debug, clap::Args)]
pub(super) struct ResultArgs {
    /// Write a summary of the run as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) stats: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(short = 'y', long = "yes", help_heading = "Output")]
    pub(super) overwrite: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RunningArgs {
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    /// Worker threads [default: all cores; live: all but one]; the output is the same at any number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Running")]
    pub(super) workers: Option<u16>,
    #[command(flatten)]
    pub(super) weights: WeightsFileArg,
}

/// How and where the network is computed.
#[derive(Debug, clap::Args)]
pub(super) struct NetworkArgs {
    /// Arithmetic of the network; f16 takes a GPU or a CPU with AVX512_FP16
    #[arg(long, value_enum, default_value = "f32", help_heading = "Running")]
    pub(super) precision: PrecisionArg,
    /// Where the network runs: `auto` is a GPU if this program can use one and there is one, else the CPU; several GPUs share the frames
    #[arg(
        long,
        value_name = "auto|cpu|cuda[:N,...]",
        default_value = "auto",
        help_heading = "Running"
    )]
    pub(super) device: DeviceChoice,
    /// Most frames that a GPU computes together [default: measured at the start]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Running")]
    pub(super) batch: Option<u16>,
}

#[derive(Debug, clap::Args)]
pub(super) struct VerbosityArgs {
    /// Print errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Running")]
    pub(super) quiet: bool,
    /// Print more: weights, layers, time per stage
    #[arg(short, long, action = ArgAction::SetTrue, help_heading = "Running")]
    pub(super) verbose: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct WeightsFileArg {
    /// Weight file [default: $GRADCAM_VIDEO_WEIGHTS, else the weights inside this program]
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub(super) weights: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct SummaryArgs {
    #[command(flatten)]
    pub(super) weights: WeightsFileArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct WeightsArgs {
    #[command(subcommand)]
    pub(super) command: WeightsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum WeightsCommand {
    /// Print what a weight file says of itself
    Info(SummaryArgs),
    /// Convert a TF.js layers folder of the Keras ResNet50 to safetensors
    Convert {
        /// Folder with model.json and its shards
        folder: PathBuf,
        /// File to write
        output: PathBuf,
        /// Type of convolution and fc weights
        #[arg(long, value_enum, default_value = "f16")]
        dtype: DtypeArg,
        /// Overwrite an existing file
        #[arg(short = 'y', long = "yes")]
        overwrite: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    /// Threads, one frame each; for GPUs at least as many as fill their batches
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) threads: u16,
    /// Frames per thread
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) frames: u16,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) weights: WeightsFileArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ScoreArg {
    Logit,
    Softmax,
}

impl From<ScoreArg> for Score {
    fn from(argument: ScoreArg) -> Self {
        match argument {
            ScoreArg::Logit => Self::Logit,
            ScoreArg::Softmax => Self::Softmax,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RecipeArg {
    Keras,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ResizeArg {
    Stretch,
    Crop,
    Letterbox,
}

impl From<ResizeArg> for ResizePolicy {
    fn from(argument: ResizeArg) -> Self {
        match argument {
            ResizeArg::Stretch => Self::Stretch,
            ResizeArg::Crop => Self::Crop,
            ResizeArg::Letterbox => Self::Letterbox,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum PrecisionArg {
    F32,
    Bf16,
    F16,
}

impl From<PrecisionArg> for Precision {
    fn from(argument: PrecisionArg) -> Self {
        match argument {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::Bf16 => Self::Bf16,
            PrecisionArg::F16 => Self::F16,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum DtypeArg {
    F16,
    F32,
}
