//! The first pass over all records: what they say together.

use std::collections::HashSet;

use super::clusters::MapSampler;
use super::duplicates::Duplicates;
use super::kinds::{FindingKind, Severity};
use super::review::{Counts, Detail, Found};
use super::rows::Rows;
use super::rules::Verdict;
use super::statistics::Statistics;
use super::videos::VideoReview;
use crate::error::Result;

/// What is collected in the pass over all records.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) statistics: Statistics,
    pub(super) counts: Counts,
    pub(super) sampler: MapSampler,
    pub(super) duplicates: Duplicates,
    /// Digests of the files so far: the pictures of a copy are no news.
    digests: HashSet<u128>,
    pub(super) videos: Vec<usize>,
    pub(super) found: Vec<Found>,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            statistics: Statistics::default(),
            counts: Counts::default(),
            sampler: MapSampler::default(),
            duplicates: Duplicates::new(super::MOST_HASH_BITS),
            digests: HashSet::new(),
            videos: Vec::new(),
            found: Vec::new(),
        }
    }
}

impl Survey {
    /// Takes a file in.
    pub(super) fn add(&mut self, rows: &mut Rows, item_number: usize) -> Result<()> {
        let mut video = VideoReview::default();
        let of_item = rows.rows_of(item_number);
        let item = rows.item(item_number)?;
        let digest = item
            .digest
            .as_deref()
            .and_then(|digest| u128::from_str_radix(digest, 16).ok());
        let is_copy = item.records > 0 && digest.is_some_and(|digest| !self.digests.insert(digest));
        let mut hashes = Vec::with_capacity(of_item.len());
        for row in of_item.clone() {
            let record = rows.record(row)?;
            self.statistics.add(&record);
            if !is_copy {
                self.sampler.add(row, item_number, &record);
            }
            video.add(row, &record);
            hashes.push(record.metrics.hash);
        }
        self.counts.add(&item);
        for (place, (row, hash)) in of_item.clone().zip(hashes).enumerate() {
            let digest = digest.filter(|_| place == 0);
            let hash = hash.filter(|_| !(is_copy && item.is_video));
            self.duplicates
                .add(row as u32, digest, hash, item_number as u32);
        }
        let found = |verdict, row, detail| Found {
            verdict,
            item: item_number,
            row,
            detail,
        };
        if item.is_video && item.records > 0 {
            self.videos.push(item_number);
            let verdicts = video.finish().into_iter();
            self.found.extend(
                verdicts.map(|one| found(one.verdict, Some(one.row), Detail::Numbers(one.numbers))),
            );
        }
        if item.fault.is_some() {
            let kind = if item.records == 0 {
                FindingKind::Unreadable
            } else {
                FindingKind::Damaged
            };
            let verdict = Verdict::new(kind, Severity::Error, item.records as f64);
            self.found
                .push(found(verdict, of_item.clone().next(), Detail::None));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::clusters::FEWEST_FILES;
    use crate::audit::journal::segments;
    use crate::audit::test_journal::{append, append_with_digest, begin};

    /// Classes that would be clustered.
    fn clustered(fill: impl FnOnce(&mut crate::audit::journal::Journal)) -> Vec<usize> {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = begin(folder.path());
        fill(&mut journal);
        drop(journal);
        let mut rows = Rows::open(&segments(folder.path()).unwrap()).unwrap();
        let mut survey = Survey::default();
        for item in 0..rows.item_count() {
            survey.add(&mut rows, item).unwrap();
        }
        let classes = survey.sampler.into_large_classes(&rows);
        classes.into_iter().map(|class| class.class).collect()
    }

    #[test]
    fn copies_and_frames_of_one_video_are_one_picture_among_many() {
        let numbered = |journal: &mut _, count: usize, digest: &dyn Fn(usize) -> Option<String>| {
            for number in 0..count {
                append_with_digest(journal, &format!("p{number:02}.jpg"), 1, digest(number));
            }
        };
        let own = |number: usize| Some(format!("{number:032x}"));
        let few = FEWEST_FILES - 1;
        assert_eq!(clustered(|journal| numbered(journal, few + 1, &own)), [1]);
        let same = |_| Some("ab".repeat(16));
        assert_eq!(
            clustered(|journal| numbered(journal, 2 * few, &same)),
            [0; 0]
        );
        let with_video = |name: &'static str| {
            clustered(|journal| {
                append(journal, "a.mp4", 30);
                numbered(journal, few - 1, &own);
                append(journal, name, 3);
            })
        };
        assert_eq!(with_video("z.mp4"), [1], "each video is one file");
        let video_alone = clustered(|journal| {
            append(journal, "a.mp4", 30);
            numbered(journal, few - 1, &own);
        });
        assert_eq!(video_alone, [0; 0]);
    }
}
