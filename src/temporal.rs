//! The ordered stage between explaining and drawing: what scale a frame's map is normalised with.
//!
//! It sees 49 numbers a frame, in order, so that being sequential costs nothing.

use std::collections::VecDeque;

use crate::heatmap::{Heatmap, NormalizedHeatmap};

/// What 1.0 means on a drawn map.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Normalize {
    /// The frame's own maximum: every frame reaches full red.
    Frame,
    /// The largest maximum of the last [`ROLLING_WINDOW_SECS`]: brightness is comparable from frame to frame and does
    /// not jump. Causal: no frame waits for a later one.
    #[default]
    Rolling,
    /// A constant.
    Fixed(f32),
}

/// How far back [`Normalize::Rolling`] looks: long enough to hide the flicker of single frames, short enough to follow a scene.
pub const ROLLING_WINDOW_SECS: f64 = 2.0;

/// Normalises maps in presentation order.
#[derive(Debug)]
pub struct Temporal {
    normalize: Normalize,
    /// Time and maximum of recent frames; maxima fall from front to back, so the front is the window's.
    window: VecDeque<(f64, f32)>,
}

impl Temporal {
    /// A stage that has seen no frame.
    pub fn new(normalize: Normalize) -> Self {
        Self {
            normalize,
            window: VecDeque::new(),
        }
    }

    /// The map to draw for the frame at `pts_secs`, or `None` if nothing speaks for the target.
    pub fn next(&mut self, map: &Heatmap, pts_secs: f64) -> Option<NormalizedHeatmap> {
        let scale = match self.normalize {
            Normalize::Frame => map.positive_maximum(),
            Normalize::Fixed(scale) => scale,
            Normalize::Rolling => self.rolling_maximum(map.positive_maximum(), pts_secs),
        };
        map.normalized(scale)
    }

    fn rolling_maximum(&mut self, maximum: f32, pts_secs: f64) -> f32 {
        while self
            .window
            .back()
            .is_some_and(|(_, older)| *older <= maximum)
        {
            self.window.pop_back();
        }
        self.window.push_back((pts_secs, maximum));
        while self
            .window
            .front()
            .is_some_and(|(time, _)| pts_secs - time > ROLLING_WINDOW_SECS)
        {
            self.window.pop_front();
        }
        self.window.front().map_or(maximum, |(_, maximum)| *maximum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(maximum: f32) -> Heatmap {
        Heatmap {
            width: 2,
            height: 1,
            values: vec![0.0, maximum],
        }
    }

    fn drawn_peaks(normalize: Normalize, frames: &[(f32, f64)]) -> Vec<f32> {
        let mut temporal = Temporal::new(normalize);
        frames
            .iter()
            .map(|(maximum, time)| temporal.next(&map(*maximum), *time).unwrap().values[1])
            .collect()
    }

    #[test]
    fn per_frame_every_map_reaches_one() {
        assert_eq!(
            drawn_peaks(Normalize::Frame, &[(4.0, 0.0), (1.0, 0.1)]),
            [1.0, 1.0]
        );
    }

    #[test]
    fn rolling_keeps_the_window_maximum_and_then_forgets_it() {
        let frames = [(4.0, 0.0), (1.0, 1.0), (2.0, 2.0), (1.0, 2.1), (1.0, 4.2)];
        assert_eq!(
            drawn_peaks(Normalize::Rolling, &frames),
            [1.0, 0.25, 0.5, 0.5, 1.0]
        );
    }

    #[test]
    fn rolling_equals_the_maximum_of_the_window_for_any_sequence() {
        let frames: Vec<(f32, f64)> = (0..200)
            .map(|i| (((i * 7919) % 101 + 1) as f32, i as f64 * 0.13))
            .collect();
        let peaks = drawn_peaks(Normalize::Rolling, &frames);
        for (index, (maximum, time)) in frames.iter().enumerate() {
            let window = frames[..=index]
                .iter()
                .filter(|(_, past)| time - past <= ROLLING_WINDOW_SECS);
            let scale = window.map(|(maximum, _)| *maximum).fold(0.0, f32::max);
            assert_eq!(peaks[index], maximum / scale, "frame {index}");
        }
    }

    #[test]
    fn a_fixed_scale_clips() {
        assert_eq!(
            drawn_peaks(Normalize::Fixed(2.0), &[(1.0, 0.0), (4.0, 1.0)]),
            [0.5, 1.0]
        );
    }

    #[test]
    fn no_positive_evidence_draws_nothing() {
        let mut temporal = Temporal::new(Normalize::Rolling);
        assert!(temporal.next(&map(4.0), 0.0).is_some());
        let negative = Heatmap {
            width: 1,
            height: 1,
            values: vec![-1.0],
        };
        assert_eq!(temporal.next(&negative, 0.1), None);
    }
}
