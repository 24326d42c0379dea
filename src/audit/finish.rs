//! The end of an audit: from the journal to the files of the report.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::dataset::path_of;
use super::findings_file;
use super::folder::{FINDINGS, RECORDS, REPORT, ReportFolder};
use super::kinds::Severity;
use super::labels::DatasetLabels;
use super::manifest::Manifest;
use super::report::content::{Content, Pictures};
use super::report::write_page;
use super::rereading::Rereading;
use super::review::{Review, record_of};
use super::rows::Rows;
use super::table::AuditTable;
use super::trial::Trying;
use super::words::Words;
use super::{Audit, Counts, FindingKind};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::CancelToken;
use crate::sink::PartialFile;

/// Errors that are told at once.
const MOST_TOLD: usize = 10;

/// What came of an audit.
#[derive(Debug)]
pub struct Outcome {
    /// As in the file.
    pub manifest: Manifest,
    /// How many files of which sort.
    pub counts: Counts,
    /// Findings of each kind, for those that were found.
    pub by_kind: Vec<(FindingKind, u64)>,
    /// The worst errors, one line each.
    pub worst: Vec<String>,
    /// Things the user should be told.
    pub notices: Vec<String>,
}

/// Writes the report, or for a shard only its manifest.
pub(super) fn finish(
    audit: &Audit<'_>,
    folder: &ReportFolder,
    mut rows: Rows,
    passed_over: u64,
    cancel: &CancelToken,
) -> Result<Outcome> {
    let mut manifest = Manifest {
        version: audit.settings.version.clone(),
        arguments: audit.arguments.clone(),
        settings: audit.settings.clone(),
        shard: audit.shard,
        files: rows.item_count() as u64,
        records: rows.len() as u64,
        faulty_files: 0,
        passed_over,
        findings_by_severity: Default::default(),
        findings_by_kind: Default::default(),
    };
    if audit.shard.is_some() {
        manifest.faulty_files = faulty_files(&mut rows)?;
        manifest.write(folder.path())?;
        return Ok(Outcome {
            manifest,
            counts: Counts::default(),
            by_kind: Vec::new(),
            worst: Vec::new(),
            notices: Vec::new(),
        });
    }

    let root = audit.root();
    let trying = Trying {
        rereading: Rereading::new(&root, audit.settings.deinterlace, cancel),
        explaining: &audit.explaining,
        resize: audit.resize,
        cancel,
    };
    let labels = audit.classes();
    let mut review = Review::new(&mut rows, audit.settings.seed, &trying)?;
    let path = folder.path();
    write_file(&path.join(RECORDS), |output, name| {
        let settings = serde_json::to_string(&audit.settings).unwrap_or_default();
        let metadata = [("gradcam_video_audit".to_owned(), settings)];
        let mut table = AuditTable::new(output, name, labels, &metadata)?;
        review.judge_all(&mut rows, &mut table, &trying)?;
        table.finish()
    })?;
    let mut notices = label_notices(audit, &mut rows)?;
    if let Some(boxes) = &audit.settings.boxes {
        notices.extend(box_notice(
            boxes,
            review.counts.images,
            review.statistics.boxed,
        ));
    }
    match passed_over {
        0 => {}
        1 => notices.push("1 file that is neither image nor video was passed over".to_owned()),
        _ => notices.push(format!(
            "{passed_over} files that are neither images nor videos were passed over"
        )),
    }
    let review = review;
    let words = Words {
        review: &review,
        labels,
    };
    write_file(&path.join(FINDINGS), |mut output, _| {
        findings_file::write(&mut output, &mut rows, words, &audit.settings, &notices)?;
        output.flush().map_err(|error| {
            Error::caused_by(ErrorKind::Output, "cannot write findings.json", error)
        })
    })?;
    let content = Content {
        rows: &mut rows,
        words,
        folder: path,
        pictures: Pictures::default(),
    };
    let data = content.collect(&audit.settings, notices.clone())?;
    write_file(&path.join(REPORT), |mut output, name| {
        let written = write_page(&data, &mut output).and_then(|()| output.flush());
        written.map_err(|error| {
            Error::caused_by(ErrorKind::Output, format!("cannot write {name}"), error)
        })
    })?;
    drop(data);

    let worst = worst(&mut rows, words)?;
    let by_kind = review.by_kind();
    manifest.faulty_files = review.counts.unreadable + review.counts.damaged;
    manifest.findings_by_severity = review
        .by_severity()
        .into_iter()
        .map(|(severity, count)| (severity.name().to_owned(), count))
        .collect();
    manifest.findings_by_kind = by_kind
        .iter()
        .map(|(kind, count)| (kind.name().to_owned(), *count))
        .collect();
    manifest.write(path)?;
    folder.remove_journal()?;
    Ok(Outcome {
        manifest,
        counts: review.counts,
        by_kind: by_kind.into_iter().collect(),
        worst,
        notices,
    })
}

/// Writes a file of the report; it has its name only when it is complete.
fn write_file(path: &Path, write: impl FnOnce(BufWriter<File>, &str) -> Result<()>) -> Result<()> {
    let partial = PartialFile::create(path, true, None)?;
    let name = path.display().to_string();
    let file = File::create(partial.path()).map_err(|error| {
        Error::caused_by(ErrorKind::Output, format!("cannot write {name}"), error)
    })?;
    write(BufWriter::new(file), &name)?;
    partial.commit()
}

fn faulty_files(rows: &mut Rows) -> Result<u64> {
    let mut count = 0;
    for item in 0..rows.item_count() {
        count += u64::from(rows.item(item)?.fault.is_some());
    }
    Ok(count)
}

/// What is to be said of the labels of all files, those of earlier runs and other shards too.
fn label_notices(audit: &Audit<'_>, rows: &mut Rows) -> Result<Vec<String>> {
    let labels: DatasetLabels = audit.labels()?;
    for item in 0..rows.item_count() {
        let _ = labels.label_of(&rows.item(item)?.path, audit.classes());
    }
    Ok(labels.notices())
}

/// Names that do not match are no error: pictures may have no boxes.
fn box_notice(boxes: &str, images: u64, boxed: u64) -> Option<String> {
    let without = images - boxed;
    let hint = match boxed {
        0 => ": does it name other files?",
        _ => "",
    };
    let boxes = path_of(boxes);
    let said = || {
        format!(
            "{without} of {images} images without a box in {}{hint}",
            boxes.display()
        )
    };
    (without > 0).then(said)
}

fn worst(rows: &mut Rows, words: Words<'_>) -> Result<Vec<String>> {
    let errors = words
        .review
        .found
        .iter()
        .filter(|found| found.verdict.severity == Severity::Error);
    let mut lines = Vec::new();
    for found in errors.take(MOST_TOLD) {
        let record = record_of(rows, found)?;
        let item = rows.item(found.item)?;
        let described = words.describe(found, record.as_ref(), &item);
        let title = found.verdict.kind.title();
        lines.push(match found.verdict.kind {
            FindingKind::SuspiciousCluster => format!("{title}: {}", described.message),
            _ => format!("{title}: {}: {}", item.path, described.message),
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_boxes_are_told() {
        assert_eq!(box_notice("b.csv", 3, 3), None);
        let said = box_notice("b.csv", 3, 2).unwrap();
        assert_eq!(said, "1 of 3 images without a box in b.csv");
        let said = box_notice("b.csv", 3, 0).unwrap();
        assert!(said.ends_with("does it name other files?"), "{said}");
        assert_eq!(box_notice("b.csv", 0, 0), None);
    }
}
