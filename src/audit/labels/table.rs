//! The labels of a CSV file, in little memory: of a path only its hash is kept.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use csv::StringRecord;
use sha2::{Digest, Sha256};

use super::names::{MAX_NAMES, Names, Resolved, counted};
use super::paths::{Roots, parts};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;

/// The class of a row whose label is empty or unknown.
const NO_CLASS: u32 = u32::MAX;

/// The labels of files.
#[derive(Debug)]
pub(super) struct Table {
    /// What the file is called, for people.
    name: String,
    /// One for each path, by path.
    rows: Vec<Row>,
    /// Whether the row's path has been asked for.
    is_asked: Vec<AtomicBool>,
    /// The labels.
    names: Names,
    /// Rows whose label is empty.
    without_label: u64,
    /// Rows whose path is not below the dataset's folder.
    outside: u64,
}

/// The order of the fields is that in which rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    path: PathHash,
    line: u32,
    class: u32,
}

/// The first half of a SHA-256: that two of a million paths share it has a probability of 10^-27.
type PathHash = [u64; 2];

impl Table {
    /// As described at [`DatasetLabels::read_csv`](super::DatasetLabels::read_csv).
    pub(super) fn read(path: &Path, root: &Path, labels: &Labels) -> Result<Self> {
        let failed = |why: &str| {
            let why = why.replace('\n', " ");
            let message = format!("cannot read labels {}: {why}", path.display());
            Error::new(ErrorKind::Input, message)
        };
        let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(file);
        let mut table = Self {
            name: path.display().to_string(),
            rows: Vec::new(),
            is_asked: Vec::new(),
            names: Names::default(),
            without_label: 0,
            outside: 0,
        };
        let roots = Roots::of(root);
        let mut record = StringRecord::new();
        let mut columns = None;
        while reader
            .read_record(&mut record)
            .map_err(|error| failed(&error.to_string()))?
        {
            let line = record.position().map_or(0, csv::Position::line);
            let at_line = |why: String| failed(&format!("line {line}: {why}"));
            let is_first = columns.is_none();
            let columns = match columns {
                Some(columns) => columns,
                None => *columns.insert(Columns::of(&record).map_err(at_line)?),
            };
            if is_first && columns.is_header {
                continue;
            }
            let (path, label) = columns.fields(&record).map_err(at_line)?;
            let class = table.class_of(label, labels).map_err(at_line)?;
            match roots.parts_below(path) {
                Some(parts) => table.rows.push(Row {
                    path: hash(&parts),
                    line: u32::try_from(line).unwrap_or(u32::MAX),
                    class,
                }),
                None => table.outside += 1,
            }
        }
        table.sort().map_err(|why| failed(&why))?;
        Ok(table)
    }

    fn class_of(&mut self, label: &str, labels: &Labels) -> Result<u32, String> {
        if label.is_empty() {
            self.without_label += 1;
            return Ok(NO_CLASS);
        }
        let resolved = self.names.get(label).unwrap_or_else(|| {
            let resolved = Resolved::of(label, labels);
            self.names.insert(label, resolved.clone());
            resolved
        });
        if let Resolved::Class(class) = resolved {
            return Ok(class as u32);
        }
        self.names.count(label);
        if self.names.len() == MAX_NAMES {
            let label: String = label.chars().take(50).collect();
            return Err(format!(
                "{label:?} is no class, as are many of {MAX_NAMES} different labels: is it the right column?"
            ));
        }
        Ok(NO_CLASS)
    }

    /// Brings the rows into order, one for each path.
    fn sort(&mut self) -> Result<(), String> {
        self.rows.sort_unstable();
        let pairs = self.rows.windows(2).map(|pair| (pair[0], pair[1]));
        let conflicts =
            pairs.filter(|(one, other)| one.path == other.path && one.class != other.class);
        if let Some((one, other)) = conflicts.min_by_key(|(_, other)| other.line) {
            return Err(format!(
                "line {}: another label for the file of line {}",
                other.line, one.line
            ));
        }
        self.rows.dedup_by_key(|row| row.path);
        self.is_asked = self.rows.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(())
    }

    pub(super) fn label_of(&self, relative_path: &str) -> Option<usize> {
        let path = hash(&parts(relative_path)?);
        let place = self.rows.binary_search_by_key(&path, |row| row.path).ok()?;
        self.is_asked[place].store(true, Ordering::Relaxed);
        let class = self.rows[place].class;
        (class != NO_CLASS).then_some(class as usize)
    }

    pub(super) fn notices(&self) -> Vec<String> {
        let is_unasked = |is_asked: &&AtomicBool| !is_asked.load(Ordering::Relaxed);
        let unasked = self.is_asked.iter().filter(is_unasked).count() as u64 + self.outside;
        let mut notices = self.names.notices("row");
        let mut tell = |count: u64, what: &str| {
            if count > 0 {
                notices.push(format!("{} of {} {what}", counted(count, "row"), self.name));
            }
        };
        tell(self.without_label, "without label");
        tell(unasked, "for files that were not found");
        notices
    }
}

/// Where path and label are in a row.
#[derive(Debug, Clone, Copy)]
struct Columns {
    path: usize,
    label: usize,
    /// Whether the first row names the columns.
    is_header: bool,
}

impl Columns {
    fn of(first: &StringRecord) -> Result<Self, String> {
        let place = |name: &str| {
            first
                .iter()
                .position(|field| field.eq_ignore_ascii_case(name))
        };
        match (place("path"), place("label")) {
            (Some(path), Some(label)) => Ok(Self {
                path,
                label,
                is_header: true,
            }),
            (None, None) => Ok(Self {
                path: 0,
                label: 1,
                is_header: false,
            }),
            (Some(_), None) => Err("there is no column \"label\"".to_owned()),
            (None, Some(_)) => Err("there is no column \"path\"".to_owned()),
        }
    }

    fn fields(self, record: &StringRecord) -> Result<(&str, &str), String> {
        match (record.get(self.path), record.get(self.label)) {
            (Some(""), _) => Err("there is no path".to_owned()),
            (Some(path), Some(label)) => Ok((path, label)),
            _ => Err("there are too few fields, separated by commas".to_owned()),
        }
    }
}

fn hash(parts: &[&str]) -> PathHash {
    let digest: [u8; 32] = Sha256::digest(parts.join("/")).into();
    let (halves, _) = digest.as_chunks();
    [u64::from_be_bytes(halves[0]), u64::from_be_bytes(halves[1])]
}

#[cfg(test)]
mod tests {
    use super::super::tests::labels;
    use super::*;

    fn read(text: &str) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text.replace("ROOT", folder.path().to_str().unwrap())).unwrap();
        Table::read(&path, folder.path(), &labels())
    }

    fn error(text: &str) -> String {
        let line = read(text).unwrap_err().one_line();
        assert!(
            line.starts_with("cannot read labels ") && !line.contains('\n'),
            "{line}"
        );
        line.split_once("labels.csv: ").unwrap().1.to_owned()
    }

    #[test]
    fn columns_are_found_by_name() {
        let table =
            read("\u{feff}id, Label ,note,PATH\n1,egyptian cat,x,a.png\n2,2,\"y,\nz\", b/c.png\n")
                .unwrap();
        assert_eq!(table.label_of("a.png"), Some(0));
        assert_eq!(table.label_of("b/c.png"), Some(2));
        assert_eq!(table.label_of("c.png"), None);
        assert!(table.notices().is_empty());
    }

    #[test]
    fn without_names_they_are_the_first_and_the_second() {
        let table =
            read("./a.png,n02124075,0.5\nROOT/x/../b.png,tabby\na.png,Egyptian_cat\n").unwrap();
        assert_eq!(table.label_of("a.png"), Some(0));
        assert_eq!(table.label_of("./b.png"), Some(2));
    }

    #[test]
    fn what_is_amiss_is_told() {
        let table =
            read("a.png,cat\nb.png,cat\nc.png,crane\nd.png,\ne.png,tabby\n../f.png,tabby\n")
                .unwrap();
        for path in ["a.png", "b.png", "c.png", "d.png"] {
            assert_eq!(table.label_of(path), None);
        }
        let notices = table.notices();
        let ends = [
            "(2 rows)",
            "(1 row)",
            "labels.csv without label",
            "labels.csv for files that were not found",
        ];
        assert_eq!(notices.len(), ends.len(), "{notices:?}");
        for (notice, end) in notices.iter().zip(ends) {
            assert!(notice.ends_with(end), "{notice}");
        }
        assert!(
            notices[0].starts_with("unknown class \"cat\"") && notices[1].contains("ambiguous")
        );
        assert!(notices[2].starts_with("1 row of ") && notices[3].starts_with("2 rows of "));
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(
            error("path,label\na.png,tabby\nb.png\n"),
            "line 3: there are too few fields, separated by commas"
        );
        assert_eq!(error("a.png,tabby\n,tabby\n"), "line 2: there is no path");
        assert_eq!(
            error("path,class\na.png,tabby\n"),
            "line 1: there is no column \"label\""
        );
        assert_eq!(
            error("a.png,tabby\nb.png,2\n./a.png,0\na.png,1\n"),
            "line 3: another label for the file of line 1"
        );
        assert_eq!(
            error("a.png,tabby\na.png,\n"),
            "line 2: another label for the file of line 1"
        );
        let many: String = (0..MAX_NAMES)
            .map(|row| format!("{row}.png,no {row}\n"))
            .collect();
        assert!(error(&many).starts_with("line 50000: \"no 49999\" is no class"));
        let missing = Table::read(Path::new("missing.csv"), Path::new("."), &labels());
        assert!(
            missing
                .unwrap_err()
                .one_line()
                .starts_with("cannot read labels missing.csv: ")
        );
    }

    #[test]
    fn a_file_that_is_no_text_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, b"a.png,tabby\nb.png,\xff\xfe\n").unwrap();
        let line = Table::read(&path, folder.path(), &labels())
            .unwrap_err()
            .one_line();
        assert!(line.contains("line 2") && !line.contains('\n'), "{line}");
    }
}
