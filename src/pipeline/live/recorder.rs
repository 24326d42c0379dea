//! The record thread: pictures into a file and records beside them, while the show goes on.

use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Sender, TrySendError, bounded};

use super::desk::Desk;
use super::messages::End;
use super::records::LiveRecords;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::frame::{Frame, Orientation};
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::report::StageTimes;
use crate::records::Record;
use crate::sink::FrameSink;
use crate::source::SourceEnd;

/// Pictures that wait for the encoder: it may be slow for an eighth of a second, and what waits is quickly finished at the end.
const WAITING_PICTURES: usize = 4;
/// How long after the end pictures that wait are still encoded: a run ends within a second.
const LAST_PICTURES_TIME: Duration = Duration::from_millis(400);

/// A picture to be recorded.
pub(super) struct Item {
    pub(super) frame: Frame,
    /// How the picture is turned to stand upright.
    pub(super) orientation: Orientation,
    /// None for pictures without a map.
    pub(super) records: Vec<Record>,
    /// When time 0 was.
    pub(super) epoch: SystemTime,
}

/// Where recorded things go.
pub(super) struct Outputs {
    pub(super) sink: Option<Box<dyn FrameSink + Send>>,
    /// How the recording's pictures are turned to stand upright: one for all, a source that is opened again may have another.
    pub(super) orientation: Orientation,
    pub(super) records: Option<LiveRecords>,
}

/// What the record thread did.
#[derive(Default)]
pub(super) struct Recorded {
    pub(super) times: StageTimes,
    pub(super) frames: u64,
    /// Frames that waited when time was up.
    pub(super) given_up: u64,
    pub(super) failure: Option<Error>,
}

/// Where pictures go to be recorded.
pub(super) struct Recorder<'scope> {
    queue: Sender<Item>,
    thread: ScopedJoinHandle<'scope, Recorded>,
}

impl<'scope> Recorder<'scope> {
    /// Starts the thread. The run ends when it cannot write.
    pub(super) fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        outputs: Outputs,
        desk: &'scope Desk,
    ) -> Result<Self> {
        let (queue, items) = bounded::<Item>(WAITING_PICTURES);
        let work = move || {
            let mut recorded = Recorded::default();
            let panics = FirstFailure::new();
            let outcome = panics.catch("record", || {
                let mut outputs = outputs;
                while let Ok(item) = recorded.times.encode.wait(|| items.recv()) {
                    if desk.time_since_end() > LAST_PICTURES_TIME {
                        recorded.given_up += 1;
                        continue;
                    }
                    outputs.write(item, &mut recorded)?;
                }
                outputs.finish(&mut recorded)
            });
            recorded.failure = match outcome {
                Some(outcome) => outcome.err(),
                None => panics.into_error(),
            };
            if recorded.failure.is_some() {
                desk.end(End::Stopped);
            }
            recorded
        };
        let builder = Builder::new().name("record".to_owned());
        let thread = builder.spawn_scoped(scope, work).map_err(|cause| {
            Error::caused_by(ErrorKind::Internal, "cannot start thread record", cause)
        })?;
        Ok(Self { queue, thread })
    }

    /// Whether there is room for a picture; else the encoder is behind.
    pub(super) fn has_room(&self) -> bool {
        !self.queue.is_full()
    }

    /// Hands a picture on; `false` if there is no room for it.
    pub(super) fn offer(&self, item: Item) -> bool {
        match self.queue.try_send(item) {
            // When the thread has failed, it has said so itself.
            Ok(()) | Err(TrySendError::Disconnected(_)) => true,
            Err(TrySendError::Full(_)) => false,
        }
    }

    /// Waits until the files are finished.
    pub(super) fn finish(self) -> Recorded {
        drop(self.queue);
        self.thread.join().unwrap_or_else(|_| Recorded {
            failure: Some(Error::new(
                ErrorKind::Internal,
                "internal error on thread record, please report it",
            )),
            ..Recorded::default()
        })
    }
}

impl Outputs {
    pub(super) fn is_empty(&self) -> bool {
        self.sink.is_none() && self.records.is_none()
    }

    fn write(&mut self, item: Item, recorded: &mut Recorded) -> Result<()> {
        let encode = &mut recorded.times.encode;
        if let Some(sink) = &mut self.sink {
            let mut frame = item.frame;
            let turn = item.orientation.relative_to(self.orientation);
            encode
                .measure(|| {
                    if turn != Orientation::default() {
                        frame.picture = frame.picture.turned(turn);
                    }
                    sink.write(frame)
                })
                .map_err(|error| error.at_stage(Stage::Encode))?;
        }
        recorded.frames += 1;
        if let Some(records) = &mut self.records
            && !item.records.is_empty()
        {
            encode.measure(|| records.write(&item.records, item.epoch))?;
        }
        Ok(())
    }

    /// Gives the recording its name; one without a picture is not kept.
    fn finish(self, recorded: &mut Recorded) -> Result<()> {
        if let (Some(sink), true) = (self.sink, recorded.frames > 0) {
            let finish = || sink.finish(SourceEnd::default());
            let written = recorded.times.encode.measure(finish);
            let written = written.map_err(|error| error.at_stage(Stage::Encode))?;
            recorded.frames = written.frames;
            recorded.times.encode.cpu_ms += written.encoder_threads_cpu_ms;
        }
        self.records.map_or(Ok(()), LiveRecords::finish)
    }
}
