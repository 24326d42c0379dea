//! The records of an audit as a Parquet table, for queries.

use std::io::Write;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::EnabledStatistics;
use parquet::schema::types::ColumnPath;

use super::record::AuditRecord;
use super::table_columns::{Row, batch};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;
use crate::records::columns::{BATCH_ROWS, Cause, properties};

/// Columns with few values that are repeated often.
const REPETITIVE: [&str; 9] = [
    "path",
    "label_name",
    "label_wnid",
    "top.list.element.label",
    "target_label",
    "target_wnid",
    "duplicate_of",
    "flags.list.element",
    "fault",
];

/// Writes `records.parquet`: a row for each record, and one for each unreadable file. Memory holds one row group, of 8192 rows at most.
pub struct AuditTable<'a> {
    writer: ArrowWriter<Output<'a>>,
    name: String,
    labels: &'a Labels,
    pending: Vec<Row>,
}

type Output<'a> = Box<dyn Write + Send + 'a>;

impl<'a> AuditTable<'a> {
    /// Starts a table in `output`. `name` is used in errors, `labels` name the classes, and `metadata` are keys and values for the file's
    /// metadata.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn new(
        output: impl Write + Send + 'a,
        name: &str,
        labels: &'a Labels,
        metadata: &[(String, String)],
    ) -> Result<Self> {
        let start = || -> Result<ArrowWriter<Output<'a>>, Cause> {
            let entries = metadata.iter().cloned();
            let entries = entries.map(|(key, value)| KeyValue::new(key, value));
            let mut properties = properties()
                .set_compression(Compression::SNAPPY)
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_key_value_metadata(Some(entries.collect()));
            for column in REPETITIVE {
                let path = ColumnPath::new(column.split('.').map(str::to_owned).collect());
                properties = properties.set_column_dictionary_enabled(path, true);
            }
            let options = ArrowWriterOptions::new()
                .with_properties(properties.build())
                .with_skip_arrow_metadata(true);
            let schema = batch(&[], labels)?.schema();
            let output: Output<'a> = Box::new(output);
            Ok(ArrowWriter::try_new_with_options(output, schema, options)?)
        };
        Ok(Self {
            writer: start().map_err(|cause| write_error(name, cause))?,
            name: name.to_owned(),
            labels,
            pending: Vec::with_capacity(BATCH_ROWS),
        })
    }

    /// Appends a record. `duplicate_of` is the path of the file that its picture is a duplicate of, `flags` are the names of what is suspect about it, `fault` is what is wrong with its file.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn write(
        &mut self,
        record: &AuditRecord,
        duplicate_of: Option<&str>,
        flags: &[&str],
        fault: Option<&str>,
    ) -> Result<()> {
        self.push(Row {
            record: Some(record.clone()),
            path: record.path.clone(),
            label: record.label,
            duplicate_of: duplicate_of.map(str::to_owned),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            fault: fault.map(str::to_owned),
        })
    }

    /// Appends a file without records: all columns but those of the arguments are null.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn write_unreadable(
        &mut self,
        path: &str,
        label: Option<usize>,
        flags: &[&str],
        fault: &str,
    ) -> Result<()> {
        self.push(Row {
            record: None,
            path: path.to_owned(),
            label,
            duplicate_of: None,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            fault: Some(fault.to_owned()),
        })
    }

    /// Writes what is left and the file's metadata: without it, the file cannot be read.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if writing fails.
    pub fn finish(mut self) -> Result<()> {
        self.encode()?;
        let finished = self.writer.finish();
        finished.map_err(|error| write_error(&self.name, error.into()))?;
        Ok(())
    }

    fn push(&mut self, row: Row) -> Result<()> {
        self.pending.push(row);
        if self.pending.len() == BATCH_ROWS {
            self.encode()?;
        }
        Ok(())
    }

    fn encode(&mut self) -> Result<()> {
        let batch = batch(&self.pending, self.labels);
        let written = batch.and_then(|batch| Ok(self.writer.write(&batch)?));
        self.pending.clear();
        written.map_err(|cause| write_error(&self.name, cause))
    }
}

fn write_error(name: &str, cause: Cause) -> Error {
    let message = format!("cannot write the table {name}");
    Error::caused_by(ErrorKind::Output, message, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_table::{column, labels, read, record, written};
    use crate::records::columns::GROUP_ROWS;
    use arrow_array::cast::AsArray;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    #[test]
    fn an_unreadable_file_has_a_row_with_little_in_it() {
        let batch = read(written(|table| {
            table.write(&record(0), None, &[], None).unwrap();
            table
                .write_unreadable("b.png", Some(1), &["unreadable"], "empty")
                .unwrap();
        }));
        let names = batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect::<Vec<_>>();
        let filled: Vec<_> = names
            .iter()
            .filter(|name| column(&batch, name).is_valid(1))
            .collect();
        assert_eq!(filled, ["path", "label", "flags", "fault"]);
        assert!(column(&batch, "fault").is_null(0));
        assert_eq!(column(&batch, "fault").as_string::<i32>().value(1), "empty");
    }

    #[test]
    fn there_may_be_more_rows_than_a_row_group_has() {
        let count = GROUP_ROWS + BATCH_ROWS + 1;
        let bytes = written(|table| {
            for number in 0..count {
                table.write(&record(number), None, &[], None).unwrap();
            }
        });
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
        assert_eq!(builder.metadata().num_row_groups(), 2);
        let entries = builder
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .unwrap();
        assert_eq!(
            (entries[0].key.as_str(), entries[0].value.as_deref()),
            ("key", Some("value"))
        );
        let batch = read(bytes);
        assert_eq!(batch.num_rows(), count);
        let last = column(&batch, "path")
            .as_string::<i32>()
            .value(count - 1)
            .to_owned();
        assert_eq!(last, format!("a/{}.png", count - 1));
    }

    #[test]
    fn an_output_that_fails_is_an_error_that_names_the_table() {
        let (mut full, labels) = ([0; 40], labels());
        let mut table = AuditTable::new(full.as_mut_slice(), "t.parquet", &labels, &[]).unwrap();
        table.write(&record(0), None, &[], None).unwrap();
        let error = table.finish().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Output);
        assert!(
            error
                .one_line()
                .contains("cannot write the table t.parquet")
        );
    }
}
