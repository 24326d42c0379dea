//! Streams that begin late, or on another clock than those that are carried.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::common::{ffmpeg, ffprobe, frame_times, generated, gradcam_video, outcome, probe, run};

/// Exit code and stderr for an input that comes through a pipe.
fn through_pipe(bytes: &[u8], output: &Path, arguments: &[&str]) -> (i32, String) {
    let mut child = gradcam_video()
        .args(["-".as_ref(), output.as_os_str()])
        .args(["-y", "--stride", "1000"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A strict run ends before it has read all.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    let (code, _, stderr) = outcome(child.wait_with_output().unwrap());
    (code, stderr)
}

fn explain(input: &Path, output: &Path, arguments: &[&str]) -> (i32, String) {
    let mut all = vec![input.to_str().unwrap(), output.to_str().unwrap()];
    all.extend(["-y", "--stride", "1000"].iter().chain(arguments));
    let (code, _, stderr) = run(all);
    (code, stderr)
}

#[test]
fn frames_of_a_stream_that_begins_later_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let first = generated(
        folder.path(),
        "first.ts",
        "-f lavfi -i testsrc2=s=64x48:r=5:d=12 -f lavfi -i sine=d=12 -c:v libx264 -preset ultrafast -c:a aac",
    );
    let second = folder.path().join("second.ts");
    let arguments = format!("-i {} -c copy -mpegts_start_pid 300", first.display());
    ffmpeg(&arguments, &second);
    let joined = [fs::read(first).unwrap(), fs::read(second).unwrap()].concat();
    let (input, output) = (folder.path().join("in.ts"), folder.path().join("out.mp4"));
    fs::write(&input, &joined).unwrap();
    for (code, stderr) in [
        through_pipe(&joined, &output, &[]),
        explain(&input, &output, &[]),
    ] {
        assert_eq!(code, 3, "{stderr}");
        for lost in [
            "video stream 2 (h264) begins later and is not read",
            "audio stream 3 (aac) begins later and is not read",
        ] {
            assert_eq!(stderr.matches(lost).count(), 1, "{stderr}");
        }
        assert_eq!(frame_times(&output).len(), 60);
    }
    fs::remove_file(&output).unwrap();
    let (code, stderr) = through_pipe(&joined, &output, &["--strict"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(!output.exists());
}

#[test]
fn sound_that_begins_late_is_found_or_missed() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.ts",
        "-f lavfi -i testsrc2=s=64x48:r=5:d=14 -itsoffset 10 -f lavfi -i sine=d=3 -map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac",
    );
    let output = folder.path().join("out.mkv");
    let (code, stderr) = explain(&input, &output, &[]);
    assert_eq!(code, 0, "{stderr}");
    let of_audio = ["-select_streams", "a", "-show_entries", "packet=pts_time"];
    let times = ffprobe(&output, &of_audio);
    let start: f64 = times.lines().next().unwrap().parse().unwrap();
    assert!((start - 10.0).abs() < 0.1, "{start}");
    // A pipe cannot be read a second time.
    let (code, stderr) = through_pipe(&fs::read(&input).unwrap(), &output, &[]);
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("audio stream 1 (aac) begins later and is not read"),
        "{stderr}"
    );
}

#[test]
fn time_begins_with_the_program_that_is_carried() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.ts",
        "-f lavfi -i testsrc2=s=64x48:r=5:d=2 -itsoffset 1000 -f lavfi -i testsrc2=s=128x96:r=5:d=2 -map 0 -map 1 -c:v libx264 -preset ultrafast \
         -program title=a:st=0 -program title=b:st=1",
    );
    let output = folder.path().join("out.mp4");
    let (code, stderr) = explain(&input, &output, &["--end", "1"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(probe(&output, "stream=width"), "128");
    assert_eq!(frame_times(&output), [0.0, 0.2, 0.4, 0.6, 0.8]);
}

#[test]
fn a_long_pause_in_ogg_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.ogv",
        "-f lavfi -i testsrc2=s=64x48:r=5:d=20 -vf select='not(between(t,3,15))' -vsync passthrough -c:v libtheora",
    );
    let output = folder.path().join("out.mkv");
    let (code, stderr) = explain(&input, &output, &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(frame_times(&output), frame_times(&input));
}
