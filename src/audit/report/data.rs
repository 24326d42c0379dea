//! What the report shows. Numbers that are not known are `None`; names of classes and kinds are as the dataset and the audit write them.

mod chart;
mod cluster;
mod finding;
mod video;

use serde::Serialize;

pub use self::chart::{
    Accuracy, ClassCount, ClassCounts, ConfidenceBin, ConfusedPair, Confusion, OtherClasses,
};
pub use self::cluster::{Cluster, ClusteredClass, MaskTest};
pub use self::finding::{Finding, Kind, Measure, PictureRef, Severity, Unit};
pub use self::video::{Video, VideoPoint};

/// Everything that stands in one report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReportData {
    /// Title of the browser's window.
    pub title: String,
    /// What was audited, as the user named it.
    pub dataset: String,
    /// The program's version, such as `0.1.0`.
    pub version: String,
    /// How it was audited.
    pub settings: Settings,
    /// How much was audited.
    pub counts: Counts,
    /// What the reader must know about this audit, one sentence each: limits, things left out.
    pub notices: Vec<String>,
    /// Every kind of finding, looked for or not, found or not, in the order of display.
    pub kinds: Vec<Kind>,
    /// How often each class was predicted and labelled; most frequent first.
    pub classes: ClassCounts,
    /// Histogram of the confidence (softmax probability of the predicted class): bins of equal width from 0 to 1.
    pub confidence: Vec<ConfidenceBin>,
    /// None without labels.
    pub accuracy: Option<Accuracy>,
    /// None without labels.
    pub confusion: Option<Confusion>,
    /// The worst of each kind; the page finds order and filters by itself.
    pub findings: Vec<Finding>,
    /// The videos that have a timeline, in the order of display.
    pub videos: Vec<Video>,
    /// The classes whose heatmaps were clustered, in the order of display: the page moves suspicious ones to the front.
    pub clustered: Vec<ClusteredClass>,
    /// The pictures that all the others name by their index.
    pub pictures: Vec<Picture>,
}

/// How it was audited, in the words of the command line.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Settings {
    /// Name of the explainer, such as `gradcam`.
    pub method: String,
    /// The target layer, such as `layer4.2`.
    pub layer: String,
    /// What is differentiated: `logit` or `softmax`.
    pub score: String,
    /// How a picture becomes the network's square.
    pub resize: String,
    /// Arithmetic of the network: `f32` or `bf16`.
    pub precision: String,
    /// SHA-256 of the weight file, 64 hexadecimal digits.
    pub weights_sha256: String,
    /// Frames per second of video that were looked at; none without videos.
    pub sample_fps: Option<f64>,
    /// Where the labels are from; none without labels.
    pub labels: Option<String>,
    /// Where the boxes are from; none without boxes.
    pub boxes: Option<String>,
}

/// How much was audited, and what came of it. All counts are of the whole audit, not of what the page shows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    /// Image files that were read.
    pub images: u64,
    /// Video files that were read.
    pub videos: u64,
    /// Sampled frames of videos.
    pub frames: u64,
    /// Images and frames that were explained.
    pub pictures: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Images and frames with a label.
    pub labelled: u64,
    /// Findings that are errors.
    pub errors: u64,
    /// Findings that are warnings.
    pub warnings: u64,
    /// Findings that are neither.
    pub infos: u64,
}

/// An evidence picture: original, heatmap and overlay side by side, of equal width, without gaps.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Picture {
    /// Width of all three in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file as a data URI: `data:image/jpeg;base64,...`.
    pub uri: String,
}
