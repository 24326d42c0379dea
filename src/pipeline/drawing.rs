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

/// Threads that draw on this machine: one for every four cores, at most four. A frame takes a thread a few milliseconds, which an encoder on many cores, or a GPU, does not wait for.
pub fn draw_threads() -> usize {
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::time::Duration;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::frame::{FrameIndex, Orientation, Picture, Pts};
    use crate::heatmap::NormalizedHeatmap;
    use crate::pipeline::SilentReporter;
    use crate::render::RenderOptions;

    const FRAMES: u64 = 60;
    const THREADS: usize = 4;
    const SIZE: usize = 16;

    /// What becomes of the frames.
    #[derive(Clone, Copy, PartialEq)]
    enum Fate {
        Written,
        /// The sink refuses this one.
        Refused(u64),
        /// The sink panics at this one.
        Panics(u64),
    }

    struct Listing {
        written: Arc<Mutex<Vec<(u64, Picture)>>>,
        fate: Fate,
    }

    impl FrameSink for Listing {
        fn write(&mut self, frame: Frame) -> Result<()> {
            let index = frame.index.0;
            assert!(self.fate != Fate::Panics(index), "made to panic");
            if self.fate == Fate::Refused(index) {
                return Err(Error::new(ErrorKind::Output, "full"));
            }
            self.written.lock().unwrap().push((index, frame.picture));
            Ok(())
        }

        fn finish(self: Box<Self>, _: SourceEnd) -> Result<Written> {
            Ok(Written::default())
        }
    }

    fn picture(index: u64) -> Picture {
        Picture::from_rgb8(SIZE, SIZE, &[index as u8; 3 * SIZE * SIZE])
    }

    fn panels(index: u64) -> Vec<Panel> {
        vec![Panel {
            map: Some(NormalizedHeatmap {
                width: 2,
                height: 1,
                values: vec![index as f32 / FRAMES as f32, 0.5],
            }),
            label: Vec::new(),
        }]
    }

    fn renderer() -> Renderer {
        let picture = picture(0);
        let upright = Orientation::default();
        let options = RenderOptions::default();
        Renderer::new(options, SIZE, SIZE, picture.format, picture.color, upright).unwrap()
    }

    const WHOLE: RectInFrame = RectInFrame {
        x0: 0.0,
        y0: 0.0,
        x1: SIZE as f64,
        y1: SIZE as f64,
    };

    /// Draws on several threads, some of them slower than others; what was written, and the failure.
    fn run(fate: Fate) -> (Vec<(u64, Picture)>, u64, Option<Error>) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let failure = FirstFailure::new();
        let (to_draw, drawings) = bounded(8);
        let (to_encode, drawn) = bounded(8);
        let (permit_return, permits) = bounded(FRAMES as usize);
        let mut encode = Encode {
            sink: Box::new(Listing {
                written: Arc::clone(&written),
                fate,
            }),
            reporter: &SilentReporter,
            estimated_frames: None,
            frames_out: 0,
        };
        thread::scope(|scope| {
            let failure = &failure;
            for number in 0..THREADS {
                let (drawings, to_encode) = (drawings.clone(), to_encode.clone());
                let (late, delayed) = bounded(0);
                let draw = Draw {
                    renderer: Some(renderer()),
                    map_in_frame: WHOLE,
                };
                scope.spawn(move || {
                    draw.run(&drawings, &late, &mut StageTimes::default(), failure);
                });
                scope.spawn(move || {
                    for drawing in delayed {
                        thread::sleep(Duration::from_millis(number as u64));
                        if to_encode.send(drawing).is_err() {
                            return;
                        }
                    }
                });
            }
            drop((drawings, to_encode));
            scope.spawn(move || {
                for index in 0..FRAMES {
                    let drawing = Drawing {
                        frame: Frame {
                            index: FrameIndex(index),
                            pts: Pts(index as i64),
                            duration: 0,
                            picture: picture(index),
                            #[cfg(feature = "video")]
                            passthrough: Vec::new(),
                        },
                        panels: panels(index),
                        top_class: String::new(),
                    };
                    if to_draw.send(drawing).is_err() {
                        return;
                    }
                }
            });
            let mut times = StageTimes::default();
            failure.catch("encode", || {
                encode.run(&drawn, &permit_return, &mut times, failure);
            });
            drop(drawn);
        });
        assert_eq!(permits.len() as u64, encode.frames_out);
        let written = std::mem::take(&mut *written.lock().unwrap());
        (written, encode.frames_out, failure.into_error())
    }

    #[test]
    fn frames_are_written_in_order_as_one_thread_would_draw_them() {
        let (written, frames_out, failure) = run(Fate::Written);
        assert!(failure.is_none());
        assert_eq!(frames_out, FRAMES);
        assert_eq!(written.len() as u64, FRAMES);
        let mut alone = renderer();
        for (expected, (index, drawn)) in (0..).zip(&written) {
            assert_eq!(*index, expected);
            let panels = panels(expected);
            let one = alone.render(picture(expected), &panels, WHOLE).unwrap();
            assert!(*drawn == one, "frame {index}");
        }
    }

    #[test]
    fn a_sink_that_fails_ends_all_threads() {
        let (written, frames_out, failure) = run(Fate::Refused(20));
        assert_eq!((written.len(), frames_out), (20, 20));
        let failure = failure.unwrap();
        assert_eq!(failure.kind(), ErrorKind::Output);
        assert!(failure.one_line().contains("20"), "{failure}");

        let (written, _, failure) = run(Fate::Panics(30));
        assert_eq!(written.len(), 30);
        assert_eq!(failure.unwrap().kind(), ErrorKind::Internal);
    }
}
