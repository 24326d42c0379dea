//! Records: one line per frame and target with what the model saw, its raw map included. Nothing in them depends on timing or on the
//! number of workers. What is drawn is drawn from them, so that `render` can draw it again.

#[cfg(feature = "parquet")]
pub(crate) mod columns;
#[cfg(feature = "parquet")]
mod parquet_pages;
#[cfg(feature = "parquet")]
mod parquet_reader;
#[cfg(feature = "parquet")]
mod parquet_rows;
#[cfg(feature = "parquet")]
mod parquet_writer;
mod reader;
#[cfg(test)]
mod test_output;
#[cfg(test)]
#[cfg(feature = "parquet")]
mod test_parquet;
mod writer;

pub use reader::RecordsReader;
pub use writer::RecordsWriter;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::heatmap::Heatmap;
use crate::preprocess::ResizePolicy;

/// First line of a records file: what is needed to draw the maps again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RecordsHeader {
    /// Always `true`: readers skip the line by this key.
    pub header: bool,
    /// Version of the program.
    pub version: String,
    /// The input as given.
    pub input: String,
    /// Width and height of the upright frame in pixels.
    pub size: [usize; 2],
    /// Clockwise turn in degrees that brings a coded frame upright.
    pub rotation: u16,
    /// Where the range of frames began, in seconds; `null` for the beginning.
    pub start_s: Option<f64>,
    /// Where it ended; `null` for the end.
    pub end_s: Option<f64>,
    /// When time 0 was, in seconds since 1970, for what was captured live; else left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_from_unix_s: Option<f64>,
    /// Resize policy.
    pub resize: String,
    /// Side of the network's square input in pixels.
    pub input_size: usize,
    /// Normalisation of the network's input: `caffe` or `torch`.
    pub preprocess: String,
    /// Target layers, comma-separated; `input` for methods that look at no layer.
    pub layer: String,
    /// Explainer.
    pub method: String,
    /// What was differentiated.
    pub score: String,
    /// Arithmetic of the network.
    pub precision: String,
    /// SHA-256 of the weight file.
    pub weights_sha256: String,
}

impl RecordsHeader {
    /// How frames became the network's square.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if this program does not know the policy.
    pub fn resize_policy(&self) -> Result<ResizePolicy> {
        ResizePolicy::named(&self.resize).ok_or_else(|| {
            let message = format!("cannot draw the records: unknown resize {:?}", self.resize);
            Error::new(ErrorKind::Input, message)
        })
    }
}

/// One frame as one of the targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Index in the stream, from 0.
    pub frame: u64,
    /// Presentation time in seconds.
    pub pts_s: f64,
    /// The class that is explained.
    pub target: RecordTarget,
    /// The class that it is set against, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrast: Option<RecordTarget>,
    /// The target's logit.
    pub score: f32,
    /// The target's softmax probability.
    pub prob: f64,
    /// The top classes.
    pub top: Vec<RecordTop>,
    /// Target layers.
    pub layer: String,
    /// Explainer.
    pub method: String,
    /// The raw map, written as its rows.
    #[serde(with = "rows")]
    pub heatmap: Heatmap,
    /// Where the map is strongest: x and y as fractions of the upright frame.
    pub peak: [f64; 2],
    /// What is special about the frame.
    pub flags: Vec<Flag>,
}

/// The explained class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordTarget {
    /// Class index.
    pub index: usize,
    /// WordNet id.
    pub wnid: String,
    /// Name.
    pub label: String,
}

/// One of the top classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordTop {
    /// Class index.
    pub index: usize,
    /// Name.
    pub label: String,
    /// Softmax probability.
    pub prob: f64,
}

/// What may be special about a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The map has no positive value: the frame is drawn plain.
    NoPositiveEvidence,
    /// The frame was not explained itself (`--stride`): its values are the last explained frame's.
    Carried,
    /// The target is not the frame's top class but the one before, which is still almost as probable (`--hold`).
    Held,
}

impl Flag {
    const ALL: [Self; 3] = [Self::NoPositiveEvidence, Self::Carried, Self::Held];

    fn name(self) -> &'static str {
        match self {
            Self::NoPositiveEvidence => "no_positive_evidence",
            Self::Carried => "carried",
            Self::Held => "held",
        }
    }
}

/// File formats for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordsFormat {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values: the header as a comment line, lists as JSON in a cell.
    Csv,
    /// Parquet: the header as JSON in the file's metadata, lists as lists. Such a file is complete, and can be read, only once it is finished.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl RecordsFormat {
    /// By the file's extension.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is another than `.jsonl`, `.csv` or `.parquet`, or this program was built without Parquet.
    pub fn of_path(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            #[cfg(feature = "parquet")]
            "parquet" => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            "parquet" => {
                let message = format!(
                    "records {}: this program was built without Parquet (feature parquet)",
                    path.display()
                );
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            _ => {
                let message = format!(
                    "records {}: the extension must be .jsonl, .csv or .parquet",
                    path.display()
                );
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
        }
    }
}

/// A map as a list of rows; a value that is no number is `null`.
pub(crate) mod rows {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::heatmap::Heatmap;

    pub(crate) fn serialize<S: Serializer>(
        map: &Heatmap,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let rows: Vec<&[f32]> = map.values.chunks_exact(map.width.max(1)).collect();
        rows.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Heatmap, D::Error> {
        let rows = Vec::<Vec<Option<f32>>>::deserialize(deserializer)?;
        let (width, height) = (rows.first().map_or(0, Vec::len), rows.len());
        if width == 0 || rows.iter().any(|row| row.len() != width) {
            return Err(D::Error::custom("a heatmap's rows must be of one length"));
        }
        let values = rows.into_iter().flatten();
        Ok(Heatmap {
            width,
            height,
            values: values.map(|value| value.unwrap_or(f32::NAN)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_format() {
        let of = |name: &str| RecordsFormat::of_path(name.as_ref());
        assert_eq!(of("a.JSONL").unwrap(), RecordsFormat::Jsonl);
        assert_eq!(of("a.csv").unwrap(), RecordsFormat::Csv);
        #[cfg(feature = "parquet")]
        assert_eq!(of("a.parquet").unwrap(), RecordsFormat::Parquet);
        #[cfg(not(feature = "parquet"))]
        {
            let line = of("a.parquet").unwrap_err().one_line();
            assert!(line.ends_with("was built without Parquet (feature parquet)"));
        }
        let line = of("a.txt").unwrap_err().one_line();
        assert!(line.contains("must be .jsonl, .csv or .parquet"), "{line}");
    }
}
