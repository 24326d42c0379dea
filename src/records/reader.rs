//! Reading records back: the header, then all records of a frame at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "parquet")]
use super::parquet_reader::{NEEDS_FILE, ParquetRecords};
use super::writer::CSV_COLUMNS;
use super::{Flag, Record, RecordTarget, RecordsFormat, RecordsHeader};
use crate::error::{Error, ErrorKind, Result};

/// Longest line (or row of CSV) that is read, in bytes: a 56x56 map takes about 40 KB.
const MAX_LINE_BYTES: u64 = 1 << 24;

/// Reads a records file from front to back.
pub struct RecordsReader {
    name: String,
    header: RecordsHeader,
    records: Records,
    /// Lines (in Parquet, records) read so far, for messages.
    line: u64,
    /// The first record of the frame after the last one that was read.
    next: Option<Record>,
    /// A frame that was looked at but not handed out.
    peeked: Option<Vec<Record>>,
    /// Records of each frame, once one was read.
    targets: Option<usize>,
    most_top: usize,
}

enum Records {
    Jsonl(Box<dyn BufRead + Send>),
    Csv(Box<csv::StringRecordsIntoIter<Rationed>>, Ration),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetRecords>),
}

/// How many bytes may still be read until the next row: the parser itself takes rows of any length.
#[derive(Clone, Default)]
struct Ration(Arc<AtomicU64>);

impl Ration {
    fn renew(&self) {
        self.0.store(MAX_LINE_BYTES, Ordering::Relaxed);
    }
}

/// Refuses to read on when the ration is used up.
struct Rationed {
    input: Box<dyn BufRead + Send>,
    ration: Ration,
}

impl Read for Rationed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.ration.0.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(too_long()));
        }
        let count = (&mut self.input).take(left).read(buffer)?;
        self.ration.0.fetch_sub(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl RecordsReader {
    /// Opens a file and reads its header. The extension tells the format.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it cannot be read or does not begin with a header; [`ErrorKind::InvalidArgument`] for another extension.
    pub fn open(path: &Path) -> Result<Self> {
        let format = RecordsFormat::of_path(path)?;
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| {
            let message = format!("cannot read records {name}");
            Error::caused_by(ErrorKind::Input, message, error)
        })?;
        Self::from_file(file, format, &name)
    }

    /// Reads the header from an open file; Parquet is read whole, for its checksum. `name` is used in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if reading fails or there is no header.
    pub fn from_file(file: File, format: RecordsFormat, name: &str) -> Result<Self> {
        #[cfg(feature = "parquet")]
        if format == RecordsFormat::Parquet {
            let (header, records) = ParquetRecords::open(file).map_err(|cause| {
                let message = format!("cannot read records {name}");
                Error::caused_by(ErrorKind::Input, message, cause)
            })?;
            let records = Records::Parquet(Box::new(records));
            return Ok(Self::with_header(name, header, records, 0));
        }
        Self::new(Box::new(BufReader::new(file)), format, name)
    }

    /// Reads the header. `name` is used in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if reading fails or there is no header, and for Parquet, which is read from its end: that takes
    /// [`open`](Self::open) or [`from_file`](Self::from_file).
    pub fn new(
        mut input: Box<dyn BufRead + Send>,
        format: RecordsFormat,
        name: &str,
    ) -> Result<Self> {
        let is_csv = match format {
            RecordsFormat::Jsonl => false,
            RecordsFormat::Csv => true,
            #[cfg(feature = "parquet")]
            RecordsFormat::Parquet => {
                let message = format!("cannot read records {name}: {NEEDS_FILE}");
                return Err(Error::new(ErrorKind::Input, message));
            }
        };
        let first = read_line(&mut input).map_err(|cause| bad_line(name, 1, cause))?;
        let first = first.unwrap_or_default();
        let text = if is_csv {
            first.strip_prefix("# ").unwrap_or_default()
        } else {
            first.as_str()
        };
        let header: RecordsHeader = serde_json::from_str(text)
            .map_err(without_position)
            .map_err(|cause| bad_line(name, 1, format!("no header of records: {cause}")))?;
        if !is_csv {
            return Ok(Self::with_header(name, header, Records::Jsonl(input), 1));
        }
        let ration = Ration::default();
        ration.renew();
        let input = Rationed {
            input,
            ration: ration.clone(),
        };
        let mut reader = csv::Reader::from_reader(input);
        let columns = reader.headers().map_err(|error| bad_line(name, 2, error))?;
        if columns != CSV_COLUMNS.as_slice() {
            let expected = CSV_COLUMNS.join(",");
            let cause = format!("the columns must be {expected}");
            return Err(bad_line(name, 2, cause));
        }
        let rows = Records::Csv(Box::new(reader.into_records()), ration);
        Ok(Self::with_header(name, header, rows, 2))
    }

    fn with_header(name: &str, header: RecordsHeader, records: Records, line: u64) -> Self {
        Self {
            name: name.to_owned(),
            header,
            records,
            line,
            next: None,
            peeked: None,
            targets: None,
            most_top: usize::MAX,
        }
    }

    /// What the file says of the run that wrote it.
    pub fn header(&self) -> &RecordsHeader {
        &self.header
    }

    /// Leaves out all but so many of the top classes of each record read from now on.
    pub fn keep_top(&mut self, most: Option<usize>) {
        self.most_top = most.unwrap_or(usize::MAX);
    }

    /// How many targets each frame has, by the first one; it is read ahead.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if there is no frame, or a line is no record.
    pub fn targets(&mut self) -> Result<usize> {
        let frame = self.next_frame()?;
        let count = frame.len();
        if count == 0 {
            return Err(self.bad_place("there is no record"));
        }
        self.peeked = Some(frame);
        Ok(count)
    }

    /// All records of the next frame, one per target; empty at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] that names the line, if it is no record or a frame has another number of them than the first.
    pub fn next_frame(&mut self) -> Result<Vec<Record>> {
        if let Some(frame) = self.peeked.take() {
            return Ok(frame);
        }
        let first = match self.next.take() {
            Some(record) => Some(record),
            None => self.next_record()?,
        };
        let mut frame: Vec<Record> = first.into_iter().collect();
        while let Some(record) = self.next_record()? {
            if frame
                .first()
                .is_some_and(|first| first.frame == record.frame)
            {
                frame.push(record);
            } else {
                self.next = Some(record);
                break;
            }
        }
        let targets = *self.targets.get_or_insert(frame.len());
        if !frame.is_empty() && frame.len() != targets {
            let cause = format!("a frame has {} records, the first {targets}", frame.len());
            return Err(self.bad_place(cause));
        }
        Ok(frame)
    }

    fn next_record(&mut self) -> Result<Option<Record>> {
        self.line += 1;
        let record = match &mut self.records {
            Records::Jsonl(input) => match read_line(input) {
                Ok(None) => return Ok(None),
                Ok(Some(text)) => serde_json::from_str(&text).map_err(without_position),
                Err(cause) => Err(cause),
            },
            Records::Csv(rows, ration) => {
                ration.renew();
                match rows.next() {
                    None => return Ok(None),
                    Some(Ok(row)) => from_cells(&row),
                    Some(Err(error)) => Err(error.to_string()),
                }
            }
            #[cfg(feature = "parquet")]
            Records::Parquet(rows) => match rows.next() {
                Ok(None) => return Ok(None),
                Ok(Some(record)) => Ok(record),
                Err(cause) => Err(cause),
            },
        };
        let mut record = record.map_err(|cause| self.bad_place(cause))?;
        record.top.truncate(self.most_top);
        Ok(Some(record))
    }

    fn bad_place(&self, cause: impl ToString) -> Error {
        let unit = match &self.records {
            #[cfg(feature = "parquet")]
            Records::Parquet(_) => "record",
            _ => "line",
        };
        bad_place(&self.name, &format!("{unit} {}", self.line), cause)
    }
}

/// The message by itself: the line is the file's, not the parser's.
fn without_position(error: serde_json::Error) -> String {
    let text = error.to_string();
    let position = text.rfind(" at line ");
    position
        .map_or(text.as_str(), |end| &text[..end])
        .to_owned()
}

/// A line without its end; none at the end of the file.
fn read_line(input: &mut Box<dyn BufRead + Send>) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    let mut limited = input.take(MAX_LINE_BYTES);
    limited
        .read_until(b'\n', &mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 == MAX_LINE_BYTES {
        return Err(too_long());
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).map_err(|_| "the line is no text".to_owned())?;
    Ok(Some(text.trim_end().to_owned()))
}

fn too_long() -> String {
    format!("the line is longer than {} MiB", MAX_LINE_BYTES >> 20)
}

fn from_cells(row: &csv::StringRecord) -> Result<Record, String> {
    let cell = |column: &str| {
        let index = CSV_COLUMNS.iter().position(|name| *name == column);
        index.and_then(|index| row.get(index)).unwrap_or_default()
    };
    let target = RecordTarget {
        index: json(cell("target_index"))?,
        wnid: cell("target_wnid").to_owned(),
        label: cell("target_label").to_owned(),
    };
    let contrast = Some(cell("contrast")).filter(|text| !text.is_empty());
    let flags = cell("flags").split_whitespace();
    let rows = &mut serde_json::Deserializer::from_str(cell("heatmap"));
    Ok(Record {
        frame: json(cell("frame"))?,
        pts_s: json(cell("pts_s"))?,
        target,
        contrast: contrast.map(json).transpose()?,
        score: json(cell("score"))?,
        prob: json(cell("prob"))?,
        top: json(cell("top"))?,
        layer: cell("layer").to_owned(),
        method: cell("method").to_owned(),
        heatmap: super::rows::deserialize(rows).map_err(without_position)?,
        peak: [json(cell("peak_x"))?, json(cell("peak_y"))?],
        flags: flags.map(flag).collect::<Result<_, _>>()?,
    })
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{text:?}: {}", without_position(error)))
}

pub(super) fn flag(name: &str) -> Result<Flag, String> {
    let found = Flag::ALL.into_iter().find(|flag| flag.name() == name);
    found.ok_or_else(|| format!("unknown flag {name:?}"))
}

fn bad_line(name: &str, line: u64, cause: impl ToString) -> Error {
    bad_place(name, &format!("line {line}"), cause)
}

fn bad_place(name: &str, place: &str, cause: impl ToString) -> Error {
    let cause = cause.to_string().replace('\n', " ");
    let message = format!("cannot read records {name}, {place}");
    Error::caused_by(ErrorKind::Input, message, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heatmap::Heatmap;
    use crate::records::test_output::SharedBytes;
    use crate::records::{RecordTop, RecordsWriter};
    use std::io::Cursor;

    fn header() -> RecordsHeader {
        RecordsHeader {
            header: true,
            input: "a, \"b\".mp4".into(),
            start_s: Some(0.1),
            ..RecordsHeader::default()
        }
    }

    /// Two targets per frame, numbers that need all their digits.
    fn records() -> Vec<Record> {
        let target = |index| RecordTarget {
            index,
            wnid: "n1".into(),
            label: "a, \"b\"".into(),
        };
        (0..6u64)
            .map(|number| Record {
                frame: number / 2,
                pts_s: number as f64 / 30.0,
                target: target(number as usize % 2),
                contrast: (number > 3).then(|| target(7)),
                score: 0.1 + number as f32,
                prob: 1.0 / 3.0,
                top: vec![RecordTop {
                    index: 1,
                    label: "x".into(),
                    prob: 0.1 + 0.2,
                }],
                layer: "layer3,layer4".into(),
                method: "gradcam".into(),
                heatmap: Heatmap {
                    width: 2,
                    height: 2,
                    values: (1..5).map(|k| (number as f32 + 1.1) / k as f32).collect(),
                },
                peak: [0.1, 0.7],
                flags: if number == 5 {
                    Flag::ALL.into()
                } else {
                    Vec::new()
                },
            })
            .collect()
    }

    fn written(format: RecordsFormat) -> Vec<u8> {
        let output = SharedBytes::default();
        let boxed = Box::new(output.clone());
        let mut writer = RecordsWriter::new(boxed, format, "r", &header()).unwrap();
        for record in records() {
            writer.write(&record).unwrap();
        }
        writer.finish().unwrap();
        output.bytes()
    }

    fn reader(bytes: &[u8], format: RecordsFormat) -> Result<RecordsReader> {
        RecordsReader::new(Box::new(Cursor::new(bytes.to_vec())), format, "r")
    }

    #[test]
    fn records_come_back_exactly_a_frame_at_a_time() {
        for format in [RecordsFormat::Jsonl, RecordsFormat::Csv] {
            let mut reader = reader(&written(format), format).unwrap();
            assert_eq!(*reader.header(), header());
            for pair in records().chunks(2) {
                assert_eq!(reader.next_frame().unwrap(), pair);
            }
            assert!(reader.next_frame().unwrap().is_empty());
        }
    }

    #[test]
    fn what_is_no_record_is_named_by_its_line() {
        for format in [RecordsFormat::Jsonl, RecordsFormat::Csv] {
            let bytes = written(format);
            let cut = &bytes[..bytes.len() - 20];
            let mut reader = reader(cut, format).unwrap();
            let mut result = Ok(Vec::new());
            for _ in 0..3 {
                result = reader.next_frame();
            }
            let line = result.unwrap_err().one_line();
            let number = if format == RecordsFormat::Csv { 8 } else { 7 };
            assert!(line.contains(&format!("line {number}")), "{line}");
        }
        for text in ["", "{}", "[1]", "# {}", "\u{fffd}"] {
            for format in [RecordsFormat::Jsonl, RecordsFormat::Csv] {
                let error = reader(text.as_bytes(), format).err().unwrap();
                assert!(error.one_line().contains("line 1"), "{text:?}");
            }
        }
    }

    #[test]
    fn lines_without_end_are_refused() {
        let endless = || Box::new(BufReader::new(io::repeat(b'a')));
        for format in [RecordsFormat::Jsonl, RecordsFormat::Csv] {
            let bytes = written(format);
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            for count in 0..3 {
                let input = Cursor::new(lines[..count].concat()).chain(endless());
                let result = RecordsReader::new(Box::new(input), format, "r");
                let result = result.and_then(|mut reader| reader.next_frame());
                let line = result.unwrap_err().one_line();
                assert!(line.contains("longer than 16 MiB"), "{line}");
            }
        }
    }

    #[test]
    fn ragged_maps_are_refused() {
        let text = String::from_utf8(written(RecordsFormat::Jsonl)).unwrap();
        let ragged = text.replacen("\"heatmap\":[[", "\"heatmap\":[[1.0,", 1);
        let mut reader = reader(ragged.as_bytes(), RecordsFormat::Jsonl).unwrap();
        let line = reader.next_frame().unwrap_err().one_line();
        assert!(line.contains("rows must be of one length"), "{line}");
    }
}
