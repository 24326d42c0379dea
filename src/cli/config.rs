//! Raw arguments become a configuration that makes sense as a whole.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gradcam_video::explain::{Explainer, Score};
use gradcam_video::model::Precision;
use gradcam_video::preprocess::ResizePolicy;
use gradcam_video::records::RecordsFormat;
use gradcam_video::render::RenderOptions;
use gradcam_video::sink::{EncodeOptions, OutputSpec};
use gradcam_video::source::{InputSpec, TimeRange, is_still_image};
use gradcam_video::temporal::Normalize;
use gradcam_video::{Error, ErrorKind, Result};

use super::args::{ExplainArgs, ResizeArg, ScoreArg};

/// A validated request to explain one input.
#[derive(Debug)]
pub(super) struct ExplainConfig {
    pub(super) input: InputSpec,
    pub(super) output: OutputSpec,
    /// Whether input and output are still images.
    pub(super) is_still_input: bool,
    pub(super) is_still_output: bool,
    pub(super) method: &'static dyn Explainer,
    pub(super) layers: Vec<String>,
    /// `None` for each frame's top class.
    pub(super) class: Option<String>,
    pub(super) score: Score,
    pub(super) resize: ResizePolicy,
    pub(super) stride: u64,
    pub(super) range: TimeRange,
    pub(super) top_k: usize,
    pub(super) render: RenderOptions,
    pub(super) normalize: Normalize,
    pub(super) smooth: f32,
    pub(super) encode: EncodeOptions,
    pub(super) records: Option<(PathBuf, RecordsFormat)>,
    pub(super) stats: Option<PathBuf>,
    pub(super) workers: usize,
    pub(super) precision: Precision,
    pub(super) weights: Option<PathBuf>,
    pub(super) is_quiet: bool,
    pub(super) is_verbose: bool,
}

impl ExplainConfig {
    /// Checks what can be checked without opening anything.
    pub(super) fn new(args: ExplainArgs) -> anyhow::Result<Self> {
        let (Some(input), Some(output)) = (args.input, args.output) else {
            return Err(usage("INPUT and OUTPUT are required").into());
        };
        let (input, output) = (input_spec(input), output_spec(output));
        let is_still = |path: &Path| is_still_image(path);
        let is_still_input = matches!(&input, InputSpec::Path(path) if is_still(path));
        let is_still_output = matches!(&output, OutputSpec::Path(path) if is_still(path));
        if is_still_output && !is_still_input {
            return Err(usage(
                "OUTPUT is a still image, which holds one frame, but INPUT is no still image",
            )
            .into());
        }
        let mut files: Vec<&Path> = Vec::new();
        let output_path = match &output {
            OutputSpec::Path(path) => Some(path.as_path()),
            OutputSpec::Stdout => None,
        };
        for file in [output_path, args.records.as_deref(), args.stats.as_deref()]
            .into_iter()
            .flatten()
        {
            if files.contains(&file) {
                let message = format!("{} is named as the place of two results", file.display());
                return Err(usage(message).into());
            }
            files.push(file);
        }
        let default_normalize = if is_still_input {
            Normalize::Frame
        } else {
            Normalize::Rolling
        };
        let normalize = match args.normalize.as_deref() {
            None => default_normalize,
            Some(text) => parse_normalize(text)?,
        };
        if !(0.0..1.0).contains(&args.smooth) {
            let message = format!("--smooth {}: valid is 0 to below 1", args.smooth);
            return Err(usage(message).into());
        }
        let range = TimeRange {
            start_secs: args.start.as_deref().map(parse_time).transpose()?,
            end_secs: args.end.as_deref().map(parse_time).transpose()?,
        };
        if is_still_input && (args.start.is_some() || args.end.is_some()) {
            return Err(usage(
                "--start and --end choose a part of a video, but INPUT is a still image",
            )
            .into());
        }
        let render = RenderOptions {
            colormap: args.colormap.parse()?,
            alpha: args.alpha,
            threshold: args.threshold,
            layout: args.layout.parse()?,
        };
        Ok(Self {
            is_still_input,
            is_still_output,
            method: args.method,
            layers: args.layer,
            class: (args.class != "top1").then_some(args.class),
            score: match args.score {
                ScoreArg::Logit => Score::Logit,
                ScoreArg::Softmax => Score::Softmax,
            },
            resize: match args.resize {
                ResizeArg::Stretch => ResizePolicy::Stretch,
                ResizeArg::Crop => ResizePolicy::Crop,
                ResizeArg::Letterbox => ResizePolicy::Letterbox,
            },
            stride: args.stride,
            range,
            top_k: args.top_k,
            render,
            normalize,
            smooth: args.smooth,
            encode: EncodeOptions {
                codec: args.codec,
                preset: args.preset,
                crf: args.crf,
                keep_audio: !args.no_audio,
                is_fragmented: args.frag,
                overwrite: args.overwrite,
            },
            records: args.records.map(with_records_format).transpose()?,
            stats: args.stats,
            precision: args.precision.into(),
            workers: args.workers.map_or_else(all_cores, usize::from),
            weights: args.weights.weights,
            is_quiet: args.quiet,
            is_verbose: args.verbose,
            input,
            output,
        })
    }

    /// The input as the user wrote it.
    pub(super) fn input_name(&self) -> String {
        match &self.input {
            InputSpec::Path(path) => path.display().to_string(),
            InputSpec::Stdin => "-".to_owned(),
            InputSpec::Url(url) => url.clone(),
        }
    }

    /// The output as the user wrote it.
    pub(super) fn output_name(&self) -> String {
        match &self.output {
            OutputSpec::Path(path) => path.display().to_string(),
            OutputSpec::Stdout => "standard output".to_owned(),
        }
    }

    /// The input, if it may be a file.
    pub(super) fn input_path(&self) -> Option<&Path> {
        self.input.file_path()
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn input_spec(input: OsString) -> InputSpec {
    match input.to_str() {
        Some("-") => InputSpec::Stdin,
        // A file is opened as one, so that it can be told apart from the output.
        Some(text) if text.starts_with("file://") => {
            InputSpec::Path(text["file://".len()..].into())
        }
        Some(text) if text.contains("://") => InputSpec::Url(text.to_owned()),
        _ => InputSpec::Path(input.into()),
    }
}

fn output_spec(output: OsString) -> OutputSpec {
    if output == "-" {
        OutputSpec::Stdout
    } else {
        OutputSpec::Path(output.into())
    }
}

fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn with_records_format(path: PathBuf) -> Result<(PathBuf, RecordsFormat)> {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let format = match extension.to_ascii_lowercase().as_str() {
        "jsonl" => RecordsFormat::Jsonl,
        "csv" => RecordsFormat::Csv,
        _ => {
            return Err(usage(format!(
                "--records {}: the extension must be .jsonl or .csv",
                path.display()
            )));
        }
    };
    Ok((path, format))
}

fn parse_normalize(text: &str) -> Result<Normalize> {
    match text {
        "rolling" => Ok(Normalize::Rolling),
        "frame" => Ok(Normalize::Frame),
        _ => text
            .strip_prefix("fixed=")
            .and_then(|value| value.parse::<f32>().ok())
            .filter(|value| value.is_finite() && *value > 0.0)
            .map(Normalize::Fixed)
            .ok_or_else(|| {
                usage(format!(
                    "--normalize {text:?}: valid are rolling, frame, fixed=V with V above 0"
                ))
            }),
    }
}

/// A duration as ffmpeg writes it: `[HH:]MM:SS[.m]`, or `S[.m]` with `s`, `ms`, `us` or nothing behind it.
fn parse_time(text: &str) -> Result<f64> {
    let invalid = || {
        usage(format!(
            "{text:?} is no time: write 12.5, 1:02.5, 00:01:02.5 or 1500ms"
        ))
    };
    let number = |part: &str| -> Option<f64> {
        let is_plain = !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_plain.then(|| part.parse().ok()).flatten()
    };
    if text.contains(':') {
        let parts: Vec<f64> = text
            .split(':')
            .map(number)
            .collect::<Option<_>>()
            .ok_or_else(invalid)?;
        let (last, leading) = parts.split_last().ok_or_else(invalid)?;
        let is_clock = leading.len() <= 2
            && leading.iter().all(|part| part.fract() == 0.0)
            && parts.iter().skip(1).all(|part| *part < 60.0);
        let minutes = leading.iter().fold(0.0, |total, part| total * 60.0 + part);
        return if is_clock {
            Ok(minutes * 60.0 + last)
        } else {
            Err(invalid())
        };
    }
    let (digits, unit) = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1.0));
    Ok(number(digits).ok_or_else(invalid)? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_ffmpeg_reads_them() {
        let cases = [
            ("12.5", 12.5),
            ("1:02.5", 62.5),
            ("00:01:02.5", 62.5),
            ("02:00:00", 7200.0),
            ("1500ms", 1.5),
            ("90s", 90.0),
            ("250us", 0.00025),
        ];
        for (text, secs) in cases {
            assert!((parse_time(text).unwrap() - secs).abs() < 1e-9, "{text}");
        }
        for text in [
            "", "-1", "1:60", "1:2:3:4", "a", "1e3", "nan", "1.5:00", ":", "5m",
        ] {
            assert!(parse_time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn normalisation_is_named_or_a_positive_constant() {
        assert_eq!(parse_normalize("fixed=2.5").unwrap(), Normalize::Fixed(2.5));
        assert_eq!(parse_normalize("frame").unwrap(), Normalize::Frame);
        for text in ["fixed=0", "fixed=nan", "fixed=", "video2"] {
            assert!(parse_normalize(text).is_err(), "{text}");
        }
    }

    #[test]
    fn inputs_are_paths_streams_or_addresses() {
        assert_eq!(input_spec("-".into()), InputSpec::Stdin);
        assert_eq!(
            input_spec("http://a/b".into()),
            InputSpec::Url("http://a/b".into())
        );
        assert_eq!(
            input_spec("file:///a/b.mp4".into()),
            InputSpec::Path("/a/b.mp4".into())
        );
        assert_eq!(
            input_spec("a:b.mp4".into()),
            InputSpec::Path("a:b.mp4".into())
        );
    }
}
