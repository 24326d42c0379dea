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
    /// Digests of the videos so far: the frames of a copy are no news.
    video_digests: HashSet<u128>,
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
            video_digests: HashSet::new(),
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
        let mut hashes = Vec::with_capacity(of_item.len());
        for row in of_item.clone() {
            let record = rows.record(row)?;
            self.statistics.add(&record);
            self.sampler.add(row, &record);
            video.add(row, &record);
            hashes.push(record.metrics.hash);
        }
        let item = rows.item(item_number)?;
        self.counts.add(&item);
        let digest = item
            .digest
            .as_deref()
            .and_then(|digest| u128::from_str_radix(digest, 16).ok());
        let is_copy =
            item.is_video && digest.is_some_and(|digest| !self.video_digests.insert(digest));
        for (place, (row, hash)) in of_item.clone().zip(hashes).enumerate() {
            let digest = digest.filter(|_| place == 0);
            let hash = hash.filter(|_| !is_copy);
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
