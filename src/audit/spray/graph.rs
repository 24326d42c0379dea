//! The neighbourhood graph of maps, and the spectrum of its Laplacian.

use nalgebra::{DMatrix, SymmetricEigen};

use super::FocusMap;

/// Two vectors' entries must differ by more than this to be told apart when a sign is fixed: rounding must not decide.
const SIGN_TOLERANCE: f64 = 1e-9;
/// QR iterations per item before the decomposition is given up. It needs about two.
const ITERATIONS_PER_ITEM: usize = 100;

/// An undirected graph without weights.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    is_joined: Vec<Vec<bool>>,
}

/// An eigenvalue of the Laplacian and its vector of length 1, an entry per item.
#[derive(Debug, Clone)]
pub(super) struct Eigenpair {
    pub(super) value: f64,
    pub(super) vector: Vec<f64>,
}

impl Graph {
    /// Joins two items if either is among the `neighbors` nearest of the other (Euclidean distance of the maps; the lower index on ties).
    /// `neighbors` grows until the graph has at most `most_components`: groups of near-identical maps, such as the views of one photo, that are
    /// larger than the neighbourhood would fall apart into more pieces than clusters are asked for, and no eigengap would tell which belong together.
    pub(super) fn of_nearest(maps: &[&FocusMap], neighbors: usize, most_components: usize) -> Self {
        let ranked = ranked_neighbors(maps);
        let most = maps.len().saturating_sub(1);
        let mut neighbors = neighbors.min(most);
        loop {
            let graph = Self::joining(&ranked, neighbors);
            if neighbors == most || graph.component_count() <= most_components {
                return graph;
            }
            neighbors += 1;
        }
    }

    fn joining(ranked: &[Vec<usize>], neighbors: usize) -> Self {
        let mut is_joined = vec![vec![false; ranked.len()]; ranked.len()];
        for (item, others) in ranked.iter().enumerate() {
            for other in others.iter().take(neighbors) {
                is_joined[item][*other] = true;
                is_joined[*other][item] = true;
            }
        }
        Self { is_joined }
    }

    fn component_count(&self) -> usize {
        let mut is_seen = vec![false; self.is_joined.len()];
        let mut count = 0;
        for start in 0..self.is_joined.len() {
            if is_seen[start] {
                continue;
            }
            count += 1;
            is_seen[start] = true;
            let mut waiting = vec![start];
            while let Some(item) = waiting.pop() {
                for (other, is_joined) in self.is_joined[item].iter().enumerate() {
                    if *is_joined && !is_seen[other] {
                        is_seen[other] = true;
                        waiting.push(other);
                    }
                }
            }
        }
        count
    }

    /// The `count` smallest eigenvalues, ascending, of the normalised symmetric Laplacian `I - D^-1/2 A D^-1/2` (Chung 1997, Spectral Graph
    /// Theory): they lie in [0, 2]. The largest entry of every vector is positive. Empty without items, or if the decomposition does not converge.
    pub(super) fn smallest_eigenpairs(&self, count: usize) -> Vec<Eigenpair> {
        let items = self.is_joined.len();
        if items == 0 {
            return Vec::new();
        }
        let degrees: Vec<f64> = self
            .is_joined
            .iter()
            .map(|others| others.iter().filter(|is_joined| **is_joined).count() as f64)
            .collect();
        let laplacian = DMatrix::from_fn(items, items, |row, column| {
            if row == column {
                degrees[row].min(1.0)
            } else if self.is_joined[row][column] {
                -1.0 / (degrees[row] * degrees[column]).sqrt()
            } else {
                0.0
            }
        });
        // A limit, for without one a decomposition that does not converge would never end.
        let limit = ITERATIONS_PER_ITEM * items;
        let Some(eigen) = SymmetricEigen::try_new(laplacian, f64::EPSILON, limit) else {
            return Vec::new();
        };
        let mut order: Vec<usize> = (0..items).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*a].total_cmp(&eigen.eigenvalues[*b]));
        let pair = |index: usize| Eigenpair {
            value: eigen.eigenvalues[index].clamp(0.0, 2.0),
            vector: with_fixed_sign(eigen.eigenvectors.column(index).iter().copied().collect()),
        };
        order.into_iter().take(count).map(pair).collect()
    }
}

/// The vector or its negative: that whose largest entry (the first, on ties) is positive.
fn with_fixed_sign(mut vector: Vec<f64>) -> Vec<f64> {
    let largest = vector.iter().fold(0.0_f64, |largest, entry| {
        if entry.abs() > largest.abs() + SIGN_TOLERANCE {
            *entry
        } else {
            largest
        }
    });
    if largest < 0.0 {
        for entry in &mut vector {
            *entry = -*entry;
        }
    }
    vector
}

/// For every item all others, the nearest first.
fn ranked_neighbors(maps: &[&FocusMap]) -> Vec<Vec<usize>> {
    let ranked = |item: usize| {
        let distances: Vec<f64> = maps
            .iter()
            .map(|other| squared_distance(maps[item], other))
            .collect();
        let mut others: Vec<usize> = (0..maps.len()).filter(|other| *other != item).collect();
        // The sort is stable: the lower index comes first on ties.
        others.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        others
    };
    (0..maps.len()).map(ranked).collect()
}

fn squared_distance(a: &FocusMap, b: &FocusMap) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b));
    differences.map(|difference| difference * difference).sum()
}

#[cfg(test)]
mod tests {
    use super::super::CELLS;
    use super::*;

    /// A map whose distance to another such map is that of their places.
    fn at(place: f32) -> FocusMap {
        let mut map = [0.0; CELLS];
        map[0] = place;
        map
    }

    fn graph(places: &[f32], neighbors: usize, most_components: usize) -> Graph {
        let maps: Vec<FocusMap> = places.iter().map(|place| at(*place)).collect();
        Graph::of_nearest(&maps.iter().collect::<Vec<_>>(), neighbors, most_components)
    }

    fn values(graph: &Graph) -> Vec<f64> {
        let pairs = graph.smallest_eigenpairs(usize::MAX);
        pairs.into_iter().map(|pair| pair.value).collect()
    }

    fn assert_near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (a, b) in got.iter().zip(want) {
            assert!((a - b).abs() < 1e-9, "{got:?}, not {want:?}");
        }
    }

    #[test]
    fn an_item_is_joined_to_who_is_near_to_it_or_has_it_near() {
        // The last one's nearest is the middle one, whose nearest is the first.
        let graph = graph(&[0.0, 1.0, 3.0], 1, 8);
        let is_joined = [
            [false, true, false],
            [true, false, true],
            [false, true, false],
        ];
        assert_eq!(graph.is_joined, is_joined);
    }

    #[test]
    fn ties_go_to_the_lower_index() {
        // All others are as near; 0 and 1 choose each other, 2 and 3 choose 0.
        let graph = graph(&[1.0, 1.0, 1.0, 1.0], 1, 8);
        assert_eq!(graph.is_joined[0], [false, true, true, true]);
        assert_eq!(graph.is_joined[3], [true, false, false, false]);
    }

    #[test]
    fn eigenvalues_of_known_graphs() {
        // A complete graph of n has 0 and n/(n-1); a path of three has 0, 1 and 2 (Chung 1997, examples 1.1 and 1.4).
        assert_near(
            &values(&graph(&[0.0, 1.0, 2.0, 3.0], 3, 8)),
            &[0.0, 4.0 / 3.0, 4.0 / 3.0, 4.0 / 3.0],
        );
        assert_near(&values(&graph(&[0.0, 1.0, 3.0], 1, 8)), &[0.0, 1.0, 2.0]);
        assert_near(
            &values(&graph(&[0.0, 1.0, 50.0, 51.0], 1, 8)),
            &[0.0, 0.0, 2.0, 2.0],
        );
        assert_near(&values(&graph(&[0.5], 1, 8)), &[0.0]);
        assert_near(&values(&graph(&[], 1, 8)), &[]);
    }

    #[test]
    fn more_neighbors_are_joined_until_the_pieces_are_few_enough() {
        let places = [0.0, 1.0, 50.0, 51.0, 80.0, 81.0];
        assert_eq!(graph(&places, 1, 3).component_count(), 3);
        assert_eq!(graph(&places, 1, 2).component_count(), 1);
    }

    #[test]
    fn the_largest_entry_of_a_vector_is_positive() {
        assert_eq!(with_fixed_sign(vec![0.1, -0.7, 0.6]), [-0.1, 0.7, -0.6]);
        assert_eq!(with_fixed_sign(vec![0.5, -0.5]), [0.5, -0.5]);
    }
}
