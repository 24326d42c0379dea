//! What the tests of the command line share: running the binary, ffmpeg and ffprobe.

pub mod browser;
pub mod page;
pub mod protection;
pub mod report_checks;
pub mod stage;
pub mod streams;
pub mod synthetic_report;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn gradcam_video() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gradcam-video"))
}

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs the binary and returns exit code, stdout, stderr.
pub fn run<I, S>(args: I) -> (i32, String, String)
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    outcome(gradcam_video().args(args).output().unwrap())
}

pub fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Runs the binary, which must succeed; returns stderr.
pub fn run_ok<I, S>(args: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let (code, _, stderr) = run(args);
    assert_eq!(code, 0, "{stderr}");
    stderr
}

/// Runs the ffmpeg program, which must succeed; `arguments` are split at spaces.
pub fn ffmpeg(arguments: &str, output: &Path) {
    let result = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-y"])
        .args(arguments.split(' '))
        .arg(output)
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
}

/// A file in `folder` that the ffmpeg program makes.
pub fn generated(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    ffmpeg(arguments, &path);
    path
}

/// One value of the first video stream.
pub fn probe(path: &Path, entries: &str) -> String {
    ffprobe(path, &["-select_streams", "v:0", "-show_entries", entries])
}

pub fn ffprobe(path: &Path, arguments: &[&str]) -> String {
    let result = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0"])
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    String::from_utf8(result.stdout)
        .unwrap()
        .trim()
        .trim_end_matches(',')
        .to_owned()
}

/// Presentation times of all video frames in seconds, in order of presentation.
pub fn frame_times(path: &Path) -> Vec<f64> {
    let mut times: Vec<f64> = probe(path, "packet=pts_time")
        .lines()
        .map(|line| line.trim_end_matches(','))
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().unwrap())
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Hash of the payload of all audio packets.
pub fn audio_hash(path: &Path) -> String {
    let result = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args([
            "-map",
            "0:a",
            "-c",
            "copy",
            "-f",
            "streamhash",
            "-hash",
            "sha256",
            "-",
        ])
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    String::from_utf8(result.stdout).unwrap()
}

/// A frame as the ffmpeg program decodes and (for rotated video) turns it: width, height, RGB bytes.
pub fn decoded_frame(path: &Path, index: u64) -> image::RgbImage {
    let folder = tempfile::tempdir().unwrap();
    let png = folder.path().join("frame.png");
    let result = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-vf", &format!("select=eq(n\\,{index})"), "-frames:v", "1"])
        .arg(&png)
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    image::open(png).unwrap().to_rgb8()
}

/// Lines of a records file as JSON, the header first.
pub fn records(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
