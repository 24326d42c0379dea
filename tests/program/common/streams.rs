//! A small grey video with sound or subtitles through the program, and what is heard and read afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::gradcam_video;

pub const RATE: usize = 48_000;

/// What the program says.
#[derive(Debug)]
pub struct Outcome {
    /// Notes about streams.
    pub notices: Vec<String>,
    /// The line about damage, if there is one.
    pub damage: Option<String>,
}

/// A folder with one input and one output.
pub struct Files {
    pub folder: TempDir,
    pub input: PathBuf,
    pub output: PathBuf,
}

impl Files {
    pub fn new(input: &str, output: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            input: folder.path().join(input),
            output: folder.path().join(output),
            folder,
        }
    }

    /// Makes the input: a small grey video and what `arguments` add to it.
    pub fn make(&self, arguments: &[&str]) -> &Self {
        let video = ["-f", "lavfi", "-i", "color=gray:s=64x48:r=10:d=3"];
        let end = ["-c:v", "mpeg4", utf8(&self.input)];
        ffmpeg(&[&video[..], arguments, &end].concat());
        self
    }

    /// Changes the input by a bit stream filter on its audio.
    pub fn filter(&self, filter: &str) -> &Self {
        let raw = self.input.with_file_name("raw.mkv");
        std::fs::rename(&self.input, &raw).unwrap();
        let copy = ["-map", "0", "-c", "copy", "-bsf:a", filter];
        ffmpeg(&[&["-i", utf8(&raw)], &copy[..], &[utf8(&self.input)]].concat());
        self
    }

    /// Explains the input.
    pub fn convert(&self) -> Outcome {
        self.convert_with(&[])
    }

    pub fn convert_with(&self, arguments: &[&str]) -> Outcome {
        let result = gradcam_video()
            .args([&self.input, &self.output])
            .args(["--stride", "1000"])
            .args(arguments)
            .output()
            .unwrap();
        let stderr = String::from_utf8(result.stderr).unwrap();
        let code = result.status.code();
        let damage = stderr.lines().find(|line| line.contains(" is damaged: "));
        let expected = if damage.is_some() { 3 } else { 0 };
        assert_eq!(code, Some(expected), "{stderr}");
        let notes = stderr
            .lines()
            .filter_map(|line| line.strip_prefix("gradcam-video: note: "));
        Outcome {
            notices: notes.map(str::to_owned).collect(),
            damage: damage.map(str::to_owned),
        }
    }

    /// The output's first audio stream, mixed to mono, from the moment at which the video starts.
    pub fn samples(&self) -> Vec<f32> {
        // Without a video the container starts with the audio.
        let start = |value: String| value.parse::<f64>().unwrap_or(0.0);
        let video = start(self.probe("v", "stream=start_time"));
        let container = start(self.probe("v", "format=start_time"));
        let skipped = ((video - container) * RATE as f64).round();
        samples(&self.output).split_off(skipped as usize)
    }

    /// One value of the output's first stream of a kind (`a`, `s`).
    pub fn probe(&self, kind: &str, entry: &str) -> String {
        let entries = if entry.contains('=') {
            entry.to_owned()
        } else {
            format!("stream={entry}")
        };
        let stream = format!("{kind}:0");
        let arguments = ["-v", "error", "-select_streams", &stream, "-show_entries"];
        let format = ["-of", "default=nw=1:nk=1", utf8(&self.output)];
        let output = Command::new("ffprobe")
            .args([&arguments[..], &[&entries], &format].concat())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // In a transport stream a stream is listed twice, once in its program.
        text.lines().next().unwrap_or_default().trim().to_owned()
    }

    /// The output's subtitles as SubRip.
    pub fn subtitles(&self) -> String {
        let target = self.folder.path().join("read.srt");
        ffmpeg(&["-i", utf8(&self.output), "-map", "0:s:0", utf8(&target)]);
        std::fs::read_to_string(target).unwrap().replace('\r', "")
    }
}

pub fn samples(path: &Path) -> Vec<f32> {
    let filter = format!("aresample={RATE}:async=1:first_pts=0:min_hard_comp=0.001");
    let before = ["-v", "error", "-i", utf8(path), "-map", "0:a:0", "-af"];
    let after = ["-ac", "1", "-f", "f32le", "-"];
    let output = Command::new("ffmpeg")
        .args([&before[..], &[&filter], &after].concat())
        .output()
        .unwrap();
    assert!(output.status.success());
    let (values, _) = output.stdout.as_chunks::<4>();
    values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

pub fn ffmpeg(arguments: &[&str]) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-nostdin"])
        .args(arguments)
        .status()
        .unwrap();
    assert!(status.success(), "{arguments:?}");
}

pub fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Seconds of sound.
pub fn seconds(samples: &[f32]) -> f64 {
    samples.len() as f64 / RATE as f64
}

/// When the loudest sample is heard.
pub fn loudest_secs(samples: &[f32]) -> f64 {
    let loudest = |a: &(usize, &f32), b: &(usize, &f32)| a.1.abs().total_cmp(&b.1.abs());
    let (index, _) = samples.iter().enumerate().max_by(loudest).unwrap();
    index as f64 / RATE as f64
}

/// Root mean square of the part between two instants, in decibels.
pub fn level_db(samples: &[f32], from_secs: f64, to_secs: f64) -> f64 {
    let part = &samples[(from_secs * RATE as f64) as usize..(to_secs * RATE as f64) as usize];
    let power: f64 = part.iter().map(|value| f64::from(*value).powi(2)).sum();
    10.0 * (power / part.len() as f64).max(1e-20).log10()
}

/// The frequency of a tone, by its upward zero crossings between two instants.
pub fn frequency(samples: &[f32], from_secs: f64, to_secs: f64) -> f64 {
    let part = &samples[(from_secs * RATE as f64) as usize..(to_secs * RATE as f64) as usize];
    let crossings: Vec<f64> = part
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
        .map(|(index, pair)| index as f64 + f64::from(pair[0] / (pair[0] - pair[1])))
        .collect();
    let span = crossings.last().unwrap() - crossings.first().unwrap();
    (crossings.len() - 1) as f64 * RATE as f64 / span
}
