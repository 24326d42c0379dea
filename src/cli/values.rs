//! Words of the command line as values: inputs, outputs, times, scales.

use std::ffi::OsString;

use gradcam_video::sink::OutputSpec;
use gradcam_video::source::InputSpec;
use gradcam_video::temporal::Normalize;
use gradcam_video::{Error, ErrorKind, Result};

/// `--normalize`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    Known(Normalize),
    /// Known when all frames have been explained.
    WholeVideo,
}

pub(super) fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

pub(super) fn input_spec(input: OsString) -> InputSpec {
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

pub(super) fn output_spec(output: OsString) -> OutputSpec {
    if output == "-" {
        OutputSpec::Stdout
    } else {
        OutputSpec::Path(output.into())
    }
}

pub(super) fn parse_normalize(text: &str) -> Result<Scale> {
    let known = match text {
        "video" => return Ok(Scale::WholeVideo),
        "rolling" => Some(Normalize::Rolling),
        "frame" => Some(Normalize::Frame),
        _ => text
            .strip_prefix("fixed=")
            .and_then(|value| value.parse::<f32>().ok())
            .filter(|value| value.is_finite() && *value > 0.0)
            .map(Normalize::Fixed),
    };
    known.map(Scale::Known).ok_or_else(|| {
        usage(format!(
            "--normalize {text:?}: valid are rolling, frame, video, fixed=V with V above 0"
        ))
    })
}

/// A duration as ffmpeg writes it: `[HH:]MM:SS[.m]`, or `S[.m]` with `s`, `ms`, `us` or nothing behind it.
pub(super) fn parse_time(text: &str) -> Result<f64> {
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
        let known = |text| parse_normalize(text).unwrap();
        assert_eq!(known("fixed=2.5"), Scale::Known(Normalize::Fixed(2.5)));
        assert_eq!(known("frame"), Scale::Known(Normalize::Frame));
        assert_eq!(known("video"), Scale::WholeVideo);
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
