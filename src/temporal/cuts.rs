//! Scene cuts: where a map must not carry anything on from the frame before.

use crate::model::{ModelInput, Normalization};

/// Pixels of the model's input in a row or column of a thumbnail's cell.
const CELL: usize = 8;

/// A frame in few grey values, to compare with the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    /// Means over cells, in grey values of 0 to 255, up to a constant that all thumbnails of a network share.
    cells: Vec<f32>,
}

impl Thumbnail {
    /// Of what the network sees.
    pub fn of(input: &ModelInput, normalization: &Normalization) -> Self {
        let side = input.size / CELL;
        let mut cells = vec![0.0; side * side];
        let planes = input.values.chunks_exact(input.size * input.size);
        for (plane, deviation) in planes.zip(normalization.deviation) {
            let weight = deviation / (3 * CELL * CELL) as f32;
            let rows = plane.chunks_exact(input.size).enumerate();
            for (y, row) in rows.take(side * CELL) {
                let cells = &mut cells[y / CELL * side..][..side];
                for (cell, pixels) in cells.iter_mut().zip(row.chunks_exact(CELL)) {
                    *cell += weight * pixels.iter().sum::<f32>();
                }
            }
        }
        Self { cells }
    }

    /// Mean absolute difference, as a share of the range of grey values.
    fn difference(&self, other: &Self) -> f32 {
        let cells = self.cells.iter().zip(&other.cells);
        let sum: f32 = cells.map(|(a, b)| (a - b).abs()).sum();
        sum / self.cells.len().max(1) as f32 / 255.0
    }
}

/// Differences of neighbouring frames from here on are a cut: the default of FFmpeg's `scdet`.
const THRESHOLD: f32 = 0.1;
/// The same for frames with others between them, which motion has had more time to change.
const THRESHOLD_FAR: f32 = 0.2;

/// Finds cuts as FFmpeg's `scdet` does, on grey thumbnails: the smaller of a frame's difference from the last frame and of that
/// difference's change must reach the threshold. Steady fast motion makes large differences that do not change. With frames left out in between
/// (`--stride`) there is no steady motion to tell, and the difference alone decides.
#[derive(Debug, Default)]
pub(crate) struct SceneCuts {
    last: Option<Thumbnail>,
    last_difference: f32,
}

impl SceneCuts {
    /// Whether `thumbnail` begins a scene; the first of all does not. `is_neighbour`: no frame was left out since the last one.
    pub(crate) fn is_cut(&mut self, thumbnail: Thumbnail, is_neighbour: bool) -> bool {
        let difference = self
            .last
            .as_ref()
            .map_or(0.0, |last| last.difference(&thumbnail));
        let change = (difference - self.last_difference).abs();
        self.last = Some(thumbnail);
        self.last_difference = difference;
        if is_neighbour {
            difference.min(change) >= THRESHOLD
        } else {
            difference >= THRESHOLD_FAR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(value: f32) -> Thumbnail {
        let input = ModelInput {
            size: 32,
            values: vec![value; 3 * 32 * 32],
        };
        Thumbnail::of(&input, &Normalization::CAFFE)
    }

    fn cuts(greys: &[f32], is_neighbour: bool) -> Vec<bool> {
        let mut cuts = SceneCuts::default();
        greys
            .iter()
            .map(|value| cuts.is_cut(grey(*value), is_neighbour))
            .collect()
    }

    #[test]
    fn a_jump_is_a_cut_and_what_follows_is_not() {
        assert_eq!(
            cuts(&[10.0, 12.0, 100.0, 101.0, 99.0, 20.0], true),
            [false, false, true, false, false, true]
        );
    }

    #[test]
    fn steady_change_is_motion_but_for_its_first_step() {
        assert_eq!(
            cuts(&[0.0, 40.0, 80.0, 120.0, 160.0], true),
            [false, true, false, false, false]
        );
    }

    #[test]
    fn with_frames_left_out_each_new_scene_is_a_cut() {
        assert_eq!(
            cuts(&[0.0, 80.0, 170.0, 90.0, 120.0], false),
            [false, true, true, true, false]
        );
    }

    #[test]
    fn a_thumbnail_has_the_means_of_its_cells() {
        let mut values = vec![0.0; 3 * 16 * 16];
        // One pixel of each channel in the cell on the lower left.
        for plane in values.chunks_exact_mut(16 * 16) {
            plane[15 * 16] = 64.0;
        }
        let thumbnail = Thumbnail::of(&ModelInput { size: 16, values }, &Normalization::CAFFE);
        assert_eq!(thumbnail.cells, [0.0, 0.0, 1.0, 0.0]);
    }
}
