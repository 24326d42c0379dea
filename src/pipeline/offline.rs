//! The offline pipeline: every frame of a source, explained, drawn and written in order.
//!
//! One decode thread; N workers that each take one frame from preprocessing to its raw map; a thread that brings frames back into order and
//! normalises; threads that draw; and the caller's thread, which encodes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::explain::{Explainer, Request, TargetChoice};
use crate::frame::Frame;
use crate::model::Classifier;
use crate::pipeline::CancelToken;
use crate::pipeline::describe::Describer;
use crate::pipeline::drawing::{Draw, Drawing, Encode, draw_threads};
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::ordered::{Chooser, InputFacts, Ordered};
use crate::pipeline::redraw::{RecordsFit, Redraw};
use crate::pipeline::report::{Reporter, StageTimes, Summary};
use crate::pipeline::timing::{peak_rss_mb, process_cpu_secs};
use crate::pipeline::worker::{Asked, Explained, Worker};
use crate::preprocess::ResizePolicy;
use crate::records::{RecordsReader, RecordsWriter};
use crate::render::Renderer;
use crate::sink::FrameSink;
use crate::source::{FrameSource, SourceEnd};
use crate::temporal::{Hold, Normalize, Temporal};

/// Frames in flight beyond one per worker: enough that decoder and encoder can run ahead of a slow frame, few enough that 1080p
/// frames (3 MB each) stay a small part of memory.
const SPARE_FRAMES_IN_FLIGHT: usize = 4;
/// As above for frames of more pixels than 4K, of which each takes 13 MB and more.
const SPARE_LARGE_FRAMES_IN_FLIGHT: usize = 1;
const LARGE_FRAME_PIXELS: usize = 3840 * 2160;

/// How maps are laid over frames and shown over time.
#[derive(Debug, Clone)]
pub struct Options {
    /// How a frame becomes the model's square.
    pub resize: ResizePolicy,
    /// Scale of the drawn map.
    pub normalize: Normalize,
    /// Share of the frames before in a smoothed map, 0 (off) to below 1.
    pub smooth: f32,
}

/// Explaining frames: with what, what, and how.
#[derive(Clone)]
pub struct Explaining<'a> {
    /// The network.
    pub model: &'a dyn Classifier,
    /// The method.
    pub explainer: &'a dyn Explainer,
    /// Targets, score, layers.
    pub request: Request,
    /// Name of the layers in records.
    pub layer_name: String,
    /// Classes in the label and in records.
    pub top_k: usize,
    /// Explain every Nth frame; the others carry the last map on. At least 1.
    pub stride: u64,
    /// A frame's top class takes over from the one before when its probability is more than this above that class's; 0 lets every frame
    /// have its own.
    pub hold: f64,
    /// Passes per map for methods that let one choose.
    pub samples: Option<usize>,
    /// Seed for methods with chance in them.
    pub seed: u64,
    /// Worker threads, at least 1. There are more where a device takes many frames at a time.
    pub workers: usize,
}

impl<'a> Explaining<'a> {
    /// Every frame's top class at the last layer, with all defaults, on one thread.
    pub fn new(model: &'a dyn Classifier, explainer: &'a dyn Explainer) -> Self {
        let layer = model.spec().last_layer();
        Self {
            model,
            explainer,
            request: Request {
                targets: vec![TargetChoice::Top1],
                score: explainer.default_score(),
                contrast: None,
                layers: vec![layer],
            },
            layer_name: model.spec().layer_name(layer),
            top_k: 3,
            stride: 1,
            hold: 0.0,
            samples: None,
            seed: 0,
            workers: 1,
        }
    }

    /// Whether passes of one frame, not frames, are what the threads share.
    pub fn makes_many_passes(&self) -> bool {
        let spec = self.model.spec();
        self.explainer.makes_many_passes(spec, &self.request.layers)
    }

    /// Frames that are explained at once.
    pub(crate) fn frames_at_once(&self) -> usize {
        if self.makes_many_passes() {
            1
        } else {
            // Threads that wait for a device's batches cost nothing.
            self.workers.max(self.model.concurrency()).max(1)
        }
    }

    /// Threads that share the passes of one frame.
    pub(super) fn query_threads(&self) -> usize {
        if self.makes_many_passes() {
            self.workers.max(1)
        } else {
            1
        }
    }
}

/// Where the maps come from.
pub enum Maps<'a> {
    /// Frames are explained.
    Explained(Explaining<'a>),
    /// They were explained before; no network is needed.
    Recorded(Box<RecordsReader>),
}

/// The parts of one run.
pub struct Job<'a> {
    /// Where the maps come from.
    pub maps: Maps<'a>,
    /// Where frames come from.
    pub source: Box<dyn FrameSource>,
    /// Draws them; none leaves the pictures as they are.
    pub renderer: Option<Renderer>,
    /// Where they go.
    pub sink: Box<dyn FrameSink>,
    /// Where records go, if anywhere.
    pub records: Option<RecordsWriter>,
    /// How maps are laid over frames and shown over time.
    pub options: Options,
}

/// Runs a job to its end and gives the output its final name.
///
/// When `cancel` is set, reading stops, what was read is finished, and the output is complete up to there. Only an explanation of many passes is
/// given up in the middle, with its frame.
///
/// # Errors
/// [`ErrorKind::Cancelled`] if `cancel` is set before a frame is written; else the first failure of any stage; the output is then removed.
pub fn run(job: Job<'_>, reporter: &dyn Reporter, cancel: &CancelToken) -> Result<Summary> {
    let (wall_start, cpu_start) = (Instant::now(), process_cpu_secs());
    let Job {
        maps,
        mut source,
        renderer,
        sink,
        records,
        options,
    } = job;
    let info = source.info();
    let (orientation, time_base) = (info.orientation, info.time_base);
    let (explaining, mut redraw, model_size, backend) = match maps {
        Maps::Explained(explaining) => {
            let (model, request) = (explaining.model, &explaining.request);
            explaining.explainer.check(model.spec(), request)?;
            let (size, backend) = (model.spec().input_size, model.backend());
            (Some(explaining), None, size, Some(backend))
        }
        Maps::Recorded(reader) => {
            let size = reader.header().input_size;
            let redraw = Redraw::new(*reader, orientation, time_base, info.pixel_aspect)?;
            (None, Some(redraw), size, None)
        }
    };
    let input = InputFacts {
        orientation,
        shape: info.frame_shape(),
        time_base,
        estimated_frames: info.estimated_frames,
        model_size,
    };
    let workers = explaining.as_ref().map_or(1, Explaining::frames_at_once);
    let info_pixels = input.shape.width.saturating_mul(input.shape.height);

    // A permit travels with every frame: at most this many exist between decoder and encoder, so that neither a
    // queue nor the reorder buffer can grow while one worker is slow.
    let is_large = info_pixels > LARGE_FRAME_PIXELS;
    let spare = if is_large {
        SPARE_LARGE_FRAMES_IN_FLIGHT
    } else {
        SPARE_FRAMES_IN_FLIGHT
    };
    let draw_threads = if is_large { 1 } else { draw_threads() };
    let in_flight = workers + spare + (draw_threads - 1);
    let (permit_return, permits) = bounded::<()>(in_flight);
    for _ in 0..in_flight {
        let _ = permit_return.try_send(());
    }
    let (to_workers, frames) = bounded::<Frame>(in_flight);
    let (to_ordered, explained) = bounded::<Explained>(in_flight);
    let (to_draw, drawings) = bounded::<Drawing>(in_flight);
    let (to_encode, drawn) = bounded::<Drawing>(in_flight);
    let (end_sender, end) = bounded::<SourceEnd>(1);

    let stopper = source.stopper();
    let failure = FirstFailure::stopping(stopper.clone());
    let frames_in = AtomicU64::new(0);
    let mut times = StageTimes::default();
    let map_in_frame = options.resize.map_in_frame(input.shape, input.model_size);
    let mut ordered = Ordered {
        input,
        chooser: explaining.as_ref().map(|explaining| Chooser {
            asked: Asked {
                explaining,
                reporter,
                cancel,
            },
            describer: Describer {
                explaining,
                resize: options.resize,
                input,
            },
            hold: Hold::new(explaining.hold),
            last: None,
        }),
        temporal: Temporal::new(options.normalize.clone(), options.smooth),
        records,
        no_positive_evidence: 0,
    };
    let mut encode = Encode {
        sink,
        reporter,
        estimated_frames: input.estimated_frames,
        frames_out: 0,
    };
    thread::scope(|scope| {
        let (options, failure, frames_in) = (&options, &failure, &frames_in);
        let explaining = explaining.as_ref();
        let mut threads = Vec::with_capacity(workers + draw_threads + 2);
        let decode = move || {
            let mut times = StageTimes::default();
            decode(
                source.as_mut(),
                &permits,
                &to_workers,
                &mut times,
                failure,
                (cancel, frames_in),
            );
            drop(to_workers);
            let _ = end_sender.send(source.finish());
            times
        };
        threads.push(spawn(scope, "decode", failure, decode));
        if let Some(explaining) = explaining {
            for number in 0..workers {
                let (frames, to_ordered) = (frames.clone(), to_ordered.clone());
                let work = move || {
                    let mut times = StageTimes::default();
                    let worker = Worker {
                        explaining,
                        resize: options.resize,
                        pixel_aspect: input.shape.pixel_aspect,
                        orientation,
                        reporter,
                        cancel,
                    };
                    worker.run(&frames, &to_ordered, &mut times, failure);
                    times
                };
                threads.push(spawn(scope, &format!("worker-{number}"), failure, work));
            }
        }
        if let Some(redraw) = &mut redraw {
            let (frames, to_ordered) = (frames.clone(), to_ordered.clone());
            let work = move || {
                let mut times = StageTimes::default();
                redraw.run(&frames, &to_ordered, &mut times, failure);
                // The source may be waiting for a sender.
                if redraw.fit() == RecordsFit::EndEarly
                    && let Some(stopper) = stopper
                {
                    stopper.cancel();
                }
                times
            };
            threads.push(spawn(scope, "redraw", failure, work));
        }
        drop((frames, to_ordered));

        let order = {
            let to_draw = to_draw.clone();
            let ordered = &mut ordered;
            move || {
                let mut times = StageTimes::default();
                ordered.run(&explained, &to_draw, &mut times, failure);
                times
            }
        };
        threads.push(spawn(scope, "ordered", failure, order));
        for number in 0..draw_threads {
            let (drawings, to_encode) = (drawings.clone(), to_encode.clone());
            let draw = Draw {
                renderer: renderer.clone(),
                map_in_frame,
            };
            let work = move || {
                let mut times = StageTimes::default();
                draw.run(&drawings, &to_encode, &mut times, failure);
                times
            };
            threads.push(spawn(scope, &format!("draw-{number}"), failure, work));
        }
        drop((to_draw, drawings, to_encode));

        failure.catch("encode", || {
            encode.run(&drawn, &permit_return, &mut times, failure);
        });
        drop((drawn, permit_return));
        for handle in threads.into_iter().flatten() {
            if let Ok(Some(stage_times)) = handle.join() {
                times += stage_times;
            }
        }
    });
    if cancel.is_cancelled() && encode.frames_out == 0 {
        // An output without frames must not take the place of anything.
        let message = "interrupted before the first frame was written";
        failure.record(Error::new(ErrorKind::Cancelled, message));
    }
    if let Some(error) = failure.into_error() {
        return Err(error);
    }
    let ordered = ordered.finish()?;
    let mut end = end.try_recv().unwrap_or_default();
    let mut damage = std::mem::take(&mut end.damage);
    let notices = std::mem::take(&mut end.notices);
    let written = times.encode.measure(|| encode.finish(end))?;
    damage.bad_packets += written.bad_packets;
    times.encode.cpu_ms += written.encoder_threads_cpu_ms;

    let (wall_s, cpu_s) = (
        wall_start.elapsed().as_secs_f64(),
        process_cpu_secs() - cpu_start,
    );
    Ok(Summary {
        frames_in: frames_in.load(Ordering::Relaxed),
        frames_out: written.frames,
        decode_errors: damage.count(),
        damage,
        notices,
        wall_s,
        fps: written.frames as f64 / wall_s,
        cpu_s,
        cpu_ms_per_frame: cpu_s * 1e3 / written.frames.max(1) as f64,
        peak_rss_mb: peak_rss_mb(),
        stages: times,
        precision: backend.as_ref().map(|backend| backend.precision.name()),
        isa: backend.as_ref().map(|backend| backend.isa),
        device: backend.map(|backend| backend.device),
        flicker: ordered.flicker,
        no_positive_evidence: ordered.no_positive_evidence,
        was_cancelled: cancel.is_cancelled(),
        records_fit: redraw.as_ref().map_or(RecordsFit::Whole, Redraw::fit),
        last: ordered.last,
    })
}

/// Starts a named thread whose panic becomes a failure; a thread that cannot start is one too.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    failure: &'scope FirstFailure,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Option<thread::ScopedJoinHandle<'scope, Option<T>>> {
    let thread_name = name.to_owned();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, move || failure.catch(&thread_name, work))
        .map_err(|error| {
            let message = format!("cannot start thread {name}");
            failure.record(Error::caused_by(ErrorKind::Internal, message, error));
        })
        .ok()
}

fn decode(
    source: &mut dyn FrameSource,
    permits: &Receiver<()>,
    to_workers: &Sender<Frame>,
    times: &mut StageTimes,
    failure: &FirstFailure,
    (cancel, frames_in): (&CancelToken, &AtomicU64),
) {
    // No permit or a failed send means that a neighbour has stopped: it knows why.
    while times.decode.wait(|| failure.receive(permits)).is_some() {
        if cancel.is_cancelled() {
            return;
        }
        match times.decode.measure(|| source.next_frame()) {
            Ok(Some(frame)) => {
                frames_in.fetch_add(1, Ordering::Relaxed);
                if times.decode.wait(|| to_workers.send(frame).is_err()) {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return failure.record(error.at_stage(Stage::Decode)),
        }
    }
}
