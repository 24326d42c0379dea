//! The ordered stage between explaining and drawing: what a frame's map takes over from the frames before it.
//!
//! It sees a few small maps and a thumbnail per frame, in order, so that being sequential costs nothing. A scene cut (`cuts.rs`) makes it
//! forget all.

mod cuts;
mod flicker;
mod hold;

use std::collections::VecDeque;

pub(crate) use cuts::SceneCuts;
pub use cuts::Thumbnail;
#[cfg(feature = "audit")]
pub(crate) use flicker::change;
pub use hold::Hold;

use self::flicker::Flicker;
use crate::heatmap::{Heatmap, NormalizedHeatmap};

/// What 1.0 means on a drawn map.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Normalize {
    /// The frame's own maximum: every frame reaches full red.
    Frame,
    /// The largest maximum of the last [`ROLLING_WINDOW_SECS`]: brightness is comparable from frame to frame and does
    /// not jump. Causal: no frame waits for a later one.
    #[default]
    Rolling,
    /// A constant.
    Fixed(f32),
    /// The largest maximum of the whole video, for each of the targets. What it is must be known before the first frame is drawn:
    /// [`pipeline::largest_maxima`](crate::pipeline::largest_maxima) finds it in records.
    Video(Vec<f32>),
}

/// How far back [`Normalize::Rolling`] looks: long enough to hide the flicker of single frames, short enough to follow a scene.
pub const ROLLING_WINDOW_SECS: f64 = 2.0;

/// Smooths and normalises maps in presentation order.
#[derive(Debug)]
pub struct Temporal {
    normalize: Normalize,
    /// Share of the frames before in a smoothed map, 0 to below 1.
    smooth: f32,
    cuts: SceneCuts,
    frame: FrameKind,
    /// One per target.
    tracks: Vec<Track>,
}

/// What is known of the current frame.
#[derive(Debug, Clone, Copy, Default)]
struct FrameKind {
    /// The maps before it say nothing about its own.
    is_cut: bool,
    /// It was not looked at.
    is_carried: bool,
}

/// The maps of one target.
#[derive(Debug, Default)]
struct Track {
    /// The last smoothed map and its class.
    smoothed: Option<(Heatmap, usize)>,
    /// Time and maximum of recent frames; maxima fall from front to back, so the front is the window's.
    window: VecDeque<(f64, f32)>,
    flicker: Flicker,
}

impl Temporal {
    /// A stage that has seen no frame. With `smooth` at `s`, raw maps are smoothed exponentially: each is
    /// `s` times the smoothed map before plus `1 - s` times its own. Outside 0 to below 1, `smooth` is off.
    pub fn new(normalize: Normalize, smooth: f32) -> Self {
        Self {
            normalize,
            smooth: if (0.0..1.0).contains(&smooth) {
                smooth
            } else {
                0.0
            },
            cuts: SceneCuts::default(),
            frame: FrameKind::default(),
            tracks: Vec::new(),
        }
    }

    /// Goes on to the next frame; tells whether a scene begins with it. Without a thumbnail the frame was not looked at: it carries the
    /// last frame's maps on.
    pub fn begin_frame(&mut self, thumbnail: Option<Thumbnail>) -> bool {
        let is_carried = thumbnail.is_none();
        let is_neighbour = !self.frame.is_carried;
        let is_cut = thumbnail.is_some_and(|thumbnail| self.cuts.is_cut(thumbnail, is_neighbour));
        self.frame = FrameKind { is_cut, is_carried };
        if is_cut {
            self.forget();
        }
        is_cut
    }

    /// Forgets the maps of the frames before, as at a cut: those to come are in other units, such as another method's. To be called
    /// between [`begin_frame`](Self::begin_frame) and [`draw`](Self::draw).
    pub fn forget(&mut self) {
        self.frame.is_cut = true;
        for track in &mut self.tracks {
            track.smoothed = None;
            track.window.clear();
        }
    }

    /// The map of `class` to draw for target number `target` in the frame at `pts_secs`, or `None` if nothing speaks for the class. Called
    /// once per target in every frame.
    pub fn draw(
        &mut self,
        target: usize,
        map: &Heatmap,
        class: usize,
        pts_secs: f64,
    ) -> Option<NormalizedHeatmap> {
        while self.tracks.len() <= target {
            self.tracks.push(Track::default());
        }
        let track = &mut self.tracks[target];
        let map = track.smooth(self.smooth, map, class, self.frame.is_carried);
        let scale = match &self.normalize {
            Normalize::Frame => map.positive_maximum(),
            Normalize::Fixed(scale) => *scale,
            Normalize::Video(scales) => scales.get(target).copied().unwrap_or_default(),
            Normalize::Rolling => track.rolling_maximum(map.positive_maximum(), pts_secs),
        };
        let drawn = map.normalized(scale);
        track.flicker.add(drawn.as_ref(), self.frame.is_cut);
        drawn
    }

    /// Mean absolute change of a drawn map's cells from frame to frame, outside scene cuts; 0 to 1. None before the second frame.
    pub fn flicker(&self) -> Option<f64> {
        Flicker::score(self.tracks.iter().map(|track| &track.flicker))
    }
}

impl Track {
    /// Starts anew with another class, which the map before says nothing about, and where a value is no number.
    fn smooth(&mut self, share: f32, map: &Heatmap, class: usize, is_carried: bool) -> Heatmap {
        let last = self.smoothed.take();
        if share <= 0.0 || !map.values.iter().all(|value| value.is_finite()) {
            return map.clone();
        }
        let fits = |last: &Heatmap| (last.width, last.height) == (map.width, map.height);
        let smoothed = match last {
            Some((last, of)) if of == class && fits(&last) => {
                if is_carried {
                    last
                } else {
                    let pairs = last.values.iter().zip(&map.values);
                    let values = pairs
                        .map(|(last, new)| share * last + (1.0 - share) * new)
                        .collect();
                    Heatmap { values, ..last }
                }
            }
            _ => map.clone(),
        };
        self.smoothed = Some((smoothed.clone(), class));
        smoothed
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
    use crate::model::{ModelInput, Normalization};

    fn map(maximum: f32) -> Heatmap {
        Heatmap {
            width: 2,
            height: 1,
            values: vec![0.0, maximum],
        }
    }

    fn drawn_peaks(normalize: Normalize, frames: &[(f32, f64)]) -> Vec<f32> {
        let mut temporal = Temporal::new(normalize, 0.0);
        frames
            .iter()
            .map(|(maximum, time)| {
                let drawn = next(&mut temporal, &map(*maximum), 0, Some(grey(0.0)), *time);
                drawn.unwrap().values[1]
            })
            .collect()
    }

    fn next(
        temporal: &mut Temporal,
        map: &Heatmap,
        class: usize,
        thumbnail: Option<Thumbnail>,
        pts_secs: f64,
    ) -> Option<NormalizedHeatmap> {
        temporal.begin_frame(thumbnail);
        temporal.draw(0, map, class, pts_secs)
    }

    fn grey(value: f32) -> Thumbnail {
        let input = ModelInput {
            size: 8,
            values: vec![value; 3 * 64],
        };
        Thumbnail::of(&input, &Normalization::CAFFE)
    }

    #[test]
    fn a_cut_makes_the_scale_and_the_smoothed_map_forget() {
        let mut temporal = Temporal::new(Normalize::Rolling, 0.5);
        let mut peak = |maximum: f32, value: f32, time: f64| {
            let drawn = next(&mut temporal, &map(maximum), 0, Some(grey(value)), time);
            drawn.unwrap().values[1]
        };
        assert_eq!(peak(8.0, 0.0, 0.0), 1.0);
        // Smoothed to 6, on a scale of 8.
        assert_eq!(peak(4.0, 0.0, 0.1), 0.75);
        // A dark frame after the cut is as red as any, at once.
        assert_eq!(peak(1.0, 200.0, 0.2), 1.0);
        assert_eq!(peak(1.0, 200.0, 0.3), 1.0);
        // Once in two pairs the drawn peak changed by a quarter, and half of the cells are peaks; the cut does not count.
        assert_eq!(temporal.flicker(), Some(0.25 / 2.0 / 2.0));
    }

    #[test]
    fn maps_in_other_units_start_anew_though_time_stands_still() {
        let mut temporal = Temporal::new(Normalize::Rolling, 0.5);
        let mut peak = |maximum: f32, has_other_units: bool| {
            temporal.begin_frame(Some(grey(0.0)));
            if has_other_units {
                temporal.forget();
            }
            temporal.draw(0, &map(maximum), 0, 1.0).unwrap().values[1]
        };
        assert_eq!(peak(8.0, false), 1.0);
        assert_eq!(peak(0.5, true), 1.0);
        // Smoothed to 0.25, on a scale of 0.5.
        assert_eq!(peak(0.0, false), 0.5);
        // That the method's map is another is no flicker.
        assert_eq!(temporal.flicker(), Some(0.5 / 2.0));
    }

    #[test]
    fn another_class_or_a_map_without_numbers_starts_smoothing_anew() {
        let mut temporal = Temporal::new(Normalize::Fixed(8.0), 0.5);
        let mut peak = |maximum: f32, class: usize| {
            let drawn = next(&mut temporal, &map(maximum), class, Some(grey(0.0)), 0.0);
            drawn.map_or(0.0, |map| map.values[1])
        };
        assert_eq!(peak(8.0, 3), 1.0);
        assert_eq!(peak(4.0, 5), 0.5);
        assert_eq!(peak(8.0, 5), 0.75);
        peak(f32::NAN, 5);
        assert_eq!(peak(4.0, 5), 0.5);
    }

    #[test]
    fn a_frame_that_was_not_looked_at_does_not_move_the_smoothed_map() {
        let mut temporal = Temporal::new(Normalize::Fixed(8.0), 0.5);
        assert!(next(&mut temporal, &map(8.0), 0, Some(grey(0.0)), 0.0).is_some());
        let smoothed = next(&mut temporal, &map(4.0), 0, Some(grey(0.0)), 0.1);
        let carried = next(&mut temporal, &map(4.0), 0, None, 0.2);
        assert_eq!(smoothed.unwrap().values, [0.0, 0.75]);
        assert_eq!(carried.unwrap().values, [0.0, 0.75]);
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
        let mut temporal = Temporal::new(Normalize::Rolling, 0.0);
        assert!(next(&mut temporal, &map(4.0), 0, None, 0.0).is_some());
        let negative = Heatmap {
            width: 1,
            height: 1,
            values: vec![-1.0],
        };
        assert_eq!(next(&mut temporal, &negative, 0, None, 0.1), None);
    }

    #[test]
    fn each_target_has_its_own_scale_window_and_flicker() {
        let mut temporal = Temporal::new(Normalize::Video(vec![8.0, 2.0]), 0.0);
        for maximum in [4.0, 8.0] {
            temporal.begin_frame(Some(grey(0.0)));
            let one = temporal.draw(0, &map(maximum), 0, 0.0).unwrap();
            let two = temporal.draw(1, &map(1.0), 1, 0.0).unwrap();
            assert_eq!((one.values[1], two.values[1]), (maximum / 8.0, 0.5));
        }
        // One of two maps went from a half to 1 in one of two cells.
        assert_eq!(temporal.flicker(), Some(0.5 / 2.0 / 2.0));
        let mut rolling = Temporal::new(Normalize::Rolling, 0.0);
        rolling.begin_frame(Some(grey(0.0)));
        assert_eq!(rolling.draw(0, &map(4.0), 0, 0.0).unwrap().values[1], 1.0);
        assert_eq!(rolling.draw(1, &map(1.0), 1, 0.0).unwrap().values[1], 1.0);
    }
}
