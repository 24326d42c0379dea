//! What a run tells its caller: progress on the way, a summary at the end.

use std::ops::AddAssign;

use serde::Serialize;

use crate::explain::Explanation;
use crate::pipeline::RecordsFit;
use crate::source::Damage;

/// Where a run stands.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Frames written so far.
    pub frames_done: u64,
    /// How many there will be, by the container's word.
    pub estimated_frames: Option<u64>,
    /// Name of the current frame's top class.
    pub top_class: &'a str,
}

/// Hears of progress. Called on the thread that encodes after every frame, so it must be quick.
pub trait Reporter: Send + Sync {
    /// One more frame was written.
    fn frame_done(&self, progress: Progress<'_>);

    /// One of the `total` passes that explain the current frame is done. Called from any thread, only for methods that make many passes.
    fn pass_done(&self, done: usize, total: usize) {
        let _ = (done, total);
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SilentReporter;

impl Reporter for SilentReporter {
    fn frame_done(&self, _progress: Progress<'_>) {}
}

/// Time of one stage over the whole run, all its threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct StageTime {
    /// CPU time in milliseconds.
    pub cpu_ms: f64,
    /// Time blocked on the neighbouring stage, or on the device that runs the network, in milliseconds.
    pub wait_ms: f64,
}

impl AddAssign for StageTime {
    fn add_assign(&mut self, other: Self) {
        self.cpu_ms += other.cpu_ms;
        self.wait_ms += other.wait_ms;
    }
}

/// Time per stage. A worker that waits for a frame counts under `preprocess`, one that waits to hand on under `explain`;
/// a thread that waits for a frame to draw counts under `render`, the one that waits for a drawn frame under `encode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct StageTimes {
    /// Reading and decoding.
    pub decode: StageTime,
    /// Resizing and normalising.
    pub preprocess: StageTime,
    /// The network.
    pub model: StageTime,
    /// From activations to the raw map.
    pub explain: StageTime,
    /// Drawing.
    pub render: StageTime,
    /// Encoding and writing, with the threads that the encoder starts for itself.
    pub encode: StageTime,
}

impl AddAssign for StageTimes {
    fn add_assign(&mut self, other: Self) {
        self.decode += other.decode;
        self.preprocess += other.preprocess;
        self.model += other.model;
        self.explain += other.explain;
        self.render += other.render;
        self.encode += other.encode;
    }
}

/// What a run did. Serialises as the `--stats` file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Frames decoded.
    pub frames_in: u64,
    /// Frames written.
    pub frames_out: u64,
    /// How many things were wrong with the input: [`damage`](Self::damage) counted.
    pub decode_errors: u64,
    /// Duration of the run in seconds.
    pub wall_s: f64,
    /// Frames written per second.
    pub fps: f64,
    /// CPU time of the whole process during the run in seconds.
    pub cpu_s: f64,
    /// `cpu_s` per frame written, in milliseconds.
    pub cpu_ms_per_frame: f64,
    /// Largest resident memory of the process in MiB.
    pub peak_rss_mb: f64,
    /// Time per stage.
    pub stages: StageTimes,
    /// Arithmetic of the network; `null` if none ran.
    pub precision: Option<&'static str>,
    /// Where the network ran.
    pub device: Option<String>,
    /// Instruction set of the network's kernels; `candle` leaves it to candle.
    pub isa: Option<&'static str>,
    /// Mean absolute change of the drawn map between neighbouring frames outside scene cuts, 0 to 1; `null` without such a pair. Frames that carry a map on count as unchanged.
    pub flicker: Option<f64>,
    /// Frames whose raw map had no positive value.
    pub no_positive_evidence: u64,
    /// What was wrong with the input.
    #[serde(skip)]
    pub damage: Damage,
    /// Things the user should be told that came up on the way.
    #[serde(skip)]
    pub notices: Vec<String>,
    /// Whether the run stopped on request.
    #[serde(skip)]
    pub was_cancelled: bool,
    /// Whether records and frames were of equal number, in a run that draws from records.
    #[serde(skip)]
    pub records_fit: RecordsFit,
    /// The last frame's explanation; an image has only this one.
    #[serde(skip)]
    pub last: Option<Explanation>,
}

impl Summary {
    /// Of two passes over the same frames: this one, which wrote them, after `first`, which explained them.
    #[must_use]
    pub fn after(self, first: Self) -> Self {
        let (wall_s, cpu_s) = (self.wall_s + first.wall_s, self.cpu_s + first.cpu_s);
        let mut stages = first.stages;
        stages += self.stages;
        Self {
            wall_s,
            fps: self.frames_out as f64 / wall_s,
            cpu_s,
            cpu_ms_per_frame: cpu_s * 1e3 / self.frames_out.max(1) as f64,
            peak_rss_mb: self.peak_rss_mb.max(first.peak_rss_mb),
            stages,
            precision: first.precision,
            device: first.device.clone(),
            isa: first.isa,
            last: first.last,
            was_cancelled: self.was_cancelled || first.was_cancelled,
            ..self
        }
    }
}
