//! All that was found, in the order of the files' names, whatever runs and shards it is from.
//!
//! Records stay on disk: what is kept in memory is 8 bytes per record and 24 per file.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;

use super::dataset::compare_names;
use super::journal::{SegmentReader, Skipped};
use super::record::{AuditItem, AuditRecord};
use crate::error::{Error, ErrorKind, Result};

/// Segments whose files are open at once: a process may often have no more than 256 open.
const MOST_OPEN: usize = 128;

/// Where a line is: 16 bits for the segment, 48 for the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u64);

impl Place {
    const OFFSET_BITS: u32 = 48;

    fn new(segment: usize, offset: u64) -> Self {
        Self((segment as u64) << Self::OFFSET_BITS | offset)
    }

    fn segment(self) -> usize {
        (self.0 >> Self::OFFSET_BITS) as usize
    }

    fn offset(self) -> u64 {
        self.0 & ((1 << Self::OFFSET_BITS) - 1)
    }
}

/// A file's line and its records.
#[derive(Debug, Clone, Copy)]
struct ItemPlace {
    line: Place,
    /// The first of its rows.
    first_row: u64,
}

/// The records of an audit, by number, and the files that they are of.
#[derive(Debug)]
pub(super) struct Rows {
    readers: Vec<SegmentReader>,
    /// Those that are open, in the order in which they were opened.
    open: VecDeque<usize>,
    rows: Vec<Place>,
    items: Vec<ItemPlace>,
}

/// The next file of a segment.
struct Next {
    item: AuditItem,
    line: Place,
    records: Vec<Place>,
    segment: usize,
}

impl Next {
    /// The next file of a segment, with the places of its records.
    fn read(reader: &mut SegmentReader, segment: usize) -> Result<Option<Self>> {
        let mut records = Vec::new();
        loop {
            let place = Place::new(segment, reader.offset);
            match reader.skip()? {
                None => return Ok(None),
                Some(Skipped::Record) => records.push(place),
                Some(Skipped::Item(item)) => {
                    return Ok(Some(Self {
                        item,
                        line: place,
                        records,
                        segment,
                    }));
                }
            }
        }
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_names(&self.item.path, &other.item.path).then(self.segment.cmp(&other.segment))
    }
}

impl Rows {
    /// Merges segments.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if one cannot be read or a file is in two of them.
    pub(super) fn open(segments: &[PathBuf]) -> Result<Self> {
        let mut rows = Self {
            readers: segments
                .iter()
                .map(|path| SegmentReader::new(path))
                .collect(),
            open: VecDeque::new(),
            rows: Vec::new(),
            items: Vec::new(),
        };
        let mut heap = BinaryHeap::new();
        for number in 0..segments.len() {
            heap.extend(Next::read(rows.reader(number), number)?.map(Reverse));
        }
        let mut last: Option<String> = None;
        while let Some(Reverse(next)) = heap.pop() {
            if last.as_ref() == Some(&next.item.path) {
                let message = format!(
                    "cannot put the records together: {} is in them twice",
                    next.item.path
                );
                return Err(Error::new(ErrorKind::Input, message));
            }
            if next.records.len() as u64 != next.item.records {
                let message = format!(
                    "cannot read the journal: {} has {} records, not {}",
                    next.item.path,
                    next.records.len(),
                    next.item.records
                );
                return Err(Error::new(ErrorKind::Input, message));
            }
            rows.items.push(ItemPlace {
                line: next.line,
                first_row: rows.rows.len() as u64,
            });
            rows.rows.extend(&next.records);
            let reader = rows.reader(next.segment);
            heap.extend(Next::read(reader, next.segment)?.map(Reverse));
            last = Some(next.item.path);
        }
        Ok(rows)
    }

    /// Closes another one if many are open.
    fn reader(&mut self, segment: usize) -> &mut SegmentReader {
        if !self.readers[segment].is_open() {
            if self.open.len() == MOST_OPEN
                && let Some(first) = self.open.pop_front()
            {
                self.readers[first].close();
            }
            self.open.push_back(segment);
        }
        &mut self.readers[segment]
    }

    /// How many records.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many files.
    pub(super) fn item_count(&self) -> usize {
        self.items.len()
    }

    /// The rows of a file.
    pub(super) fn rows_of(&self, item: usize) -> Range<usize> {
        let first = |item: usize| {
            self.items
                .get(item)
                .map_or(self.rows.len(), |item| item.first_row as usize)
        };
        first(item)..first(item + 1)
    }

    /// A record by its row.
    pub(super) fn record(&mut self, row: usize) -> Result<AuditRecord> {
        let place = self.rows[row];
        self.reader(place.segment()).record_at(place.offset())
    }

    /// A file by its number.
    pub(super) fn item(&mut self, item: usize) -> Result<AuditItem> {
        let place = self.items[item].line;
        self.reader(place.segment()).item_at(place.offset())
    }

    /// The file that a row is of.
    pub(super) fn item_of(&self, row: usize) -> usize {
        self.items
            .partition_point(|item| item.first_row as usize <= row)
            - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::journal::segments;
    use crate::audit::test_journal::{append, begin};

    #[test]
    fn segments_are_merged_in_the_order_of_the_names() {
        let folder = tempfile::tempdir().unwrap();
        for names in [
            ["a/b.jpg", "a/v.mp4", "z.jpg"],
            ["a.jpg", "b.jpg", "b0.jpg"],
        ] {
            let mut journal = begin(folder.path());
            for name in names {
                append(
                    &mut journal,
                    name,
                    match name {
                        "a/v.mp4" => 3,
                        "b.jpg" => 0,
                        _ => 1,
                    },
                );
            }
        }
        let mut rows = Rows::open(&segments(folder.path()).unwrap()).unwrap();
        let names: Vec<String> = (0..rows.item_count())
            .map(|item| rows.item(item).unwrap().path)
            .collect();
        assert_eq!(
            names,
            ["a/b.jpg", "a/v.mp4", "a.jpg", "b.jpg", "b0.jpg", "z.jpg"]
        );
        assert_eq!(rows.len(), 7);
        assert_eq!(rows.rows_of(1), 1..4);
        assert_eq!(rows.rows_of(3), 5..5);
        assert_eq!(rows.rows_of(5), 6..7);
        let items: Vec<usize> = (0..7).map(|row| rows.item_of(row)).collect();
        assert_eq!(items, [0, 1, 1, 1, 2, 4, 5]);
        for row in (0..7).rev() {
            let (record, item) = (rows.record(row).unwrap(), rows.item_of(row));
            assert_eq!(record.path, rows.item(item).unwrap().path);
        }
        assert_eq!(rows.record(3).unwrap().frame, Some(2));
    }

    #[test]
    fn there_may_be_more_segments_than_files_can_be_open() {
        let folder = tempfile::tempdir().unwrap();
        let count = MOST_OPEN + 20;
        let name = |number: usize| format!("{:03}.jpg", number % count);
        for number in 0..count {
            let mut journal = begin(folder.path());
            append(&mut journal, &name(number), 1);
            append(&mut journal, &format!("z{}", name(number)), 1);
        }
        let mut rows = Rows::open(&segments(folder.path()).unwrap()).unwrap();
        assert_eq!(rows.len(), 2 * count);
        // Ahead and back, so that some are read where they were and some where they are opened again.
        for number in (0..count).flat_map(|number| [number, (7 * number) % count, number]) {
            assert_eq!(rows.record(number).unwrap().path, name(number));
            assert_eq!(rows.item(number).unwrap().path, name(number));
        }
        let open = rows.readers.iter().filter(|reader| reader.is_open());
        assert_eq!(open.count(), MOST_OPEN);
    }

    #[test]
    fn a_file_in_two_segments_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        append(&mut begin(folder.path()), "a.jpg", 1);
        append(&mut begin(folder.path()), "a.jpg", 1);
        let error = Rows::open(&segments(folder.path()).unwrap()).unwrap_err();
        assert!(error.one_line().ends_with("a.jpg is in them twice"));
    }
}
