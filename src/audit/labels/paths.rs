//! Paths of files below the dataset's folder, in one way of writing.

use std::path::{Path, PathBuf};

/// The dataset's folder, by all its absolute paths.
pub(super) struct Roots(Vec<PathBuf>);

impl Roots {
    pub(super) fn of(root: &Path) -> Self {
        let absolute = std::path::absolute(root);
        let without_links = std::fs::canonicalize(root);
        Self(absolute.into_iter().chain(without_links).collect())
    }

    /// The parts of a path, relative to the folder or absolute, below the folder; `None` if it is not below it.
    pub(super) fn parts_below<'a>(&self, path: &'a str) -> Option<Vec<&'a str>> {
        let mut parts = parts(path)?;
        if path.starts_with('/') {
            let is_root = |length: &usize| {
                let start: PathBuf = ["/"].iter().chain(&parts[..*length]).collect();
                self.0.contains(&start)
            };
            let length = (0..parts.len()).find(is_root)?;
            parts.drain(..length);
        }
        Some(parts)
    }
}

/// The parts of a path, without `.` and with `..` resolved; `None` if it leaves the folder in which it begins.
pub(super) fn parts(path: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_path_are_one() {
        let roots = Roots::of(Path::new("/data/set"));
        for path in [
            "a/b.png",
            "./a/b.png",
            "a//c/.././b.png",
            "/data/set/a/b.png",
            "/data/./set/x/../a/b.png",
        ] {
            assert_eq!(roots.parts_below(path), Some(vec!["a", "b.png"]), "{path}");
        }
        for path in [
            "../a.png",
            "a/../../b.png",
            "/data/other/a.png",
            "/data/settled/a.png",
        ] {
            assert_eq!(roots.parts_below(path), None, "{path}");
        }
    }
}
