//! Which annotations belong to a picture, by its path.

use std::collections::BTreeMap;
use std::path::Path;

/// Things by the files that annotations name, with or without folders. A name that ends with `.*` is that of a file with any extension.
#[derive(Debug, Clone)]
pub(super) struct ByFile<T>(BTreeMap<String, Vec<T>>);

impl<T> Default for ByFile<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByFile<T> {
    pub(super) fn push(&mut self, file: &str, thing: T) {
        self.0.entry(normal(file)).or_default().push(thing);
    }

    /// The things of the path as it is written, else of the longest end of the absolute path for which there are some.
    pub(super) fn find(&self, path: &Path) -> &[T] {
        let written = normal(&path.to_string_lossy());
        let absolute = std::path::absolute(path)
            .map_or_else(|_| written.clone(), |path| normal(&path.to_string_lossy()));
        let ends = absolute
            .match_indices('/')
            .map(|(slash, _)| &absolute[slash + 1..]);
        let candidates = [written.as_str(), absolute.as_str()]
            .into_iter()
            .chain(ends);
        let mut found = candidates
            .filter_map(|file| self.0.get(file).or_else(|| self.with_any_extension(file)));
        found.next().map_or(&[], Vec::as_slice)
    }

    fn with_any_extension(&self, file: &str) -> Option<&Vec<T>> {
        let (stem, extension) = file.rsplit_once('.')?;
        if extension.contains('/') {
            return None;
        }
        self.0.get(&format!("{stem}.*"))
    }
}

/// A path without `.` and doubled slashes.
fn normal(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let joined = parts.collect::<Vec<_>>().join("/");
    if path.starts_with('/') {
        format!("/{joined}")
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_end_of_the_path_is_found_and_no_other_folder() {
        let mut files = ByFile::default();
        for (thing, file) in [
            "./train/a.png",
            "val/a.png",
            "x/train/a.png",
            "/d/b.png",
            "c.*",
            "d.png",
            "y//d.png",
        ]
        .iter()
        .enumerate()
        {
            files.push(file, thing);
        }
        let find = |path| files.find(Path::new(path));
        assert_eq!(find("/data/train/a.png"), [0]);
        assert_eq!(find("train//a.png"), [0]);
        assert_eq!(find("/data/val/a.png"), [1]);
        assert_eq!(find("/data/x/train/a.png"), [2]);
        for stranger in [
            "/data/test/a.png",
            "a.png",
            "/strain/a.png",
            "/e/d/b.png",
            "c",
            "c.x/a.png",
        ] {
            assert!(find(stranger).is_empty(), "{stranger}");
        }
        assert_eq!(find("/d/b.png"), [3]);
        assert_eq!(find("e/c.jpeg"), [4]);
        assert_eq!(find("z/d.png"), [5]);
        assert_eq!(find("/z/./y/d.png"), [6]);
    }

    #[test]
    fn a_relative_path_is_found_below_the_current_folder() {
        let current = std::env::current_dir().unwrap();
        let folder = current.file_name().unwrap().to_str().unwrap();
        let mut files = ByFile::default();
        files.push(&format!("{folder}/a.png"), ());
        assert_eq!(files.find(Path::new("a.png")).len(), 1);
        assert!(files.find(Path::new("b/a.png")).is_empty());
    }
}
