//! The pipeline on synthetic parts: order, failures, cancellation, bounded memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gradcam_video::explain::{
    Explainer, GradCam, LayerView, Queries, Request, Target, TargetChoice,
};
use gradcam_video::frame::{Frame, FrameIndex, Orientation, Picture, Pts, TimeBase};
use gradcam_video::heatmap::Heatmap;
use gradcam_video::model::{ModelSpec, TargetLayer};
use gradcam_video::pipeline::{
    self, CancelToken, Explaining, Job, Maps, Options, Progress, Reporter, SilentReporter, Summary,
    run_over_whole_video,
};
use gradcam_video::preprocess::ResizePolicy;
use gradcam_video::records::{RecordsFormat, RecordsHeader, RecordsWriter};
use gradcam_video::render::{RenderOptions, Renderer};
use gradcam_video::sink::FrameSink;
use gradcam_video::source::{FrameSource, SourceEnd, SourceInfo};
use gradcam_video::temporal::Normalize;
use gradcam_video::{Error, ErrorKind, Result, Stage};

use crate::toy::{COLOR, FORMAT, Fault, HEIGHT, SharedBytes, ToyModel, WIDTH};

/// Frames that may be in flight beyond one per worker, as docs/ARCHITECTURE.md says.
fn spare() -> u64 {
    3 + pipeline::draw_threads() as u64
}

/// Frame `n` is uniformly `n` bright, so that every stage can tell the frames apart.
struct ToySource {
    info: SourceInfo,
    next: u64,
    count: u64,
    fault: Fault,
    delivered: Arc<AtomicU64>,
}

impl FrameSource for ToySource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.next == self.count {
            return Ok(None);
        }
        let index = FrameIndex(self.next);
        if self.fault == Fault::Fail(self.next) {
            return Err(Error::new(ErrorKind::Input, "the source broke").at_frame(index));
        }
        self.next += 1;
        self.delivered.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Frame {
            index,
            pts: Pts(index.0 as i64 * 3 + 7),
            duration: 3,
            picture: Picture::filled(
                WIDTH,
                HEIGHT,
                FORMAT,
                COLOR,
                [index.0 as u16 % 200, 128, 128],
            ),
            passthrough: Vec::new(),
        }))
    }

    fn finish(&mut self) -> SourceEnd {
        SourceEnd::default()
    }
}

#[derive(Default)]
struct Written {
    frames: Vec<(u64, i64, Picture)>,
    is_finished: bool,
    is_dropped: bool,
    most_in_flight: u64,
}

struct ToySink {
    written: Arc<Mutex<Written>>,
    delivered: Arc<AtomicU64>,
    fault: Fault,
    delay: Duration,
    cancel_at: Option<(u64, CancelToken)>,
}

impl FrameSink for ToySink {
    fn write(&mut self, frame: Frame) -> Result<()> {
        std::thread::sleep(self.delay);
        if self.fault == Fault::Fail(frame.index.0) {
            return Err(Error::new(ErrorKind::Output, "the sink broke"));
        }
        if let Some((at, cancel)) = &self.cancel_at
            && *at == frame.index.0
        {
            cancel.cancel();
        }
        let mut written = self.written.lock().unwrap();
        let in_flight = self.delivered.load(Ordering::SeqCst) - written.frames.len() as u64;
        written.most_in_flight = written.most_in_flight.max(in_flight);
        written
            .frames
            .push((frame.index.0, frame.pts.0, frame.picture));
        Ok(())
    }

    fn finish(self: Box<Self>, _: SourceEnd) -> Result<gradcam_video::sink::Written> {
        let mut written = self.written.lock().unwrap();
        written.is_finished = true;
        Ok(gradcam_video::sink::Written {
            frames: written.frames.len() as u64,
            ..Default::default()
        })
    }
}

impl Drop for ToySink {
    fn drop(&mut self) {
        self.written.lock().unwrap().is_dropped = true;
    }
}

/// One run and all that can be varied.
struct Setup {
    frames: u64,
    model: ToyModel,
    source_fault: Fault,
    sink_fault: Fault,
    sink_delay: Duration,
    cancel_at: Option<u64>,
    is_cancelled_at_once: bool,
    is_over_whole_video: bool,
    cancel: Option<CancelToken>,
    workers: usize,
    stride: u64,
    targets: Vec<TargetChoice>,
    explainer: &'static dyn Explainer,
    hold: f64,
    top_k: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            frames: 40,
            model: ToyModel::new(1.0),
            source_fault: Fault::None,
            sink_fault: Fault::None,
            sink_delay: Duration::ZERO,
            cancel_at: None,
            is_cancelled_at_once: false,
            is_over_whole_video: false,
            cancel: None,
            workers: 3,
            stride: 1,
            targets: vec![TargetChoice::Top1],
            explainer: &GradCam,
            hold: 0.0,
            top_k: 2,
        }
    }
}

struct Outcome {
    result: Result<Summary>,
    written: Arc<Mutex<Written>>,
    records: Vec<u8>,
    model_calls: u64,
}

impl Setup {
    fn run(self) -> Outcome {
        self.run_with(&SilentReporter)
    }

    fn run_with(self, reporter: &dyn Reporter) -> Outcome {
        let delivered = Arc::new(AtomicU64::new(0));
        let written = Arc::new(Mutex::new(Written::default()));
        let bytes = SharedBytes::default();
        let cancel = self.cancel.unwrap_or_default();
        if self.is_cancelled_at_once {
            cancel.cancel();
        }
        let header = RecordsHeader {
            header: true,
            size: [WIDTH, HEIGHT],
            resize: "stretch".into(),
            input_size: 32,
            preprocess: "caffe".into(),
            ..RecordsHeader::default()
        };
        let source = || -> Box<dyn FrameSource> {
            Box::new(ToySource {
                info: SourceInfo {
                    width: WIDTH,
                    height: HEIGHT,
                    format: FORMAT,
                    color: COLOR,
                    pixel_aspect: 1.0,
                    orientation: Orientation::default(),
                    time_base: TimeBase {
                        numerator: 1,
                        denominator: 75,
                    },
                    estimated_frames: Some(self.frames),
                    is_endless: false,
                    clock_start_micros: None,
                    notices: Vec::new(),
                    template: None,
                },
                next: 0,
                count: self.frames,
                fault: self.source_fault,
                delivered: delivered.clone(),
            })
        };
        let job = Job {
            maps: Maps::Explained(Explaining {
                request: Request {
                    targets: self.targets,
                    ..Explaining::new(&self.model, self.explainer).request
                },
                top_k: self.top_k,
                stride: self.stride,
                hold: self.hold,
                workers: self.workers,
                ..Explaining::new(&self.model, self.explainer)
            }),
            source: source(),
            renderer: Some(
                Renderer::new(
                    RenderOptions::default(),
                    WIDTH,
                    HEIGHT,
                    FORMAT,
                    COLOR,
                    Orientation::default(),
                )
                .unwrap(),
            ),
            sink: Box::new(ToySink {
                written: written.clone(),
                delivered: delivered.clone(),
                fault: self.sink_fault,
                delay: self.sink_delay,
                cancel_at: self.cancel_at.map(|at| (at, cancel.clone())),
            }),
            records: Some(
                RecordsWriter::new(Box::new(bytes.clone()), RecordsFormat::Jsonl, "r", &header)
                    .unwrap(),
            ),
            options: Options {
                resize: ResizePolicy::Stretch,
                normalize: Normalize::Frame,
                smooth: 0.0,
            },
        };
        let result = if self.is_over_whole_video {
            run_over_whole_video(job, |_| Ok(source()), &header, reporter, &cancel)
        } else {
            pipeline::run(job, reporter, &cancel)
        };
        let records = bytes.0.lock().unwrap().clone();
        Outcome {
            result,
            written,
            records,
            model_calls: self.model.calls.load(Ordering::SeqCst),
        }
    }
}

fn records(outcome: &Outcome) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&outcome.records).unwrap();
    text.lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn frames_keep_their_order_and_records_do_not_depend_on_the_number_of_workers() {
    let run = |workers| {
        let mut setup = Setup {
            workers,
            frames: 120,
            ..Setup::default()
        };
        setup.model.is_slow = true;
        let outcome = setup.run();
        let summary = outcome.result.as_ref().unwrap();
        assert_eq!((summary.frames_in, summary.frames_out), (120, 120));
        assert!(!summary.was_cancelled);
        outcome
    };
    let one = run(1);
    for workers in [1, 2, 5] {
        let outcome = run(workers);
        assert!(
            outcome.records == one.records,
            "records differ at {workers} workers"
        );
        let written = outcome.written.lock().unwrap();
        let expected: Vec<_> = (0..120)
            .map(|index| (index, index as i64 * 3 + 7))
            .collect();
        let order: Vec<_> = written
            .frames
            .iter()
            .map(|(index, pts, _)| (*index, *pts))
            .collect();
        assert_eq!(order, expected);
        assert!(
            written.frames == one.written.lock().unwrap().frames,
            "pictures differ at {workers} workers"
        );
        assert!(written.is_finished);
    }
}

#[test]
fn the_root_cause_is_reported_with_its_stage_and_frame() {
    for workers in [1, 2, 5] {
        let mut model = ToyModel::new(1.0);
        model.fault = Fault::Fail(9);
        let cases = [
            (
                Setup {
                    source_fault: Fault::Fail(9),
                    ..Setup::default()
                },
                "the source broke",
                Stage::Decode,
            ),
            (
                Setup {
                    model,
                    ..Setup::default()
                },
                "the model broke",
                Stage::Model,
            ),
            (
                Setup {
                    sink_fault: Fault::Fail(9),
                    ..Setup::default()
                },
                "the sink broke",
                Stage::Encode,
            ),
        ];
        for (setup, message, stage) in cases {
            let outcome = Setup { workers, ..setup }.run();
            let error = outcome.result.unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(
                (error.stage(), error.frame()),
                (Some(stage), Some(FrameIndex(9))),
                "{message}"
            );
            let written = outcome.written.lock().unwrap();
            assert!(
                written.is_dropped && !written.is_finished,
                "{message}: the output must be given up"
            );
        }
    }
}

#[test]
fn a_panic_in_a_worker_is_an_error_and_no_hang() {
    for workers in [1, 2, 5] {
        let mut model = ToyModel::new(1.0);
        model.fault = Fault::Panic(5);
        let outcome = Setup {
            model,
            workers,
            frames: 100,
            ..Setup::default()
        }
        .run();
        let error = outcome.result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(
            error.one_line().contains("the model panicked"),
            "{}",
            error.one_line()
        );
        assert!(!outcome.written.lock().unwrap().is_finished);
    }
}

#[test]
fn cancelling_finishes_what_was_read() {
    let outcome = Setup {
        frames: 10_000,
        cancel_at: Some(20),
        ..Setup::default()
    }
    .run();
    let summary = outcome.result.unwrap();
    assert!(summary.was_cancelled);
    assert_eq!(summary.frames_in, summary.frames_out);
    assert!(
        summary.frames_out > 20 && summary.frames_out < 100,
        "{}",
        summary.frames_out
    );
    assert!(outcome.written.lock().unwrap().is_finished);
}

#[test]
fn a_slow_sink_bounds_the_frames_in_flight() {
    for workers in [1, 2, 5] {
        let setup = Setup {
            workers,
            frames: 60,
            sink_delay: Duration::from_millis(2),
            ..Setup::default()
        };
        let outcome = setup.run();
        outcome.result.unwrap();
        let most = outcome.written.lock().unwrap().most_in_flight;
        assert!(
            most <= workers as u64 + spare(),
            "{most} frames in flight with {workers} workers"
        );
        assert!(most > 1, "nothing ran ahead");
    }
}

#[test]
fn stride_calls_the_model_for_every_nth_frame_only() {
    let outcome = Setup {
        stride: 3,
        frames: 10,
        ..Setup::default()
    }
    .run();
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.model_calls, 4);
    let records = records(&outcome);
    assert_eq!(records.len(), 10);
    for (index, record) in records.iter().enumerate() {
        assert_eq!(
            record["flags"] == serde_json::json!(["carried"]),
            index % 3 != 0
        );
        assert_eq!(record["heatmap"], records[index / 3 * 3]["heatmap"]);
    }
    assert_ne!(records[0]["heatmap"], records[3]["heatmap"]);
}

#[test]
fn without_positive_evidence_the_plain_frame_is_drawn_and_flagged() {
    let outcome = Setup {
        model: ToyModel::new(-1.0),
        frames: 5,
        top_k: 0,
        ..Setup::default()
    }
    .run();
    assert_eq!(outcome.result.as_ref().unwrap().no_positive_evidence, 5);
    for record in records(&outcome) {
        assert_eq!(record["flags"], serde_json::json!(["no_positive_evidence"]));
        assert!(
            record["heatmap"][1][1].as_f64().unwrap() < 0.0,
            "raw maps keep their sign"
        );
    }
    for (index, _, picture) in &outcome.written.lock().unwrap().frames {
        let plain = Picture::filled(WIDTH, HEIGHT, FORMAT, COLOR, [*index as u16, 128, 128]);
        assert_eq!(*picture, plain);
    }
    // The counterpart: with evidence the frame does change.
    let coloured = Setup {
        frames: 1,
        top_k: 0,
        ..Setup::default()
    }
    .run();
    let plain = Picture::filled(WIDTH, HEIGHT, FORMAT, COLOR, [0, 128, 128]);
    assert_ne!(coloured.written.lock().unwrap().frames[0].2, plain);
}

#[test]
fn a_fixed_class_is_explained_in_every_frame() {
    let outcome = Setup {
        targets: vec![TargetChoice::Class(1)],
        frames: 3,
        top_k: 1,
        ..Setup::default()
    }
    .run();
    for record in records(&outcome) {
        assert_eq!(record["target"]["label"], "beta");
        assert_eq!(record["top"][0]["label"], "alpha");
        assert_eq!(
            record["peak"],
            serde_json::json!([0.25, 0.25]),
            "class 1 reads the channel that peaks top left"
        );
    }
    let outcome = Setup {
        targets: vec![TargetChoice::Class(2)],
        ..Setup::default()
    }
    .run();
    assert_eq!(
        outcome.result.unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn cancelling_before_the_first_frame_leaves_no_output() {
    let outcome = Setup {
        is_cancelled_at_once: true,
        ..Setup::default()
    }
    .run();
    assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(!outcome.written.lock().unwrap().is_finished);
}

#[test]
fn no_frames_at_all_are_an_empty_output() {
    let outcome = Setup {
        frames: 0,
        ..Setup::default()
    }
    .run();
    assert_eq!(outcome.result.unwrap().frames_out, 0);
}

#[test]
fn progress_is_reported_for_every_frame_in_order() {
    #[derive(Default)]
    struct Recorder(Mutex<Vec<(u64, String)>>);
    impl Reporter for Recorder {
        fn frame_done(&self, progress: Progress<'_>) {
            self.0
                .lock()
                .unwrap()
                .push((progress.frames_done, progress.top_class.to_owned()));
        }
    }
    let recorder = Recorder::default();
    Setup {
        frames: 3,
        ..Setup::default()
    }
    .run_with(&recorder)
    .result
    .unwrap();
    let expected: Vec<_> = (1..=3).map(|done| (done, "alpha".to_owned())).collect();
    assert_eq!(*recorder.0.lock().unwrap(), expected);
}

/// Many passes per frame.
#[derive(Debug)]
struct Patient;

impl Explainer for Patient {
    fn name(&self) -> &'static str {
        "patient"
    }

    fn makes_many_passes(&self, _: &ModelSpec, _: &[TargetLayer]) -> bool {
        true
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let scores = queries.scores(50, target, |_| {
            std::thread::sleep(Duration::from_millis(1));
            view.input.clone()
        })?;
        Ok(Heatmap {
            width: 1,
            height: 1,
            values: vec![scores[0] as f32],
        })
    }
}

#[test]
fn passes_of_one_frame_are_shared_reported_and_given_up_when_cancelled() {
    struct Stopper {
        cancel: Mutex<Option<CancelToken>>,
        passes: AtomicU64,
        threads: Mutex<std::collections::HashSet<Option<String>>>,
    }
    impl Reporter for Stopper {
        fn frame_done(&self, _: Progress<'_>) {}
        fn pass_done(&self, done: usize, total: usize) {
            assert!(done <= total && total == 50);
            let name = std::thread::current().name().map(str::to_owned);
            self.threads.lock().unwrap().insert(name);
            // In the middle of the third frame.
            if self.passes.fetch_add(1, Ordering::SeqCst) == 125
                && let Some(cancel) = &*self.cancel.lock().unwrap()
            {
                cancel.cancel();
            }
        }
    }
    let cancel = CancelToken::new();
    let stopper = Stopper {
        cancel: Mutex::new(Some(cancel.clone())),
        passes: AtomicU64::new(0),
        threads: Mutex::default(),
    };
    let setup = Setup {
        explainer: &Patient,
        cancel: Some(cancel),
        ..Setup::default()
    };
    let outcome = setup.run_with(&stopper);
    let summary = outcome.result.unwrap();
    assert!(summary.was_cancelled);
    assert_eq!(summary.frames_out, 2, "the third frame was given up");
    assert!(outcome.written.lock().unwrap().is_finished);
    assert_eq!(
        stopper.threads.lock().unwrap().len(),
        3,
        "three threads share one frame"
    );
}

#[test]
fn several_classes_are_as_many_records_of_a_frame() {
    let outcome = Setup {
        targets: vec![TargetChoice::Class(1), TargetChoice::Class(0)],
        frames: 2,
        ..Setup::default()
    }
    .run();
    let records = records(&outcome);
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            (
                record["frame"].as_u64().unwrap(),
                record["target"]["label"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [(0, "beta"), (0, "alpha"), (1, "beta"), (1, "alpha")]);
    assert_ne!(records[0]["heatmap"], records[1]["heatmap"]);
}

#[test]
fn a_class_is_held_while_another_is_hardly_more_probable() {
    let run = |hold| {
        let mut setup = Setup {
            hold,
            frames: 5,
            stride: 1,
            ..Setup::default()
        };
        setup.model.is_undecided = true;
        let outcome = setup.run();
        let targets: Vec<(u64, bool)> = records(&outcome)
            .iter()
            .map(|record| {
                let is_held = record["flags"] == serde_json::json!(["held"]);
                // The map is that of the class that is shown: class 1 peaks top left.
                let is_of_beta = record["peak"] == serde_json::json!([0.25, 0.25]);
                assert_eq!(is_of_beta, record["target"]["index"] == 1);
                assert_eq!(
                    record["top"][0]["index"],
                    record["frame"].as_u64().unwrap() % 2
                );
                (record["target"]["index"].as_u64().unwrap(), is_held)
            })
            .collect();
        targets
    };
    let (own, other) = ((0, false), (1, false));
    assert_eq!(run(0.0), [own, other, own, other, own]);
    assert_eq!(run(0.2), [own, (0, true), own, (0, true), own]);
}

#[test]
fn a_class_stays_held_over_the_frames_that_carry_it_and_a_fixed_class_is_never_held() {
    let mut setup = Setup {
        hold: 0.2,
        stride: 3,
        frames: 6,
        targets: vec![TargetChoice::Top1, TargetChoice::Class(1)],
        ..Setup::default()
    };
    setup.model.is_undecided = true;
    let outcome = setup.run();
    let seen: Vec<(u64, Vec<String>)> = records(&outcome)
        .iter()
        .map(|record| {
            let flags = serde_json::from_value(record["flags"].clone()).unwrap();
            (record["target"]["index"].as_u64().unwrap(), flags)
        })
        .collect();
    let flags = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let (none, carried) = (flags(&[]), flags(&["carried"]));
    let expected = [
        (0, none.clone()),
        (1, none.clone()),
        (0, carried.clone()),
        (1, carried.clone()),
        (0, carried.clone()),
        (1, carried.clone()),
        // Frame 3 is a little more of class 1; class 0 is held, and carried as such.
        (0, flags(&["held"])),
        (1, none),
        (0, flags(&["carried", "held"])),
        (1, carried.clone()),
        (0, flags(&["carried", "held"])),
        (1, carried),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_was_explained_before_an_interrupt_is_drawn_in_the_second_pass() {
    struct StopAt(u64, CancelToken);
    impl Reporter for StopAt {
        fn frame_done(&self, progress: Progress<'_>) {
            if progress.frames_done == self.0 {
                self.1.cancel();
            }
        }
    }
    let cancel = CancelToken::new();
    let setup = Setup {
        frames: 10_000,
        is_over_whole_video: true,
        cancel: Some(cancel.clone()),
        ..Setup::default()
    };
    let outcome = setup.run_with(&StopAt(20, cancel));
    let summary = outcome.result.unwrap();
    assert!(summary.was_cancelled);
    assert!(
        (20..100).contains(&summary.frames_out),
        "{}",
        summary.frames_out
    );
    let written = outcome.written.lock().unwrap();
    assert!(written.is_finished);
    assert_eq!(written.frames.len() as u64, summary.frames_out);
    let lines = std::str::from_utf8(&outcome.records)
        .unwrap()
        .lines()
        .count();
    assert_eq!(lines as u64, 1 + summary.frames_out);
}
