//! Columns of Parquet tables: from values to Arrow arrays, and the settings that all tables are written with.

use std::error::Error as StdError;
use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, ListArray, PrimitiveArray, RecordBatch, StringArray,
    StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, Field, Fields};
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use super::RecordTop;
use crate::heatmap::Heatmap;

/// Any failure of the libraries below: callers say what was being done.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Rows that are gathered before they are encoded.
pub(crate) const BATCH_ROWS: usize = 64;

/// Rows of a row group, which is held in memory until it is written.
pub(crate) const GROUP_ROWS: usize = 8192;

/// Bytes of a row group, if its rows are large: a row with a 56x56 map takes 13 KB.
const GROUP_BYTES: usize = 32 << 20;

/// What all tables are written with: plain values, and row groups that are bounded.
pub(crate) fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_encoding(Encoding::PLAIN)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
}

/// The columns of some rows, in order.
#[derive(Default)]
pub(crate) struct Columns(Vec<(&'static str, ArrayRef, bool)>);

impl Columns {
    /// Adds a column that has a value in every row.
    pub(crate) fn with(mut self, name: &'static str, values: impl Array + 'static) -> Self {
        self.0.push((name, Arc::new(values), false));
        self
    }

    /// Adds a column that may have nulls.
    pub(crate) fn with_nullable(
        mut self,
        name: &'static str,
        values: impl Array + 'static,
    ) -> Self {
        self.0.push((name, Arc::new(values), true));
        self
    }

    /// The columns together; of no rows, what matters is its schema.
    pub(crate) fn batch(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_from_iter_with_nullable(self.0)
    }
}

/// Integers of another width; fails if one does not fit.
pub(crate) fn integers<T: ArrowPrimitiveType, V>(
    values: impl Iterator<Item = Option<V>>,
) -> Result<PrimitiveArray<T>, Cause>
where
    T::Native: TryFrom<V, Error: Into<Cause>>,
{
    let converted = values.map(|value| value.map(T::Native::try_from).transpose());
    converted.collect::<Result<_, _>>().map_err(Into::into)
}

/// Lists that follow one another in `items`; a list without length is null.
pub(crate) fn lists(
    lengths: impl Iterator<Item = Option<usize>> + Clone,
    items: impl Array + 'static,
) -> Result<ListArray, ArrowError> {
    let field = Field::new("element", items.data_type().clone(), false);
    let nulls: NullBuffer = lengths.clone().map(|length| length.is_some()).collect();
    let offsets = OffsetBuffer::from_lengths(lengths.map(Option::unwrap_or_default));
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    ListArray::try_new(Arc::new(field), offsets, Arc::new(items), nulls)
}

/// Maps as lists of rows.
pub(crate) fn heatmaps<'a>(
    maps: impl Iterator<Item = Option<&'a Heatmap>> + Clone,
) -> Result<ListArray, ArrowError> {
    let present = maps.clone().flatten();
    let cells = present.clone().flat_map(|map| map.values.iter().copied());
    let cells = PrimitiveArray::<Float32Type>::from_iter_values(cells);
    let widths = present.flat_map(|map| std::iter::repeat_n(Some(map.width), map.height));
    let rows = lists(widths, cells)?;
    lists(maps.map(|map| map.map(|map| map.height)), rows)
}

/// Top classes as lists of structs.
pub(crate) fn tops<'a>(
    tops: impl Iterator<Item = Option<&'a [RecordTop]>> + Clone,
) -> Result<ListArray, Cause> {
    let classes = tops.clone().flatten().flatten();
    let indices = integers::<Int32Type, _>(classes.clone().map(|class| Some(class.index)))?;
    let labels = classes.clone().map(|class| class.label.as_str());
    let probs = classes.map(|class| class.prob);
    let columns: [ArrayRef; 3] = [
        Arc::new(indices),
        Arc::new(StringArray::from_iter_values(labels)),
        Arc::new(PrimitiveArray::<Float64Type>::from_iter_values(probs)),
    ];
    let names = ["index", "label", "prob"];
    let fields = names.iter().zip(&columns);
    let fields: Fields = fields
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
        .collect();
    let classes = StructArray::try_new(fields, columns.into(), None)?;
    Ok(lists(tops.map(|top| top.map(<[_]>::len)), classes)?)
}

/// Words as lists of strings.
pub(crate) fn words<'a, W: AsRef<str> + 'a>(
    lists_of_words: impl Iterator<Item = &'a [W]> + Clone,
) -> Result<ListArray, ArrowError> {
    let items = StringArray::from_iter_values(lists_of_words.clone().flatten());
    lists(lists_of_words.map(|words| Some(words.len())), items)
}
