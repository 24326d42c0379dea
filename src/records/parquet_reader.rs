//! Reading records from Parquet: only files that `parquet_writer` wrote, and only as they were written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::vec;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::arrow::{
    ArrowSchemaConverter, FieldLevels, ProjectionMask, parquet_to_arrow_field_levels,
};
use parquet::basic::Compression;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    FooterTail, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
};
use parquet::schema::types::SchemaDescriptor;

use super::columns::Cause;
use super::parquet_pages::{Chunks, Group, Ration};
use super::parquet_rows::records;
use super::parquet_writer::{CHECKSUM_KEY, HEADER_KEY, Hashed, batch, checksum};
use super::{Record, RecordsHeader};

/// What is wrong with a pipe.
pub(super) const NEEDS_FILE: &str =
    "Parquet is read from its end, which takes a regular file, no pipe or device";

/// Longest metadata that are read, in bytes: 4000 row groups take about so much.
const MAX_METADATA_BYTES: usize = 1 << 23;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 16;

/// Bytes before the first row group: `PAR1`.
const MAGIC_BYTES: u64 = 4;

/// Reads the records of a file from front to back.
pub(super) struct ParquetRecords {
    file: Arc<Chunks>,
    metadata: Arc<ParquetMetaData>,
    levels: FieldLevels,
    ration: Ration,
    /// Row groups that were begun.
    groups: usize,
    rows: Option<GroupRows>,
    /// Records that are decoded already.
    decoded: vec::IntoIter<Record>,
}

/// The rest of a row group.
struct GroupRows {
    batches: ParquetRecordBatchReader,
    rows_left: usize,
}

impl ParquetRecords {
    /// Reads the header, and the whole file once for its checksum: after that, only files that were made to be wrong can be.
    pub(super) fn open(mut file: File) -> Result<(RecordsHeader, Self), Cause> {
        if !file.metadata()?.is_file() {
            return Err(NEEDS_FILE.into());
        }
        let schema = ArrowSchemaConverter::new().convert(&batch(&[])?.schema())?;
        let (metadata, data_bytes) = read_metadata(&mut file, &schema)?;
        let value = |key: &str| {
            let entries = metadata.file_metadata().key_value_metadata();
            let entry = entries?.iter().find(|entry| entry.key == key)?;
            entry.value.as_deref()
        };
        let json = value(HEADER_KEY).ok_or("no header of records")?;
        let header: RecordsHeader =
            serde_json::from_str(json).map_err(|error| format!("no header of records: {error}"))?;
        check_layout(&metadata, data_bytes)?;
        file.rewind()?;
        let mut hashed = Hashed::new(io::sink());
        io::copy(&mut (&mut file).take(data_bytes), &mut hashed)?;
        if value(CHECKSUM_KEY) != Some(&checksum(hashed.digest, json)?) {
            return Err("the checksum is wrong: the file was damaged or changed".into());
        }
        let levels = parquet_to_arrow_field_levels(&schema, ProjectionMask::all(), None)?;
        let records = Self {
            file: Arc::new(Chunks(file)),
            metadata: Arc::new(metadata),
            levels,
            ration: Ration::default(),
            groups: 0,
            rows: None,
            decoded: Vec::new().into_iter(),
        };
        Ok((header, records))
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, String> {
        loop {
            if let Some(record) = self.decoded.next() {
                return Ok(Some(record));
            }
            match self.next_batch().map_err(|cause| cause.to_string())? {
                Some(batch) => self.decoded = records(&batch)?.into_iter(),
                None => return Ok(None),
            }
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Cause> {
        self.ration.renew();
        loop {
            let mut rows = match self.rows.take() {
                Some(rows) => rows,
                None if self.groups == self.metadata.num_row_groups() => return Ok(None),
                None => self.next_group()?,
            };
            match guarded(|| rows.batches.next().transpose().map_err(without_prefix))? {
                Some(batch) => {
                    let left = rows.rows_left.checked_sub(batch.num_rows());
                    rows.rows_left = left.ok_or_else(other_count)?;
                    self.rows = Some(rows);
                    return Ok(Some(batch));
                }
                None if rows.rows_left > 0 => return Err(other_count()),
                None => {}
            }
        }
    }

    fn next_group(&mut self) -> Result<GroupRows, Cause> {
        let group = Group {
            file: Arc::clone(&self.file),
            metadata: Arc::clone(&self.metadata),
            index: self.groups,
            ration: self.ration.clone(),
        };
        let rows_left = usize::try_from(self.metadata.row_group(self.groups).num_rows())?;
        self.groups += 1;
        let levels = &self.levels;
        let open =
            || ParquetRecordBatchReader::try_new_with_row_groups(levels, &group, BATCH_ROWS, None);
        let batches = guarded(|| open().map_err(Into::into))?;
        Ok(GroupRows { batches, rows_left })
    }
}

/// The file's metadata, and how many bytes are before them. `schema` is used, not the file's: that may nest so deep that the stack ends.
fn read_metadata(
    file: &mut File,
    schema: &SchemaDescriptor,
) -> Result<(ParquetMetaData, u64), Cause> {
    let end = file.metadata()?.len();
    let tail_at = end.checked_sub(FOOTER_SIZE as u64);
    let tail_at = tail_at.ok_or("it is no Parquet file, or its end is missing")?;
    file.seek(SeekFrom::Start(tail_at))?;
    let mut tail = [0; FOOTER_SIZE];
    file.read_exact(&mut tail)?;
    let tail = FooterTail::try_new(&tail)
        .ok()
        .filter(|tail| !tail.is_encrypted_footer())
        .ok_or("it is no Parquet file, or its end is missing")?;
    let length = tail.metadata_length();
    if length > MAX_METADATA_BYTES {
        let most = MAX_METADATA_BYTES >> 20;
        return Err(format!("the metadata are longer than {most} MiB").into());
    }
    let start = tail_at.checked_sub(length as u64);
    let start = start.ok_or("the metadata are longer than the file")?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    let options = ParquetMetaDataOptions::new().with_schema(Arc::new(schema.clone()));
    let metadata = guarded(|| {
        let decoded = ParquetMetaDataReader::decode_metadata_with_options(&bytes, Some(&options));
        decoded.map_err(|error| format!("its metadata are not those of records: {error}").into())
    })?;
    Ok((metadata, start))
}

/// Whether the columns follow one another without gap, plain, to where the metadata begin, as the writer leaves them.
fn check_layout(metadata: &ParquetMetaData, end: u64) -> Result<(), Cause> {
    let mut position = MAGIC_BYTES;
    let mut rows = 0i64;
    for group in metadata.row_groups() {
        rows = rows.checked_add(group.num_rows()).ok_or_else(other_count)?;
        for column in group.columns() {
            let size = u64::try_from(column.compressed_size()).map_err(|_| other_count())?;
            let is_in_place = u64::try_from(column.data_page_offset()) == Ok(position)
                && column.dictionary_page_offset().is_none();
            if !is_in_place || column.compression() != Compression::UNCOMPRESSED {
                return Err("its columns are not as this program writes them".into());
            }
            position = position.checked_add(size).ok_or_else(other_count)?;
        }
    }
    if position != end || rows != metadata.file_metadata().num_rows() {
        return Err(other_count());
    }
    Ok(())
}

fn other_count() -> Cause {
    "the metadata say another number of rows or bytes than there is".into()
}

/// Arrow wraps Parquet's errors twice.
fn without_prefix(error: ArrowError) -> Cause {
    match error {
        ArrowError::ParquetError(text) => text.trim_start_matches("Parquet error: ").into(),
        other => other.into(),
    }
}

/// Runs the library's decoders. They return errors for what is wrong with a file, but have assertions too: a panic is such an error here.
fn guarded<T>(decode: impl FnOnce() -> Result<T, Cause>) -> Result<T, Cause> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("the decoder gave up".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::records::RecordsReader;
    use crate::records::columns::Columns;
    use crate::records::test_parquet::{
        FORMAT, all, cause, data_end, header, open, records, with_right_checksum, written,
    };
    use arrow_array::StringArray;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_writer::ArrowWriterOptions;
    use std::io::Cursor;

    #[test]
    fn cut_files_are_refused() {
        let bytes = written(&records(6, 7), FORMAT);
        for length in 0..bytes.len() {
            assert!(!cause(&bytes[..length]).is_empty(), "{length} bytes");
        }
        assert!(cause(&[&bytes[..], b"\n"].concat()).contains("no Parquet file"));
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_makes_no_difference() {
        let records = records(3, 2);
        let bytes = written(&records, FORMAT);
        let end = data_end(&bytes);
        for position in 0..bytes.len() {
            for bit in [0, 4, 7] {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1 << bit;
                match open(&damaged).and_then(|reader| Ok((reader.header().clone(), all(reader)?)))
                {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Input),
                    Ok(read) => {
                        assert!(position >= end, "byte {position}, bit {bit}");
                        assert!(
                            read == (header(), records.clone()),
                            "byte {position}, bit {bit}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn files_made_to_be_wrong_are_read_or_refused_without_panic() {
        let records = records(3, 2);
        let bytes = written(&records, FORMAT);
        let (mut read_count, mut refused) = (0, 0);
        for position in 4..data_end(&bytes) {
            for mask in [0x01, 0x10, 0x80, 0xff] {
                let mut wrong = bytes.clone();
                wrong[position] ^= mask;
                match open(&with_right_checksum(&wrong)).and_then(all) {
                    Ok(_) => read_count += 1,
                    Err(error) => {
                        let line = error.one_line();
                        assert!(!line.contains("checksum"), "{line}");
                        assert!(!line.contains("gave up"), "byte {position}: {line}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(read_count > 100 && refused > 100, "{read_count} {refused}");
    }

    #[test]
    fn a_pipe_is_refused() {
        let bytes = written(&records(3, 2), FORMAT);
        let error = RecordsReader::new(Box::new(Cursor::new(bytes)), FORMAT, "r.parquet");
        let line = error.err().unwrap().one_line();
        assert!(line.contains("no pipe or device"), "{line}");
        let null = File::open("/dev/null").unwrap();
        let error = RecordsReader::from_file(null, FORMAT, "null.parquet");
        let line = error.err().unwrap().one_line();
        assert!(line.contains("null.parquet: Parquet is read from its end"));
    }

    #[test]
    fn other_tables_are_refused() {
        let columns = Columns::default().with("frame", StringArray::from_iter_values(["1"]));
        let batch = columns.batch().unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let line = cause(&writer.into_inner().unwrap());
        assert!(
            line.contains("its metadata are not those of records: "),
            "{line}"
        );
    }

    #[test]
    fn a_file_of_the_same_columns_without_header_is_refused() {
        let batch = batch(&records(3, 2)).unwrap();
        let options = || ArrowWriterOptions::new().with_skip_arrow_metadata(true);
        let mut writer =
            ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options()).unwrap();
        writer.write(&batch).unwrap();
        let line = cause(&writer.into_inner().unwrap());
        assert!(line.contains("no header of records"), "{line}");
    }
}
