//! Streams that FFmpeg did not know when the input was opened: what comes of them is lost, and that is told.

use ffmpeg_next::format::context;
use ffmpeg_next::media;

use super::template::{belongs_to, is_awaited, title};
use crate::ffmpeg_ffi::programs;

/// The streams of an input that begin too late to be read.
pub(super) struct LateStreams {
    video: usize,
    /// How many streams were listed at the beginning.
    listed: usize,
    /// Those among them of which nothing but an announcement was seen.
    announced: Vec<usize>,
    /// Those that have begun.
    begun: Vec<usize>,
    /// What is lost, of video and audio.
    pub(super) lost: Vec<String>,
    /// The same of other streams.
    pub(super) notices: Vec<String>,
}

impl LateStreams {
    /// Of an input in which nothing was read yet.
    pub(super) fn new(input: &context::Input, video: usize) -> Self {
        let programs = programs(input);
        let announced = input
            .streams()
            .filter(|stream| stream.index() != video && is_awaited(stream))
            .map(|stream| stream.index())
            .filter(|index| belongs_to(video, *index, &programs));
        Self {
            video,
            listed: input.streams().len(),
            announced: announced.collect(),
            begun: Vec::new(),
            lost: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Whether packets of a stream that was listed are to be watched for.
    pub(super) fn awaits(&self, index: usize) -> bool {
        self.announced.contains(&index)
    }

    /// A packet came of a stream that is not read.
    pub(super) fn meet(&mut self, input: &context::Input, index: usize) {
        let is_late = index >= self.listed || self.awaits(index);
        if !is_late || self.begun.contains(&index) {
            return;
        }
        self.begun.push(index);
        let Some(stream) = input.stream(index) else {
            return;
        };
        if !belongs_to(self.video, index, &programs(input)) {
            return;
        }
        let message = format!("{} begins later and is not read", title(&stream));
        match stream.parameters().medium() {
            media::Type::Video | media::Type::Audio => self.lost.push(message),
            _ => self.notices.push(message),
        }
    }
}
