//! Pictures that are read again, as long as their files are what they were.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::dataset::path_of;
use super::reading::{check_regular, digest_of, digest_of_bytes};
use super::record::AuditRecord;
use crate::error::Result;
use crate::frame::{Orientation, Picture};
use crate::pipeline::CancelToken;
use crate::source::{
    FfmpegSource, FrameSource, InputSpec, ReadOptions, StillSource, TimeRange, read_image_file,
};

/// A frame is asked for by its time, which is written with a rounding error.
const TIME_TOLERANCE_SECS: f64 = 1e-4;

/// A record, and the digest that its file had.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) record: AuditRecord,
    pub(super) digest: Option<String>,
}

/// What was read again.
pub(super) struct Reread {
    pub(super) picture: Picture,
    pub(super) orientation: Orientation,
    pub(super) pixel_aspect: f64,
}

/// Reads pictures of a dataset again.
pub(super) struct Rereading<'a> {
    /// The dataset's folder.
    root: &'a Path,
    deinterlace: bool,
    cancel: &'a CancelToken,
    /// Digests of the videos that have been asked for: hashing one takes long.
    digests: Mutex<HashMap<String, String>>,
}

impl<'a> Rereading<'a> {
    pub(super) fn new(root: &'a Path, deinterlace: bool, cancel: &'a CancelToken) -> Self {
        Self {
            root,
            deinterlace,
            cancel,
            digests: Mutex::default(),
        }
    }

    /// The picture of a record; none if its file has changed.
    ///
    /// # Errors
    /// If the file is gone or cannot be read; [`Cancelled`](crate::ErrorKind::Cancelled) if the run is to stop.
    pub(super) fn read(&self, remembered: &Remembered) -> Result<Option<Reread>> {
        let record = &remembered.record;
        let path = self.root.join(path_of(&record.path));
        let is_as_before = |now: &str| remembered.digest.as_deref().is_none_or(|was| was == now);
        let mut source: Box<dyn FrameSource> = match record.pts_s {
            None => {
                check_regular(&path)?;
                let bytes = read_image_file(&path)?;
                if !is_as_before(&digest_of_bytes(&bytes)) {
                    return Ok(None);
                }
                Box::new(StillSource::from_bytes(&bytes, &path)?)
            }
            Some(pts_s) => {
                if !is_as_before(&self.video_digest(&record.path, &path)?) {
                    return Ok(None);
                }
                let options = ReadOptions {
                    range: TimeRange {
                        start_secs: Some((pts_s - TIME_TOLERANCE_SECS).max(0.0)),
                        end_secs: None,
                    },
                    deinterlace: self.deinterlace,
                    ..ReadOptions::default()
                };
                Box::new(FfmpegSource::open(
                    &InputSpec::Path(path),
                    options,
                    self.cancel,
                )?)
            }
        };
        let frame = source.next_frame()?;
        let info = source.info();
        Ok(frame.map(|frame| Reread {
            picture: frame.picture,
            orientation: info.orientation,
            pixel_aspect: info.pixel_aspect,
        }))
    }

    fn video_digest(&self, name: &str, path: &Path) -> Result<String> {
        let digests = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = digests().get(name) {
            return Ok(known.clone());
        }
        let digest = digest_of(path, self.cancel)?;
        digests().insert(name.to_owned(), digest.clone());
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_records::record;
    use std::fs;

    #[test]
    fn pictures_that_have_changed_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancelToken::new();
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
        for (name, sample, pts_s) in [
            ("a.png", "chelsea.png", None),
            ("b.mp4", "cup.mp4", Some(0.0)),
        ] {
            let path = folder.path().join(name);
            fs::copy(samples.join(sample), &path).unwrap();
            let mut remembered = Remembered {
                record: record(name, 1, 0.9),
                digest: Some(digest_of(&path, &cancel).unwrap()),
            };
            remembered.record.pts_s = pts_s;
            let read = || Rereading::new(folder.path(), false, &cancel).read(&remembered);
            assert!(read().unwrap().is_some(), "{name}");
            let mut bytes = fs::read(&path).unwrap();
            bytes.extend(b"x");
            fs::write(&path, bytes).unwrap();
            assert!(
                read().unwrap().is_none(),
                "{name} is still readable, but another file"
            );
            fs::remove_file(&path).unwrap();
            assert!(read().is_err(), "{name}");
        }
    }
}
