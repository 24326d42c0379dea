//! The classes that a dataset gives to its files: by the names of its folders, or by a CSV file.

mod names;
mod paths;
mod table;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::model::Labels;
use names::{Names, Resolved};
use table::Table;

/// Where the class of a file is from.
#[derive(Debug)]
pub struct DatasetLabels {
    source: Source,
}

#[derive(Debug)]
enum Source {
    None,
    Folders(Mutex<Names>),
    Table(Table),
}

impl DatasetLabels {
    /// No file has a class.
    pub fn none() -> Self {
        Self {
            source: Source::None,
        }
    }

    /// As in torchvision's `ImageFolder`, but at any depth: the class of a file is the nearest of its folders below the dataset's whose name
    /// [`Labels::find`] knows.
    pub fn folders() -> Self {
        Self {
            source: Source::Folders(Mutex::new(Names::default())),
        }
    }

    /// Reads a CSV file with a path and a label in each row, separated by a comma: the columns `path` and `label`, or the first and the second
    /// if the first row has neither name. Paths are relative to `root`, the dataset's folder, or absolute. Labels are what
    /// [`Labels::find`] knows; those that it does not know are told by [`notices`](Self::notices). An empty label means that the file has
    /// no class. The same row may stand twice. A million rows take 25 MB.
    ///
    /// # Errors
    /// [`Input`](crate::error::ErrorKind::Input), with the line's number, if the file cannot be read, has only one of both columns, a row without a
    /// path or with too few fields, two rows that give a file different labels, or 50,000 different labels that are not all classes.
    pub fn read_csv(path: &Path, root: &Path, labels: &Labels) -> Result<Self> {
        Ok(Self {
            source: Source::Table(Table::read(path, root, labels)?),
        })
    }

    /// Index of the class of a file, if it has one. The path is relative to the dataset's folder, with `/` between its parts. To be asked
    /// once for each file: the notices count.
    pub fn label_of(&self, relative_path: &str, labels: &Labels) -> Option<usize> {
        match &self.source {
            Source::None => None,
            Source::Folders(names) => label_by_folder(names, relative_path, labels),
            Source::Table(table) => table.label_of(relative_path),
        }
    }

    /// What a person should know when all files have been asked for, a line each: names that are no class, and for how many files; files in the
    /// CSV file that nobody asked for. Of a file without a class, the folder that is told is the nearest whose name is ambiguous, else the
    /// nearest.
    pub fn notices(&self) -> Vec<String> {
        match &self.source {
            Source::None => Vec::new(),
            Source::Folders(names) => {
                let names = names.lock().unwrap_or_else(PoisonError::into_inner);
                names.notices("file")
            }
            Source::Table(table) => table.notices(),
        }
    }
}

fn label_by_folder(names: &Mutex<Names>, path: &str, labels: &Labels) -> Option<usize> {
    let lock = || names.lock().unwrap_or_else(PoisonError::into_inner);
    let mut to_blame: Option<(&str, Resolved)> = None;
    for folder in path
        .rsplit('/')
        .skip(1)
        .filter(|name| !matches!(*name, "" | "."))
    {
        let known = lock().get(folder);
        // Without the lock, as it looks at all classes.
        let resolved = known.unwrap_or_else(|| {
            let resolved = Resolved::of(folder, labels);
            lock().insert(folder, resolved.clone());
            resolved
        });
        match resolved {
            Resolved::Class(class) => return Some(class),
            unknown => {
                let is_better = unknown.is_ambiguous()
                    && !to_blame
                        .as_ref()
                        .is_some_and(|(_, other)| other.is_ambiguous());
                if is_better || to_blame.is_none() {
                    to_blame = Some((folder, unknown));
                }
            }
        }
    }
    if let Some((folder, _)) = to_blame {
        lock().count(folder);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn labels() -> Labels {
        Labels::from_json(
            r#"["Egyptian_cat", "crane", "tabby", "crane"]"#,
            r#"["n02124075", "n02012849", "n02123045", "n03126707"]"#,
        )
        .unwrap()
    }

    #[test]
    fn the_nearest_known_folder_is_the_class() {
        let dataset = DatasetLabels::folders();
        let label_of = |path| dataset.label_of(path, &labels());
        assert_eq!(label_of("train/tabby/a.png"), Some(2));
        assert_eq!(label_of("tabby/Egyptian Cat/b/c/a.png"), Some(0));
        assert_eq!(label_of("./n02012849/a.png"), Some(1));
        assert_eq!(
            label_of("tabby/crane/tabby.png"),
            Some(2),
            "crane is ambiguous"
        );
        assert_eq!(label_of("tabby"), None, "a file in the dataset's folder");
        assert_eq!(dataset.notices(), [""; 0]);
    }

    #[test]
    fn each_name_that_is_no_class_is_told_once() {
        let dataset = DatasetLabels::folders();
        for path in [
            "train/cat/a.png",
            "cat/b.png",
            "train/crane/images/x/c.png",
            "train/9/d.png",
        ] {
            assert_eq!(dataset.label_of(path, &labels()), None);
        }
        assert_eq!(
            dataset.notices(),
            [
                "unknown class \"cat\"; did you mean Egyptian_cat (0, n02124075)? (2 files)",
                "class index 9 is out of range, valid are 0 to 3 (1 file)",
                "class \"crane\" is ambiguous: crane (1, n02012849), crane (3, n03126707); give the index (1 file)",
            ]
        );
    }

    #[test]
    fn twenty_names_are_told_and_the_others_counted_whatever_the_threads_do() {
        let dataset = DatasetLabels::folders();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let dataset = &dataset;
                scope.spawn(move || {
                    for folder in 0..60 {
                        let folder = (folder * 7 + thread * 13) % 60;
                        let path = format!("a/{folder:02}x/{thread}.png");
                        assert_eq!(dataset.label_of(&path, &labels()), None);
                    }
                });
            }
        });
        let notices = dataset.notices();
        assert_eq!(notices.len(), 21);
        assert!(
            notices[0].contains("\"00x\"") && notices[0].ends_with("(4 files)"),
            "{}",
            notices[0]
        );
        assert_eq!(
            notices[20],
            "and 40 more names that are no class (160 files)"
        );
    }

    #[test]
    fn no_labels_are_no_news() {
        let dataset = DatasetLabels::none();
        assert_eq!(dataset.label_of("tabby/a.png", &labels()), None);
        assert!(dataset.notices().is_empty());
    }
}
