//! What `live` looks at: the word on the command line as something that can be opened, and opened again.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gradcam_video::pipeline::CancelToken;
use gradcam_video::source::{
    Device, FfmpegSource, FrameSource, InputSpec, ReadOptions, Region, cameras, is_still_image,
    parse_size,
};
use gradcam_video::{Error, ErrorKind, Result};

use super::super::values::{input_spec, usage};

/// Pictures of the screen per second.
const SCREEN_RATE: u32 = 30;

/// Names the X11 display.
const DISPLAY_VARIABLE: &str = "DISPLAY";

/// What may be looked at.
#[derive(Debug, Clone)]
pub(super) enum Sources {
    /// This.
    One(InputSpec),
    /// The first camera that works.
    AnyCamera {
        size: Option<(u32, u32)>,
        rate: Option<u32>,
    },
}

impl Sources {
    pub(super) fn new(
        source: Option<OsString>,
        region: Option<&str>,
        size: Option<&str>,
        rate: Option<u32>,
    ) -> Result<Self> {
        let region: Option<Region> = region.map(str::parse).transpose()?;
        let size = size
            .map(|text| {
                let message = format!("--size {text:?}: valid is WIDTHxHEIGHT");
                parse_size(text).ok_or_else(|| usage(message))
            })
            .transpose()?;
        let camera =
            |path: PathBuf| Self::One(InputSpec::Device(Device::Camera { path, size, rate }));
        let text = source.as_deref().and_then(|source| source.to_str());
        let sources = match (source.clone(), text) {
            (None, _) => Self::AnyCamera { size, rate },
            (_, Some(text)) if text == "screen" || text.starts_with("screen:") => {
                let named = text.strip_prefix("screen:").map(str::to_owned);
                Self::One(InputSpec::Device(Device::Screen {
                    display: named.or_else(display).ok_or_else(|| {
                        let message = "cannot look at the screen: $DISPLAY names no X11 display";
                        Error::new(ErrorKind::Input, message)
                    })?,
                    region,
                    rate: rate.unwrap_or(SCREEN_RATE),
                }))
            }
            (_, Some(number)) if is_number(number) => camera(format!("/dev/video{number}").into()),
            (_, Some(path)) if path.strip_prefix("/dev/video").is_some_and(is_number) => {
                camera(path.into())
            }
            (_, Some(text)) if text.starts_with("lavfi:") => Self::One(InputSpec::Device(
                Device::Graph(text["lavfi:".len()..].to_owned()),
            )),
            (Some(source), _) => Self::One(input_spec(source)),
        };
        sources.check(region.is_some(), size.is_some(), rate.is_some())?;
        Ok(sources)
    }

    /// Refuses options that would be without effect, and pictures that do not move.
    fn check(&self, has_region: bool, has_size: bool, has_rate: bool) -> Result<()> {
        let (is_screen, is_camera) = match self {
            Self::One(InputSpec::Device(Device::Screen { .. })) => (true, false),
            Self::One(InputSpec::Device(Device::Camera { .. })) | Self::AnyCamera { .. } => {
                (false, true)
            }
            Self::One(InputSpec::Path(path)) if is_still_image(path) => {
                let path = path.display();
                return Err(usage(format!(
                    "{path} is a still image: explain it with gradcam-video {path} OUTPUT"
                )));
            }
            Self::One(_) => (false, false),
        };
        if has_region && !is_screen {
            return Err(usage("--region is a part of `screen`"));
        }
        if has_size && !is_camera {
            return Err(usage("--size can be asked of a camera only"));
        }
        if has_rate && !is_camera && !is_screen {
            return Err(usage("--fps can be asked of a camera or the screen only"));
        }
        Ok(())
    }

    /// Name for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::AnyCamera { .. } => "camera".to_owned(),
            Self::One(input) => input.to_string(),
        }
    }

    /// The file that must not be overwritten.
    pub(super) fn file_path(&self) -> Option<&Path> {
        match self {
            Self::One(input) => input.file_path(),
            Self::AnyCamera { .. } => None,
        }
    }

    /// Opens it.
    pub(super) fn open(
        &self,
        options: ReadOptions,
        cancel: &CancelToken,
    ) -> Result<Box<dyn FrameSource>> {
        let open = |input: &InputSpec| -> Result<Box<dyn FrameSource>> {
            Ok(Box::new(FfmpegSource::open(input, options, cancel)?))
        };
        let (size, rate) = match self {
            Self::One(input) => {
                let is_camera = matches!(input, InputSpec::Device(Device::Camera { .. }));
                return open(input).map_err(|error| {
                    if is_camera && error.kind() == ErrorKind::Input {
                        let message = format!("{}; {}", error.one_line(), what_there_is());
                        Error::new(ErrorKind::Input, message)
                    } else {
                        error
                    }
                });
            }
            Self::AnyCamera { size, rate } => (*size, *rate),
        };
        let mut candidates = cameras();
        if candidates.is_empty() {
            candidates.push("/dev/video0".into());
        }
        let mut tried = Vec::new();
        for path in candidates {
            let input = InputSpec::Device(Device::Camera { path, size, rate });
            match open(&input) {
                Err(error) if error.kind() == ErrorKind::Input => tried.push(error.one_line()),
                opened => return opened,
            }
        }
        let message = format!(
            "cannot find a camera: {}; {}",
            tried.join("; "),
            what_there_is()
        );
        Err(Error::new(ErrorKind::Input, message))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The X11 display, if one is named.
pub(super) fn display() -> Option<String> {
    env::var(DISPLAY_VARIABLE)
        .ok()
        .filter(|display| !display.is_empty())
}

/// What one could look at instead.
fn what_there_is() -> String {
    let cameras: Vec<String> = cameras()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let cameras = match cameras.as_slice() {
        [] => "no camera at all".to_owned(),
        cameras => format!("the cameras {}", cameras.join(", ")),
    };
    let screen = display().map_or("no X11 screen".to_owned(), |display| {
        format!("`screen` ({display})")
    });
    format!("there is {cameras}, {screen}; files, addresses and lavfi:testsrc work anywhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Sources {
        Sources::new(Some(text.into()), None, None, None).unwrap()
    }

    #[test]
    fn words_are_cameras_graphs_addresses_or_files() {
        for text in ["1", "/dev/video1"] {
            assert_eq!(source(text).name(), "camera /dev/video1");
        }
        assert_eq!(
            source("lavfi:testsrc=rate=5").name(),
            "lavfi:testsrc=rate=5"
        );
        assert_eq!(source("screen::9").name(), "screen :9");
        assert_eq!(source("-").name(), "standard input");
        assert_eq!(source("./0").name(), "./0");
        assert_eq!(source("/dev/videos.mp4").name(), "/dev/videos.mp4");
        assert_eq!(source("rtsp://u:p@h/a@b").name(), "rtsp://h/a@b");
    }

    #[test]
    fn options_without_effect_are_refused() {
        let refused = |source: &str, region, size, rate| {
            let error = Sources::new(Some(source.into()), region, size, rate).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        };
        refused("0", Some("10x10+0+0"), None, None);
        refused("a.mp4", None, Some("10x10"), None);
        refused("a.mp4", None, None, Some(5));
        refused("0", None, Some("10"), None);
    }
}
