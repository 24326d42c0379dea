//! Two passes over a video: first all maps, then, with their scale known, the pictures.

use std::io::{BufReader, BufWriter, Seek as _};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::pipeline::{CancelToken, Job, Maps, Options, Reporter, Summary, largest_maxima, run};
use crate::records::{RecordsFormat, RecordsHeader, RecordsReader, RecordsWriter};
use crate::sink::{FrameSink, Written};
use crate::source::{FrameSource, SourceEnd};
use crate::temporal::Normalize;

/// Runs a job with [`Normalize::Video`], whatever its own scale: explains all frames first, into a temporary records file, then opens the
/// source again with `reopen` and draws. `header` is the records' header.
///
/// # Errors
/// As [`run`].
pub fn run_over_whole_video(
    job: Job<'_>,
    reopen: impl FnOnce(&CancelToken) -> Result<Box<dyn FrameSource>>,
    header: &RecordsHeader,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Summary> {
    let failed = |error: std::io::Error| {
        let message = "cannot keep maps in a temporary file";
        Error::caused_by(ErrorKind::Output, message, error)
    };
    let format = RecordsFormat::Jsonl;
    // Without a name, so that nothing is left however the program ends.
    let mut file = tempfile::tempfile().map_err(failed)?;
    let name = "the maps' temporary file";
    let output = Box::new(BufWriter::new(file.try_clone().map_err(failed)?));
    let first = Job {
        maps: job.maps,
        source: job.source,
        renderer: None,
        sink: Box::new(NoPictures::default()),
        records: Some(RecordsWriter::new(output, format, name, header)?),
        options: Options {
            normalize: Normalize::Frame,
            ..job.options.clone()
        },
    };
    let first = run(first, reporter, cancel)?;
    // After an interrupt, what was explained is still drawn; the records' end ends the second pass then.
    let drawing = CancelToken::new();
    let cancel = if first.was_cancelled {
        &drawing
    } else {
        cancel
    };
    // Readers share a position: one after the other.
    let mut reader = || -> Result<RecordsReader> {
        file.rewind().map_err(failed)?;
        let input = Box::new(BufReader::new(file.try_clone().map_err(failed)?));
        RecordsReader::new(input, format, name)
    };
    let largest = largest_maxima(&mut reader()?)?;
    let second = Job {
        maps: Maps::Recorded(Box::new(reader()?)),
        source: reopen(cancel)?,
        renderer: job.renderer,
        sink: job.sink,
        records: job.records,
        options: Options {
            normalize: Normalize::Video(largest),
            ..job.options
        },
    };
    Ok(run(second, reporter, cancel)?.after(first))
}

/// Takes frames and does nothing with them.
#[derive(Debug, Default)]
struct NoPictures(u64);

impl FrameSink for NoPictures {
    fn write(&mut self, _: Frame) -> Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn finish(self: Box<Self>, _: SourceEnd) -> Result<Written> {
        Ok(Written {
            frames: self.0,
            ..Written::default()
        })
    }
}
