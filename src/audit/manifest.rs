//! `manifest.json`: written last, so that its presence says that the report is complete.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folder::MANIFEST;
use super::settings::{AuditSettings, Shard};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::PartialFile;

/// What an audit was, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program.
    pub version: String,
    /// The command line.
    pub arguments: Vec<String>,
    /// All that the results depend on.
    pub settings: AuditSettings,
    /// Which part of the dataset; such a folder holds no report of its own, but is merged with others.
    pub shard: Option<Shard>,
    /// Files that were looked at, readable or not.
    pub files: u64,
    /// Images and frames that were explained.
    pub records: u64,
    /// Files that could not be read, or not in full.
    pub faulty_files: u64,
    /// Files that are neither images nor videos.
    pub passed_over: u64,
    /// Findings by severity; empty for shards.
    pub findings_by_severity: BTreeMap<String, u64>,
    /// Findings by kind; empty for shards.
    pub findings_by_kind: BTreeMap<String, u64>,
}

impl Manifest {
    /// Reads the manifest of the report in `folder`; none if it is not finished.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if there is one that cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        let read = || -> std::io::Result<Option<Self>> {
            match std::fs::read(&path) {
                Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        read().map_err(|error| {
            Error::caused_by(
                ErrorKind::Input,
                format!("cannot read {}", path.display()),
                error,
            )
        })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let file = PartialFile::create(&path, true, None)?;
        let write = || -> std::io::Result<()> {
            std::fs::write(file.path(), serde_json::to_string_pretty(self)? + "\n")
        };
        write().map_err(|error| {
            Error::caused_by(
                ErrorKind::Output,
                format!("cannot write {}", path.display()),
                error,
            )
        })?;
        file.commit()
    }
}
