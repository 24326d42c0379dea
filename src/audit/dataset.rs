//! The files of a dataset, in an order that depends on their names only.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use walkdir::{DirEntry, WalkDir};

use crate::source::is_still_image_name;

/// What FFmpeg is asked to read, by the name's end.
const VIDEO_EXTENSIONS: [&str; 19] = [
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "m2ts", "mts", "wmv", "flv",
    "3gp", "ogv", "mxf", "gif", "apng", "y4m",
];

/// A file of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path relative to the dataset's folder, with `/` between its parts; bytes that are not UTF-8 are written as `\xFF`, and `\x` as `\x5Cx`.
    pub name: String,
    /// Whether its name is that of a video.
    pub is_video: bool,
}

impl DatasetFile {
    /// What tells it from all others of its dataset: the first half of the SHA-256 of its name.
    pub fn key(&self) -> u128 {
        key_of(&self.name)
    }
}

/// The key of the file with this name ([`DatasetFile::key`]).
pub fn key_of(name: &str) -> u128 {
    let digest = Sha256::digest(name.as_bytes());
    digest
        .iter()
        .take(16)
        .fold(0, |key, byte| key << 8 | u128::from(*byte))
}

/// The order in which files are looked at: folder by folder, by name.
pub fn compare_names(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

/// What a walk comes across.
#[derive(Debug)]
pub enum Found {
    /// An image or a video.
    File(DatasetFile),
    /// Something else: a text, an archive.
    Other,
    /// A place that cannot be read: its name, and why.
    Fault(String, String),
}

/// Walks all files below `root` (or `root` alone, if it is a file), links included, hidden ones and the folder `except` left out.
pub fn walk(root: &Path, except: Option<&Path>) -> impl Iterator<Item = Found> {
    let except = except.and_then(|folder| folder.canonicalize().ok());
    let base = base_of(root);
    let entries = WalkDir::new(root)
        .follow_links(true)
        .sort_by(|a, b| text_of(a.file_name()).cmp(&text_of(b.file_name())))
        .into_iter()
        .filter_entry(move |entry| {
            entry.depth() == 0
                || !(is_hidden(entry) || is_report(entry) || is_folder(entry, except.as_deref()))
        });
    let mut places = Places::default();
    entries.filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_dir() => {
            places.enter(entry.path(), entry.depth());
            None
        }
        Ok(entry) => Some(classify(&base, entry)),
        // Links are followed before they can be left out.
        Err(error) if error.depth() > 0 && error.path().is_some_and(has_hidden_name) => None,
        Err(error) => {
            let name = places.name_fault(&base, error.path(), error.depth())?;
            let cause = match (error.loop_ancestor(), error.io_error()) {
                (Some(_), _) => "a link that leads back to a folder around it".to_owned(),
                (None, Some(cause)) => cause.to_string(),
                (None, None) => error.to_string(),
            };
            Some(Found::Fault(name, cause))
        }
    })
}

/// Where a walk is, and what it could not read.
#[derive(Debug, Default)]
struct Places {
    /// The folders around what comes next, the outermost first.
    folders: Vec<PathBuf>,
    /// Names of faults so far.
    faults: HashSet<String>,
}

impl Places {
    fn enter(&mut self, folder: &Path, depth: usize) {
        self.folders.truncate(depth);
        self.folders.push(folder.to_owned());
    }

    /// The name of what could not be read, by its path or else, as of a folder that breaks off, by the folder around it; none if there was a
    /// fault of this name, as names are to be unique.
    fn name_fault(&mut self, base: &Path, path: Option<&Path>, depth: usize) -> Option<String> {
        let around = || self.folders.get(depth.checked_sub(1)?);
        let path = path.or_else(|| around().map(PathBuf::as_path));
        let name = path.map_or_else(|| ".".to_owned(), |path| name_below(base, path));
        self.faults.insert(name.clone()).then_some(name)
    }
}

/// The folder that the names of a dataset's files are relative to: the dataset, or where it lies if it is a single file.
pub fn base_of(dataset: &Path) -> PathBuf {
    match dataset.parent() {
        _ if dataset.is_dir() => dataset.to_owned(),
        // Of a bare name.
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => dataset.to_owned(),
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    is_hidden_name(entry.file_name())
}

fn has_hidden_name(path: &Path) -> bool {
    path.file_name().is_some_and(is_hidden_name)
}

fn is_hidden_name(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a folder holds the report of an audit: its pictures are none of the dataset's.
fn is_report(entry: &DirEntry) -> bool {
    entry.file_type().is_dir() && super::folder::holds_report(entry.path())
}

fn is_folder(entry: &DirEntry, folder: Option<&Path>) -> bool {
    folder.is_some()
        && entry.file_type().is_dir()
        && entry.path().canonicalize().ok().as_deref() == folder
}

fn classify(base: &Path, entry: DirEntry) -> Found {
    let extension = entry
        .path()
        .extension()
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    let is_video = VIDEO_EXTENSIONS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(extension));
    if !is_video && !is_still_image_name(entry.path()) {
        return Found::Other;
    }
    Found::File(DatasetFile {
        name: name_below(base, entry.path()),
        path: entry.into_path(),
        is_video,
    })
}

fn name_below(base: &Path, path: &Path) -> String {
    let below = path.strip_prefix(base).unwrap_or(path);
    let parts: Vec<Cow<'_, str>> = below.iter().map(text_of).collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}

/// Begins a byte that is no text.
const ESCAPE: &str = "\\x";

/// A path as text that [`path_of`] turns back, written as [`DatasetFile::name`].
pub fn text_of_path(path: &Path) -> String {
    text_of(path.as_os_str()).into_owned()
}

/// The path that [`DatasetFile::name`] or [`text_of_path`] stands for.
pub fn path_of(name: &str) -> PathBuf {
    let mut parts = name.split(ESCAPE);
    let mut bytes: Vec<u8> = parts.next().unwrap_or_default().into();
    for part in parts {
        let digits = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.extend(digits);
        bytes.extend(part.get(2..).unwrap_or_default().bytes());
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn text_of(name: &OsStr) -> Cow<'_, str> {
    if let Some(name) = name.to_str().filter(|name| !name.contains(ESCAPE)) {
        return Cow::Borrowed(name);
    }
    // No two names have the same text: what looks like an escape is escaped itself.
    let chunks = name.as_encoded_bytes().utf8_chunks();
    let texts = chunks.map(|chunk| {
        let escaped = chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}"));
        chunk.valid().replace(ESCAPE, "\\x5Cx") + &escaped.collect::<String>()
    });
    Cow::Owned(texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn names(root: &Path, except: Option<&Path>) -> Vec<String> {
        let found = walk(root, except).map(|found| match found {
            Found::File(file) => file.name,
            Found::Other => "(other)".to_owned(),
            Found::Fault(name, cause) => format!("{name}: {cause}"),
        });
        found.collect()
    }

    #[test]
    fn files_come_in_the_order_of_their_names_whatever_they_are_called() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [
            "b/2.png",
            "a/x.JPEG",
            "a.jpg",
            "a/y/z.mp4",
            "b/notes.txt",
            ".hidden/x.png",
            "b/._1.png",
            "out/t.jpg",
            "web/manifest.json",
            "web/thumbs/t.jpg",
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        fs::write(root.join(OsStr::from_bytes(b"b/\xff.png")), b"").unwrap();
        symlink(root, root.join("b/loop")).unwrap();
        symlink(root.join("nowhere"), root.join("c.png")).unwrap();
        symlink(root, root.join("b/.loop")).unwrap();
        symlink(root.join("nowhere"), root.join(".#c.png")).unwrap();
        let found = names(root, Some(&root.join("out")));
        let expected = [
            "a/x.JPEG",
            "a/y/z.mp4",
            "a.jpg",
            "b/2.png",
            "b/\\xFF.png",
            "b/loop: a link",
            "(other)",
            "c.png: No such file",
            "(other)",
            "web/thumbs/t.jpg",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} is not {expected}");
        }
        let mut files: Vec<&String> = found
            .iter()
            .filter(|name| !name.contains([':', '(']))
            .collect();
        let walked = files.clone();
        files.sort_by(|a, b| compare_names(a, b));
        assert_eq!(files, walked);
        assert_eq!(names(&root.join("a/x.JPEG"), None), ["x.JPEG"]);
    }

    #[test]
    fn places_that_cannot_be_read_have_names_and_no_two_the_same() {
        let root = Path::new("/data");
        let mut places = Places::default();
        for (folder, depth) in [("/data", 0), ("/data/a", 1), ("/data/a/b", 2)] {
            places.enter(Path::new(folder), depth);
        }
        let mut name = |path: Option<&str>, depth| {
            let path = path.map(Path::new);
            places.name_fault(root, path, depth)
        };
        // What a folder holds is one deeper than the folder.
        assert_eq!(name(None, 3).as_deref(), Some("a/b"));
        assert_eq!(name(None, 2).as_deref(), Some("a"));
        assert_eq!(name(None, 2), None);
        assert_eq!(name(Some("/data/a/c"), 2).as_deref(), Some("a/c"));
        assert_eq!(name(None, 1).as_deref(), Some("."));
        assert_eq!(name(None, 0), None);
        places.enter(Path::new("/data/d"), 1);
        let next = places.name_fault(root, None, 2);
        assert_eq!(next.as_deref(), Some("d"));
    }

    #[test]
    fn names_lead_back_to_their_files_and_no_two_are_the_same() {
        let names: [&[u8]; 5] = [
            b"a b.jpg",
            b"\xff.jpg",
            b"\\xFF.jpg",
            b"\\x5CxFF.jpg",
            b"\xc3\xa9\\\xe0x.jpg",
        ];
        let texts = names.map(|name| text_of(OsStr::from_bytes(name)).into_owned());
        for (number, (name, text)) in names.iter().zip(&texts).enumerate() {
            assert_eq!(path_of(text).as_os_str().as_bytes(), *name, "{text}");
            assert!(!texts[..number].contains(text), "{text}");
        }
        assert_eq!(texts[1], "\\xFF.jpg");
        for path in [
            &b"/data/b\xffder/a b"[..],
            b"/data/\\xFF",
            b"/data/\xc3\xa9",
        ] {
            let path = Path::new(OsStr::from_bytes(path));
            assert_eq!(path_of(&text_of_path(path)), path);
        }
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(base_of(Path::new("gone.jpg")), Path::new("."));
        assert_eq!(base_of(Path::new("a/gone.jpg")), Path::new("a"));
        assert_eq!(names(Path::new("Cargo.toml"), None), ["(other)"]);
        let found = name_below(&base_of(Path::new("gone.jpg")), Path::new("gone.jpg"));
        assert_eq!(found, "gone.jpg");
    }

    #[test]
    fn every_file_is_in_one_shard() {
        let shards = [1, 2, 3].map(|number| super::super::Shard { number, count: 3 });
        let mut counts = [0; 3];
        for number in 0..300 {
            let key = key_of(&format!("{number}.jpg"));
            let of: Vec<usize> = (0..3)
                .filter(|shard| shards[*shard].contains(key))
                .collect();
            assert_eq!(of.len(), 1);
            counts[of[0]] += 1;
        }
        assert!(counts.iter().all(|count| *count > 70), "{counts:?}");
    }
}
