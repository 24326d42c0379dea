//! Writing records as Parquet. The file's metadata have the header, and a checksum: Parquet itself has none that the library writes.

use std::io::{self, Write};

use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{PrimitiveArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use sha2::{Digest, Sha256};

use super::columns::{BATCH_ROWS, Cause, Columns, heatmaps, integers, properties, tops, words};
use super::{Record, RecordTarget};

/// Key of the header, as JSON, in the file's metadata.
pub(super) const HEADER_KEY: &str = "gradcam_video";
/// Key of [`checksum`].
pub(super) const CHECKSUM_KEY: &str = "gradcam_video_sha256";

/// Writes records in row groups; what is in the file can be read only after [`finish`](Self::finish).
pub(super) struct ParquetRecordsWriter {
    writer: ArrowWriter<Hashed<Box<dyn Write + Send>>>,
    header: String,
    pending: Vec<Record>,
}

impl ParquetRecordsWriter {
    /// Starts a file; `header` is the header as JSON.
    pub(super) fn new(output: Box<dyn Write + Send>, header: String) -> Result<Self, Cause> {
        // The reader takes plain pages only: in other encodings, a few bytes can claim to be any number of values.
        let options = ArrowWriterOptions::new()
            .with_properties(properties().build())
            .with_skip_arrow_metadata(true);
        let schema = batch(&[])?.schema();
        Ok(Self {
            writer: ArrowWriter::try_new_with_options(Hashed::new(output), schema, options)?,
            header,
            pending: Vec::with_capacity(BATCH_ROWS),
        })
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<(), Cause> {
        self.pending.push(record.clone());
        if self.pending.len() == BATCH_ROWS {
            self.encode()?;
        }
        Ok(())
    }

    fn encode(&mut self) -> Result<(), Cause> {
        self.writer.write(&batch(&self.pending)?)?;
        self.pending.clear();
        Ok(())
    }

    /// Writes what is left and the file's metadata.
    pub(super) fn finish(&mut self) -> Result<(), Cause> {
        self.encode()?;
        self.writer.flush()?;
        self.writer.sync()?;
        let digest = self.writer.inner().digest.clone();
        let checksum = checksum(digest, &self.header)?;
        for (key, value) in [(HEADER_KEY, self.header.clone()), (CHECKSUM_KEY, checksum)] {
            let entry = KeyValue::new(key.to_owned(), value);
            self.writer.append_key_value_metadata(entry);
        }
        self.writer.finish()?;
        Ok(())
    }
}

/// SHA-256, in hexadecimal digits, of the file up to its metadata (which `digest` has seen already), the header, and the columns' names.
pub(super) fn checksum(mut digest: Sha256, header: &str) -> Result<String, Cause> {
    digest.update(header);
    for field in batch(&[])?.schema().fields() {
        digest.update(field.name());
    }
    let bytes = digest.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The records' columns.
pub(super) fn batch(records: &[Record]) -> Result<RecordBatch, Cause> {
    let f64s = |value: fn(&Record) -> f64| {
        PrimitiveArray::<Float64Type>::from_iter_values(records.iter().map(value))
    };
    let strings =
        |value: fn(&Record) -> &str| StringArray::from_iter_values(records.iter().map(value));
    let contrasts = || records.iter().map(|record| record.contrast.as_ref());
    let contrast_strings = |value: fn(&RecordTarget) -> &str| {
        StringArray::from_iter(contrasts().map(|contrast| contrast.map(value)))
    };
    let frames = records.iter().map(|record| Some(record.frame));
    let targets = records.iter().map(|record| Some(record.target.index));
    let contrast_indices = contrasts().map(|contrast| contrast.map(|contrast| contrast.index));
    let scores = records.iter().map(|record| record.score);
    let flags: Vec<Vec<&str>> = records
        .iter()
        .map(|record| record.flags.iter().map(|flag| flag.name()).collect())
        .collect();
    let columns = Columns::default()
        .with("frame", integers::<Int64Type, _>(frames)?)
        .with("pts_s", f64s(|record| record.pts_s))
        .with("target_index", integers::<Int32Type, _>(targets)?)
        .with("target_wnid", strings(|record| &record.target.wnid))
        .with("target_label", strings(|record| &record.target.label))
        .with_nullable(
            "contrast_index",
            integers::<Int32Type, _>(contrast_indices)?,
        )
        .with_nullable("contrast_wnid", contrast_strings(|target| &target.wnid))
        .with_nullable("contrast_label", contrast_strings(|target| &target.label))
        .with(
            "score",
            PrimitiveArray::<Float32Type>::from_iter_values(scores),
        )
        .with("prob", f64s(|record| record.prob))
        .with(
            "top",
            tops(records.iter().map(|record| Some(record.top.as_slice())))?,
        )
        .with("layer", strings(|record| &record.layer))
        .with("method", strings(|record| &record.method))
        .with(
            "heatmap",
            heatmaps(records.iter().map(|record| Some(&record.heatmap)))?,
        )
        .with("peak_x", f64s(|record| record.peak[0]))
        .with("peak_y", f64s(|record| record.peak[1]))
        .with("flags", words(flags.iter().map(Vec::as_slice))?);
    Ok(columns.batch()?)
}

/// An output that takes the checksum of what goes through.
pub(super) struct Hashed<W> {
    output: W,
    pub(super) digest: Sha256,
}

impl<W> Hashed<W> {
    pub(super) fn new(output: W) -> Self {
        let digest = Sha256::new();
        Self { output, digest }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::columns::GROUP_ROWS;
    use crate::records::test_parquet::{FORMAT, all, header, open, records, written};
    use crate::records::{RecordsFormat, RecordsReader};
    use std::io::Cursor;

    #[test]
    fn records_come_back_as_from_jsonl() {
        for (count, side) in [(0, 7), (3, 1), (600, 7), (300, 14), (30, 56), (18, 224)] {
            let records = records(count, side);
            let reader = open(&written(&records, FORMAT)).unwrap();
            assert_eq!(*reader.header(), header());
            let read = all(reader).unwrap();
            assert!(read == records, "{count} maps of {side}");
            let jsonl = Cursor::new(written(&records, RecordsFormat::Jsonl));
            let reader = RecordsReader::new(Box::new(jsonl), RecordsFormat::Jsonl, "r").unwrap();
            assert!(all(reader).unwrap() == read, "{count} maps of {side}");
        }
    }

    #[test]
    fn values_that_are_no_numbers_come_back_bit_by_bit() {
        let mut records = records(3, 7);
        let odd = [
            f32::NAN,
            f32::from_bits(0xffc0_1234),
            f32::INFINITY,
            f32::NEG_INFINITY,
            -0.0,
            f32::from_bits(1),
        ];
        records[1].heatmap.values[..6].copy_from_slice(&odd);
        records[1].score = f32::NAN;
        records[1].prob = f64::from_bits(0x7ff8_0000_dead_beef);
        let read = all(open(&written(&records, FORMAT)).unwrap()).unwrap();
        let bits = |record: &Record| -> Vec<u32> {
            let values = record.heatmap.values.iter();
            values.map(|value| value.to_bits()).collect()
        };
        assert_eq!(bits(&read[1]), bits(&records[1]));
        assert_eq!(read[1].score.to_bits(), records[1].score.to_bits());
        assert_eq!(read[1].prob.to_bits(), records[1].prob.to_bits());
    }

    #[test]
    fn more_records_than_a_row_group_has_come_back() {
        let count = GROUP_ROWS as u64 * 2 + 101;
        let records = records(count - count % 3, 2);
        let mut reader = open(&written(&records, FORMAT)).unwrap();
        reader.keep_top(Some(1));
        let read = all(reader).unwrap();
        assert_eq!(read.len(), records.len());
        for (read, record) in read.iter().zip(&records) {
            assert_eq!(read.heatmap, record.heatmap);
            assert_eq!(read.top, record.top[..record.top.len().min(1)]);
        }
    }
}
