//! The timeline of one video.

use std::collections::BTreeMap;
use std::ops::Range;

use super::content::Content;
use super::data::{Video, VideoPoint};
use crate::audit::clusters::evenly;
use crate::audit::kinds::FindingKind;
use crate::error::Result;
use crate::records::RecordTop;

/// Points of a timeline: more than pixels.
const MOST_POINTS: usize = 1500;
/// Points with a picture, and as many of those with findings.
const MOST_FRAMES: usize = 40;

/// Rows in a row, of which one is shown.
#[derive(Debug, PartialEq)]
struct Span<'a> {
    shown: usize,
    end: usize,
    /// Of all of them.
    kinds: Vec<&'a str>,
}

/// At most so many spans, of one length but for rounding. The first row with a finding is shown, else the first one.
fn spans(rows: Range<usize>, most: usize, flags: &[(usize, FindingKind)]) -> Vec<Span<'static>> {
    let mut by_row: BTreeMap<usize, Vec<&'static str>> = BTreeMap::new();
    for (row, kind) in flags {
        by_row.entry(*row).or_default().push(kind.name());
    }
    let (length, count) = (rows.len(), rows.len().min(most));
    let at = |place: usize| rows.start + place * length / count;
    let span = |place: usize| {
        let (start, end) = (at(place), at(place + 1));
        let flagged = by_row.range(start..end);
        let mut kinds: Vec<&str> = flagged
            .clone()
            .flat_map(|(_, kinds)| kinds)
            .copied()
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let shown = flagged.map(|(row, _)| *row).next().unwrap_or(start);
        Span { shown, end, kinds }
    };
    (0..count).map(span).collect()
}

impl Content<'_> {
    /// `flags` are the rows with findings.
    pub(super) fn video(&mut self, item: usize, flags: &[(usize, FindingKind)]) -> Result<Video> {
        let path = self.rows.item(item)?.path;
        let rows = self.rows.rows_of(item);
        let spans = spans(rows.clone(), MOST_POINTS, flags);
        let shown: Vec<usize> = spans.iter().map(|span| span.shown).collect();
        let with_picture = evenly(&shown, MOST_FRAMES);
        let flagged = spans.iter().filter(|span| !span.kinds.is_empty());
        let flagged: Vec<usize> = flagged.map(|span| span.shown).collect();
        let flagged = evenly(&flagged, MOST_FRAMES);
        // Some classes share their name.
        let mut classes: Vec<usize> = Vec::new();
        let mut on_top: Vec<u64> = Vec::new();
        let mut points = Vec::with_capacity(spans.len());
        let mut next = rows.start;
        for span in spans {
            for row in next..span.end {
                let mut record = self.rows.record(row)?;
                if row != span.shown {
                    record.top.truncate(1);
                }
                let top = placed(&mut classes, &record.top);
                on_top.resize(classes.len(), 0);
                if let Some((best, _)) = top.first() {
                    on_top[*best] += 1;
                }
                if row != span.shown {
                    continue;
                }
                let has_picture = [&with_picture, &flagged]
                    .into_iter()
                    .any(|rows| rows.binary_search(&row).is_ok());
                points.push(VideoPoint {
                    frame: record.frame.unwrap_or(0),
                    time_s: record.pts_s.unwrap_or(0.0),
                    top,
                    flicker: record.metrics.flicker,
                    change: record.metrics.change,
                    picture: if has_picture {
                        self.picture(&record)
                    } else {
                        None
                    },
                    flags: span.kinds.iter().map(|kind| (*kind).to_owned()).collect(),
                });
            }
            next = span.end;
        }
        let mut flagged: Vec<usize> = flags.iter().map(|(row, _)| *row).collect();
        flagged.sort_unstable();
        flagged.dedup();
        Ok(Video {
            path,
            duration_s: None,
            sampled: rows.len() as u64,
            flagged: flagged.len() as u64,
            classes: classes.into_iter().map(|class| self.class(class)).collect(),
            on_top,
            points,
        })
    }
}

/// The top classes by their places among those that are shown, which they join; with their probabilities.
fn placed(classes: &mut Vec<usize>, top: &[RecordTop]) -> Vec<(usize, f64)> {
    let placed = top.iter().map(|class| {
        let known = classes.iter().position(|known| *known == class.index);
        let place = known.unwrap_or_else(|| {
            classes.push(class.index);
            classes.len() - 1
        });
        (place, class.prob)
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_finding_is_lost_in_a_long_video() {
        use FindingKind::{Dark, FrozenFrames, LowConfidence};
        let span = |shown, end, kinds: &[&'static str]| Span {
            shown,
            end,
            kinds: kinds.to_vec(),
        };
        let flags = [
            (13, FrozenFrames),
            (12, LowConfidence),
            (12, Dark),
            (17, Dark),
            (18, Dark),
        ];
        let expected = [
            span(12, 13, &["dark", "low_confidence"]),
            span(13, 16, &["frozen_frames"]),
            span(17, 20, &["dark"]),
        ];
        assert_eq!(spans(10..20, 3, &flags), expected);
        let all: Vec<usize> = spans(10..20, 10, &flags)
            .iter()
            .map(|span| span.shown)
            .collect();
        assert_eq!(all, (10..20).collect::<Vec<_>>());
        assert_eq!(spans(3..3, 10, &[]), []);
    }

    #[test]
    fn classes_that_share_a_name_are_two_in_a_timeline() {
        let top = |index, label: &str, prob| RecordTop {
            index,
            label: label.to_owned(),
            prob,
        };
        let mut classes = Vec::new();
        let first = [top(134, "crane", 0.6), top(517, "crane", 0.3)];
        assert_eq!(placed(&mut classes, &first), [(0, 0.6), (1, 0.3)]);
        let next = [top(517, "crane", 0.8), top(1, "goldfish", 0.1)];
        assert_eq!(placed(&mut classes, &next), [(1, 0.8), (2, 0.1)]);
        assert_eq!(classes, [134, 517, 1]);
    }
}
