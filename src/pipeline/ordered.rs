//! The ordered thread: frames back in order, normalised, drawn, recorded, encoded.

use crossbeam_channel::{Receiver, Sender};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::explain::{Explanation, Request, TargetChoice};
use crate::frame::{FrameShape, Orientation, RectInFrame, TimeBase};
use crate::pipeline::describe::{Describer, label};
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::reorder::Reorder;
use crate::pipeline::report::{Progress, Reporter, StageTimes};
use crate::pipeline::worker::{Asked, Content, Explained, Made};
use crate::records::{Flag, Record, RecordsWriter};
use crate::render::{Panel, Renderer};
use crate::sink::FrameSink;
use crate::source::{Damage, SourceEnd};
use crate::temporal::{Hold, Temporal};

/// What all stages need to know of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct InputFacts {
    pub(super) orientation: Orientation,
    /// Of the coded frames.
    pub(super) shape: FrameShape,
    pub(super) time_base: TimeBase,
    pub(super) estimated_frames: Option<u64>,
    pub(super) model_size: usize,
}

/// The ordered thread's state.
pub(super) struct Ordered<'a> {
    pub(super) input: InputFacts,
    /// For frames that are explained in this run.
    pub(super) chooser: Option<Chooser<'a>>,
    pub(super) temporal: Temporal,
    pub(super) map_in_frame: RectInFrame,
    pub(super) renderer: Option<Renderer>,
    pub(super) sink: Box<dyn FrameSink>,
    pub(super) records: Option<RecordsWriter>,
    pub(super) frames_out: u64,
    pub(super) no_positive_evidence: u64,
}

/// The ordered thread's account.
pub(super) struct Finished {
    pub(super) frames_written: u64,
    pub(super) encoder_threads_cpu_ms: f64,
    pub(super) damage: Damage,
    pub(super) notices: Vec<String>,
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
                let top_class = match self.finish_frame(item, times) {
                    Ok(top_class) => top_class,
                    // A class that is held must be explained anew, and the run is to stop.
                    Err(error) if error.kind() == ErrorKind::Cancelled => return,
                    Err(error) => return failure.record(error.at_frame(index)),
                };
                let _ = permit_return.try_send(());
                reporter.frame_done(Progress {
                    frames_done: self.frames_out,
                    estimated_frames: self.input.estimated_frames,
                    top_class: &top_class,
                });
            }
        }
    }

    /// Returns the name of the frame's top class.
    fn finish_frame(&mut self, item: Explained, times: &mut StageTimes) -> Result<String> {
        let Explained {
            mut frame,
            thumbnail,
            content,
        } = item;
        let pts_secs = self.input.time_base.seconds(frame.pts);
        let is_cut = self.temporal.begin_frame(thumbnail);
        let shown = match (content, &mut self.chooser) {
            (Content::Stored(shown), _) => shown,
            (content, Some(chooser)) => {
                let is_carried = matches!(content, Content::Carried);
                times.explain.measure(|| chooser.choose(content, is_cut))?;
                let last = chooser.last.as_ref().ok_or_else(|| {
                    Error::new(ErrorKind::Internal, "the first frame was not explained")
                })?;
                chooser
                    .describer
                    .records(frame.index, pts_secs, last, is_carried)
            }
            (_, None) => {
                let message = "a frame was explained in a run without a network";
                return Err(Error::new(ErrorKind::Internal, message));
            }
        };
        let lacks = |record: &Record| record.flags.contains(&Flag::NoPositiveEvidence);
        self.no_positive_evidence += u64::from(shown.iter().any(lacks));

        let targets = shown.iter().enumerate();
        let panels: Vec<Panel> = targets
            .map(|(target, record)| Panel {
                map: self
                    .temporal
                    .draw(target, &record.heatmap, record.target.index, pts_secs),
                label: label(record),
            })
            .collect();
        if let Some(renderer) = &mut self.renderer {
            frame.picture = times
                .render
                .measure(|| renderer.render(frame.picture, &panels, self.map_in_frame))?;
        }
        if let Some(records) = &mut self.records {
            for record in &shown {
                records.write(record)?;
            }
        }
        times
            .encode
            .measure(|| self.sink.write(frame))
            .map_err(|error| error.at_stage(Stage::Encode))?;
        self.frames_out += 1;
        let first = shown.into_iter().next();
        Ok(first.map_or_else(String::new, |mut record| {
            let top = (!record.top.is_empty()).then(|| record.top.swap_remove(0).label);
            top.unwrap_or(record.target.label)
        }))
    }

    /// Closes records and output, which then has its final name.
    pub(super) fn finish(self, mut end: SourceEnd) -> Result<Finished> {
        let mut damage = std::mem::take(&mut end.damage);
        let notices = std::mem::take(&mut end.notices);
        if let Some(mut records) = self.records {
            records.finish()?;
        }
        let written = self.sink.finish(end);
        let written = written.map_err(|error| error.at_stage(Stage::Encode))?;
        damage.bad_packets += written.bad_packets;
        Ok(Finished {
            frames_written: written.frames,
            encoder_threads_cpu_ms: written.encoder_threads_cpu_ms,
            damage,
            notices,
            no_positive_evidence: self.no_positive_evidence,
            flicker: self.temporal.flicker(),
            last: self.chooser.and_then(|chooser| chooser.last),
        })
    }
}

/// Decides which class a frame is shown for, as far as that depends on the frames before.
pub(super) struct Chooser<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) describer: Describer<'a>,
    pub(super) hold: Hold,
    /// The current explanation; frames that are not explained carry it on.
    pub(super) last: Option<Explanation>,
}

impl Chooser<'_> {
    /// Makes a freshly explained frame's explanation the current one.
    fn choose(&mut self, content: Content, is_cut: bool) -> Result<()> {
        let Content::Made(made) = content else {
            return Ok(());
        };
        let Made {
            mut explanation,
            pass,
        } = *made;
        let explaining = self.asked.explaining;
        let class = self.hold.choose(&explanation.ranking, is_cut);
        for (index, choice) in explaining.request.targets.iter().enumerate() {
            let is_other = explanation.maps[index].target.class != class;
            if let (TargetChoice::Top1, true, Some((input, forward))) = (choice, is_other, &pass) {
                let request = Request {
                    targets: vec![TargetChoice::Class(class)],
                    ..explaining.request.clone()
                };
                let held = self
                    .asked
                    .explain(explaining.explainer, input, forward, &request)
                    .map_err(|error| error.at_stage(Stage::Explain))?;
                explanation.maps.splice(index..=index, held.maps);
            }
        }
        self.last = Some(explanation);
        Ok(())
    }
}
