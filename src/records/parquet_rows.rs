//! From Arrow's columns back to records.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, ListArray, PrimitiveArray, RecordBatch, StringArray,
};

use super::{Flag, Record, RecordTarget, RecordTop};
use crate::heatmap::Heatmap;

/// The records of some rows.
pub(super) fn records(batch: &RecordBatch) -> Result<Vec<Record>, String> {
    let (frames, pts_s) = (
        numbers::<Int64Type>(batch, "frame")?,
        numbers::<Float64Type>(batch, "pts_s")?,
    );
    let targets = Classes::of(batch, ["target_index", "target_wnid", "target_label"])?;
    let contrasts = Classes::of(batch, ["contrast_index", "contrast_wnid", "contrast_label"])?;
    let scores = numbers::<Float32Type>(batch, "score")?;
    let probs = numbers::<Float64Type>(batch, "prob")?;
    let (layers, methods) = (strings(batch, "layer")?, strings(batch, "method")?);
    let peaks = [
        numbers::<Float64Type>(batch, "peak_x")?,
        numbers::<Float64Type>(batch, "peak_y")?,
    ];
    let tops = lists(batch, "top")?;
    let maps = lists(batch, "heatmap")?;
    let flags = lists(batch, "flags")?;
    let record = |row| {
        Ok(Record {
            frame: unsigned(frames.value(row))?,
            pts_s: pts_s.value(row),
            target: targets.value(row)?,
            contrast: contrasts.optional_value(row)?,
            score: scores.value(row),
            prob: probs.value(row),
            top: top(&tops.value(row))?,
            layer: layers.value(row).to_owned(),
            method: methods.value(row).to_owned(),
            heatmap: heatmap(&maps.value(row))?,
            peak: peaks.map(|peak| peak.value(row)),
            flags: flags_of(&flags.value(row))?,
        })
    };
    (0..batch.num_rows()).map(record).collect()
}

/// Three columns that say which class.
struct Classes<'a> {
    indices: &'a PrimitiveArray<Int32Type>,
    wnids: &'a StringArray,
    labels: &'a StringArray,
}

impl<'a> Classes<'a> {
    fn of(batch: &'a RecordBatch, [index, wnid, label]: [&str; 3]) -> Result<Self, String> {
        Ok(Self {
            indices: numbers(batch, index)?,
            wnids: strings(batch, wnid)?,
            labels: strings(batch, label)?,
        })
    }

    fn value(&self, row: usize) -> Result<RecordTarget, String> {
        Ok(RecordTarget {
            index: unsigned(self.indices.value(row))?,
            wnid: self.wnids.value(row).to_owned(),
            label: self.labels.value(row).to_owned(),
        })
    }

    fn optional_value(&self, row: usize) -> Result<Option<RecordTarget>, String> {
        let nulls = [
            self.indices.is_null(row),
            self.wnids.is_null(row),
            self.labels.is_null(row),
        ];
        match nulls {
            [true, true, true] => Ok(None),
            [false, false, false] => self.value(row).map(Some),
            _ => Err("a contrast is there in part only".to_owned()),
        }
    }
}

fn top(classes: &ArrayRef) -> Result<Vec<RecordTop>, String> {
    let columns = classes.as_struct_opt().map(|classes| classes.columns());
    let [indices, labels, probs] = columns.unwrap_or_default() else {
        return Err(not_so("top"));
    };
    let indices = indices.as_primitive_opt::<Int32Type>();
    let indices = indices.ok_or_else(|| not_so("top"))?;
    let labels: &StringArray = labels.as_string_opt().ok_or_else(|| not_so("top"))?;
    let probs = probs.as_primitive_opt::<Float64Type>();
    let probs = probs.ok_or_else(|| not_so("top"))?;
    let class = |row| {
        Ok(RecordTop {
            index: unsigned(indices.value(row))?,
            label: labels.value(row).to_owned(),
            prob: probs.value(row),
        })
    };
    (0..classes.len()).map(class).collect()
}

fn heatmap(rows: &ArrayRef) -> Result<Heatmap, String> {
    let rows: &ListArray = rows.as_list_opt().ok_or_else(|| not_so("heatmap"))?;
    let mut lengths = rows.offsets().lengths();
    let (width, height) = (lengths.next().unwrap_or(0), rows.len());
    if width == 0 || lengths.any(|length| length != width) {
        return Err("a heatmap's rows must be of one length".to_owned());
    }
    let values = (0..height).flat_map(|row| {
        let cells = rows.value(row);
        let cells = cells.as_primitive_opt::<Float32Type>();
        cells.map_or_else(Vec::new, |cells| cells.values().to_vec())
    });
    let values: Vec<f32> = values.collect();
    if values.len() != width * height {
        return Err(not_so("heatmap"));
    }
    Ok(Heatmap {
        width,
        height,
        values,
    })
}

fn flags_of(names: &ArrayRef) -> Result<Vec<Flag>, String> {
    let names: &StringArray = names.as_string_opt().ok_or_else(|| not_so("flags"))?;
    let names = names.iter().map(Option::unwrap_or_default);
    names.map(super::reader::flag).collect()
}

fn unsigned<T: Copy + std::fmt::Display, U: TryFrom<T>>(value: T) -> Result<U, String> {
    U::try_from(value).map_err(|_| format!("{value} is no index"))
}

fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>, String> {
    let column = batch.column_by_name(name);
    let numbers = column.and_then(|column| column.as_primitive_opt());
    numbers.ok_or_else(|| not_so(name))
}

fn strings<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    let column = batch.column_by_name(name);
    let strings = column.and_then(|column| column.as_string_opt());
    strings.ok_or_else(|| not_so(name))
}

fn lists<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ListArray, String> {
    let column = batch.column_by_name(name);
    let lists = column.and_then(|column| column.as_list_opt());
    lists.ok_or_else(|| not_so(name))
}

fn not_so(name: &str) -> String {
    format!("the column {name} is of another type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::columns::lists as lists_of;
    use crate::records::parquet_writer::batch;
    use crate::records::test_parquet::records as some_records;
    use std::sync::Arc;

    /// What `records` says of a batch in which one column is another.
    fn cause(name: &str, column: ArrayRef) -> String {
        let batch = batch(&some_records(1, 2)).unwrap();
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns: Vec<_> = columns
            .map(|(field, values)| {
                let is_it = field.name() == name;
                let values = if is_it { &column } else { values };
                (field.name().clone(), Arc::clone(values), true)
            })
            .collect();
        let changed = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        records(&changed).unwrap_err()
    }

    #[test]
    fn columns_that_make_no_record_are_named() {
        let numbers = |values: &[f32]| PrimitiveArray::<Float32Type>::from(values.to_vec());
        let map = |widths: &[usize]| {
            let cells = numbers(&vec![0.5; widths.iter().sum()]);
            let rows = lists_of(widths.iter().copied().map(Some), cells).unwrap();
            Arc::new(lists_of([Some(widths.len())].into_iter(), rows).unwrap())
        };
        for widths in [&[2, 1][..], &[0, 0], &[]] {
            assert!(cause("heatmap", map(widths)).contains("rows must be of one length"));
        }
        let index = |value: i32| Arc::new(PrimitiveArray::<Int32Type>::from(vec![value]));
        assert_eq!(cause("target_index", index(-1)), "-1 is no index");
        assert!(cause("contrast_index", index(1)).contains("in part only"));
        assert!(cause("pts_s", index(1)).contains("pts_s is of another type"));
        let word = StringArray::from_iter_values(["x"]);
        let words = lists_of([Some(1)].into_iter(), word).unwrap();
        assert_eq!(
            cause("flags", Arc::new(words.clone())),
            "unknown flag \"x\""
        );
        assert!(cause("top", Arc::new(words)).contains("top is of another type"));
    }
}
