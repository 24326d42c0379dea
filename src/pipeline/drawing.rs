//! Drawing and encoding: as many frames as there are cores to spare are drawn at the same time, and encoded in order.

use std::thread::available_parallelism;

use crossbeam_channel::{Receiver, Sender};

use crate::error::{Result, Stage};
use crate::frame::{Frame, RectInFrame};
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::reorder::Reorder;
use crate::pipeline::report::{Progress, Reporter, StageTimes};
use crate::render::{Panel, Renderer};
use crate::sink::{FrameSink, Written};
use crate::source::SourceEnd;

/// A frame, and what is to be drawn on it.
pub(super) struct Drawing {
    pub(super) frame: Frame,
    pub(super) panels: Vec<Panel>,
    /// For those who watch.
    pub(super) top_class: String,
}

/// Threads that draw: a frame takes a thread a few milliseconds, which an encoder on many cores, or a GPU, does not wait for.
pub(super) fn draw_threads() -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    (cores / CORES_PER_THREAD).clamp(1, MOST_THREADS)
}

const CORES_PER_THREAD: usize = 4;
const MOST_THREADS: usize = 4;

/// A draw thread.
pub(super) struct Draw {
    /// None leaves the pictures as they are.
    pub(super) renderer: Option<Renderer>,
    pub(super) map_in_frame: RectInFrame,
}

impl Draw {
    /// Works until all frames have come by or any thread has failed.
    pub(super) fn run(
        mut self,
        drawings: &Receiver<Drawing>,
        to_encode: &Sender<Drawing>,
        times: &mut StageTimes,
        failure: &FirstFailure,
    ) {
        while let Some(drawing) = times.render.wait(|| failure.receive(drawings)) {
            let index = drawing.frame.index;
            let drawn = times.render.measure(|| self.draw(drawing));
            match drawn {
                Ok(drawing) => {
                    if to_encode.send(drawing).is_err() {
                        return;
                    }
                }
                Err(error) => return failure.record(error.at_frame(index)),
            }
        }
    }

    fn draw(&mut self, mut drawing: Drawing) -> Result<Drawing> {
        if let Some(renderer) = &mut self.renderer {
            let Frame { picture, .. } = drawing.frame;
            let picture = renderer.render(picture, &drawing.panels, self.map_in_frame)?;
            drawing.frame = Frame {
                picture,
                ..drawing.frame
            };
        }
        Ok(drawing)
    }
}

/// Writes frames in order, on the thread that the sink belongs to.
pub(super) struct Encode<'a> {
    pub(super) sink: Box<dyn FrameSink>,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) estimated_frames: Option<u64>,
    pub(super) frames_out: u64,
}

impl Encode<'_> {
    /// Works until all frames are written or any thread has failed.
    pub(super) fn run(
        &mut self,
        drawn: &Receiver<Drawing>,
        permit_return: &Sender<()>,
        times: &mut StageTimes,
        failure: &FirstFailure,
    ) {
        let mut reorder = Reorder::new();
        while let Some(drawing) = times.encode.wait(|| failure.receive(drawn)) {
            reorder.insert(drawing.frame.index, drawing);
            while let Some(drawing) = reorder.pop() {
                let index = drawing.frame.index;
                let written = times.encode.measure(|| self.sink.write(drawing.frame));
                if let Err(error) = written {
                    return failure.record(error.at_stage(Stage::Encode).at_frame(index));
                }
                self.frames_out += 1;
                let _ = permit_return.try_send(());
                self.reporter.frame_done(Progress {
                    frames_done: self.frames_out,
                    estimated_frames: self.estimated_frames,
                    top_class: &drawing.top_class,
                });
            }
        }
    }

    /// Closes the output, which then has its final name.
    pub(super) fn finish(self, end: SourceEnd) -> Result<Written> {
        let written = self.sink.finish(end);
        written.map_err(|error| error.at_stage(Stage::Encode))
    }
}
