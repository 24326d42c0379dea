//! Where a frame lies in time: one common start for all streams, strictly increasing ticks.

use ffmpeg_next::{Rational, Rescale, rescale};

use super::super::TimeRange;
use crate::error::{Error, ErrorKind, Result};

/// The part of the input that is delivered, in microseconds of the container's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The instant that becomes 0.
    pub(super) start_micros: i64,
    /// The first instant that is not delivered.
    pub(super) end_micros: Option<i64>,
    /// Whether the start was asked for, so that what lies before it is left out.
    pub(super) trims_start: bool,
}

impl Window {
    /// `earliest_micros` is when the earliest stream that is read starts.
    pub(super) fn new(range: TimeRange, earliest_micros: i64) -> Result<Self> {
        let start_secs = range.start_secs.unwrap_or(0.0);
        let end_secs = range.end_secs.unwrap_or(f64::INFINITY);
        let is_valid = start_secs.is_finite() && start_secs >= 0.0 && end_secs > start_secs;
        if !is_valid {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "cannot read from {start_secs} s to {end_secs} s: \
                     the start must be 0 or later, the end after the start"
                ),
            ));
        }
        let micros = |secs: f64| earliest_micros.saturating_add((secs * 1e6).round() as i64);
        Ok(Self {
            start_micros: micros(start_secs),
            end_micros: range.end_secs.filter(|secs| secs.is_finite()).map(micros),
            trims_start: start_secs > 0.0,
        })
    }

    /// The tick of `time_base` that becomes 0.
    pub(super) fn start_ticks(&self, time_base: Rational) -> i64 {
        self.start_micros.rescale(rescale::TIME_BASE, time_base)
    }

    /// The first tick, counted from the start, that is not delivered.
    pub(super) fn end_ticks(&self, time_base: Rational) -> Option<i64> {
        let end = self.end_micros?.rescale(rescale::TIME_BASE, time_base);
        Some(end.saturating_sub(self.start_ticks(time_base)))
    }
}

/// What to do with a decoded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// It lies before the range.
    Before,
    /// It begins at this tick.
    At(i64),
    /// It lies behind the range, as does all that follows.
    Behind,
}

/// Gives every frame its tick.
#[derive(Debug)]
pub(super) struct FrameClock {
    start_ticks: i64,
    end_ticks: Option<i64>,
    trims_start: bool,
    /// How long a frame lasts by the frame rate.
    step_ticks: i64,
    last: Option<i64>,
}

impl FrameClock {
    pub(super) fn new(window: &Window, time_base: Rational, frame_rate: Option<Rational>) -> Self {
        let step_ticks = frame_rate
            .map_or(0, |rate| 1_i64.rescale(rate.invert(), time_base))
            .max(1);
        Self {
            start_ticks: window.start_ticks(time_base),
            end_ticks: window.end_ticks(time_base),
            trims_start: window.trims_start,
            step_ticks,
            last: None,
        }
    }

    /// How long a frame lasts by the frame rate, in ticks.
    pub(super) fn step_ticks(&self) -> i64 {
        self.step_ticks
    }

    /// The place of the next frame, whose best-effort timestamp is `timestamp`. A missing one
    /// follows from the frame rate; one that does not advance is moved by a tick.
    pub(super) fn place(&mut self, timestamp: Option<i64>) -> Placement {
        let ticks = match (timestamp, self.last) {
            (Some(ticks), _) => ticks.saturating_sub(self.start_ticks),
            (None, Some(last)) => last.saturating_add(self.step_ticks),
            // Without any timestamp the input's own clock starts at 0.
            (None, None) => 0_i64.saturating_sub(if self.trims_start {
                self.start_ticks
            } else {
                0
            }),
        };
        let ticks = match self.last {
            Some(last) => ticks.max(last.saturating_add(1)),
            None => ticks,
        };
        self.last = Some(ticks);
        if self.trims_start && ticks < 0 {
            Placement::Before
        } else if self.end_ticks.is_some_and(|end| ticks >= end) {
            Placement::Behind
        } else {
            Placement::At(ticks)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: Rational = Rational(1, 1000);

    fn clock(range: TimeRange, container_start_micros: i64) -> FrameClock {
        let window = Window::new(range, container_start_micros).unwrap();
        FrameClock::new(&window, MILLIS, Some(Rational(25, 1)))
    }

    #[test]
    fn the_common_start_is_subtracted() {
        let mut clock = clock(TimeRange::default(), 1_400_000);
        assert_eq!(clock.place(Some(1_433)), Placement::At(33));
        assert_eq!(clock.place(Some(1_473)), Placement::At(73));
    }

    #[test]
    fn times_strictly_increase_and_gaps_are_filled() {
        let mut clock = clock(TimeRange::default(), 0);
        let places: Vec<_> = [None, None, Some(80), Some(80), Some(10), None, Some(500)]
            .map(|timestamp| clock.place(timestamp))
            .to_vec();
        let expected = [0, 40, 80, 81, 82, 122, 500].map(Placement::At);
        assert_eq!(places, expected);
    }

    #[test]
    fn a_range_includes_its_start_and_excludes_its_end() {
        let range = TimeRange {
            start_secs: Some(1.0),
            end_secs: Some(1.1),
        };
        let mut clock = clock(range, 5_000_000);
        assert_eq!(clock.place(Some(5_999)), Placement::Before);
        assert_eq!(clock.place(Some(6_000)), Placement::At(0));
        assert_eq!(clock.place(Some(6_099)), Placement::At(99));
        assert_eq!(clock.place(Some(6_100)), Placement::Behind);
    }

    #[test]
    fn senseless_ranges_are_refused() {
        for (start_secs, end_secs) in [(-1.0, 2.0), (2.0, 2.0), (f64::NAN, 1.0), (0.0, f64::NAN)] {
            let range = TimeRange {
                start_secs: Some(start_secs),
                end_secs: Some(end_secs),
            };
            let error = Window::new(range, 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
