//! What a cluster's maps have in common.

use super::{CELLS, Clustering, FocusMap, SIDE, Suspicion, mean_map};

/// What is known about a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterView {
    /// How many items it has.
    pub count: usize,
    /// Which share of the class's items that is, 0 to 1.
    pub share: f64,
    /// Mean of its maps.
    pub mean: FocusMap,
    /// Mean cosine similarity of two of its maps, 0 to 1: 1 if all look at the same cells in the same way, 0 if no two share a cell; 1 for a
    /// single member. (The cohesion of spherical k-means, Dhillon and Modha 2001, without the maps' similarity to themselves.)
    pub purity: f64,
    /// The fewest cells that hold at least half of the mean map's mass, ascending; a cell is `row * 7 + column`.
    pub region: Vec<usize>,
    /// The rectangle around the region.
    pub bounds: CellBounds,
    /// Why it is suspicious, if it is.
    pub suspicion: Option<Suspicion>,
}

/// Rows and columns of a focus map, the last ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellBounds {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Last row.
    pub bottom: usize,
    /// Last column.
    pub right: usize,
}

impl ClusterView {
    /// Describes a cluster; whether it is suspicious is left open.
    pub(super) fn of(cluster: usize, class_maps: &[FocusMap], clustering: &Clustering) -> Self {
        let members: Vec<&FocusMap> =
            members_of(class_maps, clustering, |of| of == cluster).collect();
        let mean = mean_map(members.iter().copied()).unwrap_or([0.0; CELLS]);
        let region = region(&mean);
        Self {
            count: members.len(),
            share: members.len() as f64 / class_maps.len().max(1) as f64,
            mean,
            purity: purity(&members),
            bounds: bounds(&region),
            region,
            suspicion: None,
        }
    }
}

/// Maps of the clusters that are asked for.
pub(super) fn members_of<'a>(
    class_maps: &'a [FocusMap],
    clustering: &'a Clustering,
    is_asked: impl Fn(usize) -> bool + 'a,
) -> impl Iterator<Item = &'a FocusMap> {
    let items = class_maps.iter().zip(&clustering.assignment);
    items.filter_map(move |(map, of)| is_asked(*of).then_some(map))
}

/// The fewest cells that hold half of the mass, ascending; the first of equal ones.
fn region(mean: &FocusMap) -> Vec<usize> {
    let total: f64 = mean.iter().map(|value| f64::from(*value)).sum();
    let mut cells: Vec<usize> = (0..CELLS).collect();
    cells.sort_by(|a, b| mean[*b].total_cmp(&mean[*a]));
    let mut held = 0.0;
    let last = cells.iter().position(|cell| {
        held += f64::from(mean[*cell]);
        held >= 0.5 * total
    });
    cells.truncate(last.map_or(CELLS, |last| last + 1));
    cells.sort_unstable();
    cells
}

fn bounds(region: &[usize]) -> CellBounds {
    let rows = || region.iter().map(|cell| cell / SIDE);
    let columns = || region.iter().map(|cell| cell % SIDE);
    CellBounds {
        top: rows().min().unwrap_or(0),
        left: columns().min().unwrap_or(0),
        bottom: rows().max().unwrap_or(SIDE - 1),
        right: columns().max().unwrap_or(SIDE - 1),
    }
}

/// Mean cosine similarity of two members.
fn purity(members: &[&FocusMap]) -> f64 {
    let count = members.len() as f64;
    if members.len() < 2 {
        return 1.0;
    }
    // The squared length of the sum of unit vectors is the sum of all pairs' cosines, each map's with itself included.
    let mut sum = [0.0; CELLS];
    for member in members {
        let squares = member.iter().map(|value| f64::from(*value).powi(2));
        let length = squares.sum::<f64>().sqrt();
        if length > 0.0 {
            for (sum, value) in sum.iter_mut().zip(*member) {
                *sum += f64::from(*value) / length;
            }
        }
    }
    let cosines: f64 = sum.iter().map(|sum| sum * sum).sum();
    ((cosines - count) / (count * (count - 1.0))).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAT: FocusMap = [1.0 / CELLS as f32; CELLS];

    #[test]
    fn the_region_is_the_fewest_cells_with_half_of_the_mass() {
        let mut map = [0.0; CELLS];
        (map[8], map[2], map[40], map[3]) = (0.3, 0.2, 0.3, 0.2);
        assert_eq!(region(&map), [8, 40]);
        assert_eq!(region(&FLAT), (0..25).collect::<Vec<_>>());
        let want = CellBounds {
            top: 1,
            left: 1,
            bottom: 5,
            right: 5,
        };
        assert_eq!(bounds(&[8, 40]), want);
    }

    #[test]
    fn purity_is_the_mean_cosine_of_two_members() {
        let cell =
            |cell| -> FocusMap { std::array::from_fn(|other| f32::from(u8::from(other == cell))) };
        let (a, b) = (cell(0), cell(1));
        let both: FocusMap = std::array::from_fn(|cell| 0.5 * (a[cell] + b[cell]));
        let near =
            |members: &[&FocusMap], want: f64| assert!((purity(members) - want).abs() < 1e-9);
        near(&[&a], 1.0);
        near(&[&a, &a, &a], 1.0);
        near(&[&a, &b], 0.0);
        near(&[&a, &b, &both], 2.0_f64.sqrt() / 3.0);
    }
}
