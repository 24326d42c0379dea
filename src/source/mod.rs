//! Where frames come from: one file per kind of source behind the [`FrameSource`] trait.

#[cfg(feature = "video")]
mod ffmpeg;
mod still;

#[cfg(feature = "video")]
pub use ffmpeg::{CopiedStream, FfmpegSource, StreamTemplate};
pub use still::{StillSource, is_still_image};

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::frame::{ColorSpec, Frame, Orientation, PictureFormat, TimeBase};

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSpec {
    /// A file; any name goes, also one that is not UTF-8 or looks like an address.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// An address that FFmpeg understands, such as `rtsp://...` or `https://...`.
    Url(String),
}

impl InputSpec {
    /// A path that leads to the input, if it may be a file (standard input may be one too): what must not be overwritten.
    pub fn file_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Stdin => Some(Path::new("/dev/stdin")),
            Self::Url(_) => None,
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

/// What is known about a stream before its frames are read.
#[derive(Debug)]
pub struct SourceInfo {
    /// Coded width in pixels.
    pub width: usize,
    /// Coded height in pixels.
    pub height: usize,
    /// Sample layout of every picture the source delivers.
    pub format: PictureFormat,
    /// Meaning of the samples.
    pub color: ColorSpec,
    /// How a picture must be turned to stand upright.
    pub orientation: Orientation,
    /// Unit of every frame's presentation time.
    pub time_base: TimeBase,
    /// The container's claim of how many frames will come: for progress only.
    pub estimated_frames: Option<u64>,
    /// Things the user should be told, such as a conversion that loses something.
    pub notices: Vec<String>,
    /// What a video sink needs to carry over from the input.
    #[cfg(feature = "video")]
    pub template: Option<StreamTemplate>,
}

/// What is left when the last frame has been read.
#[derive(Default)]
pub struct SourceEnd {
    /// Packets or frames that could not be decoded.
    pub decode_errors: u64,
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
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) if reading fails for good; single damaged frames are counted, not errors.
    fn next_frame(&mut self) -> Result<Option<Frame>>;

    /// Called once, after `next_frame` returned `None`.
    fn finish(&mut self) -> SourceEnd;
}
