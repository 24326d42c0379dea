//! The offline pipeline: every frame of a source, explained, drawn and written in order.
//!
//! One decode thread, N workers that each take one frame from preprocessing to its raw map, and the caller's thread, which brings
//! frames back into order, normalises, draws and encodes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::explain::{Explainer, Score, TargetChoice};
use crate::frame::Frame;
use crate::model::{Classifier, TargetLayer};
use crate::pipeline::CancelToken;
use crate::pipeline::describe::Describer;
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::ordered::{InputFacts, Ordered};
use crate::pipeline::report::{Reporter, StageTimes, Summary};
use crate::pipeline::timing::{peak_rss_mb, process_cpu_secs};
use crate::pipeline::worker::{Explained, Worker};
use crate::preprocess::ResizePolicy;
use crate::records::RecordsWriter;
use crate::render::Renderer;
use crate::sink::FrameSink;
use crate::source::{FrameSource, SourceEnd};
use crate::temporal::{Normalize, Temporal};

/// Frames in flight beyond one per worker: enough that decoder and encoder can run ahead of a slow frame, few enough that 1080p
/// frames (3 MB each) stay a small part of memory.
const SPARE_FRAMES_IN_FLIGHT: usize = 4;

/// What to explain and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The class to explain.
    pub target: TargetChoice,
    /// What is differentiated.
    pub score: Score,
    /// Target layers; the map is the mean of several.
    pub layers: Vec<TargetLayer>,
    /// Name of the layers in records.
    pub layer_name: String,
    /// Classes in the label and in records.
    pub top_k: usize,
    /// How a frame becomes the model's square.
    pub resize: ResizePolicy,
    /// Scale of the drawn map.
    pub normalize: Normalize,
    /// Share of the frames before in a smoothed map, 0 (off) to below 1.
    pub smooth: f32,
    /// Explain every Nth frame; the others carry the last map on. At least 1.
    pub stride: u64,
    /// Worker threads. At least 1.
    pub workers: usize,
}

/// The parts of one run.
pub struct Job<'a> {
    /// The network.
    pub model: &'a dyn Classifier,
    /// The method.
    pub explainer: &'a dyn Explainer,
    /// Where frames come from.
    pub source: Box<dyn FrameSource>,
    /// Draws them.
    pub renderer: Renderer,
    /// Where they go.
    pub sink: Box<dyn FrameSink>,
    /// Where records go, if anywhere.
    pub records: Option<RecordsWriter>,
    /// What to explain and how.
    pub options: Options,
}

/// Runs a job to its end and gives the output its final name.
///
/// When `cancel` is set, reading stops, what was read is finished, and the output is complete up to there.
///
/// # Errors
/// [`ErrorKind::Cancelled`] if `cancel` is set before a frame is written; else the first failure of any stage; the output is then removed.
pub fn run(job: Job<'_>, reporter: &dyn Reporter, cancel: &CancelToken) -> Result<Summary> {
    let (wall_start, cpu_start) = (Instant::now(), process_cpu_secs());
    let Job {
        model,
        explainer,
        mut source,
        renderer,
        sink,
        records,
        options,
    } = job;
    explainer.check(model.spec(), &options.layers, options.score)?;
    let workers = options.workers.max(1);
    let info = source.info();
    let input = InputFacts {
        orientation: info.orientation,
        width: info.width,
        height: info.height,
        time_base: info.time_base,
        estimated_frames: info.estimated_frames,
        model_size: model.spec().input_size,
    };

    // A permit travels with every frame: at most this many exist between decoder and encoder, so that neither a
    // queue nor the reorder buffer can grow while one worker is slow.
    let in_flight = workers + SPARE_FRAMES_IN_FLIGHT;
    let (permit_return, permits) = bounded::<()>(in_flight);
    for _ in 0..in_flight {
        let _ = permit_return.try_send(());
    }
    let (to_workers, frames) = bounded::<Frame>(in_flight);
    let (to_ordered, explained) = bounded::<Explained>(in_flight);
    let (end_sender, end) = bounded::<SourceEnd>(1);

    let failure = FirstFailure::new();
    let frames_in = AtomicU64::new(0);
    let mut times = StageTimes::default();
    let outcome = thread::scope(|scope| {
        let (options, failure, frames_in) = (&options, &failure, &frames_in);
        let mut threads = Vec::with_capacity(workers + 1);
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
        for number in 0..workers {
            let (frames, to_ordered) = (frames.clone(), to_ordered.clone());
            let work = move || {
                let mut times = StageTimes::default();
                let worker = Worker {
                    model,
                    explainer,
                    options,
                    orientation: input.orientation,
                };
                worker.run(&frames, &to_ordered, &mut times, failure);
                times
            };
            threads.push(spawn(scope, &format!("worker-{number}"), failure, work));
        }
        drop((frames, to_ordered));

        let mut ordered = Ordered {
            describer: Describer {
                labels: &model.spec().labels,
                method: explainer.name(),
                options,
                input,
            },
            temporal: Temporal::new(options.normalize, options.smooth),
            map_in_frame: options
                .resize
                .map_in_frame(input.width, input.height, input.model_size),
            renderer,
            sink,
            records,
            last: None,
            frames_out: 0,
            no_positive_evidence: 0,
        };
        let mut ordered_times = StageTimes::default();
        failure.catch("ordered", || {
            ordered.run(
                &explained,
                &permit_return,
                &mut ordered_times,
                failure,
                reporter,
            );
        });
        drop((explained, permit_return));
        times += ordered_times;
        for handle in threads.into_iter().flatten() {
            if let Ok(Some(stage_times)) = handle.join() {
                times += stage_times;
            }
        }
        if cancel.is_cancelled() && ordered.frames_out == 0 {
            // An output without frames must not take the place of anything.
            failure.record(Error::cancelled());
        }
        (!failure.has_failed()).then(|| {
            times
                .encode
                .measure(|| ordered.finish(end.try_recv().unwrap_or_default()))
        })
    });
    let finished = match (failure.into_error(), outcome) {
        (Some(error), _) => return Err(error),
        (None, Some(finished)) => finished?,
        (None, None) => {
            return Err(Error::new(
                ErrorKind::Internal,
                "a run ended without an outcome",
            ));
        }
    };

    let backend = model.backend();
    let (wall_s, cpu_s) = (
        wall_start.elapsed().as_secs_f64(),
        process_cpu_secs() - cpu_start,
    );
    Ok(Summary {
        frames_in: frames_in.load(Ordering::Relaxed),
        frames_out: finished.frames_written,
        decode_errors: finished.decode_errors,
        wall_s,
        fps: finished.frames_written as f64 / wall_s,
        cpu_s,
        cpu_ms_per_frame: cpu_s * 1e3 / finished.frames_written.max(1) as f64,
        peak_rss_mb: peak_rss_mb(),
        stages: times,
        precision: backend.precision.name(),
        device: backend.device,
        isa: backend.isa,
        flicker: finished.flicker,
        no_positive_evidence: finished.no_positive_evidence,
        was_cancelled: cancel.is_cancelled(),
        last: finished.last,
    })
}

/// Starts a named thread whose panic becomes a failure; a thread that cannot start is one too.
fn spawn<'scope, T: Send + 'scope>(
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
