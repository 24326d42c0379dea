//! What an audit's results depend on.

use serde::{Deserialize, Serialize};

/// All that the results depend on besides the files themselves: a run that goes on, and shards that are merged, must agree on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditSettings {
    /// Version of the program.
    pub version: String,
    /// The dataset's folder as an absolute path.
    pub dataset: String,
    /// SHA-256 of the weight file.
    pub weights_sha256: String,
    /// Explainer.
    pub method: String,
    /// Target layers, comma-separated; `input` for methods that look at no layer.
    pub layer: String,
    /// What was explained: `logit` or `softmax`.
    pub score: String,
    /// Passes per map for methods that let one choose; none for the method's own.
    pub samples: Option<usize>,
    /// Seed of all that is random.
    pub seed: u64,
    /// How a picture became the network's square.
    pub resize: String,
    /// Arithmetic of the network.
    pub precision: String,
    /// Classes kept for each picture.
    pub top_k: usize,
    /// Frames of videos that are looked at, per second.
    pub sample_fps: f64,
    /// Whether frames are deinterlaced.
    pub deinterlace: bool,
    /// Where labels come from: `folders`, `none`, or the absolute path of a CSV file.
    pub labels: String,
    /// The absolute path of the boxes' file or folder; none without boxes.
    pub boxes: Option<String>,
}

/// Which part of a dataset a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub number: u32,
    /// Of how many.
    pub count: u32,
}

impl Shard {
    /// Whether a file with this key ([`DatasetFile::key`](super::dataset::DatasetFile::key)) is in it. Every file is in exactly one.
    pub fn contains(self, key: u128) -> bool {
        key % u128::from(self.count.max(1)) == u128::from(self.number.saturating_sub(1))
    }
}
