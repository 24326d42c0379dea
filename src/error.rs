//! The library's one error type: what failed (kind), where (stage, frame), and the cause behind it.

use std::fmt;

use crate::frame::FrameIndex;

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it was. Callers branch on this; people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input cannot be opened, read or decoded.
    Input,
    /// The output cannot be created, encoded or written.
    Output,
    /// The weight file is missing, damaged, or not one this program understands.
    Weights,
    /// The caller asked for something that does not exist or does not fit together.
    InvalidArgument,
    /// The network or an explainer failed on valid data.
    Compute,
    /// The device that runs the network has no memory left for so many pictures at a time.
    OutOfMemory,
    /// Work stopped because a [`CancelToken`](crate::pipeline::CancelToken) was set.
    Cancelled,
    /// A defect in this program, such as a panic on a worker thread.
    Internal,
}

/// The part of the pipeline in which a failure happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading and decoding frames.
    Decode,
    /// Resizing a frame to the model's input.
    Preprocess,
    /// Running the network.
    Model,
    /// Turning activations into a heatmap.
    Explain,
    /// Drawing the heatmap and the label.
    Render,
    /// Encoding and writing the output.
    Encode,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Model => "model",
            Self::Explain => "explain",
            Self::Render => "render",
            Self::Encode => "encode",
        })
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A failure. `Display` is one line that names the action and its object; the cause is in
/// [`source`](std::error::Error::source), and [`Error::one_line`] joins both.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    stage: Option<Stage>,
    frame: Option<FrameIndex>,
    message: String,
    #[source]
    cause: Option<Cause>,
}

impl Error {
    /// An error without a deeper cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            stage: None,
            frame: None,
            message: message.into(),
            cause: None,
        }
    }

    /// An error caused by `cause`.
    pub fn caused_by(
        kind: ErrorKind,
        message: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(kind, message)
        }
    }

    /// The error that says that work stopped on request.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "interrupted")
    }

    /// Adds the stage, unless one is known already (the innermost knows best).
    #[must_use]
    pub fn at_stage(mut self, stage: Stage) -> Self {
        self.stage.get_or_insert(stage);
        self
    }

    /// Adds the frame, unless one is known already.
    #[must_use]
    pub fn at_frame(mut self, frame: FrameIndex) -> Self {
        self.frame.get_or_insert(frame);
        self
    }

    /// What sort of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where in the pipeline it happened, if it did there.
    pub fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// The frame that was being worked on, if any.
    pub fn frame(&self) -> Option<FrameIndex> {
        self.frame
    }

    /// Message, place and every cause in one line: what a command line prints.
    pub fn one_line(&self) -> String {
        let mut line = self.message.clone();
        match (self.stage, self.frame) {
            (Some(stage), Some(frame)) => line += &format!(" ({stage}, frame {frame})"),
            (None, Some(frame)) => line += &format!(" (frame {frame})"),
            _ => {}
        }
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line += &format!(": {error}");
            cause = error.source();
        }
        line.replace('\n', " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_action_place_and_cause() {
        let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such\nfile");
        let error = Error::caused_by(ErrorKind::Input, "cannot open a.mp4", cause)
            .at_stage(Stage::Decode)
            .at_frame(FrameIndex(7))
            .at_stage(Stage::Encode);
        assert_eq!(
            error.one_line(),
            "cannot open a.mp4 (decode, frame 7): no such file"
        );
        assert_eq!(error.stage(), Some(Stage::Decode));
    }
}
