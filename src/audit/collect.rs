//! From files to records in the journal.
//!
//! ```text
//! reading ──► workers ──► in order ──► journal
//! (walk,      (decode images, explain,  (changes from
//!  videos)     measure, draw)            frame to frame)
//! ```
//!
//! One thread walks the dataset and decodes videos, the workers take one picture each, and the caller's thread writes in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::dataset::DatasetFile;
use super::examine::{Examined, Examiner, Examining, Subject, View};
use super::journal::Journal;
use super::reading::{Gone, Reading, Work, cause_of, check_regular, digest_of_bytes, item};
use super::record::{AuditItem, AuditRecord};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{FrameIndex, Picture};
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::reorder::Reorder;
use crate::pipeline::worker::keep_work_on_this_thread;
use crate::pipeline::{Progress, Reporter, spawn};
use crate::source::{FrameSource, StillSource, read_image_file};
use crate::temporal::change;

/// Units in flight beyond one per worker: reading goes on while a worker is at a hard one, and a frame in 4K takes 13 MB.
const SPARE_UNITS: usize = 4;

/// A unit of work on its way to a worker.
struct Unit {
    index: u64,
    work: Work,
}

/// What became of it.
enum Done {
    Image(Option<Box<Examined>>, AuditItem),
    Frame(Box<Examined>),
    End(AuditItem),
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Collected {
    pub(super) items: u64,
}

/// Looks at all files that `reading` finds. When its token is set, what was begun is finished as far as the journal needs it.
///
/// # Errors
/// The first failure of any thread. Files that cannot be read are none.
pub(super) fn collect(
    reading: &Reading<'_>,
    examining: Examining<'_>,
    journal: &mut Journal,
    progress: &dyn Reporter,
    expected_items: Option<u64>,
) -> Result<Collected> {
    let workers = examining.asked.explaining.frames_at_once();
    let in_flight = workers + SPARE_UNITS;
    // A permit travels with every unit, so that neither a queue nor the reorder buffer can grow while one worker is slow.
    let (permit_return, permits) = bounded::<()>(in_flight);
    for _ in 0..in_flight {
        let _ = permit_return.try_send(());
    }
    let (to_workers, units) = bounded::<Unit>(in_flight);
    let (to_ordered, done) = bounded::<(u64, Done)>(in_flight);
    let failure = FirstFailure::new();
    let mut ordered = Ordered {
        journal,
        last: None,
        collected: Collected::default(),
        progress,
        expected_items,
    };
    thread::scope(|scope| {
        let failure = &failure;
        let read = move || {
            let mut index = 0;
            let mut send = |work: Work| {
                failure.receive(&permits).ok_or(Gone)?;
                to_workers.send(Unit { index, work }).map_err(|_| Gone)?;
                index += 1;
                Ok(())
            };
            // Who is gone knows why.
            let _ = reading.run(&mut send);
        };
        let mut threads = vec![spawn(scope, "audit-read", failure, read)];
        for number in 0..workers {
            let (units, to_ordered) = (units.clone(), to_ordered.clone());
            let work = move || work(examining, &units, &to_ordered, failure);
            threads.push(spawn(scope, &format!("audit-{number}"), failure, work));
        }
        drop((units, to_ordered));
        failure.catch("ordered", || ordered.run(&done, &permit_return, failure));
        drop((done, permit_return));
        for handle in threads.into_iter().flatten() {
            let _ = handle.join();
        }
    });
    match failure.into_error() {
        Some(error) => Err(error),
        None => Ok(ordered.collected),
    }
}

fn work(
    examining: Examining<'_>,
    units: &Receiver<Unit>,
    to_ordered: &Sender<(u64, Done)>,
    failure: &FirstFailure,
) {
    let _this_thread = keep_work_on_this_thread();
    let mut examiner = Examiner::new(examining);
    while let Some(Unit { index, work }) = failure.receive(units) {
        let done = match work {
            Work::Image(file, label) => look_at_image(&mut examiner, &file, label),
            Work::Frame(sampled) => {
                let subject = Subject {
                    file: &sampled.file,
                    frame: Some((sampled.frame.index.0, sampled.pts_s)),
                    label: sampled.label,
                    picture: &sampled.frame.picture,
                    orientation: sampled.orientation,
                    pixel_aspect: sampled.pixel_aspect,
                };
                examiner
                    .examine(&subject)
                    .map(|examined| Done::Frame(Box::new(examined)))
            }
            Work::End(item) => Ok(Done::End(item)),
        };
        match done {
            Ok(done) => {
                if to_ordered.send((index, done)).is_err() {
                    return;
                }
            }
            // In the middle of an explanation of many passes: the file is looked at again by the next run.
            Err(error) if error.kind() == ErrorKind::Cancelled => return,
            Err(error) => return failure.record(error),
        }
    }
}

/// An image that cannot be read is a finding; whatever else fails is a failure.
fn look_at_image(
    examiner: &mut Examiner<'_>,
    file: &DatasetFile,
    label: Option<usize>,
) -> Result<Done> {
    let fault = |digest: Option<String>, error: &Error| {
        let item = item(file, digest, 0, label, Some(cause_of(error, file)));
        Ok(Done::Image(None, item))
    };
    let bytes = match check_regular(&file.path).and_then(|()| read_image_file(&file.path)) {
        Ok(bytes) => bytes,
        Err(error) => return fault(None, &error),
    };
    let digest = digest_of_bytes(&bytes);
    let (picture, orientation) = match decode(file, &bytes) {
        Ok(decoded) => decoded,
        Err(error) => return fault(Some(digest), &error),
    };
    drop(bytes);
    let examined = examiner.examine(&Subject {
        file,
        frame: None,
        label,
        picture: &picture,
        orientation,
        pixel_aspect: 1.0,
    })?;
    let item = item(file, Some(digest), 1, label, None);
    Ok(Done::Image(Some(Box::new(examined)), item))
}

/// A decoder that panics must not end an audit of a million files.
fn decode(file: &DatasetFile, bytes: &[u8]) -> Result<(Picture, crate::frame::Orientation)> {
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut source = StillSource::from_bytes(bytes, &file.path)?;
        let orientation = source.info().orientation;
        Ok(source
            .next_frame()?
            .map(|frame| (frame.picture, orientation)))
    }));
    let cannot = |cause: &str| {
        Error::caused_by(
            ErrorKind::Input,
            format!("cannot read image {}", file.name),
            cause,
        )
    };
    match decoded {
        Ok(Ok(Some(decoded))) => Ok(decoded),
        Ok(Ok(None)) => Err(cannot("it holds no picture")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(cannot("the decoder failed")),
    }
}

/// The frame of a video that was written last.
struct Last {
    path: String,
    view: View,
}

/// Writes what was found, in the order of the files.
struct Ordered<'a> {
    journal: &'a mut Journal,
    last: Option<Last>,
    collected: Collected,
    progress: &'a dyn Reporter,
    expected_items: Option<u64>,
}

impl Ordered<'_> {
    fn run(&mut self, done: &Receiver<(u64, Done)>, permits: &Sender<()>, failure: &FirstFailure) {
        let mut reorder = Reorder::new();
        while let Some((index, done)) = failure.receive(done) {
            reorder.insert(FrameIndex(index), done);
            while let Some(done) = reorder.pop() {
                if let Err(error) = self.take(done) {
                    return failure.record(error);
                }
                // The reader may be gone already.
                let _ = permits.try_send(());
            }
        }
    }

    fn take(&mut self, done: Done) -> Result<()> {
        match done {
            Done::Image(examined, item) => {
                let record = examined.map(|examined| examined.record);
                if let Some(record) = &record {
                    self.journal.record(record)?;
                }
                self.end(&item, record.as_ref())
            }
            Done::Frame(examined) => {
                let Examined { mut record, view } = *examined;
                if let Some(last) = self.last.take().filter(|last| last.path == record.path) {
                    record.metrics.change = Some(mean_change(&last.view.luma, &view.luma));
                    record.metrics.flicker =
                        Some(change(last.view.map.as_ref(), view.map.as_ref()));
                }
                self.journal.record(&record)?;
                self.last = Some(Last {
                    path: record.path,
                    view,
                });
                Ok(())
            }
            Done::End(item) => {
                self.last = None;
                self.end(&item, None)
            }
        }
    }

    fn end(&mut self, item: &AuditItem, record: Option<&AuditRecord>) -> Result<()> {
        self.journal.item(item)?;
        self.collected.items += 1;
        let top = record.and_then(|record| record.top.first());
        self.progress.frame_done(Progress {
            frames_done: self.collected.items,
            estimated_frames: self.expected_items,
            top_class: top.map_or("", |top| top.label.as_str()),
        });
        Ok(())
    }
}

/// Mean absolute difference in grey levels.
fn mean_change(a: &[u8], b: &[u8]) -> f64 {
    let sum: u32 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u32::from(a.abs_diff(*b)))
        .sum();
    f64::from(sum) / a.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_mean_absolute_differences() {
        assert_eq!(mean_change(&[0, 10], &[10, 30]), 15.0);
    }
}
