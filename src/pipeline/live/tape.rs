//! What is recorded, and when: pictures get their index and time in the recording here.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::desk::Desk;
use super::messages::Captured;
use super::recorder::{Item, Recorder};
use crate::frame::{Frame, FrameIndex, Orientation, Picture, Pts, TimeBase};
use crate::records::{Flag, Record};

/// A last picture that stood less than this needs no end of its own.
const LEAST_LAST: Duration = Duration::from_millis(500);

/// Unit of times in recordings.
pub(super) const TIME_BASE: TimeBase = TimeBase {
    numerator: 1,
    denominator: 90_000,
};

/// A picture that is shown, until a later one takes its place.
pub(super) struct Pending {
    pub(super) picture: Arc<Picture>,
    /// What it shows, without its place in the recording; none for pictures without a map.
    pub(super) records: Vec<Record>,
    pub(super) frame: Arc<Captured>,
}

/// See the module.
pub(super) struct Tape<'a, 'scope> {
    desk: &'a Desk,
    recorder: Option<Recorder<'scope>>,
    /// When the first recorded frame was captured.
    epoch: Option<Instant>,
    last_ticks: Option<i64>,
    /// The last frame that was given to be recorded.
    last_frame: Option<u64>,
    /// When the last recorded picture was captured, the picture, and how it is turned to stand upright.
    last_picture: Option<(Instant, Arc<Picture>, Orientation)>,
    /// Frames recorded; without a recording, frames shown until the next one came.
    pub(super) frames_out: u64,
    pub(super) no_positive_evidence: u64,
}

impl<'a, 'scope> Tape<'a, 'scope> {
    pub(super) fn new(desk: &'a Desk, recorder: Option<Recorder<'scope>>) -> Self {
        Self {
            desk,
            recorder,
            epoch: None,
            last_ticks: None,
            last_frame: None,
            last_picture: None,
            frames_out: 0,
            no_positive_evidence: 0,
        }
    }

    /// Whether anything has been recorded.
    pub(super) fn has_begun(&self) -> bool {
        self.epoch.is_some()
    }

    /// The record thread, to be waited for.
    pub(super) fn into_recorder(self) -> Option<Recorder<'scope>> {
        self.recorder
    }

    /// Records a picture.
    pub(super) fn commit(&mut self, pending: Pending) {
        let Pending {
            picture,
            records,
            frame,
        } = pending;
        // It may be drawn again after the signal was lost.
        if self.last_frame.replace(frame.index) == Some(frame.index) {
            return;
        }
        let lacks_evidence = |record: &Record| record.flags.contains(&Flag::NoPositiveEvidence);
        self.no_positive_evidence += u64::from(records.iter().any(lacks_evidence));
        self.record(frame.at, &picture, frame.orientation, records);
    }

    /// Records a picture without a map.
    pub(super) fn record_plain(
        &mut self,
        at: Instant,
        picture: &Arc<Picture>,
        orientation: Orientation,
    ) {
        self.record(at, picture, orientation, Vec::new());
    }

    /// The last picture once more, if it stood for a while: the recording is as long as the run.
    pub(super) fn end(&mut self) {
        if let Some((at, picture, orientation)) = self.last_picture.take()
            && at.elapsed() >= LEAST_LAST
        {
            self.record_plain(Instant::now(), &picture, orientation);
        }
    }

    /// Gives a picture to the record thread, with the records that belong to its index and time in the recording. If the encoder is behind, it
    /// is left out and counted.
    fn record(
        &mut self,
        at: Instant,
        picture: &Arc<Picture>,
        orientation: Orientation,
        mut records: Vec<Record>,
    ) {
        let Some(recorder) = &self.recorder else {
            self.frames_out += 1;
            return;
        };
        let epoch = *self.epoch.get_or_insert(at);
        let secs = at.saturating_duration_since(epoch).as_secs_f64();
        let ticks = (secs * f64::from(TIME_BASE.denominator)).round() as i64;
        let ticks = self.last_ticks.map_or(ticks, |last| ticks.max(last + 1));
        let index = self.frames_out;
        for record in &mut records {
            record.frame = index;
            record.pts_s = TIME_BASE.seconds(Pts(ticks));
        }
        let is_taken = recorder.has_room()
            && recorder.offer(Item {
                frame: Frame {
                    index: FrameIndex(index),
                    pts: Pts(ticks),
                    duration: 0,
                    picture: Picture::clone(picture),
                    passthrough: Vec::new(),
                },
                orientation,
                records,
                epoch: system_time(epoch),
            });
        if !is_taken {
            self.desk.look(|look| look.meters.unrecorded += 1);
            return;
        }
        self.last_ticks = Some(ticks);
        self.frames_out += 1;
        self.last_picture = Some((at, Arc::clone(picture), orientation));
    }
}

/// The wall clock's time of a moment.
fn system_time(at: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(at.elapsed()).unwrap_or(now)
}
