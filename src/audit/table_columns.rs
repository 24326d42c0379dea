//! The columns of the audit's table.

use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{BooleanArray, Float64Array, PrimitiveArray, RecordBatch, StringArray};

use super::record::{AuditRecord, Metrics};
use crate::model::Labels;
use crate::records::columns::{Cause, Columns, heatmaps, integers, tops, words};

/// What is in a row beside the record: that is missing for unreadable files.
pub(super) struct Row {
    pub(super) record: Option<AuditRecord>,
    pub(super) path: String,
    pub(super) label: Option<usize>,
    pub(super) duplicate_of: Option<String>,
    pub(super) flags: Vec<String>,
    pub(super) fault: Option<String>,
}

/// The table's columns.
pub(super) fn batch(rows: &[Row], labels: &Labels) -> Result<RecordBatch, Cause> {
    let records = || rows.iter().map(|row| row.record.as_ref());
    let metrics = || records().map(|record| record.map(|record| &record.metrics));
    let number = |value: &dyn Fn(&AuditRecord) -> Option<f64>| -> Float64Array {
        records().map(|record| record.and_then(value)).collect()
    };
    let metric = |value: fn(&Metrics) -> Option<f64>| number(&|record| value(&record.metrics));
    let text = |value: &dyn Fn(&AuditRecord) -> Option<String>| -> StringArray {
        records().map(|record| record.and_then(value)).collect()
    };
    let size = |axis: usize| {
        integers::<Int32Type, _>(records().map(|record| record.map(|record| record.size[axis])))
    };
    let paths = rows.iter().map(|row| &row.path);
    let frames = records().map(|record| record?.frame);
    let pts_s = number(&|record| record.pts_s);
    let label_indices = rows.iter().map(|row| row.label);
    let label_name = text(&|record| record.label_name(labels).map(str::to_owned));
    let label_wnid = text(&|record| record.label.map(|label| labels.wnid(label).to_owned()));
    let self_confidence = number(&|record| record.self_confidence);
    let top = tops(records().map(|record| record.map(|record| record.top.as_slice())))?;
    let targets = records().map(|record| record.map(|record| record.target));
    let target_label = text(&|record| Some(labels.name(record.target).to_owned()));
    let target_wnid = text(&|record| Some(labels.wnid(record.target).to_owned()));
    let scores = records().map(|record| record.map(|record| record.score));
    let scores: PrimitiveArray<Float32Type> = scores.collect();
    let maps = heatmaps(records().map(|record| record.map(|record| &record.heatmap)))?;
    let peak = |axis: usize| number(&|record| Some(record.peak[axis]));
    let edge = |edge: usize| number(&|record| Some(record.map_rect[edge]));
    let hash = text(&|record| record.metrics.hash.map(|hash| format!("{hash:016x}")));
    let hits: BooleanArray = metrics().map(|metrics| metrics?.is_pointing_hit).collect();
    let originals = rows.iter().map(|row| row.duplicate_of.as_ref());
    let originals: StringArray = originals.collect();
    let flags = words(rows.iter().map(|row| row.flags.as_slice()))?;
    let faults: StringArray = rows.iter().map(|row| row.fault.as_ref()).collect();
    let columns = Columns::default()
        .with("path", StringArray::from_iter_values(paths))
        .with_nullable("frame", integers::<Int64Type, _>(frames)?)
        .with_nullable("pts_s", pts_s)
        .with_nullable("width", size(0)?)
        .with_nullable("height", size(1)?)
        .with_nullable("label", integers::<Int32Type, _>(label_indices)?)
        .with_nullable("label_name", label_name)
        .with_nullable("label_wnid", label_wnid)
        .with_nullable("self_confidence", self_confidence)
        .with_nullable("top", top)
        .with_nullable("target_index", integers::<Int32Type, _>(targets)?)
        .with_nullable("target_label", target_label)
        .with_nullable("target_wnid", target_wnid)
        .with_nullable("score", scores)
        .with_nullable("prob", number(&|record| Some(record.prob)))
        .with_nullable("heatmap", maps)
        .with_nullable("peak_x", peak(0))
        .with_nullable("peak_y", peak(1))
        .with_nullable("map_x0", edge(0))
        .with_nullable("map_y0", edge(1))
        .with_nullable("map_x1", edge(2))
        .with_nullable("map_y1", edge(3))
        .with_nullable("brightness", metric(|metrics| Some(metrics.brightness)))
        .with_nullable("sharpness", metric(|metrics| Some(metrics.sharpness)))
        .with_nullable("perceptual_hash", hash)
        .with_nullable("border_energy", metric(|metrics| metrics.border_energy))
        .with_nullable("corner_energy", metric(|metrics| metrics.corner_energy))
        .with_nullable("energy_in_box", metric(|metrics| metrics.energy_in_box))
        .with_nullable("box_share", metric(|metrics| metrics.box_share))
        .with_nullable("is_pointing_hit", hits)
        .with_nullable("change", metric(|metrics| metrics.change))
        .with_nullable("flicker", metric(|metrics| metrics.flicker))
        .with_nullable("thumb", text(&|record| Some(record.thumb.clone())))
        .with_nullable("duplicate_of", originals)
        .with("flags", flags)
        .with_nullable("fault", faults);
    Ok(columns.batch()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_table::{column, read, record, written};
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;

    #[test]
    fn a_record_becomes_a_row() {
        let batch = read(written(|table| {
            table
                .write(
                    &record(3),
                    Some("a/1.png"),
                    &["blurred", "damaged"],
                    Some("cut"),
                )
                .unwrap();
        }));
        let string = |name| column(&batch, name).as_string::<i32>().value(0).to_owned();
        let double = |name| column(&batch, name).as_primitive::<Float64Type>().value(0);
        let int = |name| column(&batch, name).as_primitive::<Int32Type>().value(0);
        assert_eq!(string("path"), "a/3.png");
        assert_eq!(
            column(&batch, "frame").as_primitive::<Int64Type>().value(0),
            3
        );
        assert_eq!(
            [
                int("width"),
                int("height"),
                int("label"),
                int("target_index")
            ],
            [640, 480, 1, 0]
        );
        assert_eq!([string("label_name"), string("label_wnid")], ["dog", "n1"]);
        assert_eq!(
            [string("target_label"), string("target_wnid")],
            ["cat", "n0"]
        );
        assert_eq!(
            column(&batch, "score")
                .as_primitive::<Float32Type>()
                .value(0),
            1.5
        );
        let names = [
            "self_confidence",
            "prob",
            "peak_x",
            "peak_y",
            "map_x0",
            "map_y0",
            "map_x1",
            "map_y1",
        ];
        assert_eq!(
            names.map(double),
            [0.25, 0.75, 0.25, 0.5, 0.0, 0.125, 1.0, 0.875]
        );
        let names = [
            "brightness",
            "sharpness",
            "corner_energy",
            "energy_in_box",
            "box_share",
            "change",
            "flicker",
        ];
        assert_eq!(
            names.map(double),
            [0.5, f64::INFINITY, 0.1, 0.2, 0.3, 4.0, 0.6]
        );
        assert_eq!(string("perceptual_hash"), "0000000000000abc");
        assert!(column(&batch, "is_pointing_hit").as_boolean().value(0));
        assert_eq!([string("thumb"), string("fault")], ["thumbs/a.jpg", "cut"]);
        assert_eq!(string("duplicate_of"), "a/1.png");
        let flags = column(&batch, "flags").as_list::<i32>().value(0);
        let flags: Vec<_> = flags.as_string::<i32>().iter().flatten().collect();
        assert_eq!(flags, ["blurred", "damaged"]);
        let top = column(&batch, "top").as_list::<i32>().value(0);
        assert_eq!(top.as_struct().column(1).as_string::<i32>().value(0), "cat");
        let rows = column(&batch, "heatmap").as_list::<i32>().value(0);
        let row = rows.as_list::<i32>().value(0);
        let values = row.as_primitive::<Float32Type>().values();
        assert!(values[0] == 3.0 && values[1].is_nan());
        for name in ["pts_s", "border_energy"] {
            assert!(column(&batch, name).is_null(0), "{name}");
        }
    }
}
