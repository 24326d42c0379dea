//! What the threads of a live run tell each other.

use std::sync::Arc;
use std::time::Instant;

use super::settings::Question;
use crate::error::Error;
use crate::explain::Explanation;
use crate::frame::{FrameShape, Orientation, Picture};
use crate::render::RenderOptions;
use crate::temporal::Thumbnail;

/// A frame and when it was captured.
pub(super) struct Captured {
    /// Counted from 0 over the whole run, reconnections included.
    pub(super) index: u64,
    pub(super) at: Instant,
    pub(super) picture: Picture,
    pub(super) orientation: Orientation,
    pub(super) pixel_aspect: f64,
}

impl Captured {
    /// Size and pixels as coded.
    pub(super) fn shape(&self) -> FrameShape {
        FrameShape {
            width: self.picture.width,
            height: self.picture.height,
            pixel_aspect: self.pixel_aspect,
        }
    }
}

/// What a frame was explained as, and what was asked.
pub(super) struct LiveExplanation {
    pub(super) frame: Arc<Captured>,
    pub(super) question: Arc<Question>,
    pub(super) thumbnail: Thumbnail,
    pub(super) explanation: Explanation,
}

/// Whether frames come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    Live,
    /// The source is being opened again.
    Lost {
        since: Instant,
        cause: String,
    },
}

/// Why a run is over.
pub(super) enum End {
    /// Asked for: by a viewer, an interrupt, or because the time is up.
    Stopped,
    /// The source has no more frames.
    SourceEnded,
    Failed(Error),
}

/// The frame that a worker is to explain, and what is asked.
pub(super) struct Task {
    pub(super) frame: Arc<Captured>,
    pub(super) question: Arc<Question>,
}

/// What has changed since the picture before was drawn.
pub(super) struct News {
    /// Another frame is to be shown.
    pub(super) frame: Option<Arc<Captured>>,
    /// Frames before this one were not to be shown: a frame was held.
    pub(super) first_wanted: u64,
    /// What is asked and not answered yet.
    pub(super) awaited: Option<Awaited>,
    pub(super) explanation: Option<Arc<LiveExplanation>>,
    /// How many there have been.
    pub(super) explanations: u64,
    pub(super) render: RenderOptions,
    pub(super) signal: Signal,
    pub(super) is_frozen: bool,
    pub(super) is_over: bool,
}

/// A question without an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Awaited {
    pub(super) method: &'static str,
    pub(super) since: Instant,
    /// Share of the passes that are done; none for methods that need one.
    pub(super) share: Option<f32>,
}

/// What has been drawn.
#[derive(Default)]
pub(super) struct Drawn {
    pub(super) frame: Option<u64>,
    /// How many explanations there were.
    pub(super) explanations: u64,
    pub(super) render: Option<RenderOptions>,
    pub(super) signal: Option<Signal>,
}
