//! The offline pipeline: every frame of a source, explained, drawn and written in order.
//!
//! One decode thread, N workers that each take one frame from preprocessing to its raw map, and the caller's thread, which brings
//! frames back into order, normalises, draws and encodes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::explain::{Explainer, Explanation, Score, TargetChoice, explain_forward};
use crate::frame::{Frame, FrameIndex, Orientation, RectInFrame, TimeBase};
use crate::model::{Classifier, Labels, TargetLayer};
use crate::pipeline::CancelToken;
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::reorder::Reorder;
use crate::pipeline::report::{Progress, Reporter, StageTimes, Summary};
use crate::pipeline::timing::{peak_rss_mb, process_cpu_secs};
use crate::preprocess::{Preprocessor, ResizePolicy};
use crate::records::{
    CARRIED, NO_POSITIVE_EVIDENCE, Record, RecordTarget, RecordTop, RecordsWriter, heatmap_rows,
};
use crate::render::{LabelLine, Renderer};
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

/// A frame on its way from a worker to the ordered thread; without an explanation it carries the last one on.
struct Explained {
    frame: Frame,
    explanation: Option<Explanation>,
}

/// Runs a job to its end and gives the output its final name.
///
/// When `cancel` is set, reading stops, what was read is finished, and the output is complete up to there.
///
/// # Errors
/// The first failure of any stage; the output is then removed.
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
            labels: &model.spec().labels,
            method: explainer.name(),
            options,
            temporal: Temporal::new(options.normalize),
            map_in_frame: options
                .resize
                .map_in_frame(input.width, input.height, input.model_size),
            input,
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
        precision: "f32",
        device: "cpu",
        isa: "candle",
        flicker: None,
        no_positive_evidence: finished.no_positive_evidence,
        was_cancelled: cancel.is_cancelled(),
        last: finished.last,
    })
}

/// What all stages need to know of the input.
#[derive(Debug, Clone, Copy)]
struct InputFacts {
    orientation: Orientation,
    width: usize,
    height: usize,
    time_base: TimeBase,
    estimated_frames: Option<u64>,
    model_size: usize,
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

/// Takes frames from preprocessing to the raw map.
struct Worker<'a> {
    model: &'a dyn Classifier,
    explainer: &'a dyn Explainer,
    options: &'a Options,
    orientation: Orientation,
}

impl Worker<'_> {
    fn run(
        &self,
        frames: &Receiver<Frame>,
        to_ordered: &Sender<Explained>,
        times: &mut StageTimes,
        failure: &FirstFailure,
    ) {
        // One frame per thread is faster than several threads per frame: what the model would spread over rayon's pool stays on
        // this thread. If that cannot be had, the work is only slower.
        let _this_thread = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
            .build();
        let mut preprocessor = Preprocessor::new(self.options.resize, self.model.spec());
        while let Some(frame) = times.preprocess.wait(|| failure.receive(frames)) {
            let is_explained = frame.index.0.is_multiple_of(self.options.stride.max(1));
            let explanation = is_explained
                .then(|| self.explain(&frame, &mut preprocessor, times))
                .transpose();
            match explanation {
                Ok(explanation) => {
                    let item = Explained { frame, explanation };
                    if times.explain.wait(|| to_ordered.send(item).is_err()) {
                        return;
                    }
                }
                Err(error) => return failure.record(error.at_frame(frame.index)),
            }
        }
    }

    fn explain(
        &self,
        frame: &Frame,
        preprocessor: &mut Preprocessor,
        times: &mut StageTimes,
    ) -> Result<Explanation> {
        let options = self.options;
        let input = times
            .preprocess
            .measure(|| preprocessor.run(&frame.picture, self.orientation))
            .map_err(|error| error.at_stage(Stage::Preprocess))?;
        let forward = times
            .model
            .measure(|| self.model.forward(&input, &options.layers))
            .map_err(|error| error.at_stage(Stage::Model))?;
        times
            .explain
            .measure(|| {
                explain_forward(
                    self.model,
                    self.explainer,
                    &forward,
                    &options.layers,
                    options.target,
                    options.score,
                )
            })
            .map_err(|error| error.at_stage(Stage::Explain))
    }
}

/// The ordered thread's state.
struct Ordered<'a> {
    labels: &'a Labels,
    method: &'static str,
    options: &'a Options,
    input: InputFacts,
    temporal: Temporal,
    map_in_frame: RectInFrame,
    renderer: Renderer,
    sink: Box<dyn FrameSink>,
    records: Option<RecordsWriter>,
    last: Option<Explanation>,
    frames_out: u64,
    no_positive_evidence: u64,
}

/// The ordered thread's account.
struct Finished {
    frames_written: u64,
    decode_errors: u64,
    no_positive_evidence: u64,
    last: Option<Explanation>,
}

impl Ordered<'_> {
    fn run(
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
                    estimated_frames: self.input.estimated_frames,
                    top_class: top.map_or("", |top| self.labels.name(top.index)),
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
        let explanation = match explanation.or_else(|| self.last.take()) {
            Some(explanation) => explanation,
            None => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "the first frame was not explained",
                ));
            }
        };
        let pts_secs = self.input.time_base.seconds(frame.pts);
        let lacks_evidence = !explanation.heatmap.has_positive_evidence();
        self.no_positive_evidence += u64::from(lacks_evidence);

        let (map, label) = (
            self.temporal.next(&explanation.heatmap, pts_secs),
            label_lines(&explanation, self.labels, self.options.top_k),
        );
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
            let record = record(
                frame.index,
                pts_secs,
                &explanation,
                self.labels,
                self.options,
                self.input,
            );
            records.write(&Record {
                method: self.method.to_owned(),
                flags,
                ..record
            })?;
        }
        self.last = Some(explanation);
        times
            .encode
            .measure(|| self.sink.write(frame))
            .map_err(|error| error.at_stage(Stage::Encode))?;
        self.frames_out += 1;
        Ok(())
    }

    fn finish(self, end: SourceEnd) -> Result<Finished> {
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
            last: self.last,
        })
    }
}

/// The label: the target first if it is not the top class, then the top classes.
fn label_lines(explanation: &Explanation, labels: &Labels, top_k: usize) -> Vec<LabelLine> {
    let line = |prefix: &str, index: usize, probability: f64| LabelLine {
        text: format!(
            "{prefix}{} {:.1}%",
            labels.name(index).replace('_', " "),
            probability * 100.0
        ),
        fraction: Some(probability as f32),
    };
    let mut lines: VecDeque<_> = explanation
        .ranking
        .iter()
        .take(top_k)
        .map(|top| line("", top.index, top.probability))
        .collect();
    let target = &explanation.target_prediction;
    if !lines.is_empty()
        && explanation
            .ranking
            .first()
            .is_some_and(|top| top.index != target.index)
    {
        lines.push_front(line("why ", target.index, target.probability));
    }
    lines.into()
}

fn record(
    index: FrameIndex,
    pts_s: f64,
    explanation: &Explanation,
    labels: &Labels,
    options: &Options,
    input: InputFacts,
) -> Record {
    let target = &explanation.target_prediction;
    Record {
        frame: index.0,
        pts_s,
        target: RecordTarget {
            index: target.index,
            wnid: labels.wnid(target.index).to_owned(),
            label: labels.name(target.index).to_owned(),
        },
        score: target.logit,
        prob: target.probability,
        top: explanation
            .ranking
            .iter()
            .take(options.top_k)
            .map(|top| RecordTop {
                index: top.index,
                label: labels.name(top.index).to_owned(),
                prob: top.probability,
            })
            .collect(),
        layer: options.layer_name.clone(),
        method: String::new(),
        heatmap: heatmap_rows(&explanation.heatmap),
        peak: peak_in_frame(explanation, options.resize, input),
        flags: Vec::new(),
    }
}

/// Centre of the strongest cell as fractions of the upright frame.
fn peak_in_frame(explanation: &Explanation, resize: ResizePolicy, input: InputFacts) -> [f64; 2] {
    let (width, height) = input.orientation.upright_size(input.width, input.height);
    let rect = resize.map_in_frame(width, height, input.model_size);
    let map = &explanation.heatmap;
    let (column, row) = map.peak_cell();
    let x = rect.x0 + (column as f64 + 0.5) / map.width as f64 * (rect.x1 - rect.x0);
    let y = rect.y0 + (row as f64 + 0.5) / map.height as f64 * (rect.y1 - rect.y0);
    [
        (x / width as f64).clamp(0.0, 1.0),
        (y / height as f64).clamp(0.0, 1.0),
    ]
}
