//! Where frames come from: one file per kind of source behind the [`FrameSource`] trait.

mod damage;
#[cfg(feature = "video")]
mod device;
#[cfg(feature = "video")]
mod ffmpeg;
mod still;

pub use damage::Damage;
#[cfg(feature = "video")]
pub use device::{Device, Region, cameras, parse_size};
#[cfg(feature = "video")]
pub use ffmpeg::{CopiedStream, FfmpegSource, StreamTemplate};
#[cfg(feature = "audit")]
pub(crate) use still::read_image_file;
pub use still::{StillSource, is_still_image, is_still_image_name};

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Result;
use crate::frame::{ColorSpec, Frame, FrameShape, Orientation, PictureFormat, TimeBase};
use crate::pipeline::CancelToken;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSpec {
    /// A file; any name goes, also one that is not UTF-8 or looks like an address.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// An address that FFmpeg understands, such as `rtsp://...` or `https://...`.
    Url(String),
    /// A camera, a screen.
    #[cfg(feature = "video")]
    Device(Device),
}

/// As it may be shown: without a password.
impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("standard input"),
            Self::Url(url) => f.write_str(&without_password(url)),
            #[cfg(feature = "video")]
            Self::Device(device) => device.fmt(f),
        }
    }
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

impl InputSpec {
    /// A path that leads to the input, if it may be a file (standard input may be one too): what must not be overwritten.
    pub fn file_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Stdin => Some(Path::new("/dev/stdin")),
            Self::Url(_) => None,
            #[cfg(feature = "video")]
            Self::Device(_) => None,
        }
    }
}

/// Which part of a stream to read, in seconds after its first instant. Frames that begin at or after
/// `start_secs` and before `end_secs` are in it; the start becomes time 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TimeRange {
    /// Where to begin; the beginning if `None`.
    pub start_secs: Option<f64>,
    /// Where to stop; the end if `None`.
    pub end_secs: Option<f64>,
}

/// How to read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadOptions {
    /// Which part.
    pub range: TimeRange,
    /// Whether interlaced frames are deinterlaced before all else; as many frames come out.
    pub deinterlace: bool,
    /// Whether the first damage ends the reading with an error.
    pub is_strict: bool,
    /// How long a server or a camera may be silent before reading ends.
    pub network_timeout: Duration,
    /// Whether frames are shown as they come: nothing is held back in buffers, other streams are left out, and pictures have the size
    /// that each frame has.
    pub is_live: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            range: TimeRange::default(),
            deinterlace: false,
            is_strict: false,
            network_timeout: Duration::from_secs(10),
            is_live: false,
        }
    }
}

/// What is known about a stream before its frames are read.
#[derive(Debug, Clone)]
pub struct SourceInfo {
    /// Coded width in pixels.
    pub width: usize,
    /// Coded height in pixels.
    pub height: usize,
    /// Sample layout of every picture the source delivers.
    pub format: PictureFormat,
    /// Meaning of the samples.
    pub color: ColorSpec,
    /// Width of a coded pixel divided by its height, as it is shown; 1 if nobody says.
    pub pixel_aspect: f64,
    /// How a picture must be turned to stand upright.
    pub orientation: Orientation,
    /// Unit of every frame's presentation time.
    pub time_base: TimeBase,
    /// The container's claim of how many frames will come: for progress only.
    pub estimated_frames: Option<u64>,
    /// Whether it goes on until it breaks, as cameras and live streams do: it delivers frames when they happen, and an end is a fault.
    pub is_endless: bool,
    /// Time 0 on the source's own clock in microseconds. A device's clock is the system's: microseconds since 1970.
    pub clock_start_micros: Option<i64>,
    /// Things the user should be told, such as a conversion that loses something.
    pub notices: Vec<String>,
    /// What a video sink needs to carry over from the input.
    #[cfg(feature = "video")]
    pub template: Option<StreamTemplate>,
}

impl SourceInfo {
    /// Size and pixels of the coded frames.
    pub fn frame_shape(&self) -> FrameShape {
        FrameShape {
            width: self.width,
            height: self.height,
            pixel_aspect: self.pixel_aspect,
        }
    }
}

/// What is left when the last frame has been read.
#[derive(Default)]
pub struct SourceEnd {
    /// What was wrong with the input.
    pub damage: Damage,
    /// Things the user should be told that were not known at the beginning.
    pub notices: Vec<String>,
    /// Packets of other streams that lie behind the last frame.
    #[cfg(feature = "video")]
    pub passthrough: Vec<ffmpeg_next::Packet>,
}

/// A stream of frames. Opening it is the constructor's work, so that errors come at once.
pub trait FrameSource: Send {
    /// What is known about the stream.
    fn info(&self) -> &SourceInfo;

    /// The next frame in presentation order, or `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) if reading fails for good. Damage is counted, not an error, unless the source was told to be strict.
    fn next_frame(&mut self) -> Result<Option<Frame>>;

    /// Whether reading had to wait for the sender since the last call: then frames come when they happen.
    fn has_waited(&mut self) -> bool {
        false
    }

    /// Setting it ends the reading, from any thread, even while [`next_frame`](Self::next_frame) waits for a sender. Sources that
    /// never wait need none.
    fn stopper(&self) -> Option<CancelToken> {
        None
    }

    /// Called once, after `next_frame` returned `None`.
    fn finish(&mut self) -> SourceEnd;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let shown = |url: &str| InputSpec::Url(url.to_owned()).to_string();
        assert_eq!(shown("rtsp://u:p@host:554/a@b"), "rtsp://host:554/a@b");
        assert_eq!(shown("http://host?q=a@b"), "http://host?q=a@b");
        assert_eq!(shown("rtsp://p@ss@host/x"), "rtsp://host/x");
    }
}
