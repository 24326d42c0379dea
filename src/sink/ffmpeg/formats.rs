//! Which containers and encoders there are, and how each encoder is told its quality.

use std::path::Path;

use ffmpeg_next::{Dictionary, encoder};

use super::EncodeOptions;
use crate::error::{Error, ErrorKind, Result};

/// File extensions and FFmpeg's names of their containers.
const CONTAINERS: [(&str, &str); 6] = [
    ("mp4", "mp4"),
    ("m4v", "mp4"),
    ("mov", "mov"),
    ("mkv", "matroska"),
    ("webm", "webm"),
    ("ts", "mpegts"),
];

/// Encoders worth naming when one is missing.
const KNOWN_ENCODERS: [&str; 6] = [
    "libx264",
    "libx265",
    "libvpx-vp9",
    "libsvtav1",
    "libaom-av1",
    "mpeg4",
];

/// The container that the path's extension asks for.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] that lists the known extensions.
pub(super) fn container_for(path: &Path) -> Result<&'static str> {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    CONTAINERS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(extension))
        .map(|(_, name)| *name)
        .ok_or_else(|| {
            let known: Vec<_> = CONTAINERS
                .iter()
                .map(|(known, _)| format!(".{known}"))
                .collect();
            Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "cannot write {}: no video container is known by this extension, known are {}",
                    path.display(),
                    known.join(", ")
                ),
            )
        })
}

/// The encoder of this name.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] that lists those which this FFmpeg has.
pub(super) fn find_encoder(name: &str) -> Result<ffmpeg_next::Codec> {
    let found = (!name.contains('\0'))
        .then(|| encoder::find_by_name(name))
        .flatten();
    found.filter(ffmpeg_next::Codec::is_video).ok_or_else(|| {
        let available: Vec<_> = KNOWN_ENCODERS
            .into_iter()
            .filter(|known| encoder::find_by_name(known).is_some())
            .collect();
        Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "this FFmpeg has no video encoder {name:?}; it has {}",
                available.join(", ")
            ),
        )
    })
}

/// The presets of x264 and x265, fastest first.
const X26X_PRESETS: [&str; 10] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// Refuses presets that x264 and x265 do not know: x264 would print its own line about them.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] that lists the presets.
pub(super) fn check_preset(options: &EncodeOptions) -> Result<()> {
    let is_x26x = matches!(options.codec.as_str(), "libx264" | "libx265");
    if is_x26x && !X26X_PRESETS.contains(&options.preset.as_str()) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "{} has no preset {:?}; it has {}",
                options.codec,
                options.preset,
                X26X_PRESETS.join(", ")
            ),
        ));
    }
    Ok(())
}

/// The encoder's options. One thread: the workers keep the other cores busy, and more threads would hold more frames.
pub(super) fn encoder_options(options: &EncodeOptions) -> Dictionary<'static> {
    let mut dictionary = Dictionary::new();
    let crf = options.crf.to_string();
    let mut set = |key: &str, value: &str| dictionary.set(key, value);
    match options.codec.as_str() {
        "libx264" => {
            set("threads", "1");
            set("preset", &options.preset);
            set("crf", &crf);
        }
        "libx265" => {
            set("preset", &options.preset);
            set("crf", &crf);
            set("x265-params", "log-level=none:pools=1");
        }
        "libvpx-vp9" => {
            set("threads", "1");
            set("crf", &crf);
            set("b", "0");
            set("deadline", "good");
            set("cpu-used", "5");
        }
        "libaom-av1" => {
            set("threads", "1");
            set("crf", &crf);
            set("cpu-used", "8");
        }
        "libsvtav1" => {
            set("crf", &crf);
            let is_number = options.preset.parse::<u8>().is_ok();
            set("preset", if is_number { &options.preset } else { "10" });
        }
        _ => {}
    }
    dictionary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_follow_the_extension() {
        assert_eq!(container_for(Path::new("a.MP4")).unwrap(), "mp4");
        assert_eq!(container_for(Path::new("a.mkv")).unwrap(), "matroska");
        let error = container_for(Path::new("a.xyz")).unwrap_err().one_line();
        assert!(
            error.contains("a.xyz") && error.contains(".mp4, .m4v"),
            "{error}"
        );
    }

    #[test]
    fn missing_encoders_are_named_beside_those_there_are() {
        let error = find_encoder("libx999").err().unwrap().one_line();
        assert!(
            error.contains("libx999") && error.contains("libx264"),
            "{error}"
        );
        assert!(
            find_encoder("aac").is_err(),
            "an audio encoder makes no video"
        );
        assert!(find_encoder("a\0b").is_err());
    }
}
