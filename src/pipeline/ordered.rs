//! The ordered thread: frames back in order, normalised, drawn, recorded, encoded.

use crossbeam_channel::{Receiver, Sender};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::explain::Explanation;
use crate::frame::{Orientation, RectInFrame, TimeBase};
use crate::pipeline::describe::Describer;
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::reorder::Reorder;
use crate::pipeline::report::{Progress, Reporter, StageTimes};
use crate::pipeline::worker::Explained;
use crate::records::{CARRIED, NO_POSITIVE_EVIDENCE, RecordsWriter};
use crate::render::Renderer;
use crate::sink::FrameSink;
use crate::source::SourceEnd;
use crate::temporal::Temporal;

/// What all stages need to know of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct InputFacts {
    pub(super) orientation: Orientation,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) time_base: TimeBase,
    pub(super) estimated_frames: Option<u64>,
    pub(super) model_size: usize,
}

/// The ordered thread's state.
pub(super) struct Ordered<'a> {
    pub(super) describer: Describer<'a>,
    pub(super) temporal: Temporal,
    pub(super) map_in_frame: RectInFrame,
    pub(super) renderer: Renderer,
    pub(super) sink: Box<dyn FrameSink>,
    pub(super) records: Option<RecordsWriter>,
    /// What frames that are not explained carry on.
    pub(super) last: Option<Explanation>,
    pub(super) frames_out: u64,
    pub(super) no_positive_evidence: u64,
}

/// The ordered thread's account.
pub(super) struct Finished {
    pub(super) frames_written: u64,
    pub(super) decode_errors: u64,
    pub(super) no_positive_evidence: u64,
    pub(super) flicker: Option<f64>,
    pub(super) last: Option<Explanation>,
}

impl Ordered<'_> {
    /// Works until all frames are written or any thread has failed.
    pub(super) fn run(
        &mut self,
        explained: &Receiver<Explained>,
        permit_return: &Sender<()>,
        times: &mut StageTimes,
        failure: &FirstFailure,
        reporter: &dyn Reporter,
    ) {
        let mut reorder = Reorder::new();
        while let Some(item) = times.render.wait(|| failure.receive(explained)) {
            reorder.insert(item.frame.index, item);
            while let Some(item) = reorder.pop() {
                let index = item.frame.index;
                if let Err(error) = self.finish_frame(item, times) {
                    return failure.record(error.at_frame(index));
                }
                let _ = permit_return.try_send(());
                let top = self.last.as_ref().and_then(|last| last.ranking.first());
                reporter.frame_done(Progress {
                    frames_done: self.frames_out,
                    estimated_frames: self.describer.input.estimated_frames,
                    top_class: top.map_or("", |top| self.describer.labels.name(top.index)),
                });
            }
        }
    }

    fn finish_frame(&mut self, item: Explained, times: &mut StageTimes) -> Result<()> {
        let Explained {
            mut frame,
            explanation,
        } = item;
        let is_carried = explanation.is_none();
        let (explanation, thumbnail) = explanation.unzip();
        let explanation = match explanation.or_else(|| self.last.take()) {
            Some(explanation) => explanation,
            None => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "the first frame was not explained",
                ));
            }
        };
        let pts_secs = self.describer.input.time_base.seconds(frame.pts);
        let lacks_evidence = !explanation.heatmap.has_positive_evidence();
        self.no_positive_evidence += u64::from(lacks_evidence);

        let map = self.temporal.next(
            &explanation.heatmap,
            explanation.target.class,
            thumbnail,
            pts_secs,
        );
        let label = self.describer.label(&explanation);
        frame.picture = times.render.measure(|| {
            self.renderer
                .render(frame.picture, map.as_ref(), self.map_in_frame, &label)
        });
        if let Some(records) = &mut self.records {
            let mut flags = Vec::new();
            if is_carried {
                flags.push(CARRIED);
            }
            if lacks_evidence {
                flags.push(NO_POSITIVE_EVIDENCE);
            }
            let record = self
                .describer
                .record(frame.index, pts_secs, &explanation, flags);
            records.write(&record)?;
        }
        self.last = Some(explanation);
        times
            .encode
            .measure(|| self.sink.write(frame))
            .map_err(|error| error.at_stage(Stage::Encode))?;
        self.frames_out += 1;
        Ok(())
    }

    /// Closes records and output, which then has its final name.
    pub(super) fn finish(self, end: SourceEnd) -> Result<Finished> {
        let decode_errors = end.decode_errors;
        if let Some(mut records) = self.records {
            records.finish()?;
        }
        Ok(Finished {
            frames_written: self
                .sink
                .finish(end)
                .map_err(|error| error.at_stage(Stage::Encode))?,
            decode_errors,
            no_positive_evidence: self.no_positive_evidence,
            flicker: self.temporal.flicker(),
            last: self.last,
        })
    }
}
