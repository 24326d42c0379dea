//! A file that gets its name only when it is complete.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// A file under a temporary name beside its final one; removed on drop unless committed.
#[derive(Debug)]
pub struct PartialFile {
    final_path: PathBuf,
    path: PathBuf,
    is_committed: bool,
}

impl PartialFile {
    /// Claims a temporary name beside `final_path`.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if the final name is taken and `overwrite` is not set, or if it is the input.
    pub fn create(final_path: &Path, overwrite: bool, input: Option<&Path>) -> Result<Self> {
        if input == Some(final_path) {
            let message = format!("{} is the input", final_path.display());
            return Err(Error::new(ErrorKind::Output, message));
        }
        if final_path.exists() && !overwrite {
            let message = format!("{} exists already", final_path.display());
            return Err(Error::new(ErrorKind::Output, message));
        }
        let mut name = final_path.as_os_str().to_owned();
        name.push(".part");
        Ok(Self {
            final_path: final_path.to_owned(),
            path: name.into(),
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
    /// [`ErrorKind::Output`] if renaming fails.
    pub fn commit(mut self) -> Result<()> {
        fs::rename(&self.path, &self.final_path).map_err(|error| {
            let message = format!("cannot write {}", self.final_path.display());
            Error::caused_by(ErrorKind::Output, message, error)
        })?;
        self.is_committed = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}
