//! Writing records, in frame order.

use std::io::Write;

use serde::Serialize;

#[cfg(feature = "parquet")]
use super::parquet_writer::ParquetRecordsWriter;
use super::{Record, RecordsFormat, RecordsHeader};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::FrameIndex;

/// Writes records in frame order.
pub struct RecordsWriter {
    output: Output,
    name: String,
}

enum Output {
    Jsonl(Box<dyn Write + Send>),
    Csv(Box<csv::Writer<Box<dyn Write + Send>>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetRecordsWriter>),
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
        let header = to_json(header)?;
        let output = match format {
            RecordsFormat::Jsonl => {
                writeln!(output, "{header}").map_err(|error| write_error(name, error))?;
                Output::Jsonl(output)
            }
            RecordsFormat::Csv => {
                writeln!(output, "# {header}").map_err(|error| write_error(name, error))?;
                let mut writer = csv::Writer::from_writer(output);
                writer
                    .write_record(CSV_COLUMNS)
                    .map_err(|error| write_error(name, error))?;
                Output::Csv(Box::new(writer))
            }
            #[cfg(feature = "parquet")]
            RecordsFormat::Parquet => {
                let writer = ParquetRecordsWriter::new(output, header);
                Output::Parquet(Box::new(writer.map_err(|error| write_error(name, error))?))
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
                #[cfg(feature = "parquet")]
                Output::Parquet(writer) => writer.write(record),
            };
        written.map_err(|error| {
            let frame = FrameIndex(record.frame);
            write_error(&self.name, error).at_frame(frame)
        })
    }

    /// Writes and flushes what is buffered; only this completes a Parquet file.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn finish(&mut self) -> Result<()> {
        let finished: std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> =
            match &mut self.output {
                Output::Jsonl(output) => output.flush().map_err(Into::into),
                Output::Csv(writer) => writer.flush().map_err(Into::into),
                #[cfg(feature = "parquet")]
                Output::Parquet(writer) => writer.finish(),
            };
        finished.map_err(|error| write_error(&self.name, error))
    }
}

pub(super) const CSV_COLUMNS: [&str; 15] = [
    "frame",
    "pts_s",
    "target_index",
    "target_wnid",
    "target_label",
    "contrast",
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

fn csv_cells(record: &Record) -> Result<[String; 15]> {
    Ok([
        record.frame.to_string(),
        to_json(&record.pts_s)?,
        record.target.index.to_string(),
        record.target.wnid.clone(),
        record.target.label.clone(),
        record
            .contrast
            .as_ref()
            .map_or(Ok(String::new()), to_json)?,
        to_json(&record.score)?,
        to_json(&record.prob)?,
        to_json(&record.top)?,
        record.layer.clone(),
        record.method.clone(),
        to_json(&Rows(record))?,
        to_json(&record.peak[0])?,
        to_json(&record.peak[1])?,
        record
            .flags
            .iter()
            .map(|flag| flag.name())
            .collect::<Vec<_>>()
            .join(" "),
    ])
}

/// The heatmap of a record by itself.
struct Rows<'a>(&'a Record);

impl Serialize for Rows<'_> {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        super::rows::serialize(&self.0.heatmap, serializer)
    }
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
    use crate::heatmap::Heatmap;
    use crate::records::test_output::SharedBytes;
    use crate::records::{Flag, RecordTarget, RecordTop};

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
            ..RecordsHeader::default()
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
            contrast: None,
            heatmap: Heatmap {
                width: 2,
                height: 1,
                values: vec![1.0, -2.5],
            },
            peak: [0.25, 0.5],
            flags: vec![Flag::Carried, Flag::NoPositiveEvidence],
        };
        let output = SharedBytes::default();
        let mut writer =
            RecordsWriter::new(Box::new(output.clone()), format, "r", &header).unwrap();
        writer.write(&record).unwrap();
        writer.finish().unwrap();
        String::from_utf8(output.bytes()).unwrap()
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
        assert_eq!(lines[1]["flags"][1], "no_positive_evidence");
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
        assert_eq!(&row[11], "[[1.0,-2.5]]");
        assert_eq!(&row[14], "carried no_positive_evidence");
    }
}
