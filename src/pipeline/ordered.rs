//! The ordered thread: frames back in order, normalised, recorded; all that depends on the frames before.

use crossbeam_channel::{Receiver, Sender};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::explain::{Explanation, Request, TargetChoice};
use crate::frame::{FrameShape, Orientation, TimeBase};
use crate::pipeline::describe::{Describer, label};
use crate::pipeline::drawing::Drawing;
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::reorder::Reorder;
use crate::pipeline::report::StageTimes;
use crate::pipeline::worker::{Asked, Content, Explained, Made};
use crate::records::{Flag, Record, RecordsWriter};
use crate::render::Panel;
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
    pub(super) records: Option<RecordsWriter>,
    pub(super) no_positive_evidence: u64,
}

/// The ordered thread's account.
pub(super) struct Finished {
    pub(super) no_positive_evidence: u64,
    pub(super) flicker: Option<f64>,
    pub(super) last: Option<Explanation>,
}

impl Ordered<'_> {
    /// Works until all frames have come by or any thread has failed.
    pub(super) fn run(
        &mut self,
        explained: &Receiver<Explained>,
        to_draw: &Sender<Drawing>,
        times: &mut StageTimes,
        failure: &FirstFailure,
    ) {
        let mut reorder = Reorder::new();
        while let Some(item) = failure.receive(explained) {
            reorder.insert(item.frame.index, item);
            while let Some(item) = reorder.pop() {
                let index = item.frame.index;
                let drawing = match self.arrange(item, times) {
                    Ok(drawing) => drawing,
                    // A class that is held must be explained anew, and the run is to stop.
                    Err(error) if error.kind() == ErrorKind::Cancelled => return,
                    Err(error) => return failure.record(error.at_frame(index)),
                };
                if to_draw.send(drawing).is_err() {
                    return;
                }
            }
        }
    }

    /// Decides what is drawn on a frame, and records it.
    fn arrange(&mut self, item: Explained, times: &mut StageTimes) -> Result<Drawing> {
        let Explained {
            frame,
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
        if let Some(records) = &mut self.records {
            for record in &shown {
                records.write(record)?;
            }
        }
        let first = shown.into_iter().next();
        let top_class = first.map_or_else(String::new, |mut record| {
            let top = (!record.top.is_empty()).then(|| record.top.swap_remove(0).label);
            top.unwrap_or(record.target.label)
        });
        Ok(Drawing {
            frame,
            panels,
            top_class,
        })
    }

    /// Closes the records.
    pub(super) fn finish(self) -> Result<Finished> {
        if let Some(mut records) = self.records {
            records.finish()?;
        }
        Ok(Finished {
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
        let candidates = explaining.request.candidates(&explanation.ranking);
        let class = self.hold.choose(&candidates, is_cut);
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
