//! A file that gets its name only when it is complete.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// Temporary names of this process's files, so that a program that is about to end can remove them.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every file that is still under its temporary name: for a program that ends at once, without its destructors.
pub fn remove_unfinished_files() {
    for path in std::mem::take(&mut *unfinished()) {
        // Nobody is left to tell.
        let _ = fs::remove_file(path);
    }
}

/// A file under a temporary name (`.part` appended) beside its final one; removed on drop unless committed.
#[derive(Debug)]
pub struct PartialFile {
    final_path: PathBuf,
    path: PathBuf,
    /// Holds the lock that tells other runs to keep off; whoever writes opens the file by its name.
    file: File,
    is_committed: bool,
}

impl PartialFile {
    /// Creates an empty file under the temporary name.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if the final or the temporary name is taken and `overwrite` is not set, if it is the input or a folder, if another
    /// run is writing it, or if the file cannot be created.
    pub fn create(final_path: &Path, overwrite: bool, input: Option<&Path>) -> Result<Self> {
        let name = final_path.display();
        let refuse = |cause: &str| {
            Err(Error::new(
                ErrorKind::Output,
                format!("cannot write {name}: {cause}"),
            ))
        };
        if final_path.as_os_str() == "-" {
            return refuse("only OUTPUT can be standard output; a file of this name is ./-");
        }
        if input.is_some_and(|input| is_same_file(input, final_path)) {
            return refuse("it is the input");
        }
        if final_path.is_dir() {
            return refuse("it is a folder");
        }
        if let Ok(existing) = fs::metadata(final_path)
            && !existing.is_file()
        {
            return refuse("it is no regular file");
        }
        if fs::symlink_metadata(final_path).is_ok() && !overwrite {
            return refuse("it exists already, use -y to overwrite it");
        }
        let mut path = final_path.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        if input.is_some_and(|input| is_same_file(input, &path)) {
            return refuse("its temporary name is the input");
        }
        if fs::symlink_metadata(&path).is_ok() && !overwrite {
            let left = path.display();
            return refuse(&format!(
                "an unfinished {left} exists already, use -y to overwrite it"
            ));
        }
        let cannot_create = |error: io::Error| {
            let message = format!("cannot create {}", path.display());
            Error::caused_by(ErrorKind::Output, message, error)
        };
        // Not truncated before it is locked: another run may be writing it.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .create_new(!overwrite)
            .open(&path)
            .map_err(cannot_create)?;
        match file.try_lock() {
            // Some network file systems know no locks.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return refuse("another run is writing it"),
        }
        // Between opening and locking, another run may have given what we opened its final name.
        let is_still_there = match (file.metadata(), fs::metadata(&path)) {
            (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
            _ => false,
        };
        if !is_still_there {
            return refuse("another run has just written it");
        }
        file.set_len(0).map_err(cannot_create)?;
        unfinished().insert(path.clone());
        Ok(Self {
            final_path: final_path.to_owned(),
            path,
            file,
            is_committed: false,
        })
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if it cannot be written to disk or renamed.
    pub fn commit(mut self) -> Result<()> {
        // Held until the file has its name, so that it is not removed in between.
        let mut unfinished = unfinished();
        let rename = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.path, &self.final_path)
        };
        rename().map_err(|error| {
            let message = format!("cannot write {}", self.final_path.display());
            Error::caused_by(ErrorKind::Output, message, error)
        })?;
        unfinished.remove(&self.path);
        self.is_committed = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_committed {
            unfinished().remove(&self.path);
            // Nobody is left to tell; the error that led here is already on its way.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether both names lead to the same file, through links too.
fn is_same_file(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_appears_only_on_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.mp4");
        drop(PartialFile::create(&path, false, None).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = PartialFile::create(&path, false, None).unwrap();
        fs::write(file.path(), b"x").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn taken_names_inputs_and_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        fs::write(&path, b"input").unwrap();
        let link = folder.path().join("b.mp4");
        fs::hard_link(&path, &link).unwrap();
        let error = |path: &Path, overwrite, input| {
            PartialFile::create(path, overwrite, input)
                .unwrap_err()
                .one_line()
        };
        assert!(error(&path, false, None).ends_with("use -y to overwrite it"));
        assert!(error(Path::new("-"), true, None).contains("only OUTPUT can be standard output"));
        assert!(error(&link, true, Some(&path)).ends_with("it is the input"));
        assert!(error(folder.path(), true, None).ends_with("it is a folder"));
        assert!(error(Path::new("/dev/null"), true, None).ends_with("it is no regular file"));
        // Somebody's own NAME.part is not ours to truncate.
        fs::write(folder.path().join("c.mp4.part"), b"download").unwrap();
        assert!(error(&folder.path().join("c.mp4"), false, None).contains("an unfinished"));
        assert_eq!(
            fs::read(folder.path().join("c.mp4.part")).unwrap(),
            b"download"
        );
        let nowhere = folder.path().join("nowhere/out.mp4");
        assert!(error(&nowhere, false, None).contains("cannot create"));
        assert_eq!(fs::read(&path).unwrap(), b"input");
    }

    #[test]
    fn two_runs_cannot_write_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.mp4");
        let first = PartialFile::create(&path, true, None).unwrap();
        fs::write(first.path(), b"first").unwrap();
        let error = PartialFile::create(&path, true, None).unwrap_err();
        assert!(error.one_line().ends_with("another run is writing it"));
        assert_eq!(fs::read(first.path()).unwrap(), b"first");
        first.commit().unwrap();
        PartialFile::create(&path, true, None).unwrap();
    }
}
