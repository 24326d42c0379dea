//! The journal: what is known so far, one line of JSON each, so that a run can go on after it was killed at any moment.
//!
//! The records of a file come first, then a line for the file itself. A file without its line was not finished: its records are thrown
//! away, and it is looked at again. Every run that goes on begins a segment of its own; in a segment, files are in the order of their names.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dataset::key_of;
use super::record::{AuditItem, AuditRecord};
use crate::error::{Error, ErrorKind, Result};

/// How a line for a file begins: told apart without parsing.
const ITEM_PREFIX: &[u8] = b"{\"item\":";

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Record(Box<AuditRecord>),
    Item(AuditItem),
}

/// As [`Line`], for writing.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LineOf<'a> {
    Record(&'a AuditRecord),
    Item(&'a AuditItem),
}

/// Appends to a segment.
pub(super) struct Journal {
    output: BufWriter<File>,
    path: PathBuf,
}

impl Journal {
    /// Begins the segment after those that are in `folder`.
    pub(super) fn begin(folder: &Path) -> Result<Self> {
        // Some of them may be gone.
        let numbers = segments(folder)?.into_iter().map(|path| number_of(&path));
        let last = numbers.max().unwrap_or(0);
        let path = folder.join(format!("{:04}.jsonl", last + 1));
        let output = OpenOptions::new().write(true).create_new(true).open(&path);
        Ok(Self {
            output: BufWriter::new(output.map_err(|error| cannot_write(&path, error))?),
            path,
        })
    }

    /// Adds a record.
    pub(super) fn record(&mut self, record: &AuditRecord) -> Result<()> {
        self.line(&LineOf::Record(record))
    }

    /// Adds a file after its records. Once this returns, the file is not looked at again, even if the program is killed.
    pub(super) fn item(&mut self, item: &AuditItem) -> Result<()> {
        self.line(&LineOf::Item(item))?;
        self.output
            .flush()
            .map_err(|error| cannot_write(&self.path, error))
    }

    fn line(&mut self, line: &LineOf<'_>) -> Result<()> {
        let mut write = || -> std::io::Result<()> {
            serde_json::to_writer(&mut self.output, line)?;
            self.output.write_all(b"\n")
        };
        write().map_err(|error| cannot_write(&self.path, error))
    }
}

/// The segments in `folder`, oldest first.
pub(super) fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    };
    list().map_err(|error| {
        let message = format!("cannot read the journal in {}", folder.display());
        Error::caused_by(ErrorKind::Input, message, error)
    })
}

/// 0 for files that we did not write.
fn number_of(segment: &Path) -> u32 {
    let stem = segment.file_stem().and_then(|stem| stem.to_str());
    stem.and_then(|stem| stem.parse().ok()).unwrap_or(0)
}

/// What earlier runs have finished.
#[derive(Debug, Default)]
pub(super) struct Finished {
    keys: HashSet<u128>,
}

impl Finished {
    /// Reads the segments in `folder` and cuts off what was not finished; those in which nothing was are removed.
    pub(super) fn recover(folder: &Path) -> Result<Self> {
        let mut finished = Self::default();
        for path in segments(folder)? {
            let mut reader = SegmentReader::new(&path);
            let mut whole = 0;
            while let Some(found) = reader.skip()? {
                if let Skipped::Item(item) = found {
                    finished.keys.insert(key_of(&item.path));
                    whole = reader.offset;
                }
            }
            let cut = || -> std::io::Result<()> {
                match whole {
                    // Else there would be one more with every run that ends early.
                    0 => fs::remove_file(&path),
                    _ => OpenOptions::new().write(true).open(&path)?.set_len(whole),
                }
            };
            cut().map_err(|error| cannot_write(&path, error))?;
        }
        Ok(finished)
    }

    /// How many files.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the file with this key is among them.
    pub(super) fn contains(&self, key: u128) -> bool {
        self.keys.contains(&key)
    }
}

/// A line that was passed over.
pub(super) enum Skipped {
    Record,
    Item(AuditItem),
}

/// Reads a segment.
pub(super) struct SegmentReader {
    /// None while it is closed.
    input: Option<BufReader<File>>,
    path: PathBuf,
    /// Where the next line begins.
    pub(super) offset: u64,
    line: Vec<u8>,
}

impl SegmentReader {
    /// It is opened when it is read.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            input: None,
            path: path.to_owned(),
            offset: 0,
            line: Vec::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.input.is_some()
    }

    /// Closes the file until it is read again.
    pub(super) fn close(&mut self) {
        self.input = None;
    }

    /// Reads a whole line; false at the end, and where a line breaks off.
    fn next_line(&mut self) -> Result<bool> {
        self.line.clear();
        let mut read = || {
            let input = match &mut self.input {
                Some(input) => input,
                none => {
                    let mut file = File::open(&self.path)?;
                    file.seek(SeekFrom::Start(self.offset))?;
                    none.insert(BufReader::new(file))
                }
            };
            input.read_until(b'\n', &mut self.line)
        };
        let count = read().map_err(|error| cannot_read(&self.path, error))?;
        let is_whole = self.line.last() == Some(&b'\n');
        if is_whole {
            self.offset += count as u64;
        }
        Ok(is_whole)
    }

    /// Passes over a line; only files are parsed.
    pub(super) fn skip(&mut self) -> Result<Option<Skipped>> {
        if !self.next_line()? {
            return Ok(None);
        }
        if !self.line.starts_with(ITEM_PREFIX) {
            return Ok(Some(Skipped::Record));
        }
        match self.parse()? {
            Line::Item(item) => Ok(Some(Skipped::Item(item))),
            Line::Record(_) => Ok(Some(Skipped::Record)),
        }
    }

    /// The record whose line begins at `offset`.
    pub(super) fn record_at(&mut self, offset: u64) -> Result<AuditRecord> {
        self.go_to(offset)?;
        if self.next_line()?
            && let Line::Record(record) = self.parse()?
        {
            return Ok(*record);
        }
        Err(cannot_read(&self.path, "there is no record where one was"))
    }

    /// The file whose line begins at `offset`.
    pub(super) fn item_at(&mut self, offset: u64) -> Result<AuditItem> {
        self.go_to(offset)?;
        if self.next_line()?
            && let Line::Item(item) = self.parse()?
        {
            return Ok(item);
        }
        Err(cannot_read(&self.path, "there is no file where one was"))
    }

    fn go_to(&mut self, offset: u64) -> Result<()> {
        let distance = offset as i64 - self.offset as i64;
        // What is buffered stays of use if the way is short.
        let moved = match &mut self.input {
            Some(input) if distance != 0 => input.seek_relative(distance),
            _ => Ok(()),
        };
        moved.map_err(|error| cannot_read(&self.path, error))?;
        self.offset = offset;
        Ok(())
    }

    fn parse(&self) -> Result<Line> {
        serde_json::from_slice(&self.line).map_err(|error| cannot_read(&self.path, error))
    }
}

impl std::fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentReader")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn cannot_write(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let message = format!("cannot write the journal {}", path.display());
    Error::caused_by(ErrorKind::Output, message, error)
}

fn cannot_read(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let message = format!("cannot read the journal {}", path.display());
    Error::caused_by(ErrorKind::Input, message, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_journal::{append, begin};

    fn finished(folder: &Path) -> Vec<bool> {
        let finished = Finished::recover(folder).unwrap();
        let names = ["a.jpg", "b.mp4", "c.jpg"];
        names
            .into_iter()
            .map(|name| finished.contains(key_of(name)))
            .collect()
    }

    #[test]
    fn what_was_finished_is_known_wherever_the_journal_breaks_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = begin(folder.path());
        append(&mut journal, "a.jpg", 1);
        let first = fs::metadata(folder.path().join("0001.jsonl"))
            .unwrap()
            .len();
        append(&mut journal, "b.mp4", 3);
        drop(journal);
        let path = folder.path().join("0001.jsonl");
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (has_first, has_both) = (length as u64 >= first, length == whole.len());
            assert_eq!(
                finished(folder.path()),
                [has_first, has_both, false],
                "{length}"
            );
            let kept = fs::metadata(&path).map_or(0, |kept| kept.len());
            let expected = if has_both {
                whole.len() as u64
            } else if has_first {
                first
            } else {
                0
            };
            assert_eq!(kept, expected, "the rest of {length} bytes is cut off");
            assert_eq!(path.exists(), has_first, "what is empty is removed");
        }
    }

    #[test]
    fn every_run_has_a_segment_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        append(&mut begin(folder.path()), "a.jpg", 1);
        append(&mut begin(folder.path()), "c.jpg", 0);
        assert_eq!(segments(folder.path()).unwrap().len(), 2);
        assert_eq!(finished(folder.path()), [true, false, true]);
        fs::remove_file(folder.path().join("0001.jsonl")).unwrap();
        append(&mut begin(folder.path()), "b.mp4", 1);
        assert!(folder.path().join("0003.jsonl").exists());
        assert_eq!(finished(folder.path()), [false, true, true]);
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = begin(folder.path());
        let mut record = crate::audit::test_records::record("a.jpg", 3, 0.1 + 0.2);
        record.heatmap.values[0] = f32::NAN;
        record.heatmap.values[1] = -1e-20;
        journal.record(&record).unwrap();
        append(&mut journal, "b.jpg", 0);
        let mut reader = SegmentReader::new(&folder.path().join("0001.jsonl"));
        let read = reader.record_at(0).unwrap();
        assert!(read.heatmap.values[0].is_nan());
        assert_eq!(read.heatmap.values[1..], record.heatmap.values[1..]);
        assert_eq!(
            (read.prob, read.metrics.hash),
            (record.prob, record.metrics.hash)
        );
        assert!(reader.item_at(0).is_err());
    }
}
