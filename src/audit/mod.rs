//! Audits whole datasets: finds what the model got right for the wrong reason, and what is wrong with the dataset.
//!
//! ```text
//! dataset ──► reading ──► examine ──► journal ──► rows ──► review ──► findings, clusters ──► report folder
//! (walk)      (decode)    (explain,   (a line     (merge)  (rules, statistics,               (parquet, json,
//!                          measure,    per record)          duplicates, videos,               html, manifest)
//!                          draw)                            SpRAy + trial)
//! ```
//!
//! Records are streamed to the journal and read from it again, so that memory does not grow with the dataset but for a few dozen bytes per
//! picture. The journal makes a run able to go on after it was killed ([`Start::Resume`]), and shards able to be put together ([`merge`]).

mod clusters;
mod collect;
pub mod dataset;
pub mod duplicates;
mod examine;
mod findings_file;
mod finish;
mod folder;
mod gray;
mod journal;
pub mod kinds;
pub mod labels;
mod manifest;
pub mod measure;
mod merge;
mod originals;
mod reading;
pub mod record;
pub mod report;
mod rereading;
mod review;
mod rows;
mod rules;
mod settings;
pub mod spray;
mod statistics;
mod survey;
pub mod table;
mod table_columns;
#[cfg(test)]
mod test_journal;
#[cfg(test)]
mod test_records;
#[cfg(test)]
mod test_table;
mod thumb;
mod trial;
mod videos;
mod words;

use std::path::PathBuf;

pub use finish::Outcome;
pub use kinds::{FindingKind, Severity};
pub use manifest::Manifest;
pub use merge::{merge, settings_of};
pub use record::{AuditItem, AuditRecord, Metrics};
pub use review::Counts;
pub use settings::{AuditSettings, Shard, content_sha256};
pub use trial::Trial;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::boxes::Boxes;
use crate::model::Labels;
use crate::pipeline::worker::Asked;
use crate::pipeline::{CancelToken, Explaining, Reporter};
use crate::preprocess::ResizePolicy;
use collect::collect;
use dataset::{Found, walk};
use examine::Examining;
use finish::finish;
use folder::{Begun, ClaimedFolder, ReportFolder};
use journal::{Finished, Journal, segments};
use labels::DatasetLabels;
use reading::Reading;
use rows::Rows;

/// Perceptual hashes that differ in at most so many bits are of near duplicates.
const MOST_HASH_BITS: u32 = 6;

/// What to do with a folder that holds a report.
const ADVICE: &str = "use -y to overwrite it, or --resume to go on with an audit";

/// An audit to be run.
pub struct Audit<'a> {
    /// The dataset's folder, or a single file.
    pub dataset: PathBuf,
    /// The report's folder.
    pub report: PathBuf,
    /// The network, the method, the workers.
    pub explaining: Explaining<'a>,
    /// How a picture becomes the network's square.
    pub resize: ResizePolicy,
    /// What goes into the manifest and must be the same when the audit goes on; see [`AuditSettings`].
    pub settings: AuditSettings,
    /// The boxes of objects, if any are given.
    pub boxes: Option<Boxes>,
    /// Which part of the dataset.
    pub shard: Option<Shard>,
    /// The command line, for the manifest.
    pub arguments: Vec<String>,
}

/// How an audit begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// In a new folder; one that holds a report is emptied if `overwrite` is set.
    New {
        /// Whether an older report may be lost.
        overwrite: bool,
    },
    /// Where an earlier run in the folder was stopped; from the beginning if there was none.
    Resume,
}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// The report is written, or the shard is complete.
    Finished(Box<Outcome>),
    /// Stopped on request after so many files in all; [`Start::Resume`] goes on.
    Stopped(u64),
    /// The report was finished by an earlier run.
    AlreadyFinished(Box<Manifest>),
}

impl Audit<'_> {
    /// Runs it to its end. Files that cannot be read are findings. When `cancel` is set, it stops at once; what was found stays.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if there is nothing to audit, [`ErrorKind::Output`] if the report cannot be written,
    /// [`ErrorKind::InvalidArgument`] if a run cannot go on because it was begun otherwise, [`ErrorKind::Compute`] if the network fails.
    pub fn run(&self, start: Start, reporter: &dyn Reporter, cancel: &CancelToken) -> Result<End> {
        self.explaining
            .explainer
            .check(self.explaining.model.spec(), &self.explaining.request)?;
        let begun = Begun {
            settings: self.settings.clone(),
            shard: self.shard,
        };
        let labels = self.labels()?;
        if start == Start::Resume
            && let Some(manifest) = Manifest::read(&self.report)?
        {
            return self.repeat(manifest, &begun);
        }
        self.check_dataset()?;
        let (folder, finished) = match start {
            Start::Resume if folder::is_begun(&self.report) => {
                let folder = ReportFolder::resume(&self.report, &begun)?;
                let finished = Finished::recover(&folder.journal())?;
                (Folder::Begun(folder), finished)
            }
            Start::New { overwrite: true } => {
                let folder = ClaimedFolder::claim(&self.report, true, ADVICE)?;
                (Folder::Claimed(folder), Finished::default())
            }
            Start::New { overwrite: false } | Start::Resume => {
                let folder = ClaimedFolder::claim(&self.report, false, ADVICE)?;
                (Folder::Claimed(folder), Finished::default())
            }
        };
        let extent = self.extent(&finished, cancel);
        if cancel.is_cancelled() {
            return Ok(End::Stopped(finished.len() as u64));
        }
        if extent.files == 0 {
            let name = self.dataset.display();
            let message = format!("cannot audit {name}: it holds no image or video");
            return Err(Error::new(ErrorKind::Input, message));
        }
        // Only now that there is something to audit, an older report is lost.
        let folder = match folder {
            Folder::Begun(folder) => folder,
            Folder::Claimed(folder) => folder.begin(&begun)?,
        };
        let reading = Reading {
            root: &self.dataset,
            report: folder.path(),
            shard: self.shard,
            finished: &finished,
            labels: &labels,
            classes: self.classes(),
            sample_fps: self.settings.sample_fps,
            deinterlace: self.settings.deinterlace,
            cancel,
        };
        let examining = Examining {
            asked: Asked {
                explaining: &self.explaining,
                reporter,
                cancel,
            },
            resize: self.resize,
            boxes: self.boxes.as_ref(),
            report: folder.path(),
        };
        let mut journal = Journal::begin(&folder.journal())?;
        let collected = collect(
            &reading,
            examining,
            &mut journal,
            reporter,
            Some(extent.left),
        )?;
        drop(journal);
        let done = finished.len() as u64 + collected.items;
        if cancel.is_cancelled() {
            return Ok(End::Stopped(done));
        }
        let rows = Rows::open(&segments(&folder.journal())?)?;
        let outcome = finish(self, &folder, rows, extent.passed_over, cancel);
        match outcome {
            Ok(outcome) => Ok(End::Finished(Box::new(outcome))),
            Err(error) if error.kind() == ErrorKind::Cancelled => Ok(End::Stopped(done)),
            Err(error) => Err(error),
        }
    }

    /// What an earlier run came to.
    fn repeat(&self, manifest: Manifest, begun: &Begun) -> Result<End> {
        let before = Begun {
            settings: manifest.settings.clone(),
            shard: manifest.shard,
        };
        if let Some(difference) = folder::difference(&before, begun) {
            let name = self.report.display();
            let message = format!(
                "{name} is a finished report of another run: it was begun with {difference}"
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        if manifest.shard.is_none() {
            // A run that was killed at its very end left it.
            let _ = std::fs::remove_dir_all(folder::journal_of(&self.report));
        }
        Ok(End::AlreadyFinished(Box::new(manifest)))
    }

    fn classes(&self) -> &Labels {
        &self.explaining.model.spec().labels
    }

    /// Where labels come from, by [`AuditSettings::labels`].
    fn labels(&self) -> Result<DatasetLabels> {
        match self.settings.labels.as_str() {
            LABELS_FROM_FOLDERS => Ok(DatasetLabels::folders()),
            NO_LABELS => Ok(DatasetLabels::none()),
            path => {
                let path = dataset::path_of(path);
                DatasetLabels::read_csv(&path, &self.root(), self.classes())
            }
        }
    }

    /// The folder that paths are relative to.
    fn root(&self) -> PathBuf {
        dataset::base_of(&self.dataset)
    }

    fn check_dataset(&self) -> Result<()> {
        if let (Ok(dataset), Ok(report)) = (self.dataset.canonicalize(), self.report.canonicalize())
            && dataset.starts_with(&report)
        {
            let message = format!(
                "cannot write the report {}: the dataset lies in it",
                self.report.display()
            );
            return Err(Error::new(ErrorKind::Output, message));
        }
        let found = std::fs::metadata(&self.dataset).map(|_| ());
        found.map_err(|error| {
            Error::caused_by(
                ErrorKind::Input,
                format!("cannot audit {}", self.dataset.display()),
                error,
            )
        })
    }

    /// How much there is to do: a walk that opens no file.
    fn extent(&self, finished: &Finished, cancel: &CancelToken) -> Extent {
        let mut extent = Extent::default();
        for found in walk(&self.dataset, Some(&self.report)) {
            if cancel.is_cancelled() {
                // Nobody will ask.
                break;
            }
            let key = match found {
                Found::Other => {
                    extent.passed_over += 1;
                    continue;
                }
                Found::File(file) => file.key(),
                Found::Fault(name, _) => dataset::key_of(&name),
            };
            extent.files += 1;
            let is_ours = self.shard.is_none_or(|shard| shard.contains(key));
            extent.left += u64::from(is_ours && !finished.contains(key));
        }
        extent
    }
}

/// [`AuditSettings::labels`] where folders are named after classes.
pub const LABELS_FROM_FOLDERS: &str = "folders";
/// [`AuditSettings::labels`] of a dataset without labels.
pub const NO_LABELS: &str = "none";

/// The report's folder before it is known that there is something to audit.
enum Folder {
    /// A run that goes on.
    Begun(ReportFolder),
    /// What is in it is kept so far.
    Claimed(ClaimedFolder),
}

/// How much a walk over a dataset comes across.
#[derive(Debug, Default)]
struct Extent {
    /// Images and videos, and what may have been some.
    files: u64,
    /// Those that are still to be looked at.
    left: u64,
    /// Others.
    passed_over: u64,
}
