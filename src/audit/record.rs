//! What is known about one image or one sampled frame of a video, and about the file that it is from.

use serde::{Deserialize, Serialize};

use crate::heatmap::Heatmap;
use crate::model::Labels;
use crate::records::RecordTop;

/// One image, or one sampled frame of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The file, relative to the dataset's folder, with `/` between its parts.
    pub path: String,
    /// Index of the frame in its video; none for images.
    pub frame: Option<u64>,
    /// Presentation time in seconds; none for images.
    pub pts_s: Option<f64>,
    /// Width and height of the upright picture in pixels.
    pub size: [usize; 2],
    /// Index of the class that the dataset gives, if it gives one.
    pub label: Option<usize>,
    /// Probability of the labelled class: cleanlab's self-confidence.
    pub self_confidence: Option<f64>,
    /// How many classes are more probable than the labelled one.
    pub label_rank: Option<usize>,
    /// The top classes, best first.
    pub top: Vec<RecordTop>,
    /// Index of the class that is explained.
    pub target: usize,
    /// The target's logit.
    pub score: f32,
    /// The target's softmax probability.
    pub prob: f64,
    /// The raw map.
    #[serde(with = "crate::records::rows")]
    pub heatmap: Heatmap,
    /// Where the map is strongest: x and y as fractions of the upright picture.
    pub peak: [f64; 2],
    /// The part of the upright picture that the map covers: x0, y0, x1, y1 as fractions.
    pub map_rect: [f64; 4],
    /// What was measured.
    pub metrics: Metrics,
    /// The evidence picture (original, heatmap, overlay), relative to the report's folder.
    pub thumb: String,
}

/// What is measured on a picture and its map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// 99th percentile of the luma, 0 to 1: how bright the brightest parts are.
    pub brightness: f64,
    /// Variance of the Laplacian of the luma in squared grey levels: low where nothing is sharp.
    pub sharpness: f64,
    /// Perceptual hash: pictures that look alike differ in few bits; none for pictures without structure.
    #[serde(with = "hex")]
    pub hash: Option<u64>,
    /// Share of the positive evidence in the outermost ring of a 7x7 grid, 0 to 1; none without positive evidence.
    pub border_energy: Option<f64>,
    /// Share of the positive evidence in the corner (3x3 of 7x7 cells) that has most of it, 0 to 1.
    pub corner_energy: Option<f64>,
    /// Share of the positive evidence inside the given boxes, 0 to 1; none without boxes.
    pub energy_in_box: Option<f64>,
    /// Share that the boxes cover of what the network sees of the picture: the energy in box of a flat map.
    pub box_share: Option<f64>,
    /// Whether the map's peak hits a box (the pointing game).
    pub is_pointing_hit: Option<bool>,
    /// Mean absolute difference of the luma to the sampled frame before, in grey levels of a 32x32 picture; none for images and first frames.
    pub change: Option<f64>,
    /// Mean absolute difference of the normalised maps of this sampled frame and the one before, 0 to 1.
    pub flicker: Option<f64>,
}

/// A file of the dataset that was looked at: written when all that it holds has been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditItem {
    /// The file, relative to the dataset's folder, with `/` between its parts.
    pub path: String,
    /// Whether it is a video.
    pub is_video: bool,
    /// First half of the SHA-256 of its bytes; none if they cannot be read.
    pub digest: Option<String>,
    /// How many records it has.
    pub records: u64,
    /// Index of the class that the dataset gives, if it gives one.
    pub label: Option<usize>,
    /// What is wrong with it, if anything: it is unreadable if it has no records, else damaged.
    pub fault: Option<String>,
}

impl AuditRecord {
    /// Probability of the labelled class less that of the best other one, -1 to 1: cleanlab's normalised margin before it is scaled to [0, 1].
    pub fn label_margin(&self) -> Option<f64> {
        let label = self.label?;
        let best_other = self.top.iter().find(|class| class.index != label);
        Some(self.self_confidence? - best_other.map_or(0.0, |class| class.prob))
    }

    /// Whether the dataset's class is another than the predicted one.
    pub fn disagrees(&self) -> bool {
        match (self.label, self.top.first()) {
            (Some(label), Some(top)) => label != top.index,
            _ => false,
        }
    }

    /// Name of the labelled class.
    pub fn label_name<'a>(&self, labels: &'a Labels) -> Option<&'a str> {
        self.label.map(|label| labels.name(label))
    }
}

/// A 64-bit number as 16 hexadecimal digits: JSON's numbers end at 53 bits.
mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_str(&format!("{value:016x}")),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| u64::from_str_radix(&text, 16).map_err(D::Error::custom))
            .transpose()
    }
}
