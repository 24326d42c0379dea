//! Timelines of videos.

use serde::Serialize;

/// A video's timeline.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Video {
    /// The file, relative to the dataset.
    pub path: String,
    /// Duration in seconds; none if the file does not say.
    pub duration_s: Option<f64>,
    /// How many frames were sampled.
    pub sampled: u64,
    /// How many of them have findings.
    pub flagged: u64,
    /// Names of the classes that the points name by index.
    pub classes: Vec<String>,
    /// In how many sampled frames each of them is the most probable.
    pub on_top: Vec<u64>,
    /// The sampled frames in order of time; of a long video, each stands for several, and those with findings go first.
    pub points: Vec<VideoPoint>,
}

/// One sampled frame.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VideoPoint {
    /// Index of the frame in its video.
    pub frame: u64,
    /// Its time in seconds.
    pub time_s: f64,
    /// The most probable classes, best first: index in the video's classes, softmax probability (0 to 1).
    pub top: Vec<(usize, f64)>,
    /// Mean absolute difference of the normalised maps of this frame and the one before, 0 to 1.
    pub flicker: Option<f64>,
    /// Mean absolute difference of the luma of this frame and the one before, in grey levels.
    pub change: Option<f64>,
    /// Index of its evidence picture, if it has one.
    pub picture: Option<usize>,
    /// Names of the kinds of findings at this frame and those that it stands for.
    pub flags: Vec<String>,
}
