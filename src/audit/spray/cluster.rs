//! Spectral clustering of the focus maps of one class.

use std::cmp::{Ordering, Reverse};

use super::FocusMap;
use super::graph::{Eigenpair, Graph};
use super::kmeans::k_means;

/// More clusters are not looked for.
pub const MOST_CLUSTERS: usize = 8;
/// More maps of a class should not be clustered: the time grows with the cube of their number.
pub const MOST_ITEMS_PER_CLASS: usize = 300;

/// Neighbours of an item in the graph, for classes of [`ITEMS_PER_NEIGHBOR`] times as many items or more.
const MOST_NEIGHBORS: usize = 10;
/// One neighbour falls into pieces.
const FEWEST_NEIGHBORS: usize = 2;
/// A group of fewer items than have to be joined to each is joined to foreign ones. So groups of an eighth of the class can stand alone.
const ITEMS_PER_NEIGHBOR: usize = 8;
/// Eigenvalues that are kept for the report: some beyond the last gap that is looked at.
const EIGENVALUES_KEPT: usize = MOST_CLUSTERS + 4;
/// A later gap must be larger than the earlier ones by more than rounding.
const GAP_TOLERANCE: f64 = 1e-9;

/// Which items look at the same places.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// The cluster of every item. Clusters are numbered from 0 by size, the largest first; of two of the same size that comes first whose
    /// first item does.
    pub assignment: Vec<usize>,
    /// How many items every cluster has; at least 1.
    pub sizes: Vec<usize>,
    /// The smallest eigenvalues (at most 12) of the graph's Laplacian, ascending, in [0, 2]. The gap after as many as there are clusters is the
    /// largest of the first [`MOST_CLUSTERS`].
    pub eigenvalues: Vec<f64>,
}

/// Groups maps by normalised spectral clustering (Ng, Jordan and Weiss 2001, "On spectral clustering: analysis and an algorithm") of their
/// k-nearest-neighbour graph, as SpRAy does. k is 10, for fewer than 80 items an eighth of them but at least 2; it grows if the graph has more than
/// [`MOST_CLUSTERS`] pieces. The number of clusters is where the eigenvalues make the largest step (von Luxburg 2007, "A tutorial on spectral
/// clustering", section 8.3); it can be 1, and is for fewer than three items.
///
/// `maps` are as [`focus_map`](super::focus_map) makes them, best at most [`MOST_ITEMS_PER_CLASS`]. The result depends on the maps and `seed` only:
/// other orders of different maps give the same groups.
pub fn cluster(maps: &[FocusMap], seed: u64) -> Clustering {
    // The steps below see the maps in an order of their own, so that neither ties nor random numbers depend on that of the items.
    let mut order: Vec<usize> = (0..maps.len()).collect();
    order.sort_by(|a, b| compared(&maps[*a], &maps[*b]));
    let sorted: Vec<&FocusMap> = order.iter().map(|item| &maps[*item]).collect();

    let neighbors = (maps.len() / ITEMS_PER_NEIGHBOR).clamp(FEWEST_NEIGHBORS, MOST_NEIGHBORS);
    let graph = Graph::of_nearest(&sorted, neighbors, MOST_CLUSTERS);
    let pairs = graph.smallest_eigenpairs(EIGENVALUES_KEPT);
    let eigenvalues: Vec<f64> = pairs.iter().map(|pair| pair.value).collect();
    let count = cluster_count(&eigenvalues);
    let points: Vec<Vec<f64>> = (0..maps.len())
        .map(|place| embedded(&pairs[..count.min(pairs.len())], place))
        .collect();

    let mut raw = vec![0; maps.len()];
    for (item, cluster) in order.iter().zip(k_means(&points, count, seed)) {
        raw[*item] = cluster;
    }
    let (assignment, sizes) = numbered_by_size(&raw, count);
    Clustering {
        assignment,
        sizes,
        eigenvalues,
    }
}

/// How many eigenvalues stand before the largest gap.
fn cluster_count(eigenvalues: &[f64]) -> usize {
    let (mut count, mut largest) = (1, 0.0);
    let gaps = eigenvalues.windows(2).map(|pair| pair[1] - pair[0]);
    for (index, gap) in gaps.take(MOST_CLUSTERS).enumerate() {
        if gap > largest + GAP_TOLERANCE {
            (count, largest) = (index + 1, gap);
        }
    }
    count
}

/// An item's entries in the eigenvectors, scaled to length 1.
fn embedded(pairs: &[Eigenpair], item: usize) -> Vec<f64> {
    let entries: Vec<f64> = pairs.iter().map(|pair| pair.vector[item]).collect();
    let length = entries
        .iter()
        .map(|entry| entry * entry)
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        entries.into_iter().map(|entry| entry / length).collect()
    } else {
        entries
    }
}

/// The assignment with the clusters numbered by size, and their sizes. Clusters without items vanish.
fn numbered_by_size(raw: &[usize], count: usize) -> (Vec<usize>, Vec<usize>) {
    let mut sizes = vec![0; count];
    let mut firsts = vec![raw.len(); count];
    for (item, cluster) in raw.iter().enumerate() {
        sizes[*cluster] += 1;
        firsts[*cluster] = firsts[*cluster].min(item);
    }
    let mut ranked: Vec<usize> = (0..count).filter(|cluster| sizes[*cluster] > 0).collect();
    ranked.sort_by_key(|cluster| (Reverse(sizes[*cluster]), firsts[*cluster]));
    let mut numbers = vec![0; count];
    for (number, cluster) in ranked.iter().enumerate() {
        numbers[*cluster] = number;
    }
    (
        raw.iter().map(|cluster| numbers[*cluster]).collect(),
        ranked.iter().map(|cluster| sizes[*cluster]).collect(),
    )
}

/// Compares maps cell by cell.
fn compared(a: &FocusMap, b: &FocusMap) -> Ordering {
    let cells = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
    cells.fold(Ordering::Equal, Ordering::then)
}

#[cfg(test)]
mod tests {
    use super::super::CELLS;
    use super::super::simulate::{Setup, blob, class};
    use super::*;
    use crate::random::Random;

    /// `groups[i]` tells around which of some far places the `i`-th map has its focus.
    fn grouped(groups: &[usize]) -> Vec<FocusMap> {
        const PLACES: [(f64, f64); 5] =
            [(1.5, 1.5), (5.5, 1.5), (3.5, 3.5), (1.5, 5.5), (5.5, 5.5)];
        let mut random = Random::new(11, 0);
        groups
            .iter()
            .map(|group| blob(PLACES[*group], 0.05, &mut random))
            .collect()
    }

    fn assert_sound(clustering: &Clustering, items: usize) {
        assert_eq!(clustering.assignment.len(), items);
        assert_eq!(clustering.sizes.iter().sum::<usize>(), items);
        assert!(clustering.sizes.is_sorted_by(|a, b| a >= b));
        assert!(clustering.sizes.iter().all(|size| *size > 0));
        assert!(
            clustering
                .eigenvalues
                .iter()
                .all(|value| (0.0..=2.0).contains(value))
        );
        assert!(clustering.eigenvalues.is_sorted());
    }

    #[test]
    fn the_eigengap_finds_the_number_of_groups() {
        for count in 1..=5 {
            let groups: Vec<usize> = (0..24 * count).map(|item| item % count).collect();
            let clustering = cluster(&grouped(&groups), 0);
            assert_sound(&clustering, groups.len());
            assert_eq!(clustering.sizes, vec![24; count]);
        }
    }

    #[test]
    fn two_groups_are_told_apart_and_the_larger_is_first() {
        let groups: Vec<usize> = (0..60).map(|item| usize::from(item % 3 > 0)).collect();
        let clustering = cluster(&grouped(&groups), 0);
        assert_eq!(clustering.sizes, [40, 20]);
        for (cluster, group) in clustering.assignment.iter().zip(groups) {
            assert_eq!(*cluster, 1 - group);
        }
    }

    #[test]
    fn identical_maps_are_one_cluster() {
        for count in [1, 2, 3, 20, 100] {
            let clustering = cluster(&vec![[1.0 / CELLS as f32; CELLS]; count], 0);
            assert_sound(&clustering, count);
            assert_eq!(clustering.sizes, [count]);
        }
    }

    #[test]
    fn few_items_are_no_obstacle() {
        let none = cluster(&[], 0);
        assert_eq!(
            (none.assignment, none.sizes, none.eigenvalues),
            (vec![], vec![], vec![])
        );
        for count in 1..12 {
            let groups: Vec<usize> = (0..count).map(|item| item % 2).collect();
            let clustering = cluster(&grouped(&groups), 0);
            assert_sound(&clustering, count);
            if count < 3 {
                assert_eq!(clustering.sizes, [count]);
            }
        }
    }

    #[test]
    fn more_groups_of_identical_maps_than_clusters_are_no_obstacle() {
        let maps: Vec<FocusMap> = (0..CELLS * 6)
            .map(|item| std::array::from_fn(|cell| f32::from(u8::from(cell == item % CELLS))))
            .collect();
        let clustering = cluster(&maps, 0);
        assert_sound(&clustering, maps.len());
        assert!(clustering.sizes.len() <= MOST_CLUSTERS);
        assert!(
            clustering.eigenvalues[MOST_CLUSTERS] > 1e-6,
            "too many pieces"
        );
    }

    #[test]
    fn other_orders_give_the_same_groups() {
        let mut random = Random::new(4, 0);
        let (maps, _) = class(Setup::natural(60), &mut random);
        let clustering = cluster(&maps, 0);
        assert!(clustering.sizes.len() > 1);
        let mut order: Vec<usize> = (0..maps.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, random.below(place + 1));
        }
        let permuted: Vec<FocusMap> = order.iter().map(|item| maps[*item]).collect();
        let of_permuted = cluster(&permuted, 0);
        assert_eq!(of_permuted.sizes, clustering.sizes);
        for (a, item_a) in order.iter().enumerate() {
            for (b, item_b) in order.iter().enumerate() {
                assert_eq!(
                    of_permuted.assignment[a] == of_permuted.assignment[b],
                    clustering.assignment[*item_a] == clustering.assignment[*item_b]
                );
            }
        }
    }

    #[test]
    fn the_same_maps_and_seed_give_the_same_clusters() {
        let (maps, _) = class(Setup::natural(100), &mut Random::new(5, 0));
        assert_eq!(cluster(&maps, 7), cluster(&maps, 7));
    }

    #[test]
    fn the_first_of_equal_gaps_counts_and_later_ones_than_the_eighth_do_not() {
        assert_eq!(cluster_count(&[]), 1);
        assert_eq!(cluster_count(&[0.0, 0.4, 0.8, 0.9]), 1);
        assert_eq!(cluster_count(&[0.0, 0.1, 0.8, 0.9]), 2);
        assert_eq!(
            cluster_count(&[0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9]),
            1
        );
    }
}
