//! Upsampling along one axis: where the cells of a map lie on the samples of a plane.

use std::ops::Range;

/// Fraction bits of a ramp's running value: integers vectorise far better than floats, 8 bits are left for
/// the palette index, and over 10,000 samples the rounded step strays less than 1/1000 of an index.
const FRACTION_BITS: u32 = 24;

/// Two's complement, so that adding a negative step wraps around to the right value.
fn fixed_point(value: f64) -> u32 {
    (value * f64::from(1_u32 << FRACTION_BITS)).round() as i64 as u32
}

/// How the samples of one axis of a plane lie on the cells of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// Samples whose centre lies inside the map's rectangle.
    pub(super) covered: Range<usize>,
    /// Cells of the map on this axis.
    cells: usize,
    /// Position of sample 0 in cells; whole numbers are cell centres.
    first_position: f64,
    /// Cells per sample.
    step: f64,
}

impl Axis {
    /// The axis of a plane with `samples` samples, each `1 << shift` pixels wide, on which `cells` cells cover the
    /// interval `from`..`to` (pixels).
    pub(super) fn new((from, to): (f64, f64), shift: u8, samples: usize, cells: usize) -> Self {
        let pixels_per_sample = f64::from(1_u32 << shift);
        // Sample i has its centre at (i + 0.5) * pixels_per_sample. The casts saturate, also for NaN.
        let first_at_or_behind = |edge: f64| {
            let sample = (edge / pixels_per_sample - 0.5).ceil();
            (sample as usize).min(samples)
        };
        let (start, end) = (first_at_or_behind(from), first_at_or_behind(to));
        let extent = to - from;
        let is_usable = extent.is_finite() && extent > 0.0 && start < end;
        let step = pixels_per_sample * cells as f64 / extent;
        Self {
            covered: if is_usable { start..end } else { 0..0 },
            cells,
            first_position: (0.5 * pixels_per_sample - from) * cells as f64 / extent - 0.5,
            step,
        }
    }

    /// Position of a sample's centre in cells.
    pub(super) fn cell_position(&self, sample: usize) -> f32 {
        (self.first_position + self.step * sample as f64) as f32
    }
}

/// A run of samples that lie between the same two cell centres.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ramp {
    /// Number of samples.
    length: usize,
    left: usize,
    right: usize,
    /// Share of the right cell in the first sample.
    first_weight: f64,
    /// Growth of that share from sample to sample.
    weight_step: f64,
}

/// The covered samples of an axis, cut into ramps: computed once per plane, used for each of its rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Ramps(Vec<Ramp>);

impl Ramps {
    /// Cuts `axis` into ramps.
    pub(super) fn fill(&mut self, axis: &Axis) {
        self.0.clear();
        let last_cell = axis.cells.saturating_sub(1);
        let mut sample = axis.covered.start;
        while sample < axis.covered.end {
            let position = axis.first_position + axis.step * sample as f64;
            let cell = position.floor().clamp(-1.0, last_cell as f64);
            let is_flat = cell < 0.0 || cell as usize == last_cell;
            let left = cell.max(0.0) as usize;
            let end = if cell as usize == last_cell && cell >= 0.0 {
                axis.covered.end
            } else {
                let next = ((cell + 1.0 - axis.first_position) / axis.step).ceil() as usize;
                // At least one sample, whatever rounding says, so that the loop ends.
                next.clamp(sample + 1, axis.covered.end)
            };
            self.0.push(Ramp {
                length: end - sample,
                left,
                right: if is_flat { left } else { left + 1 },
                first_weight: position - cell,
                weight_step: axis.step,
            });
            sample = end;
        }
    }

    /// Fills `indices` (one per covered sample) with the row's values, rounded. `row` holds one value in 0..=255
    /// per cell.
    pub(super) fn draw(&self, row: &[f32], indices: &mut [u8]) {
        let mut rest = indices;
        for ramp in &self.0 {
            let Some((run, behind)) = rest.split_at_mut_checked(ramp.length) else {
                return;
            };
            let slope = f64::from(row[ramp.right] - row[ramp.left]);
            // Half an index more, so that cutting off the fraction rounds.
            let first = f64::from(row[ramp.left]) + slope * ramp.first_weight + 0.5;
            let step = fixed_point(slope * ramp.weight_step);
            let mut value = fixed_point(first);
            for index in run {
                *index = (value >> FRACTION_BITS) as u8;
                value = value.wrapping_add(step);
            }
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(interval: (f64, f64), samples: usize, row: &[f32]) -> (Range<usize>, Vec<u8>) {
        let axis = Axis::new(interval, 0, samples, row.len());
        let mut ramps = Ramps::default();
        ramps.fill(&axis);
        let mut indices = vec![0; axis.covered.len()];
        ramps.draw(row, &mut indices);
        (axis.covered, indices)
    }

    #[test]
    fn two_cells_over_eight_samples_ramp_between_their_centres() {
        let (covered, indices) = drawn((0.0, 8.0), 8, &[0.0, 80.0]);
        assert_eq!(covered, 0..8);
        assert_eq!(indices, [0, 0, 10, 30, 50, 70, 80, 80]);
    }

    #[test]
    fn a_map_that_reaches_outside_is_cut_and_a_smaller_one_covers_less() {
        assert_eq!(
            drawn((-4.0, 4.0), 8, &[0.0, 80.0]),
            (0..4, vec![50, 70, 80, 80])
        );
        assert_eq!(
            drawn((2.0, 6.0), 8, &[0.0, 80.0]),
            (2..6, vec![0, 20, 60, 80])
        );
    }

    #[test]
    fn more_cells_than_samples_are_sampled_at_the_centres() {
        assert_eq!(drawn((0.0, 2.0), 2, &[0.0, 10.0, 20.0, 30.0]).1, [5, 25]);
    }

    #[test]
    fn chroma_samples_sit_in_the_middle_of_their_pixels() {
        let axis = Axis::new((0.0, 8.0), 1, 4, 8);
        assert_eq!(axis.cell_position(0), 0.5);
        assert_eq!(axis.cell_position(3), 6.5);
        assert_eq!(Axis::new((1.0, 8.0), 1, 4, 8).covered, 0..4);
        assert_eq!(Axis::new((1.1, 7.0), 1, 4, 8).covered, 1..3);
    }
}
