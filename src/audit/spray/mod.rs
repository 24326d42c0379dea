//! SpRAy, spectral relevance analysis (Lapuschkin et al. 2019, "Unmasking Clever Hans predictors and assessing what machines really learn",
//! Nature Communications 10:1096): the heatmaps of one predicted class are clustered, and clusters whose focus is odd are pointed out.
//!
//! A class that is recognised by what it shows has its focus on objects, wherever they are. A class that is recognised by a watermark, a time
//! stamp or a caption has a group of pictures, or all of them, whose focus hugs one corner or edge as no other class's does.
//! A suspicion is not a proof: whether the network needs the region is for a test with the region masked to say.

mod cluster;
mod graph;
mod kmeans;
#[cfg(test)]
mod measure;
mod place;
#[cfg(test)]
mod simulate;
mod suspicion;
mod view;

pub use cluster::{Clustering, MOST_CLUSTERS, MOST_ITEMS_PER_CLASS, cluster};
pub use place::Place;
pub use suspicion::{FEWEST_MEMBERS, Suspicion, suspicions};
pub use view::{CellBounds, ClusterView};

use crate::heatmap::Heatmap;

/// Rows of a focus map, and cells in a row.
pub const SIDE: usize = 7;
/// Cells of a focus map.
const CELLS: usize = SIDE * SIDE;

/// Where a map's positive evidence lies: shares of it in [`SIDE`] x [`SIDE`] cells of the same size, row-major. They are finite, none is
/// negative, and their sum is 1.
pub type FocusMap = [f32; SIDE * SIDE];

/// The positive part of a raw map of any resolution, averaged over the area of each cell and divided by its sum. Values that are not finite
/// count as 0. None without positive evidence.
pub fn focus_map(heatmap: &Heatmap) -> Option<FocusMap> {
    let (width, height) = (heatmap.width, heatmap.height);
    if width == 0 || height == 0 || !heatmap.has_positive_evidence() {
        return None;
    }
    let mut sums = [0.0; CELLS];
    for (row, line) in heatmap.values.chunks_exact(width).take(height).enumerate() {
        for (column, value) in line.iter().enumerate() {
            if !value.is_finite() || *value <= 0.0 {
                continue;
            }
            for (cell_row, row_share) in cells_under(row, height) {
                for (cell_column, column_share) in cells_under(column, width) {
                    sums[cell_row * SIDE + cell_column] +=
                        f64::from(*value) * row_share * column_share;
                }
            }
        }
    }
    let total: f64 = sums.iter().sum();
    (total > 0.0).then(|| sums.map(|sum| (sum / total) as f32))
}

/// The cells that the `index`-th of `count` equal parts of a side lies in, and the share of the part that lies in each.
fn cells_under(index: usize, count: usize) -> impl Iterator<Item = (usize, f64)> {
    // In units of which the side has `count * SIDE`, so that nothing is rounded.
    let (start, end) = (index * SIDE, (index + 1) * SIDE);
    (start / count..end.div_ceil(count)).map(move |cell| {
        let shared = end.min((cell + 1) * count) - start.max(cell * count);
        (cell, shared as f64 / SIDE as f64)
    })
}

/// Mean of maps; None of none.
fn mean_map<'a>(maps: impl IntoIterator<Item = &'a FocusMap>) -> Option<FocusMap> {
    let mut sums = [0.0; CELLS];
    let mut count = 0;
    for map in maps {
        count += 1;
        for (sum, value) in sums.iter_mut().zip(map) {
            *sum += f64::from(*value);
        }
    }
    (count > 0).then(|| sums.map(|sum| (sum / f64::from(count)) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn random_map(width: usize, height: usize) -> Heatmap {
        let mut random = Random::new(3, width as u64);
        let values = (0..width * height)
            .map(|_| random.normal() as f32)
            .collect();
        Heatmap {
            width,
            height,
            values,
        }
    }

    /// Every value as a block of `factor` x `factor` values.
    fn enlarged(map: &Heatmap, factor: usize) -> Heatmap {
        let (width, height) = (map.width * factor, map.height * factor);
        let value = |index: usize| {
            let (row, column) = (index / width / factor, index % width / factor);
            map.values[row * map.width + column]
        };
        Heatmap {
            width,
            height,
            values: (0..width * height).map(value).collect(),
        }
    }

    fn assert_near(got: &FocusMap, want: &FocusMap) {
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got}, not {want}");
        }
    }

    #[test]
    fn the_focus_of_finer_maps_is_their_positive_block_means() {
        for factor in [1, 2, 4] {
            let map = random_map(SIDE * factor, SIDE * factor);
            let mut want = [0.0; CELLS];
            for (index, value) in map.values.iter().enumerate() {
                let (row, column) = (index / map.width, index % map.width);
                want[row / factor * SIDE + column / factor] += value.max(0.0);
            }
            let total: f32 = want.iter().sum();
            assert_near(&focus_map(&map).unwrap(), &want.map(|sum| sum / total));
        }
    }

    #[test]
    fn maps_of_other_sizes_are_averaged_over_the_cells_areas() {
        for (width, height) in [(10, 10), (5, 3), (1, 6), (16, 9)] {
            let map = random_map(width, height);
            let focus = focus_map(&map).unwrap();
            assert_near(&focus, &focus_map(&enlarged(&map, SIDE)).unwrap());
            assert!((focus.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let flat = Heatmap {
            width: 10,
            height: 4,
            values: vec![0.3; 40],
        };
        assert_near(&focus_map(&flat).unwrap(), &[1.0 / CELLS as f32; CELLS]);
    }

    #[test]
    fn what_is_no_evidence_does_not_count() {
        let with = |values: &[f32]| {
            focus_map(&Heatmap {
                width: values.len(),
                height: 1,
                values: values.to_vec(),
            })
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[-1.0, f32::NAN, 1e-13]), None);
        assert_eq!(with(&[f32::INFINITY, 0.0]), None);
        let odd = [0.0, f32::NAN, -3.0, 2.0, f32::INFINITY, 0.0, 0.0];
        let focus = with(&odd).unwrap();
        for (cell, value) in focus.iter().enumerate() {
            let want = if cell % SIDE == 3 { 1.0 / 7.0 } else { 0.0 };
            assert!((value - want).abs() < 1e-6, "{cell}: {value}");
        }
    }
}
