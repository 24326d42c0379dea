//! Shards put together: the same report as of one run over all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::Audit;
use super::dataset::path_of;
use super::finish::{Outcome, finish};
use super::folder::{Begun, ClaimedFolder, difference, journal_of, read_begun};
use super::journal::segments;
use super::manifest::Manifest;
use super::rows::Rows;
use super::settings::{AuditSettings, content_sha256};
use super::thumb::THUMBS;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::CancelToken;

/// What the shards in these folders were made with.
///
/// # Errors
/// [`ErrorKind::Input`] if one is no finished shard, [`ErrorKind::InvalidArgument`] if they do not belong together or one is missing.
pub fn settings_of(shards: &[PathBuf]) -> Result<AuditSettings> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    let mut first: Option<Begun> = None;
    let mut numbers: Vec<(u32, &Path)> = Vec::new();
    let mut count = 0;
    for folder in shards {
        let name = folder.display();
        let manifest = Manifest::read(folder)?;
        let Some(shard) = manifest.as_ref().and_then(|manifest| manifest.shard) else {
            let cause = match manifest {
                Some(_) => "it is a whole report, not a shard",
                None => "it holds no finished shard",
            };
            return Err(Error::caused_by(
                ErrorKind::Input,
                format!("cannot merge {name}"),
                cause,
            ));
        };
        let begun = Begun {
            shard: None,
            ..read_begun(folder)?
        };
        let other = first.get_or_insert_with(|| begun.clone());
        if let Some(difference) = difference(other, &begun) {
            return invalid(format!(
                "cannot merge {name} with the others: they were made with {difference}"
            ));
        }
        if count != 0 && count != shard.count {
            return invalid(format!(
                "cannot merge {name} with the others: it is one of {} shards, they are of {count}",
                shard.count
            ));
        }
        count = shard.count;
        if let Some((_, before)) = numbers.iter().find(|(number, _)| *number == shard.number) {
            return invalid(format!(
                "cannot merge {name}: {} is shard {} already",
                before.display(),
                shard.number
            ));
        }
        numbers.push((shard.number, folder));
    }
    if let Some(missing) =
        (1..=count).find(|number| numbers.iter().all(|(known, _)| known != number))
    {
        return invalid(format!(
            "cannot merge: shard {missing} of {count} is missing"
        ));
    }
    match first {
        Some(begun) => Ok(begun.settings),
        None => invalid("cannot merge: no shard is named".to_owned()),
    }
}

/// Makes the report of all shards together. `audit` has the settings that [`settings_of`] tells, and no shard.
///
/// # Errors
/// As [`settings_of`]; [`ErrorKind::Output`] if the report cannot be written; [`ErrorKind::Cancelled`] if `cancel` is set.
pub fn merge(
    audit: &Audit<'_>,
    shards: &[PathBuf],
    overwrite: bool,
    cancel: &CancelToken,
) -> Result<Outcome> {
    let settings = settings_of(shards)?;
    for shard in shards {
        if is_same_folder(shard, &audit.report) {
            let message = format!(
                "cannot write the report {}: it is one of the shards",
                audit.report.display()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
    }
    // What cannot be had is said before anything is written.
    fs::metadata(&audit.dataset).map_err(|error| {
        let message = format!(
            "cannot merge without the dataset {}",
            audit.dataset.display()
        );
        Error::caused_by(ErrorKind::Input, message, error)
    })?;
    check_labels(&settings)?;
    audit.labels()?;
    let begun = Begun {
        settings,
        shard: None,
    };
    let claimed = ClaimedFolder::claim(&audit.report, overwrite, "use -y to overwrite it")?;
    let mut parts = Vec::new();
    let mut passed_over = 0;
    for shard in shards {
        parts.extend(segments(&journal_of(shard))?);
        passed_over = Manifest::read(shard)?
            .map_or(0, |manifest| manifest.passed_over)
            .max(passed_over);
    }
    let rows = Rows::open(&parts)?;
    // Only now that there is something to put together, an older report is lost.
    let folder = claimed.begin(&begun)?;
    for shard in shards {
        take_thumbs(shard, folder.path(), cancel)?;
    }
    finish(audit, &folder, rows, passed_over, cancel)
}

/// The report would tell of other labels than those that its records have.
fn check_labels(settings: &AuditSettings) -> Result<()> {
    let Some(before) = &settings.labels_sha256 else {
        return Ok(());
    };
    let path = path_of(&settings.labels);
    if content_sha256(&path)? == *before {
        return Ok(());
    }
    let message = format!(
        "cannot merge: the labels {} have changed since the shards were made",
        path.display()
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

fn is_same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Links the evidence pictures, or copies them where links cannot be had.
fn take_thumbs(shard: &Path, report: &Path, cancel: &CancelToken) -> Result<()> {
    let failed = |error: io::Error| {
        let message = format!("cannot take the pictures of {}", shard.display());
        Error::caused_by(ErrorKind::Output, message, error)
    };
    let from = shard.join(THUMBS);
    if !from.exists() {
        return Ok(());
    }
    for entry in WalkDir::new(&from) {
        if cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let entry = entry.map_err(|error| failed(error.into()))?;
        let below = entry.path().strip_prefix(&from).unwrap_or(entry.path());
        let target = report.join(THUMBS).join(below);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).map_err(failed)?;
        } else {
            fs::hard_link(entry.path(), &target)
                .or_else(|_| fs::copy(entry.path(), &target).map(|_| ()))
                .map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::folder::tests::begun;

    #[test]
    fn labels_must_be_those_of_the_shards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        fs::write(&path, "a.jpg,tabby\n").unwrap();
        let mut settings = begun().settings;
        check_labels(&settings).unwrap();
        settings.labels = path.display().to_string();
        settings.labels_sha256 = Some(content_sha256(&path).unwrap());
        check_labels(&settings).unwrap();
        fs::write(&path, "a.jpg,crane\n").unwrap();
        let said = check_labels(&settings).unwrap_err().one_line();
        assert!(
            said.ends_with("have changed since the shards were made"),
            "{said}"
        );
    }
}
