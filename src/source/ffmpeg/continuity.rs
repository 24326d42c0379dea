//! Streams whose clock jumps, as joined transport streams have it, become continuous.

use std::collections::HashMap;

use ffmpeg_next::{Packet, Rational, Rescale, rescale};

/// A step back by more than this is a jump of the clock, not disorder.
const BACKWARD_MICROS: i64 = 100_000;
/// A step ahead by more than this is a jump of the clock, not a pause.
const FORWARD_MICROS: i64 = 10_000_000;
/// How near to each other packets of different streams lie in a container.
const TOGETHER_MICROS: u64 = 2_000_000;

/// What is known of a stream's clock.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// What is added to its times.
    offset_micros: i64,
    /// Decoding time of its last packet, and the end of that packet, after the addition.
    last_micros: i64,
    end_micros: i64,
}

/// Takes jumps out of the times of packets. Streams keep their distance: the second one to jump follows the first.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// Whether steps ahead are pauses, however long.
    keeps_pauses: bool,
    clocks: HashMap<usize, Clock>,
    /// The offset of the stream that jumped last.
    offset_micros: i64,
    /// How often a clock jumped; streams that follow do not count.
    pub(super) jumps: u64,
}

impl Continuity {
    /// `keeps_pauses`: for containers whose clock only jumps back, as Ogg's does where another stream was joined.
    pub(super) fn new(keeps_pauses: bool) -> Self {
        Self {
            keeps_pauses,
            ..Self::default()
        }
    }

    /// Moves the packet's times; says whether its stream's clock jumped just before it. The times of a `is_sparse` stream, such as
    /// subtitles, say nothing about its clock.
    pub(super) fn apply(
        &mut self,
        packet: &mut Packet,
        time_base: Rational,
        is_sparse: bool,
    ) -> bool {
        let micros = |ticks: i64| ticks.rescale(time_base, rescale::TIME_BASE);
        let before = self.offset_of(packet.stream());
        // Presentation times go back and forth; where only they are known, nothing is concluded.
        let offset_micros = match packet.dts() {
            Some(ticks) if !is_sparse => {
                let duration = micros(packet.duration().max(0));
                self.offset_for(packet.stream(), micros(ticks), duration)
            }
            _ => before.unwrap_or(self.offset_micros),
        };
        if offset_micros != 0 {
            let offset = offset_micros.rescale(rescale::TIME_BASE, time_base);
            packet.set_pts(packet.pts().map(|ticks| ticks.saturating_add(offset)));
            packet.set_dts(packet.dts().map(|ticks| ticks.saturating_add(offset)));
        }
        before.is_some_and(|before| before != offset_micros)
    }

    fn offset_of(&self, stream: usize) -> Option<i64> {
        Some(self.clocks.get(&stream)?.offset_micros)
    }

    /// The offset for a packet of `stream` that is decoded at `micros` by the stream's own clock.
    fn offset_for(&mut self, stream: usize, micros: i64, duration_micros: i64) -> i64 {
        let offset = self.offset_micros;
        let clock = self.clocks.entry(stream).or_insert(Clock {
            offset_micros: offset,
            last_micros: micros.saturating_add(offset),
            end_micros: micros.saturating_add(offset),
        });
        let known = *clock;
        let others: Vec<i64> = self
            .clocks
            .iter()
            .filter(|(index, _)| **index != stream)
            .map(|(_, clock)| clock.end_micros)
            .collect();
        let is_near = |placed: i64, ends: &[i64]| {
            ends.iter()
                .any(|end| placed.abs_diff(*end) < TOGETHER_MICROS)
        };
        let placed = micros.saturating_add(known.offset_micros);
        let steps_back = placed < known.last_micros.saturating_sub(BACKWARD_MICROS);
        // Where another stream went on meanwhile, this one only paused.
        let leaps = !self.keeps_pauses
            && placed > known.end_micros.saturating_add(FORWARD_MICROS)
            && !is_near(placed, &others);
        let mut moved_offset = known.offset_micros;
        if steps_back || leaps {
            let followed = micros.saturating_add(offset);
            let has_followed = offset != known.offset_micros
                && (is_near(followed, &[known.end_micros]) || is_near(followed, &others));
            if !has_followed {
                let end_micros = others.iter().copied().fold(known.end_micros, i64::max);
                self.offset_micros = end_micros.saturating_sub(micros);
                self.jumps += 1;
            }
            moved_offset = self.offset_micros;
        }
        let clock = self.clocks.entry(stream).or_insert(known);
        clock.offset_micros = moved_offset;
        clock.last_micros = micros.saturating_add(clock.offset_micros);
        clock.end_micros = clock.last_micros.saturating_add(duration_micros);
        clock.offset_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 40_000;

    #[test]
    fn a_step_back_goes_on_where_the_stream_was_and_the_other_stream_follows() {
        let mut continuity = Continuity::default();
        for frame in 0..50 {
            let micros = 1_400_000 + frame * FRAME;
            assert_eq!(continuity.offset_for(0, micros, FRAME), 0);
            assert_eq!(continuity.offset_for(1, micros - 5_000, FRAME), 0);
        }
        // The last packet of the first piece's audio comes behind the first video of the second piece.
        assert_eq!(continuity.offset_for(0, 1_400_000, FRAME), 2_000_000);
        assert_eq!(continuity.offset_for(1, 3_395_000, FRAME), 0);
        assert_eq!(continuity.offset_for(1, 1_390_000, FRAME), 2_000_000);
        assert_eq!(continuity.offset_for(0, 1_440_000, FRAME), 2_000_000);
        assert_eq!(continuity.jumps, 1);
    }

    #[test]
    fn pauses_disorder_and_long_frames_are_no_jumps() {
        let mut continuity = Continuity::default();
        for micros in [0, 40_000, 8_000_000, 7_950_000, 17_000_000] {
            assert_eq!(continuity.offset_for(0, micros, FRAME), 0);
        }
        assert_eq!(continuity.offset_for(0, 40_000_000, FRAME), -22_960_000);
        let mut ogg = Continuity::new(true);
        for micros in [0, 40_000_000] {
            assert_eq!(ogg.offset_for(0, micros, FRAME), 0);
        }
        assert_eq!(ogg.offset_for(0, 0, FRAME), 40_040_000);
    }

    #[test]
    fn a_stream_that_pauses_while_another_goes_on_does_not_jump() {
        let mut continuity = Continuity::default();
        for frame in 0..500 {
            let micros = frame * FRAME;
            assert_eq!(continuity.offset_for(0, micros, FRAME), 0);
            if !(75..375).contains(&frame) {
                assert_eq!(continuity.offset_for(1, micros - 5_000, FRAME), 0);
            }
        }
        // Both leap: the second one follows, though it paused before.
        assert_eq!(
            continuity.offset_for(0, 90_000_000, FRAME),
            20_000_000 - 90_000_000
        );
        assert_eq!(
            continuity.offset_for(1, 90_000_000, FRAME),
            20_000_000 - 90_000_000
        );
        assert_eq!(continuity.jumps, 1);
    }

    #[test]
    fn times_are_moved_in_the_streams_own_unit() {
        let unit = Rational(1, 90_000);
        let mut continuity = Continuity::default();
        for (dts, expected, jumps) in [
            (900_000, 900_000, false),
            (0, 903_600, true),
            (3_600, 907_200, false),
        ] {
            let mut packet = Packet::empty();
            packet.set_dts(Some(dts));
            packet.set_pts(Some(dts + 7));
            packet.set_duration(3_600);
            assert_eq!(continuity.apply(&mut packet, unit, false), jumps);
            assert_eq!(packet.dts(), Some(expected));
            assert_eq!(packet.pts(), Some(expected + 7));
        }
    }
}
