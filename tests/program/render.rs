//! Drawing again from records, and the scale that needs two passes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{file, records, run, run_ok};

/// Half a second with sound.
fn clip(folder: &Path) -> PathBuf {
    let path = folder.join("clip.mp4");
    let sample = file("samples/cup.mp4");
    crate::common::ffmpeg(
        &format!("-ss 1 -i {} -t 0.5 -c:v libx264 -c:a aac", sample.display()),
        &path,
    );
    path
}

fn with<'a>(paths: &[&'a Path], arguments: &[&'a str]) -> Vec<&'a str> {
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    paths.chain(arguments.iter().copied()).collect()
}

#[test]
fn the_same_flags_draw_the_same_file_without_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path());
    let explained: [(&str, &[&str]); 4] = [
        ("jsonl", &["--start", "0.1"]),
        (
            "csv",
            &["--stride", "3", "--top-k", "1", "--resize", "crop"],
        ),
        (
            "parquet",
            &["--class", "cup", "--class", "top1", "--contrast", "pitcher"],
        ),
        ("jsonl", &["--layer", "layer3", "--hold", "0.5"]),
    ];
    let drawn: [&[&str]; 4] = [
        &[
            "--layout",
            "triple",
            "--colormap",
            "turbo",
            "--smooth",
            "0.5",
        ],
        &["--normalize", "frame", "--alpha", "0.7"],
        &["--layout", "side-by-side", "--threshold", "0.3"],
        &["--normalize", "video"],
    ];
    for (number, ((format, explain), draw)) in explained.into_iter().zip(drawn).enumerate() {
        let path = |name: &str| folder.path().join(format!("{number}-{name}"));
        let (first, second) = (path("first.mp4"), path("second.mp4"));
        let (records, stats) = (path("records").with_extension(format), path("stats.json"));
        let mut arguments = with(&[&clip, &first], explain);
        arguments.extend(draw);
        arguments.extend(["--records", records.to_str().unwrap()]);
        run_ok(arguments);
        let mut arguments = vec!["render"];
        arguments.extend(with(&[&clip, &records, &second], draw));
        arguments.extend(["--stats", stats.to_str().unwrap()]);
        // No network: a weight file that does not exist is not missed.
        let result = crate::common::gradcam_video()
            .env("GRADCAM_VIDEO_WEIGHTS", "/nowhere")
            .args(&arguments)
            .output()
            .unwrap();
        let (code, _, stderr) = crate::common::outcome(result);
        assert_eq!(code, 0, "{explain:?}: {stderr}");
        assert!(
            fs::read(&first).unwrap() == fs::read(&second).unwrap(),
            "{explain:?} {draw:?}"
        );
        let stats: serde_json::Value = serde_json::from_slice(&fs::read(stats).unwrap()).unwrap();
        assert_eq!(stats["stages"]["model"]["cpu_ms"], 0.0);
        assert!(stats["precision"].is_null());
    }
}

#[test]
fn over_the_whole_video_the_largest_map_is_full_colour() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path());
    let path = |name: &str| folder.path().join(name);
    let (whole, fixed, jsonl) = (path("whole.mp4"), path("fixed.mp4"), path("r.jsonl"));
    let stats = path("stats.json");
    let mut arguments = with(&[&clip, &whole], &["--normalize", "video", "--records"]);
    arguments.extend(with(&[&jsonl], &["--stats", stats.to_str().unwrap()]));
    run_ok(arguments);
    let lines = records(&jsonl);
    let values = lines[1..].iter().flat_map(|record| {
        let rows = record["heatmap"].as_array().unwrap();
        rows.iter().flat_map(|row| row.as_array().unwrap())
    });
    let largest = values
        .map(|value| value.as_f64().unwrap())
        .fold(0.0, f64::max);
    let scale = format!("fixed={}", largest as f32);
    run_ok(with(&[&clip, &fixed], &["--normalize", &scale]));
    assert!(fs::read(whole).unwrap() == fs::read(fixed).unwrap());
    let stats: serde_json::Value = serde_json::from_slice(&fs::read(stats).unwrap()).unwrap();
    assert_eq!(stats["frames_out"], lines.len() - 1);
    assert!(stats["stages"]["model"]["cpu_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(stats["precision"], "f32");
}

#[test]
fn images_are_drawn_again_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let photo = file("samples/chelsea.png");
    for (number, draw) in [&["--alpha", "0.8"][..], &["--recipe", "keras"]]
        .iter()
        .enumerate()
    {
        let (first, second, jsonl) = (path("1.png"), path("2.png"), path("r.jsonl"));
        let mut arguments = with(&[&photo, &first], draw);
        arguments.extend(["-y", "--records", jsonl.to_str().unwrap()]);
        run_ok(arguments);
        let mut arguments = vec!["render", "-y"];
        arguments.extend(with(&[&photo, &jsonl, &second], draw));
        run_ok(arguments);
        assert!(
            fs::read(&first).unwrap() == fs::read(&second).unwrap(),
            "{number}"
        );
    }
}

#[test]
fn records_of_something_else_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path());
    let path = |name: &str| folder.path().join(name);
    let (out, jsonl) = (path("o.mp4"), path("r.jsonl"));
    let mut arguments = with(&[&clip, &out], &["--stride", "100", "--records"]);
    arguments.extend(with(&[&jsonl], &[]));
    run_ok(arguments);
    let text = fs::read_to_string(&jsonl).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let write = |name: &str, lines: &[&str]| {
        let path = path(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path
    };
    let late = lines[2].replacen("\"pts_s\":", "\"pts_s\":7", 1);
    let other_size = lines[0].replacen("\"size\":[640,480]", "\"size\":[480,640]", 1);
    let cases = [
        (
            write("late.jsonl", &[lines[0], lines[1], &late]),
            "next record is of frame 1",
        ),
        (write("size.jsonl", &[&other_size, lines[1]]), "480x640"),
        (write("head.jsonl", &lines[..1]), "no record"),
        (write("none.jsonl", &lines[1..]), "line 1"),
        (
            write("two.jsonl", &[lines[0], lines[1], lines[1], lines[2]]),
            "2",
        ),
        (path("missing.jsonl"), "missing.jsonl"),
        (clip.clone(), ".jsonl, .csv or .parquet"),
    ];
    for (records, hint) in cases {
        let target = path("again.mp4");
        let mut arguments = vec!["render"];
        arguments.extend(with(&[&clip, &records, &target], &[]));
        let (code, _, stderr) = run(&arguments);
        let is_usage = hint == ".jsonl, .csv or .parquet";
        assert_eq!(code, if is_usage { 2 } else { 1 }, "{stderr}");
        let errors: Vec<&str> = stderr
            .lines()
            .filter(|line| !line.contains("note:"))
            .collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        assert!(errors[0].contains(hint), "{hint}: {stderr}");
        assert!(!target.exists());
        assert!(!path("again.mp4.part").exists());
    }
    let (code, _, stderr) = run(["-", "o.mp4", "--normalize", "video"]);
    assert!(code == 2 && stderr.contains("twice"), "{stderr}");
    let pipe = path("pipe.mp4");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let (code, _, stderr) = run(with(&[&pipe, &out], &["-y", "--normalize", "video"]));
    assert!(code == 2 && stderr.contains("twice"), "{stderr}");
}

#[test]
fn records_that_end_early_end_the_output_and_more_of_them_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path());
    let path = |name: &str| folder.path().join(name);
    let (out, jsonl, again) = (path("o.mp4"), path("r.jsonl"), path("again.mp4"));
    let mut arguments = with(&[&clip, &out], &["--stride", "100", "--records"]);
    arguments.extend(with(&[&jsonl], &[]));
    run_ok(arguments);
    let text = fs::read_to_string(&jsonl).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // As those of an interrupted run, which its output ends with.
    let short = path("short.jsonl");
    fs::write(&short, lines[..6].join("\n")).unwrap();
    let mut arguments = vec!["render"];
    arguments.extend(with(&[&clip, &short, &again], &[]));
    let (code, _, stderr) = run(&arguments);
    assert!(
        code == 3 && stderr.contains("only their 5 frames"),
        "{stderr}"
    );
    assert_eq!(crate::common::frame_times(&again).len(), 5);

    let fewer = path("fewer.mp4");
    crate::common::ffmpeg(
        &format!("-i {} -frames:v 3 -an -c:v libx264", clip.display()),
        &fewer,
    );
    let mut arguments = vec!["render", "-y"];
    arguments.extend(with(&[&fewer, &jsonl, &again], &[]));
    let stderr = run_ok(arguments);
    assert!(stderr.contains("records for more frames"), "{stderr}");
}

#[test]
fn no_file_of_a_run_takes_the_place_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let photo = file("samples/chelsea.png");
    let photo = photo.to_str().unwrap();
    let (records, alias) = (name("r.jsonl"), name("./r.jsonl"));
    let output = name("o.png");
    let all = [photo, &output, "--records", &records, "--stats", &alias];
    let (code, _, stderr) = run(all);
    assert!(code == 2 && stderr.contains("named twice"), "{stderr}");
    run_ok([photo, &output, "--records", &records]);
    let before = fs::read(&records).unwrap();
    let all = ["render", photo, &records, &output, "-y", "--stats", &alias];
    let (code, _, stderr) = run(all);
    assert!(code == 2 && stderr.contains("named twice"), "{stderr}");
    assert_eq!(fs::read(&records).unwrap(), before);
    // The recipe draws maps that cover the image.
    run_ok([
        photo,
        &output,
        "-y",
        "--resize",
        "crop",
        "--records",
        &name("crop.jsonl"),
    ]);
    let crop = name("crop.jsonl");
    let (code, _, stderr) = run(["render", photo, &crop, &output, "-y", "--recipe", "keras"]);
    assert!(code == 2 && stderr.contains("covers the image"), "{stderr}");
}
