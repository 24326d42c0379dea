//! A record for tests of the table, and the table of what a test writes.

use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::record::{AuditRecord, Metrics};
use super::table::AuditTable;
use crate::heatmap::Heatmap;
use crate::model::Labels;
use crate::records::RecordTop;

pub(super) fn labels() -> Labels {
    Labels::from_json(r#"["cat", "dog"]"#, r#"["n0", "n1"]"#).unwrap()
}

pub(super) fn record(number: usize) -> AuditRecord {
    AuditRecord {
        path: format!("a/{number}.png"),
        frame: (number % 2 == 1).then_some(number as u64),
        pts_s: None,
        size: [640, 480],
        label: Some(1),
        self_confidence: Some(0.25),
        label_rank: Some(1),
        top: vec![RecordTop {
            index: 0,
            label: "cat".into(),
            prob: 0.75,
        }],
        target: 0,
        score: 1.5,
        prob: 0.75,
        heatmap: Heatmap {
            width: 2,
            height: 1,
            values: vec![number as f32, f32::NAN],
        },
        peak: [0.25, 0.5],
        map_rect: [0.0, 0.125, 1.0, 0.875],
        metrics: Metrics {
            brightness: 0.5,
            sharpness: f64::INFINITY,
            hash: Some(0xabc),
            border_energy: None,
            corner_energy: Some(0.1),
            energy_in_box: Some(0.2),
            box_share: Some(0.3),
            is_pointing_hit: Some(true),
            change: Some(4.0),
            flicker: Some(0.6),
        },
        thumb: "thumbs/a.jpg".into(),
    }
}

pub(super) fn written(write: impl FnOnce(&mut AuditTable<'_>)) -> Bytes {
    let (mut bytes, labels) = (Vec::new(), labels());
    let metadata = [("key".to_owned(), "value".to_owned())];
    let mut table = AuditTable::new(&mut bytes, "t", &labels, &metadata).unwrap();
    write(&mut table);
    table.finish().unwrap();
    bytes.into()
}

pub(super) fn read(bytes: Bytes) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let mut batches = builder.with_batch_size(1 << 20).build().unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    batch.column_by_name(name).unwrap()
}
