//! Frames and the records that were made of them: no network.

use crossbeam_channel::{Receiver, Sender};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::frame::{Frame, Orientation, TimeBase};
use crate::model::Normalization;
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::report::StageTimes;
use crate::pipeline::worker::{Content, Explained};
use crate::preprocess::{Preprocessor, ResizePolicy};
use crate::records::{Flag, Record, RecordsHeader, RecordsReader};
use crate::temporal::Thumbnail;

/// Times of frame and record may differ by this, in seconds, because other programs write fewer digits.
const TIME_TOLERANCE_SECS: f64 = 1e-3;

/// Whether there was a record for every frame and a frame for every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordsFit {
    /// So it was, or the frames were explained in this run.
    #[default]
    Whole,
    /// The records ended first, as those of an interrupted run do; so did the output.
    EndEarly,
    /// The frames ended first.
    GoOn,
}

/// Brings frames and records together.
pub(super) struct Redraw {
    records: RecordsReader,
    preprocessor: Preprocessor,
    normalization: Normalization,
    orientation: Orientation,
    time_base: TimeBase,
    fit: RecordsFit,
}

impl Redraw {
    pub(super) fn new(
        records: RecordsReader,
        orientation: Orientation,
        time_base: TimeBase,
        pixel_aspect: f64,
    ) -> Result<Self> {
        let (resize, input_size, normalization) = preprocessing(records.header())?;
        Ok(Self {
            records,
            preprocessor: Preprocessor::to_size(resize, input_size, normalization)
                .with_pixel_aspect(pixel_aspect),
            normalization,
            orientation,
            time_base,
            fit: RecordsFit::Whole,
        })
    }

    /// Works until the decoder is done or any thread has failed.
    pub(super) fn run(
        &mut self,
        frames: &Receiver<Frame>,
        to_ordered: &Sender<Explained>,
        times: &mut StageTimes,
        failure: &FirstFailure,
    ) {
        let mut is_first = true;
        while let Some(frame) = times.preprocess.wait(|| failure.receive(frames)) {
            let index = frame.index;
            let item = match times.preprocess.measure(|| self.join(frame)) {
                Ok(Some(item)) => item,
                // Whoever runs this stops the source.
                Ok(None) if !is_first => {
                    self.fit = RecordsFit::EndEarly;
                    return;
                }
                Ok(None) => return failure.record(mismatch("there is no record").at_frame(index)),
                Err(error) => return failure.record(error.at_frame(index)),
            };
            is_first = false;
            if times.explain.wait(|| to_ordered.send(item).is_err()) {
                return;
            }
        }
        if !failure.has_failed() && self.records.next_frame().is_ok_and(|rest| !rest.is_empty()) {
            self.fit = RecordsFit::GoOn;
        }
    }

    /// Whether records and frames were of equal number; known when all is done.
    pub(super) fn fit(&self) -> RecordsFit {
        self.fit
    }

    /// None if the records are at their end.
    fn join(&mut self, frame: Frame) -> Result<Option<Explained>> {
        let stored = self.records.next_frame()?;
        let Some(first) = stored.first() else {
            return Ok(None);
        };
        let secs = self.time_base.seconds(frame.pts);
        if first.frame != frame.index.0 || (first.pts_s - secs).abs() > TIME_TOLERANCE_SECS {
            let message = format!(
                "the frame is at {secs:.3} s, the next record is of frame {} at {:.3} s",
                first.frame, first.pts_s
            );
            return Err(mismatch(&message));
        }
        let thumbnail = if is_carried(first) {
            None
        } else {
            let picture = self
                .preprocessor
                .run(&frame.picture, self.orientation)
                .map_err(|error| error.at_stage(Stage::Preprocess))?;
            Some(Thumbnail::of(&picture, &self.normalization))
        };
        Ok(Some(Explained {
            frame,
            thumbnail,
            content: Content::Stored(stored),
        }))
    }
}

fn is_carried(record: &Record) -> bool {
    record.flags.contains(&Flag::Carried)
}

fn mismatch(how: &str) -> Error {
    let message = "cannot draw the records: they are not of these frames";
    Error::caused_by(ErrorKind::Input, message, how.to_owned())
}

/// How the recorded run made the network's input of a frame.
///
/// # Errors
/// [`ErrorKind::Input`] if the header says what this program does not know.
fn preprocessing(header: &RecordsHeader) -> Result<(ResizePolicy, usize, Normalization)> {
    let unknown = |what: &str, value: &str| {
        let message = format!("cannot draw the records: unknown {what} {value:?}");
        Error::new(ErrorKind::Input, message)
    };
    let resize = header.resize_policy()?;
    let normalization = Normalization::named(&header.preprocess)
        .ok_or_else(|| unknown("preprocess", &header.preprocess))?;
    let size = header.input_size;
    if size == 0 || size > 4096 {
        return Err(unknown("input_size", &size.to_string()));
    }
    Ok((resize, size, normalization))
}

/// The largest positive value of each target's maps in records: the scale of [`Normalize::Video`](crate::temporal::Normalize::Video).
///
/// # Errors
/// [`ErrorKind::Input`] if a line is no record.
pub fn largest_maxima(records: &mut RecordsReader) -> Result<Vec<f32>> {
    let mut maxima: Vec<f32> = Vec::new();
    loop {
        let frame = records.next_frame()?;
        if frame.is_empty() {
            return Ok(maxima);
        }
        maxima.resize(maxima.len().max(frame.len()), 0.0);
        for (maximum, record) in maxima.iter_mut().zip(&frame) {
            *maximum = maximum.max(record.heatmap.positive_maximum());
        }
    }
}
