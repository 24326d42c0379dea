//! What an audit's results depend on.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::reading::check_regular;
use crate::error::{Error, ErrorKind, Result};

/// All that the results depend on besides the files themselves: a run that goes on, and shards that are merged, must agree on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditSettings {
    /// Version of the program.
    pub version: String,
    /// The dataset's folder as an absolute path, as [`text_of_path`](super::dataset::text_of_path) writes it.
    pub dataset: String,
    /// SHA-256 of the weight file.
    pub weights_sha256: String,
    /// Explainer.
    pub method: String,
    /// Target layers, comma-separated; `input` for methods that look at no layer.
    pub layer: String,
    /// What was explained: `logit` or `softmax`.
    pub score: String,
    /// Passes per map for methods that let one choose; none for the method's own.
    pub samples: Option<usize>,
    /// Seed of all that is random.
    pub seed: u64,
    /// How a picture became the network's square.
    pub resize: String,
    /// Arithmetic of the network.
    pub precision: String,
    /// Classes kept for each picture.
    pub top_k: usize,
    /// Frames of videos that are looked at, per second.
    pub sample_fps: f64,
    /// Whether frames are deinterlaced.
    pub deinterlace: bool,
    /// Where labels come from: `folders`, `none`, or the absolute path of a CSV file, written as the dataset's.
    pub labels: String,
    /// [`content_sha256`] of the CSV file; none without one, and in reports of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_sha256: Option<String>,
    /// The absolute path of the boxes' file or folder, written as the dataset's; none without boxes.
    pub boxes: Option<String>,
    /// [`content_sha256`] of the boxes; none without boxes, and in reports of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes_sha256: Option<String>,
}

/// SHA-256 of a file in hexadecimal digits; of a folder, that of the names and contents of the `.xml` files at any depth.
///
/// # Errors
/// [`ErrorKind::Input`] if something cannot be read.
pub fn content_sha256(path: &Path) -> Result<String> {
    let failed = |error: io::Error| {
        let message = format!("cannot read {}", path.display());
        Error::caused_by(ErrorKind::Input, message, error)
    };
    if !path.is_dir() {
        check_regular(path)?;
        return sha256_of_file(path).map(hex).map_err(failed);
    }
    let mut hasher = Sha256::new();
    for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| failed(error.into()))?;
        let is_xml = entry
            .path()
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("xml"));
        if is_xml && entry.file_type().is_file() {
            let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
            hasher.update(below.as_os_str().as_encoded_bytes());
            hasher.update([0]);
            hasher.update(sha256_of_file(entry.path()).map_err(failed)?);
        }
    }
    Ok(hex(hasher.finalize()))
}

fn sha256_of_file(path: &Path) -> io::Result<impl AsRef<[u8]> + use<>> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut HashWriter(&mut hasher))?;
    Ok(hasher.finalize())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Which part of a dataset a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub number: u32,
    /// Of how many.
    pub count: u32,
}

impl Shard {
    /// Whether a file with this key ([`DatasetFile::key`](super::dataset::DatasetFile::key)) is in it. Every file is in exactly one.
    pub fn contains(self, key: u128) -> bool {
        key % u128::from(self.count.max(1)) == u128::from(self.number.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_digest_is_of_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let file = root.join("labels.csv");
        fs::write(&file, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(content_sha256(&file).unwrap(), expected);
        assert!(content_sha256(&root.join("gone.csv")).is_err());
        let mut seen = vec![content_sha256(root).unwrap()];
        fs::create_dir(root.join("a")).unwrap();
        for (name, text) in [
            ("a/1.xml", "x"),
            ("a/1.xml", "y"),
            ("2.XML", "y"),
            ("3.xml", ""),
        ] {
            fs::write(root.join(name), text).unwrap();
            let digest = content_sha256(root).unwrap();
            assert!(!seen.contains(&digest), "{name}");
            seen.push(digest);
        }
        fs::write(root.join("notes.txt"), "no boxes").unwrap();
        assert_eq!(content_sha256(root).unwrap(), seen[4]);
        fs::rename(root.join("3.xml"), root.join("4.xml")).unwrap();
        assert_ne!(content_sha256(root).unwrap(), seen[4]);
    }
}
