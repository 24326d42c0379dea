//! The live pipeline on synthetic parts: the freshest frame wins, nothing waits for anybody, faults are survived.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gradcam_video::explain::{GradCam, Request, Score, TargetChoice};
use gradcam_video::frame::{Frame, FrameIndex, Orientation, Picture, Pts, TimeBase};
use gradcam_video::model::Classifier;
use gradcam_video::pipeline::live::{
    Asking, LiveJob, LiveRecords, LiveSource, LiveState, LiveSummary, Preview, Question, View,
    Wish, run_live,
};
use gradcam_video::pipeline::{CancelToken, Options};
use gradcam_video::preprocess::ResizePolicy;
use gradcam_video::preview::NoPreview;
use gradcam_video::records::{RecordsFormat, RecordsHeader};
use gradcam_video::render::{ColorMap, Layout, RenderOptions};
use gradcam_video::sink::FrameSink;
use gradcam_video::source::{FrameSource, SourceEnd, SourceInfo};
use gradcam_video::temporal::Normalize;
use gradcam_video::{Error, ErrorKind, Result};

use crate::toy::{COLOR, FORMAT, Fault, HEIGHT, SharedBytes, ToyModel, WIDTH};

/// How the source ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// As a file does.
    Whole,
    /// As a camera that is unplugged.
    Lost,
    /// It goes on, without frames, until the run is cancelled.
    Silent,
}

/// Frames at a pace, each a little brighter than the one before.
struct Camera {
    info: SourceInfo,
    interval: Duration,
    next: u64,
    count: u64,
    end: End,
    width: usize,
    cancel: CancelToken,
}

impl Camera {
    fn new(frames: u64, millis: u64, end: End, cancel: &CancelToken) -> Self {
        Self {
            info: SourceInfo {
                width: WIDTH,
                height: HEIGHT,
                format: FORMAT,
                color: COLOR,
                pixel_aspect: 1.0,
                orientation: Orientation::default(),
                time_base: TimeBase {
                    numerator: 1,
                    denominator: 1000,
                },
                estimated_frames: None,
                is_endless: end != End::Whole,
                clock_start_micros: None,
                notices: Vec::new(),
                template: None,
            },
            interval: Duration::from_millis(millis),
            next: 0,
            count: frames,
            end,
            width: WIDTH,
            cancel: cancel.clone(),
        }
    }
}

impl FrameSource for Camera {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.next == self.count {
            while self.end == End::Silent && !self.cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(5));
            }
            return match self.end {
                End::Lost => Err(Error::new(ErrorKind::Input, "unplugged")),
                _ => Ok(None),
            };
        }
        // A file delivers at once and is paced by the pipeline.
        if self.end != End::Whole {
            std::thread::sleep(self.interval);
        }
        let index = self.next;
        self.next += 1;
        let brightness = (index % 200) as u16;
        Ok(Some(Frame {
            index: FrameIndex(index),
            pts: Pts(index as i64 * self.interval.as_millis() as i64),
            duration: 0,
            picture: Picture::filled(self.width, HEIGHT, FORMAT, COLOR, [brightness, 128, 128]),
            passthrough: Vec::new(),
        }))
    }

    fn finish(&mut self) -> SourceEnd {
        SourceEnd::default()
    }
}

#[derive(Default)]
struct Recorded {
    /// Time, width, and the colour of the lower right pixel as coded.
    frames: Vec<(i64, usize, [u8; 3])>,
    is_finished: bool,
}

/// Keeps a little of what it gets.
#[derive(Clone, Default)]
struct Recording {
    recorded: Arc<Mutex<Recorded>>,
    delay: Duration,
    fails_at: Option<usize>,
}

impl FrameSink for Recording {
    fn write(&mut self, frame: Frame) -> Result<()> {
        std::thread::sleep(self.delay);
        let mut recorded = self.recorded.lock().unwrap();
        if self.fails_at == Some(recorded.frames.len()) {
            return Err(Error::new(ErrorKind::Output, "the disk is full"));
        }
        let sample = lower_right(&frame.picture);
        recorded
            .frames
            .push((frame.pts.0, frame.picture.width, sample));
        Ok(())
    }

    fn finish(self: Box<Self>, _: SourceEnd) -> Result<gradcam_video::sink::Written> {
        let mut recorded = self.recorded.lock().unwrap();
        recorded.is_finished = true;
        Ok(gradcam_video::sink::Written {
            frames: recorded.frames.len() as u64,
            ..Default::default()
        })
    }
}

/// One run and all that can be varied.
struct Setup {
    model: ToyModel,
    cameras: Vec<(u64, u64, End)>,
    /// Opening fails so often before it works again.
    failures: usize,
    workers: usize,
    samples: Option<usize>,
    recording: Option<Recording>,
    give_up: Option<Duration>,
    duration: Option<Duration>,
    cancel: CancelToken,
    width_after_loss: usize,
    orientation_after_loss: Orientation,
}

impl Setup {
    fn new(frames: u64, millis: u64, end: End) -> Self {
        Self {
            model: ToyModel::new(1.0),
            cameras: vec![(frames, millis, end)],
            failures: 0,
            workers: 1,
            samples: None,
            recording: None,
            give_up: None,
            duration: None,
            cancel: CancelToken::new(),
            width_after_loss: WIDTH,
            orientation_after_loss: Orientation::default(),
        }
    }

    fn with_delay(mut self, millis: u64) -> Self {
        self.model.delay = Duration::from_millis(millis);
        self
    }

    fn run(self, preview: impl Preview + 'static) -> (Result<LiveSummary>, Vec<serde_json::Value>) {
        let mut cameras: VecDeque<Camera> = self
            .cameras
            .iter()
            .map(|(frames, millis, end)| Camera::new(*frames, *millis, *end, &self.cancel))
            .collect();
        for camera in cameras.iter_mut().skip(1) {
            camera.width = self.width_after_loss;
            camera.info.orientation = self.orientation_after_loss;
        }
        let mut failures = 0;
        let (most_failures, mut is_first) = (self.failures, true);
        let open = move |_: &CancelToken| -> Result<Box<dyn FrameSource>> {
            if !is_first && failures < most_failures {
                failures += 1;
                return Err(Error::new(ErrorKind::Input, "still unplugged"));
            }
            is_first = false;
            let camera = cameras.pop_front();
            let camera = camera.ok_or_else(|| Error::new(ErrorKind::Input, "no more cameras"))?;
            Ok(Box::new(camera))
        };
        let bytes = SharedBytes::default();
        let layer = self.model.spec().last_layer();
        let request = Request {
            targets: vec![TargetChoice::Top1],
            score: Score::Logit,
            contrast: None,
            layers: vec![layer],
        };
        let header = RecordsHeader {
            header: true,
            ..RecordsHeader::default()
        };
        let records = LiveRecords::new(
            Box::new(bytes.clone()),
            RecordsFormat::Jsonl,
            "records",
            header,
        );
        let job = LiveJob {
            asking: Asking {
                model: &self.model,
                top_k: 2,
                hold: 0.0,
                samples: self.samples,
                seed: 0,
                workers: self.workers,
                score: None,
            },
            question: Question::new(&GradCam, request, "layer4".to_owned()),
            render: RenderOptions::default(),
            options: Options {
                resize: ResizePolicy::Stretch,
                normalize: Normalize::Rolling,
                smooth: 0.0,
            },
            source: LiveSource::open(Box::new(open), &self.cancel).unwrap(),
            source_name: "toy".to_owned(),
            recording: self.recording.map(|sink| {
                (
                    Box::new(sink) as Box<dyn FrameSink + Send>,
                    "toy.mp4".to_owned(),
                )
            }),
            records: Some(records),
            give_up: self.give_up,
            duration: self.duration,
        };
        let summary = run_live(job, Box::new(preview), &self.cancel);
        let text = String::from_utf8(bytes.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (summary, lines.collect())
    }
}

/// A preview that does what the test says.
struct Script<F>(F);

impl<F: FnMut(&View) -> Result<()> + Send> Preview for Script<F> {
    fn run(&mut self, view: &View) -> Result<()> {
        (self.0)(view)
    }
}

const SOON: Duration = Duration::from_secs(5);

/// Waits until `is_so`.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lower_right(picture: &Picture) -> [u8; 3] {
    *picture.to_rgb8().last_chunk().unwrap()
}

fn lines_of(records: &[serde_json::Value]) -> &[serde_json::Value] {
    assert_eq!(records[0]["header"], true);
    &records[1..]
}

#[test]
fn a_slow_model_does_not_slow_the_picture() {
    // 100 frames in a second, and a model that explains ten of them.
    let recording = Recording::default();
    let setup = Setup {
        recording: Some(recording.clone()),
        ..Setup::new(100, 10, End::Whole).with_delay(100)
    };
    let (summary, records) = setup.run(NoPreview);
    let summary = summary.unwrap();
    let frames = summary.live.frames;
    assert!(summary.failure.is_none());
    assert_eq!(frames.captured, 100);
    assert_eq!(frames.shown + frames.unshown, 100);
    assert!(frames.shown > 2 * frames.explained, "{frames:?}");
    assert!((2..=12).contains(&frames.explained), "{frames:?}");
    assert!(frames.dropped > 50, "{frames:?}");
    assert!(summary.summary.wall_s > 0.9, "in real time");

    // What is recorded has a record each, with rising times, and most of them carry a map on.
    let recorded = recording.recorded.lock().unwrap();
    assert!(recorded.is_finished);
    let lines = lines_of(&records);
    assert_eq!(summary.summary.frames_out, recorded.frames.len() as u64);
    // All but those before the first map have a record.
    let first = lines[0]["frame"].as_u64().unwrap() as usize;
    assert_eq!(first + lines.len(), recorded.frames.len());
    for (line, (ticks, ..)) in lines.iter().zip(&recorded.frames[first..]) {
        let secs = line["pts_s"].as_f64().unwrap();
        assert!((secs - *ticks as f64 / 90_000.0).abs() < 1e-9);
    }
    assert!(recorded.frames.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let carried = lines.iter().filter(|line| line["flags"][0] == "carried");
    assert!(carried.count() > lines.len() / 2);
    assert!(records[0]["captured_from_unix_s"].as_f64().unwrap() > 1.7e9);
    assert!(summary.live.map_latency_ms.unwrap().p50 >= 100.0);
}

#[test]
fn frames_that_come_slower_than_the_model_have_maps_of_their_own() {
    let (summary, records) = Setup::new(8, 60, End::Whole).with_delay(10).run(NoPreview);
    let frames = summary.unwrap().live.frames;
    assert_eq!((frames.shown, frames.dropped, frames.unshown), (8, 0, 0));
    let lines = lines_of(&records);
    assert_eq!(lines.len(), 8);
    // All but perhaps the last one, at which the source ends.
    for (index, line) in lines.iter().take(7).enumerate() {
        assert_eq!(line["flags"].as_array().unwrap().len(), 0, "{line}");
        // The toy's map says how bright the frame was that it explains.
        let brightness = line["heatmap"][0][0].as_f64().unwrap() * 4.0;
        assert_eq!(brightness, index as f64 + 1.0);
    }
}

#[test]
fn a_lost_source_is_opened_again_and_the_loss_is_seen() {
    let recording = Recording::default();
    let setup = Setup {
        cameras: vec![(10, 10, End::Lost), (10, 10, End::Silent)],
        failures: 2,
        recording: Some(recording.clone()),
        width_after_loss: WIDTH * 2,
        ..Setup::new(0, 0, End::Whole)
    };
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&states);
    let preview = Script(move |view: &View| {
        wait_for("lost", || view.status().state == LiveState::NoSignal);
        seen.lock().unwrap().push(view.status());
        wait_for("back", || view.status().frames.captured == 20);
        wait_for("shown", || view.status().size == Some([WIDTH * 2, HEIGHT]));
        seen.lock().unwrap().push(view.status());
        view.quit();
        Ok(())
    });
    let (summary, records) = setup.run(preview);
    let summary = summary.unwrap();
    assert!(summary.failure.is_none());
    assert_eq!(summary.live.losses, 1);
    let states = states.lock().unwrap();
    let message = states[0].message.clone().unwrap();
    assert!(message.contains("unplugged"), "{message}");
    assert_eq!(states[1].state, LiveState::Live);
    let recorded = recording.recorded.lock().unwrap();
    // The picture that says so is recorded too, but has no record.
    let last = lines_of(&records).last().unwrap()["frame"]
        .as_u64()
        .unwrap();
    assert_eq!(last + 1, recorded.frames.len() as u64);
    let lines = lines_of(&records).iter();
    let indices: Vec<u64> = lines.map(|line| line["frame"].as_u64().unwrap()).collect();
    assert!(
        indices.windows(2).any(|pair| pair[1] == pair[0] + 2),
        "{indices:?}"
    );
    let widths: Vec<usize> = recorded.frames.iter().map(|(_, width, _)| *width).collect();
    assert!(widths.contains(&WIDTH) && widths.contains(&(WIDTH * 2)));
}

#[test]
fn a_source_that_comes_back_turned_is_drawn_upright_and_recorded_as_it_began() {
    let half_a_turn = Orientation {
        quarter_turns: 2,
        is_mirrored: false,
    };
    let recording = Recording::default();
    let setup = Setup {
        cameras: vec![(10, 10, End::Lost), (100_000, 10, End::Lost)],
        recording: Some(recording.clone()),
        orientation_after_loss: half_a_turn,
        ..Setup::new(0, 0, End::Whole)
    };
    let preview = Script(move |view: &View| {
        let shown = || {
            view.current_picture()
                .map(|shown| (shown.orientation, lower_right(&shown.picture)))
        };
        // The toy's map is hottest at the lower right of the upright picture.
        let has_heat = |[red, _, blue]: [u8; 3]| red > blue;
        wait_for("heat", || {
            shown().is_some_and(|(_, corner)| has_heat(corner))
        });
        wait_for("back", || view.status().frames.captured > 20);
        wait_for("turned", || {
            shown().is_some_and(|(turn, [red, _, blue])| turn == half_a_turn && blue > red)
        });
        view.quit();
        Ok(())
    });
    let summary = setup.run(preview).0.unwrap();
    assert!(summary.failure.is_none());
    let recorded = recording.recorded.lock().unwrap();
    let (_, _, [red, _, blue]) = recorded.frames.last().unwrap();
    assert!(red > blue, "{red} {blue}");
}

#[test]
fn a_source_that_stays_lost_is_given_up_and_the_recording_is_kept() {
    let recording = Recording::default();
    let setup = Setup {
        give_up: Some(Duration::from_millis(300)),
        recording: Some(recording.clone()),
        ..Setup::new(10, 10, End::Lost)
    };
    let (summary, records) = setup.run(NoPreview);
    let summary = summary.unwrap();
    let failure = summary.failure.unwrap().one_line();
    assert!(
        failure.starts_with("no signal for 0.3 s, given up"),
        "{failure}"
    );
    assert!(recording.recorded.lock().unwrap().is_finished);
    assert!(!lines_of(&records).is_empty());
}

#[test]
fn silence_is_seen_and_an_interrupt_ends_it() {
    let setup = Setup::new(3, 10, End::Silent);
    let cancel = setup.cancel.clone();
    let ended = Arc::new(Mutex::new(None));
    let end = Arc::clone(&ended);
    let preview = Script(move |view: &View| {
        wait_for("silent", || view.status().state == LiveState::NoSignal);
        let start = Instant::now();
        cancel.cancel();
        wait_for("over", || view.is_over());
        *end.lock().unwrap() = Some(start.elapsed());
        Ok(())
    });
    let (summary, _) = setup.run(preview);
    let summary = summary.unwrap();
    assert!(summary.summary.was_cancelled && summary.failure.is_none());
    assert!(ended.lock().unwrap().unwrap() < Duration::from_secs(1));
}

#[test]
fn a_time_limit_ends_the_run() {
    let setup = Setup {
        duration: Some(Duration::from_millis(200)),
        ..Setup::new(1000, 10, End::Lost)
    };
    let summary = setup.run(NoPreview).0.unwrap();
    assert!(summary.failure.is_none() && !summary.summary.was_cancelled);
    assert!((0.2..5.0).contains(&summary.summary.wall_s));
}

#[test]
fn a_time_limit_beyond_all_clocks_is_none() {
    let setup = Setup {
        duration: Some(Duration::MAX),
        ..Setup::new(3, 10, End::Whole)
    };
    let summary = setup.run(NoPreview).0.unwrap();
    assert!(summary.failure.is_none());
    assert_eq!(summary.live.frames.captured, 3);
}

#[test]
fn wishes_change_what_is_asked_and_drawn() {
    let preview = Script(move |view: &View| {
        wait_for("explained", || !view.status().top.is_empty());
        let first = view.status();
        assert_eq!(first.settings.class, "top1");
        assert_eq!(first.targets[0].label, "alpha");
        view.wish(&Wish::NextClass).unwrap();
        wait_for("beta", || view.status().targets[0].label == "beta");
        assert_eq!(view.status().settings.class, "beta");
        view.wish(&Wish::NextClass).unwrap();
        wait_for("alpha", || view.status().targets[0].label == "alpha");
        view.wish(&Wish::Class("n2".to_owned())).unwrap();
        wait_for("beta again", || view.status().targets[0].label == "beta");
        for (wish, of) in [
            (Wish::Class("gamma".to_owned()), "gamma"),
            (Wish::Method("nocam".to_owned()), "nocam"),
            (Wish::Layer("layer9".to_owned()), "layer9"),
            (Wish::Alpha(2.0), "2"),
        ] {
            let error = view.wish(&wish).unwrap_err();
            assert!(error.one_line().contains(of), "{error}");
        }
        let mixed = [Wish::TopClass, Wish::Layer("layer9".to_owned())];
        assert!(view.wish_all(&mixed).is_err());
        assert_eq!(view.status().settings.class, "beta", "all or nothing");
        view.wish(&Wish::NextMethod).unwrap();
        view.wish(&Wish::Layer("layer3".to_owned())).unwrap();
        view.wish(&Wish::Layout(Layout::SideBySide)).unwrap();
        view.wish(&Wish::NextColorMap).unwrap();
        view.wish(&Wish::Alpha(0.75)).unwrap();
        let settings = view.status().settings;
        assert_eq!(settings.method, "gradcam++");
        assert_eq!(settings.layer, "layer3");
        assert_eq!(settings.colormap, ColorMap::ALL[1].to_string());
        assert_eq!(
            (settings.layout.as_str(), settings.alpha),
            ("side-by-side", 0.75)
        );
        wait_for("wide", || {
            view.current_picture().unwrap().picture.width == 2 * WIDTH
        });
        view.quit();
        Ok(())
    });
    let (summary, records) = Setup::new(100_000, 5, End::Lost).run(preview);
    assert!(summary.unwrap().failure.is_none());
    let lines = lines_of(&records);
    assert!(lines.iter().any(|line| line["target"]["label"] == "beta"));
    assert_eq!(lines.last().unwrap()["target"]["label"], "beta");
}

#[test]
fn what_is_shown_before_the_first_map_is_recorded_without_records() {
    let recording = Recording::default();
    let setup = Setup {
        recording: Some(recording.clone()),
        duration: Some(Duration::from_millis(600)),
        ..Setup::new(100_000, 10, End::Lost).with_delay(1500)
    };
    let (summary, records) = setup.run(NoPreview);
    let summary = summary.unwrap();
    assert!(summary.failure.is_none());
    let recorded = recording.recorded.lock().unwrap();
    assert!(recorded.is_finished && recorded.frames.len() > 5);
    assert_eq!(lines_of(&records).len(), 0);
    let frames = summary.live.frames;
    assert_eq!(frames.dropped + 1, frames.captured, "one was at work");
}

#[test]
fn a_frozen_frame_stays_and_is_explained_for_other_wishes() {
    let preview = Script(move |view: &View| {
        wait_for("explained", || !view.status().top.is_empty());
        view.wish(&Wish::Freeze(true)).unwrap();
        wait_for("frozen", || view.status().state == LiveState::Frozen);
        std::thread::sleep(Duration::from_millis(60));
        let held = view.status();
        let prob = held.top[0].prob;
        std::thread::sleep(Duration::from_millis(100));
        let later = view.status();
        assert!(
            later.frames.captured > held.frames.captured,
            "capture goes on"
        );
        assert_eq!(later.frames.shown, held.frames.shown);
        assert_eq!(later.frames.dropped, held.frames.dropped);
        assert_eq!(later.top[0].prob, prob);
        view.wish(&Wish::NextClass).unwrap();
        wait_for("beta", || view.status().targets[0].label == "beta");
        assert_eq!(view.status().top[0].prob, prob, "of the same frame");
        view.wish(&Wish::ToggleFreeze).unwrap();
        let shown = later.frames.shown;
        wait_for("goes on", || view.status().frames.shown > shown);
        let missed = view.status().frames.unshown - held.frames.unshown;
        assert!(
            missed < 10,
            "frames that pass meanwhile are not missed: {missed}"
        );
        view.wish(&Wish::Freeze(true)).unwrap();
        std::thread::sleep(Duration::from_millis(700));
        view.quit();
        Ok(())
    });
    let recording = Recording::default();
    let setup = Setup {
        recording: Some(recording.clone()),
        ..Setup::new(100_000, 5, End::Lost)
    };
    let summary = setup.run(preview).0.unwrap();
    assert!(summary.failure.is_none());
    // The recording is as long as the run, though the last picture stood.
    let recorded = recording.recorded.lock().unwrap();
    let [.., before, last] = recorded.frames.as_slice() else {
        panic!("too few frames");
    };
    assert!(last.0 - before.0 > 90_000 / 2, "{before:?} {last:?}");
}

#[test]
fn a_file_that_ends_waits_for_who_looks_at_a_frame() {
    let preview = Script(move |view: &View| {
        wait_for("explained", || !view.status().top.is_empty());
        view.wish(&Wish::Freeze(true)).unwrap();
        wait_for("the end", || view.status().frames.captured == 15);
        // The last frame of a file waits a second for its map.
        assert!(!view.wait_for_end(Duration::from_millis(1200)));
        view.wish(&Wish::NextClass).unwrap();
        wait_for("beta", || view.status().targets[0].label == "beta");
        view.wish(&Wish::Freeze(false)).unwrap();
        wait_for("over", || view.is_over());
        Ok(())
    });
    let (summary, records) = Setup::new(15, 30, End::Whole).run(preview);
    assert!(summary.unwrap().failure.is_none());
    let last = lines_of(&records).last().unwrap();
    assert_eq!(last["target"]["label"], "beta");
    let flags = last["flags"].as_array().unwrap();
    assert!(
        !flags.contains(&"carried".into()),
        "a map of its own: {last}"
    );
}

/// Of a frozen frame nothing leaves the rolling window.
#[test]
fn another_method_has_a_scale_of_its_own() {
    let preview = Script(move |view: &View| {
        // As bright as this, Grad-CAM's map is thirty times as high as that of Grad-CAM++.
        wait_for("bright", || view.status().frames.captured > 50);
        view.wish(&Wish::Freeze(true)).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let shown = || view.current_picture().unwrap();
        let peak = || lower_right(&shown().picture);
        let [red, _, blue] = peak();
        assert!(red > blue, "Grad-CAM: {red} {blue}");
        let last = shown().number;
        view.wish(&Wish::Method("gradcam++".to_owned())).unwrap();
        wait_for("another map", || shown().number > last);
        let [red, _, blue] = peak();
        assert!(red > blue, "Grad-CAM++: {red} {blue}");
        view.quit();
        Ok(())
    });
    let summary = Setup::new(100_000, 5, End::Lost).run(preview).0.unwrap();
    assert!(summary.failure.is_none());
}

#[test]
fn a_method_that_needs_more_samples_is_refused_and_the_run_goes_on() {
    let preview = Script(move |view: &View| {
        wait_for("explained", || !view.status().top.is_empty());
        view.wish(&Wish::Method("rise".to_owned())).unwrap();
        let wish = Wish::Method("kernelshap".to_owned());
        let line = view.wish(&wish).unwrap_err().one_line();
        assert_eq!(line, "kernelshap needs at least 4 samples, not 3");
        assert_eq!(view.status().settings.method, "rise");
        // It takes no samples, and is not asked for any.
        view.wish(&Wish::Method("gradcam".to_owned())).unwrap();
        let explained = view.status().frames.explained;
        wait_for("goes on", || view.status().frames.explained > explained + 2);
        view.quit();
        Ok(())
    });
    let setup = Setup {
        samples: Some(3),
        ..Setup::new(100_000, 5, End::Lost)
    };
    assert!(setup.run(preview).0.unwrap().failure.is_none());
}

#[test]
fn a_slow_encoder_loses_frames_of_the_recording_only() {
    let recording = Recording {
        delay: Duration::from_millis(50),
        ..Recording::default()
    };
    let setup = Setup {
        recording: Some(recording.clone()),
        ..Setup::new(60, 10, End::Whole)
    };
    let (summary, records) = setup.run(NoPreview);
    let frames = summary.unwrap().live.frames;
    assert!(
        frames.shown > frames.unrecorded && frames.unrecorded > 10,
        "{frames:?}"
    );
    let recorded = recording.recorded.lock().unwrap();
    assert!(recorded.is_finished);
    let last = lines_of(&records).last().unwrap()["frame"]
        .as_u64()
        .unwrap();
    assert_eq!(last + 1, recorded.frames.len() as u64);
}

#[test]
fn a_recording_that_cannot_be_written_ends_the_run_with_its_cause() {
    let setup = Setup {
        recording: Some(Recording {
            fails_at: Some(3),
            ..Recording::default()
        }),
        ..Setup::new(100_000, 5, End::Lost)
    };
    let error = setup.run(NoPreview).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert!(error.one_line().contains("the disk is full"), "{error}");
}

#[test]
fn a_model_that_fails_or_panics_ends_the_run_and_keeps_the_recording() {
    for fault in [Fault::Fail(20), Fault::Panic(20)] {
        let recording = Recording::default();
        let mut setup = Setup {
            recording: Some(recording.clone()),
            ..Setup::new(100_000, 5, End::Lost)
        };
        // Every frame is explained sooner or later at this brightness: it comes back every 200 frames.
        setup.model.fault = fault;
        let summary = setup.run(NoPreview).0.unwrap();
        let failure = summary.failure.unwrap().one_line();
        assert!(failure.contains("the model"), "{failure}");
        assert!(recording.recorded.lock().unwrap().is_finished);
    }
}

#[test]
fn several_workers_share_the_frames() {
    let setup = Setup {
        workers: 3,
        ..Setup::new(60, 10, End::Whole).with_delay(50)
    };
    let (summary, records) = setup.run(NoPreview);
    let frames = summary.unwrap().live.frames;
    assert!(
        frames.explained > 14,
        "one worker makes twelve at most: {frames:?}"
    );
    let lines = lines_of(&records);
    let maps = lines
        .iter()
        .map(|line| line["heatmap"][0][0].as_f64().unwrap());
    let maps: Vec<f64> = maps.collect();
    assert!(maps.is_sorted(), "an older map never replaces a newer one");
}
