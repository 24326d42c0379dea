//! Journals for tests.

use std::path::Path;

use super::journal::Journal;
use super::record::AuditItem;
use super::test_records::record;

/// A new segment.
pub(super) fn begin(folder: &Path) -> Journal {
    Journal::begin(folder).unwrap()
}

/// A file with so many records; videos end in `.mp4`.
pub(super) fn append(journal: &mut Journal, name: &str, records: u64) {
    append_with_digest(journal, name, records, None);
}

/// As [`append`], with this digest.
pub(super) fn append_with_digest(
    journal: &mut Journal,
    name: &str,
    records: u64,
    digest: Option<String>,
) {
    let is_video = name.ends_with(".mp4");
    for frame in 0..records {
        let mut record = record(name, 1, 0.9);
        record.frame = is_video.then_some(frame);
        record.pts_s = is_video.then_some(frame as f64);
        journal.record(&record).unwrap();
    }
    let item = AuditItem {
        path: name.to_owned(),
        is_video,
        digest,
        records,
        label: None,
        fault: (records == 0).then(|| "it is empty".to_owned()),
    };
    journal.item(&item).unwrap();
}
