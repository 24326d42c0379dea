//! The live pipeline: the freshest frame wins.
//!
//! ```text
//! capture ──► freshest frame ──► present: newest map, temporal, render ──► screen ──► viewers
//!             (one, replaced)       ▲                                  └──► record (encode)
//!                   │               │
//!                   └──► workers: preprocess, model, explain
//! ```
//!
//! Capture waits for nobody. Workers take the freshest frame whenever they are free; what they miss is shown with the map of a frame before, and counted.
//! Viewers see the freshest picture, at their own pace.

mod capture;
mod desk;
mod explainer;
mod messages;
mod meter;
mod present;
mod recorder;
mod records;
mod screen;
mod settings;
mod show;
mod status;
mod tape;
mod view;

use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

pub use capture::{LiveSource, OpenSource};
pub use meter::Percentiles;
pub use records::LiveRecords;
pub use screen::Shown;
pub use settings::{Question, Wish};
pub use status::{
    Choices, Chosen, Class, Counts, LiveFigures, LiveState, LiveStatus, LiveSummary, Method,
    Passes, Rates,
};
pub use view::View;

use self::capture::{CaptureEnd, Patience};
use self::desk::Desk;
use self::explainer::{Keeping, LiveWorker};
use self::messages::End;
use self::present::{Presented, Presenter};
use self::recorder::{Outputs, Recorded, Recorder};
use self::screen::Screen;
use self::settings::Settings;
use self::tape::Tape;
use self::view::Facts;
use crate::error::{Error, ErrorKind, Result};
use crate::explain::Score;
use crate::frame::TimeBase;
use crate::model::Classifier;
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::report::{StageTimes, Summary};
use crate::pipeline::timing::{peak_rss_mb, process_cpu_secs};
use crate::pipeline::{CancelToken, Options, RecordsFit};
use crate::render::RenderOptions;
use crate::sink::FrameSink;
use crate::source::Damage;
use crate::temporal::Temporal;

/// Unit of frame times in a live recording.
pub const LIVE_TIME_BASE: TimeBase = tape::TIME_BASE;

/// How long the capture thread may take to notice the end: a device or a resolver may block it.
const CAPTURE_PATIENCE: Duration = Duration::from_millis(300);
/// How long the preview may take to notice the end: a display may hang.
const PREVIEW_PATIENCE: Duration = Duration::from_millis(200);
/// How often an interrupt is looked for.
const GLANCE: Duration = Duration::from_millis(20);

/// With what frames are explained.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The network.
    pub model: &'a dyn Classifier,
    /// Classes in the label and in records.
    pub top_k: usize,
    /// As in [`Explaining`](crate::pipeline::Explaining).
    pub hold: f64,
    /// Passes per map for methods that let one choose.
    pub samples: Option<usize>,
    /// Seed for methods with chance in them.
    pub seed: u64,
    /// Worker threads. At least 1.
    pub workers: usize,
    /// What is explained whatever the method; a method's own if `None`.
    pub score: Option<Score>,
}

/// The parts of a live run.
pub struct LiveJob<'a> {
    /// With what frames are explained.
    pub asking: Asking<'a>,
    /// What is asked at the beginning.
    pub question: Question,
    /// How results are drawn at the beginning.
    pub render: RenderOptions,
    /// How maps are laid over frames and shown over time.
    pub options: Options,
    /// Where frames come from.
    pub source: LiveSource,
    /// Name of the source for viewers.
    pub source_name: String,
    /// Where pictures are recorded, in units of [`LIVE_TIME_BASE`], and the name of that for viewers. Gets pictures of any shape.
    pub recording: Option<(Box<dyn FrameSink + Send>, String)>,
    /// Where records go.
    pub records: Option<LiveRecords>,
    /// How long a lost source is tried again; for ever if `None`.
    pub give_up: Option<Duration>,
    /// How long the run lasts; until it is ended if `None`.
    pub duration: Option<Duration>,
}

/// Shows a live run to somebody; works on a thread of its own until the run is over, or ends it.
pub trait Preview: Send {
    /// Shows pictures until [`View::is_over`].
    ///
    /// # Errors
    /// If nothing can be shown any more; ends the run.
    fn run(&mut self, view: &View) -> Result<()>;
}

/// Runs until `cancel` is set, a viewer quits, the source ends or something fails, and gives the recording its final name.
///
/// # Errors
/// The first failure, if nothing could be finished; else it is in [`LiveSummary::failure`].
pub fn run_live(
    job: LiveJob<'_>,
    preview: Box<dyn Preview>,
    cancel: &CancelToken,
) -> Result<LiveSummary> {
    let (wall_start, cpu_start) = (Instant::now(), process_cpu_secs());
    let LiveJob {
        asking,
        question,
        render,
        options,
        source,
        source_name,
        recording,
        records,
        give_up,
        duration,
    } = job;
    let settings = Settings::new(question, render, &asking)?;
    let (is_endless, orientation) = (source.info().is_endless, source.info().orientation);
    let (sink, recording_name) = recording.unzip();
    let view = View {
        desk: Arc::new(Desk::new(
            settings,
            asking.model.spec().clone(),
            is_endless,
            source.frame_interval(),
        )),
        screen: Arc::new(Screen::default()),
        facts: Arc::new(Facts {
            source: source_name,
            recording: recording_name,
        }),
    };
    let (end_sender, capture_end) = bounded(1);
    let patience = Patience { give_up };
    let desk = &*view.desk;
    capture::start(
        source,
        Arc::clone(&view.desk),
        cancel.clone(),
        patience,
        end_sender,
    )?;

    let (preview_sender, preview_end) = bounded(1);
    show::start(preview, view.clone(), preview_sender)?;
    let keeping = Mutex::new(Keeping::new(asking.hold));
    let failure = FirstFailure::new();
    let mut times = StageTimes::default();
    let (mut frames_out, mut no_positive_evidence) = (0, 0);
    let mut recorded = None;
    let mut flicker = None;
    let worker = LiveWorker {
        asking: &asking,
        resize: options.resize,
        desk,
        keeping: &keeping,
    };
    scope(|scope| {
        let threads = Threads {
            scope,
            failure: &failure,
            desk,
        };
        let worker = &worker;
        let mut workers = Vec::with_capacity(asking.workers);
        for number in 0..asking.workers.max(1) {
            workers.push(threads.spawn(&format!("worker-{number}"), |times| worker.run(times)));
        }
        let outputs = Outputs {
            sink,
            orientation,
            records,
        };
        let recorder = (!outputs.is_empty()).then(|| Recorder::start(scope, outputs, desk));
        let recorder = recorder.transpose().unwrap_or_else(|error| {
            failure.record(error);
            desk.end(End::Stopped);
            None
        });
        let mut presenter = Presenter {
            asking: &asking,
            options: &options,
            desk,
            screen: &view.screen,
            temporal: Temporal::new(options.normalize.clone(), options.smooth),
            state: Presented::new(Tape::new(desk, recorder)),
        };
        let presenting = threads.spawn("present", move |times| {
            let outcome = presenter.run(times);
            if outcome.is_err() {
                desk.end(End::Stopped);
            }
            Ok((presenter, outcome))
        });
        // A time that no clock can show never comes.
        let until = duration.and_then(|duration| wall_start.checked_add(duration));
        while !desk.wait_for_end(GLANCE) {
            if cancel.is_cancelled() || until.is_some_and(|until| Instant::now() >= until) {
                desk.end(End::Stopped);
            }
        }
        view.screen.wake();
        if let Some((presenter, outcome)) = threads.join(presenting, &mut times) {
            if let Err(error) = outcome {
                failure.record(error);
            }
            flicker = presenter.temporal.flicker();
            let tape = presenter.state.tape;
            (frames_out, no_positive_evidence) = (tape.frames_out, tape.no_positive_evidence);
            recorded = tape.into_recorder().map(Recorder::finish);
        }
        for worker in workers {
            threads.join(worker, &mut times);
        }
    });
    let captured = capture_end.recv_timeout(CAPTURE_PATIENCE);
    let CaptureEnd {
        times: capture_times,
        decode_errors,
    } = captured.unwrap_or_default();
    times += capture_times;
    if let Some(End::Failed(error)) = desk.take_end() {
        failure.record(error);
    }
    if let Ok(Err(error)) = preview_end.recv_timeout(PREVIEW_PATIENCE) {
        failure.record(error);
    }
    let frames_out = match recorded {
        None => frames_out,
        Some(Recorded {
            times: encoding,
            frames,
            given_up,
            failure,
        }) => {
            // What cannot be written is why all ended.
            if let Some(error) = failure {
                return Err(error);
            }
            times += encoding;
            desk.look(|look| look.meters.unrecorded += given_up);
            frames
        }
    };
    let was_cancelled = cancel.is_cancelled();
    let (wall_s, cpu_s) = (
        wall_start.elapsed().as_secs_f64(),
        process_cpu_secs() - cpu_start,
    );
    let live = desk.look(|look| LiveFigures::of(look, &view.facts.source));
    let backend = asking.model.backend();
    Ok(LiveSummary {
        summary: Summary {
            frames_in: live.frames.captured,
            frames_out,
            decode_errors,
            damage: Damage::default(),
            notices: Vec::new(),
            wall_s,
            fps: live.frames.shown as f64 / wall_s,
            cpu_s,
            cpu_ms_per_frame: cpu_s * 1e3 / live.frames.shown.max(1) as f64,
            peak_rss_mb: peak_rss_mb(),
            stages: times,
            precision: Some(backend.precision.name()),
            device: Some(backend.device),
            isa: Some(backend.isa),
            flicker,
            no_positive_evidence,
            was_cancelled,
            records_fit: RecordsFit::default(),
            last: None,
        },
        live,
        failure: failure.into_error(),
    })
}

/// Starts and joins the threads of a run; one that fails ends it.
struct Threads<'scope, 'env, 'run> {
    scope: &'scope Scope<'scope, 'env>,
    failure: &'run FirstFailure,
    desk: &'run Desk,
}

type Handle<'scope, T> = ScopedJoinHandle<'scope, (StageTimes, Option<T>)>;

impl<'scope, 'run: 'scope> Threads<'scope, '_, 'run> {
    fn spawn<T: Send + 'scope>(
        &self,
        name: &str,
        work: impl FnOnce(&mut StageTimes) -> Result<T> + Send + 'scope,
    ) -> Option<Handle<'scope, T>> {
        let (failure, desk, thread_name) = (self.failure, self.desk, name.to_owned());
        let guarded = move || {
            let mut times = StageTimes::default();
            let outcome = failure.catch(&thread_name, || work(&mut times));
            let outcome =
                outcome.and_then(|outcome| outcome.map_err(|error| failure.record(error)).ok());
            if outcome.is_none() {
                desk.end(End::Stopped);
            }
            (times, outcome)
        };
        let spawned = Builder::new()
            .name(name.to_owned())
            .spawn_scoped(self.scope, guarded);
        spawned
            .map_err(|cause| {
                let message = format!("cannot start thread {name}");
                failure.record(Error::caused_by(ErrorKind::Internal, message, cause));
                desk.end(End::Stopped);
            })
            .ok()
    }

    fn join<T>(&self, handle: Option<Handle<'scope, T>>, times: &mut StageTimes) -> Option<T> {
        let (thread_times, outcome) = handle?.join().ok()?;
        *times += thread_times;
        outcome
    }
}
