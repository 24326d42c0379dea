//! Which containers and encoders there are, and how each encoder is told its quality.

use std::path::Path;

use ffmpeg_next::{Dictionary, encoder};

use crate::error::{Error, ErrorKind, Result};

/// How the output is encoded and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    /// FFmpeg's name of the encoder; VP9 for WebM and H.264 for all else if `None`.
    pub codec: Option<String>,
    /// Speed against size, in the encoder's own words; fast enough to keep pace with the network if `None`.
    pub preset: Option<String>,
    /// Constant rate factor: lower is better and larger; about the same quality with every encoder if `None`.
    pub crf: Option<u8>,
    /// Threads of the encoder, 1 to 64. With more it is faster, holds more frames (but for live ones), and writes other bytes.
    pub threads: usize,
    /// Whether audio is kept.
    pub keep_audio: bool,
    /// Whether MP4 and MOV are written in fragments, which survive a crash.
    pub is_fragmented: bool,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
    /// Whether frames come in real time: the encoder holds none back, and closing the file takes no longer after hours than after seconds.
    pub is_live: bool,
    /// Whether a malformed packet of audio or subtitles is an error; else it is left out.
    pub is_strict: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            codec: None,
            preset: None,
            crf: None,
            threads: 1,
            keep_audio: true,
            is_fragmented: false,
            overwrite: false,
            is_live: false,
            is_strict: false,
        }
    }
}

/// File extensions and FFmpeg's names of their containers.
const CONTAINERS: [(&str, &str); 6] = [
    ("mp4", "mp4"),
    ("m4v", "mp4"),
    ("mov", "mov"),
    ("mkv", "matroska"),
    ("webm", "webm"),
    ("ts", "mpegts"),
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

/// An encoder whose quality we know how to set.
struct KnownEncoder {
    name: &'static str,
    /// The values of `--preset`, fastest first, except for numbers; the default is `preset`.
    presets: Presets,
    preset: &'static str,
    /// The default for frames that come in real time.
    live_preset: &'static str,
    /// Default and largest constant rate factor.
    crf: u8,
    largest_crf: u8,
}

enum Presets {
    Named(&'static [&'static str]),
    /// Numbers from 0 (slow) to this one.
    UpTo(u8),
}

/// The presets of x264 and x265. They print a line of their own about others.
const X26X_PRESETS: Presets = Presets::Named(&[
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
]);

const KNOWN_ENCODERS: [KnownEncoder; 5] = [
    KnownEncoder {
        name: "libx264",
        presets: X26X_PRESETS,
        preset: "veryfast",
        live_preset: "veryfast",
        crf: 20,
        largest_crf: 51,
    },
    KnownEncoder {
        name: "libx265",
        presets: X26X_PRESETS,
        preset: "veryfast",
        live_preset: "ultrafast",
        crf: 24,
        largest_crf: 51,
    },
    KnownEncoder {
        name: "libvpx-vp9",
        presets: Presets::UpTo(8),
        preset: "5",
        live_preset: "8",
        crf: 30,
        largest_crf: 63,
    },
    KnownEncoder {
        name: "libsvtav1",
        presets: Presets::UpTo(13),
        preset: "10",
        live_preset: "12",
        crf: 30,
        largest_crf: 63,
    },
    KnownEncoder {
        name: "libaom-av1",
        presets: Presets::UpTo(8),
        preset: "8",
        live_preset: "8",
        crf: 30,
        largest_crf: 63,
    },
];

/// Later releases of SVT-AV1 take a level in place of a number of threads: 4 is for eight cores, 6 for more than a workstation has.
const SVT_AV1_MOST_THREADS: usize = 4;

/// Which encoder is used, and how.
pub(super) struct Encoding {
    pub(super) codec: ffmpeg_next::Codec,
    pub(super) name: String,
    options: Vec<(&'static str, String)>,
}

impl Encoding {
    /// What was asked for, completed for `muxer`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an encoder that this FFmpeg lacks, a preset or a rate factor that the encoder does not know.
    pub(super) fn choose(options: &EncodeOptions, muxer: &str) -> Result<Self> {
        let default = if muxer == "webm" {
            "libvpx-vp9"
        } else {
            "libx264"
        };
        let name = options.codec.as_deref().unwrap_or(default);
        let codec = find_encoder(name)?;
        let known = KNOWN_ENCODERS.iter().find(|known| known.name == name);
        let options = match known {
            Some(known) => known.options(options)?,
            None => foreign_options(name, options)?,
        };
        Ok(Self {
            codec,
            name: name.to_owned(),
            options,
        })
    }

    /// The options, as FFmpeg takes them.
    pub(super) fn dictionary(&self) -> Dictionary<'static> {
        let mut dictionary = Dictionary::new();
        for (key, value) in &self.options {
            dictionary.set(key, value);
        }
        dictionary
    }
}

impl KnownEncoder {
    fn options(&self, options: &EncodeOptions) -> Result<Vec<(&'static str, String)>> {
        let default = if options.is_live {
            self.live_preset
        } else {
            self.preset
        };
        let preset = options.preset.as_deref().unwrap_or(default);
        self.check_preset(preset)?;
        let crf = options.crf.unwrap_or(self.crf);
        if crf > self.largest_crf {
            return Err(refuse(format!(
                "--crf {crf}: {} takes 0 to {}",
                self.name, self.largest_crf
            )));
        }
        let threads = options.threads.max(1);
        let mut list = vec![("crf", crf.to_string())];
        let mut set = |key, value: &str| list.push((key, value.to_owned()));
        match self.name {
            "libx265" => {
                set("preset", preset);
                // With a few threads it would work on several frames at a time.
                let delay = if options.is_live {
                    ":frame-threads=1"
                } else {
                    ""
                };
                set(
                    "x265-params",
                    &format!("log-level=none:pools={threads}{delay}"),
                );
                if options.is_live {
                    set("tune", "zerolatency");
                }
            }
            "libsvtav1" => {
                set("preset", preset);
                let threads = threads.min(SVT_AV1_MOST_THREADS);
                // Low delay: frames refer to earlier ones only.
                let delay = if options.is_live {
                    ":pred-struct=1"
                } else {
                    ""
                };
                set("svtav1-params", &format!("lp={threads}{delay}"));
            }
            "libvpx-vp9" => {
                set("threads", &threads.to_string());
                // Without a bit rate of 0 the factor is only a limit.
                set("b", "0");
                set("cpu-used", preset);
                set(
                    "deadline",
                    if options.is_live { "realtime" } else { "good" },
                );
            }
            "libaom-av1" => {
                set("threads", &threads.to_string());
                set("b", "0");
                set("cpu-used", preset);
                if options.is_live {
                    set("usage", "realtime");
                }
            }
            _ => {
                set("threads", &threads.to_string());
                set("preset", preset);
                if options.is_live {
                    set("tune", "zerolatency");
                }
            }
        }
        if matches!(self.name, "libvpx-vp9" | "libaom-av1") {
            if options.is_live {
                set("lag-in-frames", "0");
            }
            if threads > 1 {
                // Else there are at most as many as a picture has columns of tiles.
                set("row-mt", "1");
            }
        }
        Ok(list)
    }

    fn check_preset(&self, preset: &str) -> Result<()> {
        let (is_known, known) = match self.presets {
            Presets::Named(names) => (names.contains(&preset), names.join(", ")),
            Presets::UpTo(most) => {
                let number = preset.parse::<u8>();
                let is_known = number.is_ok_and(|number| number <= most);
                (is_known, format!("0 (slowest) to {most}"))
            }
        };
        if is_known {
            return Ok(());
        }
        let name = self.name;
        Err(refuse(format!(
            "{name} has no preset {preset:?}; it has {known}"
        )))
    }
}

/// Options of encoders that have no rate factor: a fixed, fine quantiser for those that heed it.
fn foreign_options(name: &str, options: &EncodeOptions) -> Result<Vec<(&'static str, String)>> {
    /// Two is the finest that all take.
    const QUANTIZER: i32 = 3;
    let given = [
        ("--preset", options.preset.is_some()),
        ("--crf", options.crf.is_some()),
    ];
    if let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        let known = KNOWN_ENCODERS.map(|known| known.name).join(", ");
        return Err(refuse(format!(
            "{option} is known for {known}, not for {name}"
        )));
    }
    let quality = QUANTIZER * ffmpeg_next::ffi::FF_QP2LAMBDA;
    // Many of them work on as many frames at a time.
    let threads = if options.is_live {
        1
    } else {
        options.threads.max(1)
    };
    Ok(vec![
        ("flags", "+qscale".to_owned()),
        ("global_quality", quality.to_string()),
        ("threads", threads.to_string()),
    ])
}

/// The encoder of this name.
fn find_encoder(name: &str) -> Result<ffmpeg_next::Codec> {
    let found = (!name.contains('\0'))
        .then(|| encoder::find_by_name(name))
        .flatten();
    found.filter(ffmpeg_next::Codec::is_video).ok_or_else(|| {
        let available: Vec<_> = KNOWN_ENCODERS
            .iter()
            .map(|known| known.name)
            .filter(|known| encoder::find_by_name(known).is_some())
            .collect();
        refuse(format!(
            "this FFmpeg has no video encoder {name:?}; it has {}",
            available.join(", ")
        ))
    })
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// How the muxer writes.
pub(super) fn muxer_options(
    muxer: &str,
    is_fragmented: bool,
    is_live: bool,
) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    // FLAC in MP4 has a standard, which this FFmpeg still calls an experiment.
    options.set("strict", "experimental");
    if matches!(muxer, "mp4" | "mov") {
        if is_fragmented {
            // `empty_moov` in place of `delay_moov` would shift video with B-frames.
            options.set("movflags", "frag_keyframe+delay_moov+default_base_moof");
            options.set("frag_duration", FRAGMENT_MICROS);
            options.set("flush_packets", "1");
        } else if !is_live {
            // The whole file is copied for it.
            options.set("movflags", "faststart");
        }
    }
    options
}

/// Half a second: what the encoder still holds when a crash comes is lost too, and a second in all is the limit.
const FRAGMENT_MICROS: &str = "500000";

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

    fn choose(muxer: &str, options: EncodeOptions) -> Result<Encoding> {
        Encoding::choose(&options, muxer)
    }

    #[test]
    fn each_container_has_an_encoder_and_each_encoder_its_quality() {
        let crf = |encoding: &Encoding| encoding.dictionary().get("crf").map(str::to_owned);
        let mp4 = choose("mp4", EncodeOptions::default()).unwrap();
        assert_eq!(
            (mp4.name.as_str(), crf(&mp4)),
            ("libx264", Some("20".into()))
        );
        let webm = choose("webm", EncodeOptions::default()).unwrap();
        assert_eq!(
            (webm.name.as_str(), crf(&webm)),
            ("libvpx-vp9", Some("30".into()))
        );
        let own = EncodeOptions {
            crf: Some(12),
            ..EncodeOptions::default()
        };
        assert_eq!(crf(&choose("mp4", own).unwrap()), Some("12".into()));
    }

    #[test]
    fn what_an_encoder_does_not_know_is_refused() {
        let with = |codec: &str, preset: Option<&str>, crf| EncodeOptions {
            codec: Some(codec.to_owned()),
            preset: preset.map(str::to_owned),
            crf,
            ..EncodeOptions::default()
        };
        for (options, hint) in [
            (with("libx264", Some("bogus"), None), "veryfast"),
            (
                with("libvpx-vp9", Some("veryfast"), None),
                "0 (slowest) to 8",
            ),
            (with("libx264", None, Some(60)), "0 to 51"),
            (with("mpeg4", None, Some(20)), "not for mpeg4"),
        ] {
            let error = choose("mp4", options).err().unwrap().one_line();
            assert!(error.contains(hint), "{error}");
        }
        choose("mp4", with("mpeg4", None, None)).unwrap();
    }
}
