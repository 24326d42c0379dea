//! The report's folder: what is in it while an audit goes on, and when it is finished.
//!
//! ```text
//! journal/       begun.json (what the audit depends on), 0001.jsonl, ...; gone when a whole audit is finished
//! thumbs/        evidence pictures
//! records.parquet, findings.json, report.html
//! manifest.json  written last: the audit is finished
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::segments;
use super::manifest::Manifest;
use super::settings::{AuditSettings, Shard};
use super::thumb::THUMBS;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::PartialFile;

const JOURNAL: &str = "journal";
const BEGUN: &str = "begun.json";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const RECORDS: &str = "records.parquet";
pub(super) const FINDINGS: &str = "findings.json";
pub(super) const REPORT: &str = "report.html";

/// What a run begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) settings: AuditSettings,
    pub(super) shard: Option<Shard>,
}

/// A report's folder in which this process works, and no other.
#[derive(Debug)]
pub(super) struct ReportFolder {
    path: PathBuf,
    _lock: File,
}

/// A folder that may become a report's: what is in it is as it was, and no other process writes there.
#[derive(Debug)]
pub(super) struct ClaimedFolder {
    path: PathBuf,
    lock: File,
    /// Whether an older report is to go.
    is_full: bool,
}

impl ClaimedFolder {
    /// Makes the folder, or takes one that is empty or holds a report, if that may be overwritten; else `advice` says what to do.
    pub(super) fn claim(path: &Path, overwrite: bool, advice: &str) -> Result<Self> {
        let failed = |error: io::Error| cannot_write(path, error);
        fs::create_dir_all(path).map_err(failed)?;
        // Before anything is looked at: another run may be at it.
        let lock = lock(path)?;
        let is_empty = fs::read_dir(path).map_err(failed)?.next().is_none();
        let is_full = !is_empty && !is_stillborn(path);
        if is_full && !holds_report(path) {
            let cause = "it is not empty, and what is in it is no report";
            return Err(failed(io::Error::other(cause)));
        }
        if is_full && !overwrite {
            let cause = format!("it holds a report already, {advice}");
            return Err(failed(io::Error::other(cause)));
        }
        Ok(Self {
            path: path.to_owned(),
            lock,
            is_full,
        })
    }

    /// Removes an older report and begins a new one.
    pub(super) fn begin(self, begun: &Begun) -> Result<ReportFolder> {
        let Self {
            path,
            lock,
            is_full,
        } = self;
        let write = || match is_full {
            true => replace(&path, begun),
            false => write_begun(&path, begun),
        };
        write().map_err(|error| cannot_write(&path, error))?;
        Ok(ReportFolder { path, _lock: lock })
    }
}

impl ReportFolder {
    /// Goes on in a folder whose audit is not finished.
    pub(super) fn resume(path: &Path, begun: &Begun) -> Result<Self> {
        let lock = lock(path)?;
        let before = read_begun(path)?;
        if let Some(difference) = difference(&before, begun) {
            let message = format!(
                "cannot go on with {}: it was begun with {difference}",
                path.display()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let folder = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        if segments(&folder.journal())?.is_empty() {
            // A run that was killed while it emptied the folder left them.
            remove_results(path).map_err(|error| cannot_write(path, error))?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// Removes what only an audit that goes on needs.
    pub(super) fn remove_journal(&self) -> Result<()> {
        fs::remove_dir_all(self.journal()).map_err(|error| cannot_write(&self.path, error))
    }
}

/// The segments' folder of a report that is merged.
pub(super) fn journal_of(path: &Path) -> PathBuf {
    path.join(JOURNAL)
}

/// Whether an audit was begun here and is not finished.
pub(super) fn is_begun(path: &Path) -> bool {
    !is_stillborn(path) && path.join(JOURNAL).join(BEGUN).exists() && !path.join(MANIFEST).exists()
}

/// Whether a folder is ours: a file of somebody's that is called like one of ours does not make it so.
pub(super) fn holds_report(path: &Path) -> bool {
    matches!(Manifest::read(path), Ok(Some(_))) || read_begun(path).is_ok()
}

/// Whether a run died here before it had begun: there is nothing but a journal without a beginning and without records.
fn is_stillborn(path: &Path) -> bool {
    let names = |folder: &Path| -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let in_journal = names(&path.join(JOURNAL));
    names(path) == [JOURNAL]
        && read_begun(path).is_err()
        && in_journal
            .iter()
            .all(|name| name.to_string_lossy().starts_with(BEGUN))
}

/// What a run in this folder began with.
pub(super) fn read_begun(path: &Path) -> Result<Begun> {
    let file = path.join(JOURNAL).join(BEGUN);
    let read = || -> io::Result<Begun> { Ok(serde_json::from_slice(&fs::read(&file)?)?) };
    read().map_err(|error| {
        Error::caused_by(
            ErrorKind::Input,
            format!("cannot read {}", file.display()),
            error,
        )
    })
}

fn write_begun(path: &Path, begun: &Begun) -> io::Result<()> {
    let journal = path.join(JOURNAL);
    fs::create_dir_all(&journal)?;
    let text = serde_json::to_string_pretty(begun)? + "\n";
    let file = PartialFile::create(&journal.join(BEGUN), true, None).map_err(io::Error::other)?;
    fs::write(file.path(), text)?;
    file.commit().map_err(io::Error::other)
}

/// Removes what we made and nothing else, and begins anew. Wherever this breaks off, the folder is known as a report's by the manifest or by
/// what was begun, and no record vouches for a picture that is gone.
fn replace(path: &Path, begun: &Begun) -> io::Result<()> {
    if read_begun(path).is_err() {
        // What is left of the journal of a finished audit belongs to no one.
        remove_segments(path)?;
        write_begun(path, begun)?;
    }
    remove_file(&path.join(MANIFEST))?;
    remove_segments(path)?;
    write_begun(path, begun)?;
    remove_results(path)
}

fn remove_segments(path: &Path) -> io::Result<()> {
    let journal = path.join(JOURNAL);
    if !journal.exists() {
        return Ok(());
    }
    for segment in segments(&journal).map_err(io::Error::other)? {
        remove_file(&segment)?;
    }
    Ok(())
}

fn remove_results(path: &Path) -> io::Result<()> {
    for name in [RECORDS, FINDINGS, REPORT] {
        remove_file(&path.join(name))?;
    }
    unless_gone(fs::remove_dir_all(path.join(THUMBS)))
}

fn remove_file(path: &Path) -> io::Result<()> {
    unless_gone(fs::remove_file(path))
}

fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Keeps other runs off, for as long as the file is held.
fn lock(path: &Path) -> Result<File> {
    // A folder can be opened and locked like a file.
    let folder = File::open(path).map_err(|error| cannot_write(path, error))?;
    match folder.try_lock() {
        // Some network file systems know no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(cannot_write(
            path,
            io::Error::other("another run is writing it"),
        )),
    }
}

/// The first thing in which two runs differ.
pub(super) fn difference(before: &Begun, now: &Begun) -> Option<String> {
    let values = |begun: &Begun| serde_json::to_value(begun).unwrap_or_default();
    let (before, now) = (values(before), values(now));
    if before["shard"] != now["shard"] {
        let shard = &before["shard"];
        return Some(match shard.is_null() {
            true => "no --shard".to_owned(),
            false => format!("--shard {}/{}", shard["number"], shard["count"]),
        });
    }
    let before = before["settings"].as_object()?;
    let other = before
        .iter()
        .find(|(name, value)| now["settings"][name.as_str()] != **value);
    other.map(|(name, value)| match name.as_str() {
        "labels_sha256" => "other labels: the file has changed".to_owned(),
        "boxes_sha256" => "other boxes: what is there has changed".to_owned(),
        name => format!("{name} {value}, not {}", now["settings"][name]),
    })
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::caused_by(
        ErrorKind::Output,
        format!("cannot write the report {}", path.display()),
        error,
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::audit::test_journal::{append, begin};

    pub(in crate::audit) fn begun() -> Begun {
        Begun {
            settings: AuditSettings {
                version: "1".into(),
                dataset: "/data".into(),
                weights_sha256: "00".into(),
                method: "gradcam".into(),
                layer: "layer4".into(),
                score: "logit".into(),
                samples: None,
                seed: 0,
                resize: "stretch".into(),
                precision: "f32".into(),
                top_k: 5,
                sample_fps: 1.0,
                deinterlace: false,
                labels: "folders".into(),
                labels_sha256: None,
                boxes: None,
                boxes_sha256: None,
            },
            shard: None,
        }
    }

    fn create(path: &Path, overwrite: bool) -> Result<ReportFolder> {
        ClaimedFolder::claim(path, overwrite, "use -y")?.begin(&begun())
    }

    fn line<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().one_line()
    }

    #[test]
    fn only_reports_are_overwritten_and_only_when_asked() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/report");
        let folder = create(&path, false).unwrap();
        fs::write(folder.path().join("mine.txt"), "keep").unwrap();
        assert!(line(create(&path, true)).ends_with("another run is writing it"));
        drop(folder);
        assert!(line(create(&path, false)).ends_with("a report already, use -y"));
        create(&path, true).unwrap();
        let webapp = parent.path().join("webapp");
        fs::create_dir_all(webapp.join(THUMBS)).unwrap();
        fs::write(webapp.join(MANIFEST), "{}").unwrap();
        let said = line(create(&webapp, true));
        assert!(said.ends_with("what is in it is no report"), "{said}");
        assert!(webapp.join(THUMBS).exists());
        assert_eq!(fs::read(path.join("mine.txt")).unwrap(), b"keep");
        let other = parent.path().join("photos");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("a.jpg"), "x").unwrap();
        assert!(line(create(&other, true)).ends_with("what is in it is no report"));
        assert!(line(create(&other.join("a.jpg"), true)).starts_with("cannot write the report"));
    }

    #[test]
    fn a_run_that_died_before_it_had_begun_is_not_in_the_way() {
        let parent = tempfile::tempdir().unwrap();
        for begun_so_far in [None, Some("")] {
            let path = parent.path().join("report");
            fs::create_dir_all(path.join(JOURNAL)).unwrap();
            if let Some(text) = begun_so_far {
                fs::write(path.join(JOURNAL).join(BEGUN), text).unwrap();
            }
            assert!(!is_begun(&path));
            create(&path, false).unwrap();
            assert!(is_begun(&path));
            fs::remove_dir_all(&path).unwrap();
        }
    }

    /// A report in every state that there is, with a picture.
    fn old_report(path: &Path, is_finished: bool, has_journal: bool) {
        let mut old = begun();
        old.settings.method = "rise".into();
        fs::create_dir_all(path.join(THUMBS).join("00")).unwrap();
        for name in [RECORDS, FINDINGS, REPORT, "thumbs/00/a.jpg"] {
            fs::write(path.join(name), "old").unwrap();
        }
        if has_journal {
            write_begun(path, &old).unwrap();
            append(&mut begin(&path.join(JOURNAL)), "a.jpg", 1);
            append(&mut begin(&path.join(JOURNAL)), "b.jpg", 1);
        }
        if is_finished {
            manifest(old.settings).write(path).unwrap();
        }
    }

    fn manifest(settings: AuditSettings) -> Manifest {
        Manifest {
            version: "1".into(),
            arguments: Vec::new(),
            settings,
            shard: None,
            files: 2,
            records: 2,
            faulty_files: 0,
            passed_over: 0,
            findings_by_severity: Default::default(),
            findings_by_kind: Default::default(),
        }
    }

    /// A folder in it that cannot be removed like a file stops the removal there, as a kill would.
    #[test]
    fn a_folder_is_ours_wherever_its_removal_breaks_off() {
        for (is_finished, has_journal) in [(true, false), (false, true), (true, true)] {
            let obstacles = [
                MANIFEST,
                "journal/0000.jsonl",
                "journal/0003.jsonl",
                RECORDS,
                FINDINGS,
                REPORT,
            ];
            for obstacle in obstacles {
                let parent = tempfile::tempdir().unwrap();
                let path = parent.path().join("report");
                old_report(&path, is_finished, has_journal);
                if obstacle == MANIFEST && is_finished {
                    continue;
                }
                let _ = fs::remove_file(path.join(obstacle));
                fs::create_dir_all(path.join(obstacle)).unwrap();
                create(&path, true).unwrap_err();
                let state = format!("{is_finished} {has_journal} {obstacle}");
                assert!(holds_report(&path), "{state}");
                let has_picture = path.join("thumbs/00/a.jpg").exists();
                let segments = segments(&path.join(JOURNAL)).unwrap_or_default();
                assert!(has_picture || segments.is_empty(), "{state}");
                let is_new = read_begun(&path).is_ok_and(|read| read == begun());
                let has_records = segments.iter().any(|path| path.is_file());
                let is_done = path.join(MANIFEST).is_file();
                assert!(
                    !is_new || !has_records || is_done,
                    "old records would count as new: {state}"
                );
                fs::remove_dir_all(path.join(obstacle)).unwrap();
                create(&path, true).unwrap();
                assert!(!path.join(THUMBS).exists() && is_begun(&path), "{state}");
            }
        }
    }

    #[test]
    fn what_a_killed_removal_left_is_removed_by_the_run_that_goes_on() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("report");
        old_report(&path, false, false);
        write_begun(&path, &begun()).unwrap();
        ReportFolder::resume(&path, &begun()).unwrap();
        assert!(!path.join(THUMBS).exists() && !path.join(REPORT).exists());
        append(&mut begin(&path.join(JOURNAL)), "a.jpg", 1);
        fs::create_dir(path.join(THUMBS)).unwrap();
        ReportFolder::resume(&path, &begun()).unwrap();
        assert!(path.join(THUMBS).exists(), "records need their pictures");
    }

    #[test]
    fn a_claimed_folder_is_as_it_was() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("report");
        old_report(&path, true, false);
        drop(ClaimedFolder::claim(&path, true, "").unwrap());
        assert!(path.join(MANIFEST).exists() && path.join("thumbs/00/a.jpg").exists());
        assert!(!path.join(JOURNAL).exists());
    }

    #[test]
    fn a_run_goes_on_only_as_it_was_begun() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("report");
        drop(create(&path, false).unwrap());
        ReportFolder::resume(&path, &begun()).unwrap();
        let mut other = begun();
        other.settings.method = "rise".into();
        let said = line(ReportFolder::resume(&path, &other));
        assert!(
            said.ends_with("it was begun with method \"gradcam\", not \"rise\""),
            "{said}"
        );
        let mut other = begun();
        other.settings.labels_sha256 = Some("00".into());
        drop(ReportFolder::resume(&path, &other).expect("a report of before there were digests"));
        let before = other.clone();
        other.settings.labels_sha256 = Some("01".into());
        let said = difference(&before, &other).unwrap();
        assert_eq!(said, "other labels: the file has changed");
        let mut other = begun();
        other.shard = Some(Shard {
            number: 1,
            count: 2,
        });
        assert!(
            line(ReportFolder::resume(&path, &other)).ends_with("it was begun with no --shard")
        );
    }
}
