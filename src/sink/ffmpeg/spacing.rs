//! Times that stay apart when a muxer rounds them to its own, coarser unit.

use ffmpeg_next::Rational;

/// Keeps frames at least a tick of the muxer apart, so that no two get the same time. What decoding times an encoder makes of them keeps that
/// distance too.
#[derive(Debug, Default)]
pub(super) struct Spacing {
    /// A tick of the muxer in ticks of the frames, rounded up.
    least_ticks: i64,
    last: Option<i64>,
}

impl Spacing {
    /// For frames whose times are in `unit`, and a muxer that writes them in `muxer_unit`.
    pub(super) fn new(unit: Rational, muxer_unit: Rational) -> Self {
        let numerator = i64::from(muxer_unit.numerator()) * i64::from(unit.denominator());
        let denominator = i64::from(muxer_unit.denominator()) * i64::from(unit.numerator());
        let least_ticks = match denominator {
            1.. => numerator.saturating_add(denominator - 1) / denominator,
            _ => 1,
        };
        Self {
            least_ticks: least_ticks.max(1),
            last: None,
        }
    }

    /// The time of the next frame, moved if it is too near to the one before.
    pub(super) fn place(&mut self, pts: i64) -> i64 {
        let earliest = self
            .last
            .map_or(pts, |last| last.saturating_add(self.least_ticks));
        let placed = pts.max(earliest);
        self.last = Some(placed);
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg_next::Rescale;

    #[test]
    fn rounded_times_differ_and_only_what_must_is_moved() {
        let (fine, coarse) = (Rational(1, 12_800), Rational(1, 1000));
        let mut spacing = Spacing::new(fine, coarse);
        let times = [0, 512, 513, 514, 1024, 1536].map(|pts| spacing.place(pts));
        assert_eq!(times, [0, 512, 525, 538, 1024, 1536]);
        for shift in 0..13 {
            let rounded = times.map(|pts| (pts - shift).rescale(fine, coarse));
            assert!(rounded.is_sorted_by(|a, b| a < b), "{rounded:?}");
        }
    }

    #[test]
    fn a_finer_muxer_moves_nothing() {
        let mut spacing = Spacing::new(Rational(1001, 30_000), Rational(1, 90_000));
        assert_eq!([0, 1, 2, 7].map(|pts| spacing.place(pts)), [0, 1, 2, 7]);
    }
}
