//! Records for tests of Parquet, and what is written and read of them.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::parquet_writer::{CHECKSUM_KEY, checksum};
use super::test_output::SharedBytes;
use super::{Flag, Record, RecordTarget, RecordTop, RecordsFormat, RecordsReader, RecordsWriter};
use crate::error::{ErrorKind, Result};
use crate::heatmap::Heatmap;
use crate::records::RecordsHeader;

pub(super) const FORMAT: RecordsFormat = RecordsFormat::Parquet;

pub(super) fn header() -> RecordsHeader {
    RecordsHeader {
        header: true,
        input: "a, \"b\".mp4".into(),
        start_s: Some(0.1),
        ..RecordsHeader::default()
    }
}

/// Three targets per frame, maps of `side` x `side + 1`, numbers that need all their digits.
pub(super) fn records(count: u64, side: usize) -> Vec<Record> {
    let target = |index: usize| RecordTarget {
        index,
        wnid: format!("n{index:08}"),
        label: "an \"Ägyptische\", cat".into(),
    };
    let record = |number: u64| Record {
        frame: number / 3,
        pts_s: number as f64 / 30.0,
        target: target(number as usize % 3),
        contrast: (number % 3 == 1).then(|| target(999)),
        score: 0.1 + number as f32,
        prob: 1.0 / (number as f64 + 3.0),
        top: (0..number as usize % 6)
            .map(|index| RecordTop {
                index,
                label: format!("class {index}"),
                prob: 0.1 + 0.2 * index as f64,
            })
            .collect(),
        layer: "layer3,layer4".into(),
        method: "gradcam".into(),
        heatmap: Heatmap {
            width: side,
            height: side + 1,
            values: (0..side * (side + 1))
                .map(|k| (number as f32 + 1.1) / (k as f32 - 2.5))
                .collect(),
        },
        peak: [0.1, 0.7],
        flags: Flag::ALL[..number as usize % 4].into(),
    };
    (0..count).map(record).collect()
}

pub(super) fn written(records: &[Record], format: RecordsFormat) -> Vec<u8> {
    let output = SharedBytes::default();
    let mut writer = RecordsWriter::new(Box::new(output.clone()), format, "r", &header()).unwrap();
    for record in records {
        writer.write(record).unwrap();
    }
    writer.finish().unwrap();
    output.bytes()
}

pub(super) fn open(bytes: &[u8]) -> Result<RecordsReader> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    RecordsReader::from_file(file, FORMAT, "r.parquet")
}

pub(super) fn all(mut reader: RecordsReader) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    loop {
        let frame = reader.next_frame()?;
        if frame.is_empty() {
            return Ok(records);
        }
        records.extend(frame);
    }
}

/// Why `bytes` cannot be read.
pub(super) fn cause(bytes: &[u8]) -> String {
    let error = open(bytes).and_then(all).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    error.one_line()
}

/// Where the metadata begin.
pub(super) fn data_end(bytes: &[u8]) -> usize {
    let tail = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap());
    tail - length as usize
}

/// Puts the right checksum into the metadata, as one does who means harm.
pub(super) fn with_right_checksum(bytes: &[u8]) -> Vec<u8> {
    let end = data_end(bytes);
    let header = serde_json::to_string(&header()).unwrap();
    let digest = Sha256::new().chain_update(&bytes[..end]);
    let checksum = checksum(digest, &header).unwrap();
    let key = CHECKSUM_KEY.as_bytes();
    let mut changed = bytes.to_vec();
    let found = bytes[end..].windows(key.len()).position(|part| part == key);
    // After the key: the type of the value, and its length.
    let value = end + found.unwrap() + key.len() + 2;
    changed[value..value + checksum.len()].copy_from_slice(checksum.as_bytes());
    changed
}
