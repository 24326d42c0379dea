//! What is wrong with a video as a whole: a label that jumps, a picture that stands still.

use super::kinds::{FindingKind, Severity};
use super::record::AuditRecord;
use super::rules::Verdict;

/// Two sampled frames show about the same if their small lumas differ by less, in grey levels: a cut differs by 30 and more.
const SIMILAR_CHANGE: f64 = 12.0;
/// The label is unstable if it changes at least so often...
const MOST_FLIPS: u64 = 3;
/// ...and in at least this share of the pairs of similar neighbours.
const UNSTABLE_SHARE: f64 = 0.25;
/// Grey levels by which a picture that stands still may differ: an encoder's rounding.
const FROZEN_CHANGE: f64 = 0.1;
/// Sampled frames in a row that must be the same.
const FROZEN_FRAMES: usize = 4;

/// With fewer sampled frames, neither can be found.
pub(super) const FEWEST_FRAMES: usize = FROZEN_FRAMES;
const _: () = assert!(FEWEST_FRAMES as u64 == MOST_FLIPS + 1);

/// Looks at the frames of one video, in order.
#[derive(Debug, Default)]
pub(super) struct VideoReview {
    last_class: Option<usize>,
    similar_pairs: u64,
    flips: u64,
    /// The row at which the label changed first though the picture did not.
    first_flip: Option<usize>,
    /// The row where the picture began to stand still, and when.
    still: Option<Run>,
    runs: Vec<Run>,
}

/// Frames that are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    first_row: usize,
    last_row: usize,
    first_s: f64,
    last_s: f64,
}

/// A finding of a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VideoVerdict {
    /// The frame that stands for it.
    pub(super) row: usize,
    pub(super) verdict: Verdict,
    /// What happened: changes of the label and pairs of similar frames, or frames and seconds of standing still.
    pub(super) numbers: [f64; 2],
}

impl VideoReview {
    /// Takes the next sampled frame in.
    pub(super) fn add(&mut self, row: usize, record: &AuditRecord) {
        let class = record.top.first().map(|top| top.index);
        let secs = record.pts_s.unwrap_or(0.0);
        if let Some(change) = record.metrics.change {
            if change < SIMILAR_CHANGE {
                self.similar_pairs += 1;
                if class != self.last_class {
                    self.flips += 1;
                    self.first_flip.get_or_insert(row);
                }
            }
            match (&mut self.still, change < FROZEN_CHANGE) {
                (Some(run), true) => (run.last_row, run.last_s) = (row, secs),
                (still, _) => {
                    self.runs.extend(still.take());
                    *still = None;
                }
            }
        }
        self.still.get_or_insert(Run {
            first_row: row,
            last_row: row,
            first_s: secs,
            last_s: secs,
        });
        self.last_class = class;
    }

    /// The findings, when all frames have been taken in.
    pub(super) fn finish(mut self) -> Vec<VideoVerdict> {
        self.runs.extend(self.still.take());
        let mut verdicts = Vec::new();
        let share = self.flips as f64 / self.similar_pairs.max(1) as f64;
        if let Some(row) = self
            .first_flip
            .filter(|_| self.flips >= MOST_FLIPS && share >= UNSTABLE_SHARE)
        {
            verdicts.push(VideoVerdict {
                row,
                verdict: Verdict::new(FindingKind::UnstableLabel, Severity::Warning, share),
                numbers: [self.flips as f64, self.similar_pairs as f64],
            });
        }
        for run in self.runs {
            let frames = run.last_row - run.first_row + 1;
            if frames >= FROZEN_FRAMES {
                let secs = run.last_s - run.first_s;
                verdicts.push(VideoVerdict {
                    row: run.first_row,
                    verdict: Verdict::new(FindingKind::FrozenFrames, Severity::Warning, secs),
                    numbers: [frames as f64, secs],
                });
            }
        }
        verdicts
    }
}

pub(super) fn how_unstable() -> String {
    format!(
        "Between sampled frames that differ by less than {SIMILAR_CHANGE} grey levels (of 32x32 pixels), the most probable class changes at \
         least {MOST_FLIPS} times and in at least {:.0} % of the pairs.",
        100.0 * UNSTABLE_SHARE
    )
}

pub(super) fn how_frozen() -> String {
    format!(
        "At least {FROZEN_FRAMES} sampled frames in a row differ by less than {FROZEN_CHANGE} grey levels (of 32x32 pixels)."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_records::record;

    /// Frames of these classes and changes, one per second.
    fn review(frames: &[(usize, f64)]) -> Vec<(FindingKind, usize, [f64; 2])> {
        let mut review = VideoReview::default();
        for (row, (class, change)) in frames.iter().enumerate() {
            let mut record = record("v.mp4", *class, 0.9);
            record.frame = Some(row as u64);
            record.pts_s = Some(row as f64);
            record.metrics.change = (row > 0).then_some(*change);
            review.add(10 + row, &record);
        }
        let verdicts = review.finish().into_iter();
        verdicts
            .map(|one| (one.verdict.kind, one.row, one.numbers))
            .collect()
    }

    #[test]
    fn a_label_that_jumps_over_a_still_scene_is_unstable() {
        let jumping = [(1, 0.0), (2, 5.0), (1, 5.0), (1, 5.0), (2, 5.0)];
        assert_eq!(
            review(&jumping),
            [(FindingKind::UnstableLabel, 11, [3.0, 4.0])]
        );
        let with_cuts: Vec<(usize, f64)> = jumping
            .iter()
            .map(|(class, change)| (*class, change * 10.0))
            .collect();
        assert_eq!(
            review(&with_cuts),
            [],
            "another scene may have another label"
        );
        assert_eq!(review(&[(1, 5.0); 9]), []);
    }

    #[test]
    fn frames_that_stay_the_same_are_frozen() {
        let frames = [
            (1, 0.0),
            (1, 5.0),
            (1, 0.0),
            (1, 0.0),
            (1, 0.0),
            (1, 5.0),
            (1, 0.0),
        ];
        assert_eq!(
            review(&frames),
            [(FindingKind::FrozenFrames, 11, [4.0, 3.0])]
        );
        assert_eq!(review(&[(1, 0.0); 3]), []);
        assert_eq!(
            review(&[(1, 0.0); 4]),
            [(FindingKind::FrozenFrames, 10, [4.0, 3.0])]
        );
    }
}
