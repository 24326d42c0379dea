//! Where finished frames go: one file per kind of sink behind the [`FrameSink`] trait.

#[cfg(feature = "video")]
mod ffmpeg;
#[cfg(feature = "video")]
mod fitting;
mod partial;
mod still;

#[cfg(feature = "video")]
pub use ffmpeg::{EncodeOptions, FfmpegSink};
#[cfg(feature = "video")]
pub use fitting::FittingSink;
pub use partial::{PartialFile, remove_unfinished_files};
pub use still::StillSink;

use std::path::PathBuf;

use crate::error::Result;
use crate::frame::{ColorSpec, Frame, PictureFormat};
use crate::source::SourceEnd;

/// Where to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputSpec {
    /// A file; its extension chooses the container.
    Path(PathBuf),
    /// Standard output, as a fragmented MP4.
    Stdout,
}

/// Shape of every picture a sink receives (the layout may have made it larger than the source's).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureShape {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Sample layout.
    pub format: PictureFormat,
    /// Meaning of the samples.
    pub color: ColorSpec,
}

/// What a sink has written.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Written {
    /// Frames.
    pub frames: u64,
    /// Packets of copied streams that were malformed and left out.
    pub bad_packets: u64,
    /// CPU time of the threads that the encoder started for itself, in milliseconds; 0 where the system does not tell.
    pub encoder_threads_cpu_ms: f64,
}

/// Receives finished frames in order.
///
/// Nothing appears under the final name before [`finish`](Self::finish) succeeds; a sink that is dropped without it
/// removes what it wrote.
pub trait FrameSink {
    /// Writes one frame, with the passthrough packets it carries before it.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::ErrorKind::Output) if encoding or writing fails.
    fn write(&mut self, frame: Frame) -> Result<()>;

    /// Flushes, closes, and gives the output its final name.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::ErrorKind::Output) if the rest cannot be written.
    fn finish(self: Box<Self>, end: SourceEnd) -> Result<Written>;
}
