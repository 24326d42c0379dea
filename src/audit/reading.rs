//! Reading the dataset: files become units of work, one image or one sampled frame each, in order.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dataset::{DatasetFile, Found, walk};
use super::journal::Finished;
use super::labels::DatasetLabels;
use super::record::AuditItem;
use super::settings::Shard;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Orientation};
use crate::model::Labels;
use crate::pipeline::CancelToken;
use crate::source::{FfmpegSource, FrameSource, InputSpec, ReadOptions, is_still_image};

/// Read at once when a file is hashed, in bytes.
const CHUNK_BYTES: usize = 1 << 16;

/// What a worker gets.
pub(super) enum Work {
    /// Read, decode and look at an image.
    Image(DatasetFile, Option<usize>),
    /// Look at a frame.
    Frame(Box<SampledFrame>),
    /// Hand on: all that a file holds has been sent.
    End(AuditItem),
}

/// A frame of a video that is to be looked at.
pub(super) struct SampledFrame {
    pub(super) file: Arc<DatasetFile>,
    pub(super) label: Option<usize>,
    pub(super) frame: Frame,
    pub(super) pts_s: f64,
    pub(super) orientation: Orientation,
    pub(super) pixel_aspect: f64,
}

/// Which files are read, and how.
pub(super) struct Reading<'a> {
    pub(super) root: &'a Path,
    /// The report's folder, which may lie inside the dataset's.
    pub(super) report: &'a Path,
    pub(super) shard: Option<Shard>,
    pub(super) finished: &'a Finished,
    pub(super) labels: &'a DatasetLabels,
    pub(super) classes: &'a Labels,
    /// Frames per second of video that are looked at.
    pub(super) sample_fps: f64,
    pub(super) deinterlace: bool,
    pub(super) cancel: &'a CancelToken,
}

/// Whoever takes the work is gone, and knows why.
pub(super) struct Gone;

impl Reading<'_> {
    /// Sends all work through `send`, in the order of the files' names.
    pub(super) fn run(
        &self,
        send: &mut dyn FnMut(Work) -> std::result::Result<(), Gone>,
    ) -> std::result::Result<(), Gone> {
        for found in walk(self.root, Some(self.report)) {
            if self.cancel.is_cancelled() {
                return Ok(());
            }
            let file = match found {
                Found::File(file) => file,
                Found::Other => continue,
                Found::Fault(name, cause) => {
                    // It has a place in the report like a file.
                    let file = DatasetFile {
                        path: self.root.join(&name),
                        name,
                        is_video: false,
                    };
                    if self.is_wanted(&file) {
                        send(Work::End(item(&file, None, 0, None, Some(cause))))?;
                    }
                    continue;
                }
            };
            if !self.is_wanted(&file) {
                continue;
            }
            let label = self.labels.label_of(&file.name, self.classes);
            if file.is_video || !is_still_image(&file.path) {
                let file = DatasetFile {
                    is_video: true,
                    ..file
                };
                self.read_video(file, label, send)?;
            } else {
                send(Work::Image(file, label))?;
            }
        }
        Ok(())
    }

    fn is_wanted(&self, file: &DatasetFile) -> bool {
        let key = file.key();
        self.shard.is_none_or(|shard| shard.contains(key)) && !self.finished.contains(key)
    }

    fn read_video(
        &self,
        file: DatasetFile,
        label: Option<usize>,
        send: &mut dyn FnMut(Work) -> std::result::Result<(), Gone>,
    ) -> std::result::Result<(), Gone> {
        let file = Arc::new(file);
        let mut frames = 0;
        let digest = match digest_of(&file.path, self.cancel) {
            Ok(digest) => digest,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(()),
            Err(error) => {
                let fault = Some(cause_of(&error, &file));
                return send(Work::End(item(&file, None, 0, label, fault)));
            }
        };
        let fault = match self.sample(&file, label, &mut frames, send)? {
            Ok(fault) => fault,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(()),
            Err(error) => Some(cause_of(&error, &file)),
        };
        // What was not read to its end is read again by the next run.
        if self.cancel.is_cancelled() {
            return Ok(());
        }
        send(Work::End(item(&file, Some(digest), frames, label, fault)))
    }

    /// Sends the frames of a video that are to be looked at; what is wrong with it.
    fn sample(
        &self,
        file: &Arc<DatasetFile>,
        label: Option<usize>,
        count: &mut u64,
        send: &mut dyn FnMut(Work) -> std::result::Result<(), Gone>,
    ) -> std::result::Result<Result<Option<String>>, Gone> {
        let options = ReadOptions {
            deinterlace: self.deinterlace,
            ..ReadOptions::default()
        };
        let opened = FfmpegSource::open(&InputSpec::Path(file.path.clone()), options, self.cancel);
        let mut source = match opened {
            Ok(source) => source,
            Err(error) => return Ok(Err(error)),
        };
        let info = source.info();
        let (time_base, orientation) = (info.time_base, info.orientation);
        let pixel_aspect = info.pixel_aspect;
        let mut sampler = Sampler::new(self.sample_fps);
        loop {
            let frame = match source.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            let pts_s = time_base.seconds(frame.pts);
            if !sampler.takes(pts_s) {
                continue;
            }
            *count += 1;
            send(Work::Frame(Box::new(SampledFrame {
                file: Arc::clone(file),
                label,
                frame: Frame {
                    passthrough: Vec::new(),
                    ..frame
                },
                pts_s,
                orientation,
                pixel_aspect,
            })))?;
        }
        let damage = source.finish().damage;
        let fault = match *count {
            0 => Some("it has no frames".to_owned()),
            _ => (!damage.is_none()).then(|| damage.to_string()),
        };
        Ok(Ok(fault))
    }
}

/// Chooses frames: the first of every interval of `1 / fps` seconds.
struct Sampler {
    fps: f64,
    /// The interval of the last frame that was taken.
    last: Option<i64>,
}

impl Sampler {
    fn new(fps: f64) -> Self {
        Self { fps, last: None }
    }

    fn takes(&mut self, pts_s: f64) -> bool {
        // A frame a rounding error before its interval belongs to it.
        let interval = (pts_s * self.fps + 1e-6).floor() as i64;
        let is_new = self.last.is_none_or(|last| interval > last);
        if is_new {
            self.last = Some(interval);
        }
        is_new
    }
}

/// What a file came to.
pub(super) fn item(
    file: &DatasetFile,
    digest: Option<String>,
    records: u64,
    label: Option<usize>,
    fault: Option<String>,
) -> AuditItem {
    AuditItem {
        path: file.name.clone(),
        is_video: file.is_video,
        digest,
        records,
        label,
        fault,
    }
}

/// Why a file could not be read, without the path that stands beside it anyway.
pub(super) fn cause_of(error: &Error, file: &DatasetFile) -> String {
    let line = match std::error::Error::source(error) {
        None => error.one_line(),
        Some(cause) => {
            let mut line = cause.to_string();
            let mut next = cause.source();
            while let Some(cause) = next {
                line += &format!(": {cause}");
                next = cause.source();
            }
            line
        }
    };
    let path = file.path.display().to_string();
    let line = line.replace('\n', " ");
    match line.split_once(&format!("{path}: ")) {
        Some((_, cause)) => cause.to_owned(),
        None => line.replace(&path, &file.name),
    }
}

/// First half of the SHA-256 of these bytes, in hexadecimal digits.
pub(super) fn digest_of_bytes(bytes: &[u8]) -> String {
    short(&Sha256::digest(bytes))
}

/// Opening a pipe would wait for somebody who writes, and a device may have no end.
///
/// # Errors
/// [`ErrorKind::Input`] if it is no regular file.
pub(super) fn check_regular(path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot read {}", path.display());
        Error::caused_by(ErrorKind::Input, message, error)
    };
    match std::fs::metadata(path).map_err(failed)?.is_file() {
        true => Ok(()),
        false => Err(failed(std::io::Error::other("it is no regular file"))),
    }
}

/// First half of the SHA-256 of a file, in hexadecimal digits.
///
/// # Errors
/// [`ErrorKind::Input`] if it cannot be read, [`ErrorKind::Cancelled`] if `cancel` is set.
pub(super) fn digest_of(path: &Path, cancel: &CancelToken) -> Result<String> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot read {}", path.display());
        Error::caused_by(ErrorKind::Input, message, error)
    };
    check_regular(path)?;
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Ok(short(&hasher.finalize())),
            count => hasher.update(&chunk[..count]),
        }
    }
}

fn short(digest: &[u8]) -> String {
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(fps: f64, times: &[f64]) -> Vec<f64> {
        let mut sampler = Sampler::new(fps);
        times
            .iter()
            .copied()
            .filter(|time| sampler.takes(*time))
            .collect()
    }

    #[test]
    fn the_first_frame_of_every_interval_is_taken() {
        let times: Vec<f64> = (0..75).map(|frame| f64::from(frame) / 25.0).collect();
        assert_eq!(taken(1.0, &times), [0.0, 1.0, 2.0]);
        assert_eq!(taken(2.0, &[0.1, 0.4, 0.6, 3.0, 3.1]), [0.1, 0.6, 3.0]);
        assert_eq!(taken(1000.0, &times).len(), 75);
        assert_eq!(taken(0.5, &[-1.0, 0.0, 1.9, 2.0]), [-1.0, 0.0, 2.0]);
    }

    #[test]
    fn a_cause_is_said_without_the_path() {
        let file = DatasetFile {
            path: "/a/b.jpg".into(),
            name: "b.jpg".to_owned(),
            is_video: false,
        };
        let said = |error: Error| cause_of(&error, &file);
        let error = Error::caused_by(
            ErrorKind::Input,
            "cannot read image /a/b.jpg",
            "it is empty",
        );
        assert_eq!(said(error), "it is empty");
        let flat = |text: &str| said(Error::new(ErrorKind::Input, text));
        assert_eq!(flat("cannot read /a/b.jpg: no video"), "no video");
        assert_eq!(flat("/a/b.jpg is odd"), "b.jpg is odd");
    }
}
