//! `live` on sources that are alive: a screen, a camera, streams that break, and a window that shows it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::stage::{Display, Live, Process, free_port, psnr, wait_for};
use crate::common::{decoded_frame, file, frame_times, generated, probe, records, run};

/// Top classes of the photo that Keras' ResNet50 gives.
const CATS: [&str; 4] = ["Egyptian_cat", "tiger_cat", "tabby", "lynx"];

/// Where the last record's map is strongest, in pixels of a frame of this size.
fn last_peak(records: &[serde_json::Value], size: (u32, u32)) -> (f64, f64) {
    let peak = &records.last().unwrap()["peak"];
    let at = |index: usize, length: u32| peak[index].as_f64().unwrap() * f64::from(length);
    (at(0, size.0), at(1, size.1))
}

#[test]
fn a_photo_on_the_screen_is_recognised_where_it_lies() {
    let display = Display::start(960, 640);
    // On the right, low: a heatmap that lies anywhere else is wrong.
    let _photo = display.show(&file("samples/chelsea.png"), 480, 320);
    let arguments = "screen --preview none --duration 5 --record live.mp4 --records live.jsonl --stats stats.json";
    let mut live = Live::start(arguments, |command| {
        command.env("DISPLAY", &display.name);
    });
    let (code, stderr) = live.finish();
    assert_eq!(code, 0, "{stderr}");

    let lines = records(&live.file("live.jsonl"));
    let label = lines.last().unwrap()["target"]["label"].as_str().unwrap();
    assert!(CATS.contains(&label), "{label}");
    let (x, y) = last_peak(&lines, display.size);
    assert!(x > 480.0 && y > 320.0, "{x} {y}");

    // Times are those of capture: about 30 per second, each frame of the recording has its record.
    let times = frame_times(&live.file("live.mp4"));
    for line in &lines[1..] {
        let time = times[line["frame"].as_u64().unwrap() as usize];
        assert!((time - line["pts_s"].as_f64().unwrap()).abs() < 1e-4);
    }
    let stats = live.stats();
    assert_eq!(stats["frames_out"], times.len());
    assert!(
        stats["live"]["frames"]["captured"].as_u64().unwrap() > 60,
        "{stats}"
    );
    assert!(
        stats["live"]["frames"]["dropped"].as_u64().unwrap() > 0,
        "{stats}"
    );
    assert!(stats["live"]["map_latency_ms"]["p50"].as_f64().unwrap() > 1.0);

    // The heat and the label are in the picture.
    let frame = decoded_frame(&live.file("live.mp4"), times.len() as u64 - 1);
    assert_eq!(frame.dimensions(), (960, 640));
    let at = |x, y| frame.get_pixel(x, y).0;
    let [red, _, blue] = at((x as u32).min(959), (y as u32).min(639));
    assert!(red > blue, "red at the peak");
    let [red, _, blue] = at(700, 40);
    assert!(blue > red, "blue where nothing is");
}

#[test]
fn a_region_of_the_screen_is_all_that_is_seen() {
    let display = Display::start(640, 480);
    let _photo = display.show(&file("samples/chelsea.png"), 100, 80);
    let arguments =
        "screen --region 400x280+120+90 --fps 10 --preview none --duration 3 --record live.mkv";
    let mut live = Live::start(arguments, |command| {
        command.env("DISPLAY", &display.name);
    });
    assert_eq!(live.finish().0, 0, "{}", live.stderr());
    assert_eq!(
        probe(&live.file("live.mkv"), "stream=width,height"),
        "400,280"
    );
    let outside = Live::start("screen --region 400x280+500+90 --preview none", |command| {
        command.env("DISPLAY", &display.name);
    })
    .finish();
    assert_eq!(outside.0, 1, "{}", outside.1);
}

#[test]
fn the_window_shows_what_is_recorded_and_obeys_keys() {
    let screen = Display::start(640, 480);
    let _photo = screen.show(&file("samples/chelsea.png"), 94, 90);
    let shown = Display::start(640, 480);
    let arguments = format!(
        "screen:{} --fps 10 --record live.mkv --records live.jsonl --stats stats.json",
        screen.name
    );
    let mut live = Live::start(&arguments, |command| {
        command.env("DISPLAY", &shown.name);
    });
    live.says("maps/s");
    thread::sleep(Duration::from_secs(1));
    let window = shown.screenshot();
    let target = |folder: &Path| {
        let mut found = std::fs::read_dir(folder).unwrap().flatten();
        found.find_map(|entry| {
            let path = entry.path();
            let is_png = path.extension().is_some_and(|extension| extension == "png");
            // Until it is written it cannot be read.
            is_png.then(|| image::open(path).ok()).flatten()
        })
    };
    shown.press("s");
    let snapshot = wait_for("a snapshot", || target(live.folder.path())).to_rgb8();
    assert_eq!(snapshot.dimensions(), (640, 480));
    // Class by class the bars may move between two pictures.
    let likeness = psnr(&window, &snapshot);
    assert!(likeness > 28.0, "window and snapshot: {likeness} dB");

    shown.press("question");
    let differs = |dark: bool| {
        wait_for("the help", || {
            let help = shown.screenshot();
            let covered = help.get_pixel(500, 200).0;
            let plain = window.get_pixel(500, 200).0;
            let sum = |pixel: [u8; 3]| pixel.iter().map(|value| i32::from(*value)).sum::<i32>();
            ((sum(covered) < sum(plain) - 60) == dark).then_some(())
        });
    };
    differs(true);
    shown.press("question");
    differs(false);

    shown.press("m");
    shown.press("p");
    shown.press("c");
    // Long enough for a map of another class by another method.
    thread::sleep(Duration::from_secs(3));
    let other = shown.screenshot();
    assert!(psnr(&window, &other) < 28.0, "another palette");
    shown.press("l");
    thread::sleep(Duration::from_millis(500));
    shown.press("space");
    shown.press("Escape");
    let (code, stderr) = live.finish();
    assert_eq!(code, 0, "{stderr}");
    let lines = records(&live.file("live.jsonl"));
    let (first, last) = (&lines[1], lines.last().unwrap());
    assert_eq!(first["method"], "gradcam");
    assert_eq!(last["method"], "gradcam++");
    assert_eq!(
        last["target"]["label"], last["top"][1]["label"],
        "the second class"
    );
    let count = frame_times(&live.file("live.mkv")).len();
    assert!(last["frame"].as_u64().unwrap() < count as u64);
    let recorded = decoded_frame(&live.file("live.mkv"), count as u64 / 3);
    let likeness = psnr(&recorded, &window);
    assert!(likeness > 25.0, "recording and window: {likeness} dB");
    // The layout side by side is fitted into the shape that the recording began with.
    let last = decoded_frame(&live.file("live.mkv"), count as u64 - 1);
    assert_eq!(last.dimensions(), (640, 480));
    assert!(
        last.get_pixel(320, 20).0.iter().all(|value| *value < 30),
        "black above"
    );
}

/// Builds the camera that does not exist.
fn fake_camera() -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake_camera.so");
    // Tests run at the same time: each builds its own and gives it the name.
    let own = library.with_extension(format!("{}.so", std::process::id()));
    let status = Command::new("cc")
        .args([
            "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O2", "-o",
        ])
        .arg(&own)
        .arg(file("tests/tools/fake_camera.c"))
        .arg("-ldl")
        .status();
    assert!(status.unwrap().success());
    std::fs::rename(&own, &library).unwrap();
    library
}

/// Tells a fake camera what to do, at once.
fn control(path: &Path, words: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, words).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn a_camera_that_is_unplugged_comes_back_in_another_size() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("control");
    control(&words, "");
    let arguments =
        "/dev/video0 --preview none --network-timeout 2 --record live.mp4 --stats stats.json";
    let mut live = Live::start(arguments, |command| {
        command
            .env("LD_PRELOAD", fake_camera())
            .env("FAKE_CAMERA_CONTROL", &words);
    });
    live.says("maps/s");
    control(&words, "unplugged");
    live.says("no signal");
    control(&words, "640x480");
    live.says(" fps, ");
    thread::sleep(Duration::from_secs(2));
    control(&words, "stalled");
    wait_for("the stall", || {
        (live.stderr().matches("no signal").count() >= 2).then_some(())
    });
    control(&words, "");
    thread::sleep(Duration::from_secs(4));
    let interrupted = Instant::now();
    live.process.signal("INT");
    let (code, stderr) = live.finish();
    assert!(interrupted.elapsed() < Duration::from_secs(4), "{stderr}");
    assert_eq!(code, 130, "{stderr}");
    let stats = live.stats();
    assert!(stats["live"]["losses"].as_u64().unwrap() >= 1, "{stats}");
    // The recording keeps its first size and has frames of all times.
    assert_eq!(
        probe(&live.file("live.mp4"), "stream=width,height"),
        "320,240"
    );
    let times = frame_times(&live.file("live.mp4"));
    assert!(
        times.windows(2).any(|pair| pair[1] - pair[0] > 0.4),
        "the gap"
    );
    assert!(times.windows(2).all(|pair| pair[1] > pair[0]));
}

#[test]
fn an_rtsp_stream_that_is_killed_is_found_again() {
    let port = free_port();
    let serve = || {
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(file("tests/tools/rtsp_server.py"))
            .arg(port.to_string())
            .stderr(Stdio::null());
        Process::start_ready(&mut command)
    };
    let server = serve();
    let arguments = format!(
        "rtsp://127.0.0.1:{port}/live --preview none --network-timeout 2 --record live.mp4 --stats stats.json"
    );
    let mut live = Live::start(&arguments, |_| {});
    live.says("maps/s");
    drop(server);
    live.says("no signal");
    let server = serve();
    let lines = |live: &Live| live.stderr().matches(" fps, ").count();
    let before = lines(&live);
    wait_for("pictures", || (lines(&live) > before).then_some(()));
    // It keeps the connection and sends nothing.
    let losses = live.stderr().matches("no signal").count();
    server.signal("USR1");
    wait_for("the stall", || {
        (live.stderr().matches("no signal").count() > losses).then_some(())
    });
    let interrupted = Instant::now();
    live.process.signal("TERM");
    let (code, stderr) = live.finish();
    assert!(interrupted.elapsed() < Duration::from_secs(4), "{stderr}");
    assert_eq!(code, 130, "{stderr}");
    assert!(live.stats()["live"]["losses"].as_u64().unwrap() >= 1);
    assert!(frame_times(&live.file("live.mp4")).len() > 5);
}

#[test]
fn a_display_that_hangs_or_dies_does_not_take_the_recording_with_it() {
    for (signal, code) in [("KILL", 1), ("STOP", 130)] {
        let shown = Display::start(320, 240);
        let arguments = "lavfi:testsrc=rate=10:size=160x120 --record live.mp4 --records live.jsonl";
        let mut live = Live::start(arguments, |command| {
            command.env("DISPLAY", &shown.name);
        });
        live.says("maps/s");
        shown.signal(signal);
        if signal == "STOP" {
            thread::sleep(Duration::from_millis(500));
            live.process.signal("INT");
        }
        let start = Instant::now();
        let (got, stderr) = live.finish();
        assert!(start.elapsed() < Duration::from_secs(4), "{stderr}");
        assert_eq!(got, code, "{stderr}");
        assert!(frame_times(&live.file("live.mp4")).len() > 5);
        assert!(records(&live.file("live.jsonl")).len() > 1);
        shown.signal("CONT");
    }
}

#[test]
fn an_http_stream_that_ends_is_opened_again_until_it_is_given_up() {
    let port = free_port();
    let serve = || {
        let mut command = Command::new("ffmpeg");
        command
            .args([
                "-v",
                "error",
                "-re",
                "-f",
                "lavfi",
                "-i",
                "testsrc=size=320x240:rate=15",
            ])
            .args([
                "-c:v",
                "mpeg2video",
                "-b:v",
                "2M",
                "-f",
                "mpegts",
                "-listen",
                "1",
            ])
            .arg(format!("http://127.0.0.1:{port}/live"))
            .stdin(Stdio::null());
        Process::start(&mut command)
    };
    let server = serve();
    // ffmpeg says nothing when it listens.
    thread::sleep(Duration::from_millis(700));
    let arguments = format!(
        "http://127.0.0.1:{port}/live --preview none --network-timeout 2 --give-up 4 --record live.mp4"
    );
    let mut live = Live::start(&arguments, |_| {});
    live.says("maps/s");
    drop(server);
    live.says("no signal");
    let server = serve();
    let before = live.stderr().matches(" fps, ").count();
    wait_for("pictures", || {
        (live.stderr().matches(" fps, ").count() > before).then_some(())
    });
    drop(server);
    let (code, stderr) = live.finish();
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("no signal for 4 s, given up"), "{stderr}");
    assert!(frame_times(&live.file("live.mp4")).len() > 5);
}

#[test]
fn files_graphs_and_pipes_are_shown_in_real_time_and_end() {
    let start = Instant::now();
    let clip = file("samples/cup.mp4");
    let arguments = format!("{} --preview none --duration 2", clip.display());
    let mut live = Live::start(&arguments, |_| {});
    assert_eq!(live.finish().0, 0, "{}", live.stderr());
    assert!(start.elapsed() >= Duration::from_secs(2));

    let arguments = "lavfi:testsrc=duration=1.5:rate=8:size=64x48 --preview none --record - -q";
    let mut live = Live::start(arguments, |command| {
        command.stdout(Stdio::piped());
    });
    let stdout = live.process.0.stdout.take().unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut { stdout }, &mut bytes).unwrap();
    assert_eq!(live.finish(), (0, String::new()));
    let streamed = live.file("streamed.mp4");
    std::fs::write(&streamed, bytes).unwrap();
    let times = frame_times(&streamed);
    assert!((2..=12).contains(&times.len()), "{times:?}");

    let mut source = Process::start(
        Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc=duration=1:rate=10:size=64x48",
            ])
            .args(["-c:v", "ffv1", "-f", "matroska", "-"])
            .stdout(Stdio::piped()),
    );
    let pipe = source.0.stdout.take().unwrap();
    let mut live = Live::start("- --preview none --stats stats.json", |command| {
        command.stdin(pipe);
    });
    assert_eq!(live.finish().0, 0, "{}", live.stderr());
    assert_eq!(live.stats()["frames_in"], 10);
    assert!(live.stats()["wall_s"].as_f64().unwrap() > 0.85);
}

#[test]
fn a_stream_that_changes_its_size_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let piece = |name: &str, size: &str| {
        let graph = format!("-f lavfi -i testsrc=duration=2:rate=10:size={size}");
        let coded = "-c:v mpeg2video -b:v 2M -f mpegts";
        generated(folder.path(), name, &format!("{graph} {coded}"))
    };
    let pieces = [piece("one.ts", "320x240"), piece("two.ts", "480x240")];
    let joined = folder.path().join("joined.ts");
    let bytes = pieces.iter().flat_map(|path| std::fs::read(path).unwrap());
    std::fs::write(&joined, bytes.collect::<Vec<u8>>()).unwrap();
    let arguments = "- --preview none --record live.mkv --records live.jsonl --stats stats.json";
    let mut live = Live::start(arguments, |command| {
        command.stdin(std::fs::File::open(&joined).unwrap());
    });
    assert_eq!(live.finish().0, 0, "{}", live.stderr());
    assert_eq!(live.stats()["frames_in"], 40);
    let recording = live.file("live.mkv");
    assert_eq!(probe(&recording, "stream=width,height"), "320,240");
    let count = frame_times(&recording).len() as u64;
    let lines = records(&live.file("live.jsonl"));
    assert_eq!(lines.last().unwrap()["frame"], count - 1);
    // The wider pictures lie in the middle, between black bars.
    let last = decoded_frame(&recording, count - 1);
    let is_black = |x, y| last.get_pixel(x, y).0.iter().all(|value| *value < 30);
    assert!(is_black(160, 20) && is_black(160, 220) && !is_black(160, 60));
}

#[test]
fn what_cannot_be_had_is_said_in_a_line() {
    let failures: [(&[&str], i32, &str); 12] = [
        (&["0"], 1, "no camera at all"),
        (&["/dev/video9"], 1, "cannot read camera /dev/video9"),
        (&["screen"], 1, "$DISPLAY names no X11 display"),
        (&["screen::9999"], 1, "cannot read screen :9999"),
        (&["none.mp4"], 1, "cannot open none.mp4"),
        (&["lavfi:nonsense"], 1, "cannot read lavfi:nonsense"),
        (
            &["rtsp://127.0.0.1:1/x"],
            1,
            "cannot read rtsp://127.0.0.1:1/x",
        ),
        (
            &["0", "--region", "1x1+0+0"],
            2,
            "--region is a part of `screen`",
        ),
        (&["screen::1", "--region", "big"], 2, "is no region"),
        (&["0", "--listen", "nowhere"], 2, "--listen"),
        (&["0", "--normalize", "video"], 2, "not live"),
        (&["0", "--class", "no_such_thing"], 2, "no_such_thing"),
    ];
    for (arguments, code, words) in failures {
        let all = [&["live", "--preview", "none"], arguments].concat();
        let (got, stdout, stderr) = run(&all);
        assert_eq!(got, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert_eq!(
            (stderr.lines().count(), stdout.as_str()),
            (1, ""),
            "{stderr}"
        );
    }
    let no_display = ["live", "lavfi:testsrc", "--preview", "window"];
    let output = crate::common::gradcam_video()
        .args(no_display)
        .env("DISPLAY", ":9999")
        .output()
        .unwrap();
    let (code, _, stderr) = crate::common::outcome(output);
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot open a window"), "{stderr}");
}
