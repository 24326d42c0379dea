//! Whether audio is still in step: timestamps against the number of samples so far.

use ffmpeg_next::{Rational, Rescale};

/// By how much timestamps may differ from the number of samples so far before silence is inserted or samples are
/// dropped: containers round, and recorders' clocks jitter.
const TOLERANCE_MILLIS: i64 = 50;

/// The same after a damaged packet, when samples are known to be missing: above the rounding of milliseconds.
const TOLERANCE_AFTER_DAMAGE_MILLIS: i64 = 3;

/// Longer holes are not filled: the timestamps jump instead, so that a broken clock cannot fill memory with silence.
/// Timestamps that run back by more are ignored: all that follows would be dropped.
const LONGEST_SILENCE_SECS: i64 = 10;

/// Says when samples are heard. Its times count samples at the encoder's rate.
pub(super) struct AudioClock {
    input_time_base: Rational,
    rate: i32,
    /// When the next sample is heard; `None` before the first frame.
    next: Option<i64>,
    is_after_damage: bool,
    /// Whether the last frame's timestamp lay far ahead: one alone is a defect, two are a hole.
    is_far_ahead: bool,
}

impl AudioClock {
    /// A clock for packets whose times have the unit `input_time_base` and for samples at `rate`.
    pub(super) fn new(input_time_base: Rational, rate: u32) -> Self {
        Self {
            input_time_base,
            rate: rate.cast_signed(),
            next: None,
            is_after_damage: false,
            is_far_ahead: false,
        }
    }

    /// Unit of the clock's times.
    pub(super) fn time_base(&self) -> Rational {
        Rational(1, self.rate)
    }

    /// Samples of silence that are inserted at most.
    pub(super) fn longest_silence(&self) -> i64 {
        LONGEST_SILENCE_SECS * i64::from(self.rate)
    }

    /// Remembers that samples are missing before the next frame.
    pub(super) fn expect_hole(&mut self) {
        self.is_after_damage = true;
    }

    /// Counts samples and returns when the first of them is heard.
    pub(super) fn advance(&mut self, samples: usize) -> i64 {
        let start = self.next.unwrap_or(0);
        self.next = Some(start.saturating_add(samples as i64));
        start
    }

    /// Continues at another time.
    pub(super) fn jump(&mut self, time: i64) {
        self.next = Some(time);
    }

    /// The time at which a frame with this timestamp must begin if the samples so far, `held` more of which are on
    /// their way, lead elsewhere; `None` if they lead there, or nearly.
    pub(super) fn correction(&mut self, timestamp: Option<i64>, held: usize) -> Option<i64> {
        let wanted =
            timestamp.map(|timestamp| timestamp.rescale(self.input_time_base, self.time_base()));
        let Some(next) = self.next else {
            return Some(wanted.unwrap_or(0));
        };
        let wanted = wanted?;
        let tolerance_millis = if self.is_after_damage {
            TOLERANCE_AFTER_DAMAGE_MILLIS
        } else {
            TOLERANCE_MILLIS
        };
        let tolerance = tolerance_millis * i64::from(self.rate) / 1000;
        let longest = self.longest_silence();
        let difference = wanted.saturating_sub(next.saturating_add(held as i64));
        let was_far_ahead = self.is_far_ahead;
        self.is_after_damage = false;
        self.is_far_ahead = difference > longest;
        let is_defect = difference < -longest || (self.is_far_ahead && !was_far_ahead);
        (difference.saturating_abs() > tolerance && !is_defect).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECONDS: Rational = Rational(1, 1000);

    /// A clock that has counted one second at 8 kHz.
    fn after_one_second() -> AudioClock {
        let mut clock = AudioClock::new(MILLISECONDS, 8_000);
        clock.jump(0);
        assert_eq!(clock.advance(8_000), 0);
        clock
    }

    #[test]
    fn the_first_frame_says_where_audio_begins() {
        let mut clock = AudioClock::new(MILLISECONDS, 8_000);
        assert_eq!(clock.correction(Some(-7), 0), Some(-56));
        assert_eq!(clock.correction(None, 0), Some(0));
    }

    #[test]
    fn jitter_stays_and_holes_and_overlaps_are_corrected() {
        let mut clock = after_one_second();
        assert_eq!(clock.correction(Some(1_050), 0), None);
        assert_eq!(clock.correction(Some(950), 0), None);
        assert_eq!(clock.correction(None, 0), None);
        assert_eq!(clock.correction(Some(1_051), 0), Some(8_408));
        assert_eq!(clock.correction(Some(949), 0), Some(7_592));
        assert_eq!(clock.correction(Some(1_051), 80), None, "10 ms are held");
    }

    #[test]
    fn after_damage_the_next_frame_is_placed_exactly() {
        let mut clock = after_one_second();
        clock.expect_hole();
        assert_eq!(clock.correction(Some(1_020), 0), Some(8_160));
        assert_eq!(clock.correction(Some(1_020), 0), None);
    }

    #[test]
    fn a_single_timestamp_far_away_is_ignored() {
        let mut clock = after_one_second();
        assert_eq!(clock.correction(Some(500_000), 0), None);
        assert_eq!(clock.correction(Some(1_000), 0), None);
        assert_eq!(clock.correction(Some(500_000), 0), None);
        assert_eq!(clock.correction(Some(500_020), 0), Some(4_000_160));
        assert_eq!(clock.correction(Some(-500_000), 0), None);
        assert_eq!(clock.correction(Some(i64::MIN + 1), 0), None);
    }
}
