//! Records: one line per frame with what the model saw, its raw map included. Nothing in them depends on timing or on the
//! number of workers.

use std::io::Write;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::FrameIndex;
use crate::heatmap::Heatmap;

/// First line of a records file: what is needed to draw the maps again.
#[derive(Debug, Clone, Serialize)]
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
    /// Resize policy.
    pub resize: String,
    /// Target layers, comma-separated.
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

/// One frame.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Index in the stream, from 0.
    pub frame: u64,
    /// Presentation time in seconds.
    pub pts_s: f64,
    /// The class that is explained.
    pub target: RecordTarget,
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
    /// Rows of the raw map.
    pub heatmap: Vec<Vec<f32>>,
    /// Where the map is strongest: x and y as fractions of the upright frame.
    pub peak: [f64; 2],
    /// [`NO_POSITIVE_EVIDENCE`], [`CARRIED`].
    pub flags: Vec<&'static str>,
}

/// The explained class.
#[derive(Debug, Clone, Serialize)]
pub struct RecordTarget {
    /// Class index.
    pub index: usize,
    /// WordNet id.
    pub wnid: String,
    /// Name.
    pub label: String,
}

/// One of the top classes.
#[derive(Debug, Clone, Serialize)]
pub struct RecordTop {
    /// Class index.
    pub index: usize,
    /// Name.
    pub label: String,
    /// Softmax probability.
    pub prob: f64,
}

/// Flag of a frame whose map has no positive value: it is drawn plain.
pub const NO_POSITIVE_EVIDENCE: &str = "no_positive_evidence";
/// Flag of a frame that was not explained itself (`--stride`): its values are the last explained frame's.
pub const CARRIED: &str = "carried";

/// Rows of a map, for [`Record::heatmap`].
pub fn heatmap_rows(map: &Heatmap) -> Vec<Vec<f32>> {
    map.values
        .chunks_exact(map.width.max(1))
        .map(<[f32]>::to_vec)
        .collect()
}

/// File formats for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordsFormat {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values: the header as a comment line, lists as JSON in a cell.
    Csv,
}

/// Writes records in frame order.
pub struct RecordsWriter {
    output: Output,
    name: String,
}

enum Output {
    Jsonl(Box<dyn Write + Send>),
    Csv(Box<csv::Writer<Box<dyn Write + Send>>>),
}

impl RecordsWriter {
    /// Starts a file with its header. `name` is used in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn new(
        mut output: Box<dyn Write + Send>,
        format: RecordsFormat,
        name: &str,
        header: &RecordsHeader,
    ) -> Result<Self> {
        let written = match format {
            RecordsFormat::Jsonl => writeln!(output, "{}", to_json(header)?),
            RecordsFormat::Csv => writeln!(output, "# {}", to_json(header)?),
        };
        written.map_err(|error| write_error(name, error))?;
        let output = match format {
            RecordsFormat::Jsonl => Output::Jsonl(output),
            RecordsFormat::Csv => {
                let mut writer = csv::Writer::from_writer(output);
                writer
                    .write_record(CSV_COLUMNS)
                    .map_err(|error| write_error(name, error))?;
                Output::Csv(Box::new(writer))
            }
        };
        Ok(Self {
            output,
            name: name.to_owned(),
        })
    }

    /// Appends one record.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let written: std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> =
            match &mut self.output {
                Output::Jsonl(output) => {
                    writeln!(output, "{}", to_json(record)?).map_err(Into::into)
                }
                Output::Csv(writer) => writer.write_record(csv_cells(record)?).map_err(Into::into),
            };
        written.map_err(|error| {
            let frame = FrameIndex(record.frame);
            write_error(&self.name, error).at_frame(frame)
        })
    }

    /// Flushes what is buffered.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn finish(&mut self) -> Result<()> {
        match &mut self.output {
            Output::Jsonl(output) => output.flush(),
            Output::Csv(writer) => writer.flush(),
        }
        .map_err(|error| write_error(&self.name, error))
    }
}

const CSV_COLUMNS: [&str; 14] = [
    "frame",
    "pts_s",
    "target_index",
    "target_wnid",
    "target_label",
    "score",
    "prob",
    "top",
    "layer",
    "method",
    "heatmap",
    "peak_x",
    "peak_y",
    "flags",
];

fn csv_cells(record: &Record) -> Result<[String; 14]> {
    Ok([
        record.frame.to_string(),
        to_json(&record.pts_s)?,
        record.target.index.to_string(),
        record.target.wnid.clone(),
        record.target.label.clone(),
        to_json(&record.score)?,
        to_json(&record.prob)?,
        to_json(&record.top)?,
        record.layer.clone(),
        record.method.clone(),
        to_json(&record.heatmap)?,
        to_json(&record.peak[0])?,
        to_json(&record.peak[1])?,
        record.flags.join(" "),
    ])
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::caused_by(ErrorKind::Internal, "cannot serialise a record", error))
}

fn write_error(name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::caused_by(
        ErrorKind::Output,
        format!("cannot write records {name}"),
        error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: RecordsFormat) -> String {
        let header = RecordsHeader {
            header: true,
            version: "1".into(),
            input: "a,b.mp4".into(),
            size: [640, 480],
            rotation: 0,
            resize: "stretch".into(),
            layer: "layer4".into(),
            method: "gradcam".into(),
            score: "logit".into(),
            precision: "f32".into(),
            weights_sha256: "00".into(),
        };
        let record = Record {
            frame: 3,
            pts_s: 0.12,
            target: RecordTarget {
                index: 1,
                wnid: "n1".into(),
                label: "a, \"b\"".into(),
            },
            score: 17.5,
            prob: 0.5,
            top: vec![RecordTop {
                index: 1,
                label: "a, \"b\"".into(),
                prob: 0.5,
            }],
            layer: "layer4".into(),
            method: "gradcam".into(),
            heatmap: vec![vec![1.0, -2.5]],
            peak: [0.25, 0.5],
            flags: vec![CARRIED, NO_POSITIVE_EVIDENCE],
        };
        let output = Shared::default();
        let mut writer =
            RecordsWriter::new(Box::new(output.clone()), format, "r", &header).unwrap();
        writer.write(&record).unwrap();
        writer.finish().unwrap();
        let bytes = output.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn jsonl_has_a_header_line_and_a_line_per_frame() {
        let text = written(RecordsFormat::Jsonl);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["header"], true);
        assert_eq!(lines[1]["heatmap"][0][1], -2.5);
        assert_eq!(lines[1]["target"]["label"], "a, \"b\"");
        assert_eq!(lines[1]["flags"][1], NO_POSITIVE_EVIDENCE);
    }

    #[test]
    fn csv_quotes_what_needs_it_and_keeps_the_map() {
        let text = written(RecordsFormat::Csv);
        assert!(text.starts_with("# {\"header\":true"));
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), CSV_COLUMNS.as_slice());
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!(&row[4], "a, \"b\"");
        assert_eq!(&row[10], "[[1.0,-2.5]]");
        assert_eq!(&row[13], "carried no_positive_evidence");
    }
}
