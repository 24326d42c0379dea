//! A Parquet file as bounded pieces: what is taken from it is plain, whole, and of limited size, whatever the file claims.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

/// Largest page that is read, in bytes: the writer ends pages at 1 MiB, between rows.
const MAX_PAGE_BYTES: usize = 1 << 22;

/// What the pages of one batch of rows may take in memory, in bytes: 16 maps of 448x448 values take 58 MB.
const MAX_BATCH_BYTES: usize = 1 << 26;

/// What a value takes beside its bytes in the page: two levels of 16 bits, and its place in the decoded array.
const BYTES_PER_VALUE: usize = 12;

/// How many bytes the pages of this batch may still take.
#[derive(Clone, Default)]
pub(super) struct Ration(Arc<AtomicUsize>);

impl Ration {
    pub(super) fn renew(&self) {
        self.0.store(MAX_BATCH_BYTES, Ordering::Relaxed);
    }

    fn spend(&self, bytes: usize) -> Result<()> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(bytes);
        let left = left.ok_or_else(|| {
            let most = MAX_BATCH_BYTES >> 20;
            ParquetError::General(format!("a few rows take more than {most} MiB"))
        })?;
        self.0.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// A file whose pages are limited in size.
pub(super) struct Chunks(pub(super) File);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if length > MAX_PAGE_BYTES {
            let most = MAX_PAGE_BYTES >> 20;
            let message = format!("a page is larger than {most} MiB");
            return Err(ParquetError::General(message));
        }
        self.0.get_bytes(start, length)
    }
}

/// One row group.
pub(super) struct Group {
    pub(super) file: Arc<Chunks>,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) index: usize,
    pub(super) ration: Ration,
}

impl Group {
    fn row_group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.index)
    }
}

impl RowGroups for Group {
    fn num_rows(&self) -> usize {
        usize::try_from(self.row_group().num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.row_group().column(column);
        let pages =
            SerializedPageReader::new(Arc::clone(&self.file), chunk, self.num_rows(), None)?;
        let column = chunk.column_descr();
        Ok(Box::new(OneChunk(Some(PlainPages {
            pages,
            has_null_bits: column.max_def_level() == 1 && column.max_rep_level() == 0,
            ration: self.ration.clone(),
        }))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.row_group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of one column in one row group.
struct OneChunk(Option<PlainPages>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let pages = self.0.take()?;
        Some(Ok(Box::new(pages)))
    }
}

impl PageIterator for OneChunk {}

/// Pages as [`ParquetRecordsWriter`](super::parquet_writer::ParquetRecordsWriter) writes them: plain, and with whole rows only.
struct PlainPages {
    pages: SerializedPageReader<Chunks>,
    /// Whether each value may be null, and is in no list: a bit tells.
    has_null_bits: bool,
    ration: Ration,
}

impl Iterator for PlainPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for PlainPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        match &page {
            None => {}
            Some(Page::DataPage {
                buf,
                num_values,
                encoding: Encoding::PLAIN,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                ..
            }) if !self.has_null_bits || has_whole_runs(buf) => {
                let values = (*num_values as usize).saturating_mul(BYTES_PER_VALUE);
                self.ration.spend(values.saturating_add(buf.len()))?;
            }
            Some(_) => {
                let message = "a page is not plain".to_owned();
                return Err(ParquetError::General(message));
            }
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        Err(unsupported())
    }

    fn skip_next_page(&mut self) -> Result<()> {
        Err(unsupported())
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        Ok(true)
    }
}

/// Whether the null bits at the start of a page (their length in 4 bytes, then runs as in Parquet's "RLE / bit-packing hybrid") have all
/// bytes that they claim: parquet 60.1 asserts it instead of checking it.
fn has_whole_runs(page: &[u8]) -> bool {
    let Some((length, rest)) = page.split_first_chunk() else {
        return false;
    };
    let runs = rest.get(..u32::from_le_bytes(*length) as usize);
    let Some(mut runs) = runs else {
        return false;
    };
    while !runs.is_empty() {
        let count = runs.iter().take_while(|byte| **byte >= 0x80).count();
        let (Some(header), true) = (runs.get(..=count), count < 5) else {
            return false;
        };
        let header = header
            .iter()
            .rev()
            .fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
        let is_packed = header & 1 == 1;
        let bytes = if is_packed { header >> 1 } else { 1 };
        match runs.get(count + 1 + bytes..) {
            Some(rest) => runs = rest,
            None => return false,
        }
    }
    true
}

/// Rows are read one after another: nothing is skipped.
fn unsupported() -> ParquetError {
    ParquetError::General("pages cannot be skipped".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heatmap::Heatmap;
    use crate::records::test_parquet::{FORMAT, cause, records, written};

    #[test]
    fn absurd_maps_are_refused() {
        let with_maps = |side: usize| {
            let mut records = records(15, 1);
            for record in &mut records {
                record.heatmap = Heatmap {
                    width: side,
                    height: side,
                    values: vec![0.0; side * side],
                };
            }
            written(&records, FORMAT)
        };
        let line = cause(&with_maps(600));
        assert!(
            line.contains("record 1: a few rows take more than 64 MiB"),
            "{line}"
        );
        let line = cause(&with_maps(1100));
        assert!(
            line.contains("record 1: a page is larger than 4 MiB"),
            "{line}"
        );
    }

    #[test]
    fn null_bits_must_have_all_their_bytes() {
        let page = |runs: &[u8]| [&[runs.len() as u8, 0, 0, 0], runs, &[1, 2]].concat();
        // A run of 4 equal bits, then 2 groups of 8 packed bits.
        let whole = [8, 1, 5, 0xaa, 0x55];
        assert!(has_whole_runs(&page(&whole)));
        assert!(has_whole_runs(&page(&[])));
        // A run of 2^13 equal bits, whose count takes 3 bytes.
        assert!(has_whole_runs(&page(&[0x80, 0x80, 1, 1])));
        for runs in [
            &whole[..4],
            &whole[..3],
            &[8],
            &[0x80],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert!(!has_whole_runs(&page(runs)), "{runs:?}");
        }
        assert!(!has_whole_runs(&[9, 0, 0, 0, 8, 1]));
        assert!(!has_whole_runs(&[1, 0]));
    }
}
