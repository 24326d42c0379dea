//! k-means of a few points in a few dimensions.

use crate::random::Random;

/// Runs from other first centres; the one whose points are nearest to their centres counts.
const RESTARTS: u64 = 10;
/// Lloyd's iteration ends long before; this is against endless turns between equals.
const MOST_ROUNDS: usize = 100;

/// The cluster, below `count`, of every point: Lloyd's iteration from centres chosen by k-means++ (Arthur and Vassilvitskii 2007). Clusters may
/// be empty if fewer than `count` points differ.
pub(super) fn k_means(points: &[Vec<f64>], count: usize, seed: u64) -> Vec<usize> {
    if count < 2 || points.is_empty() {
        return vec![0; points.len()];
    }
    let runs = (0..RESTARTS).map(|restart| run(points, count, &mut Random::new(seed, restart)));
    // The first of the best.
    let best = runs.min_by(|a, b| a.inertia.total_cmp(&b.inertia));
    best.map_or_else(Vec::new, |best| best.assignment)
}

struct Run {
    /// Sum of the squared distances to the nearest centres.
    inertia: f64,
    assignment: Vec<usize>,
}

fn run(points: &[Vec<f64>], count: usize, random: &mut Random) -> Run {
    let mut centers = first_centers(points, count, random);
    let mut assignment = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let next: Vec<usize> = points
            .iter()
            .map(|point| nearest(point, &centers).0)
            .collect();
        if next == assignment {
            break;
        }
        assignment = next;
        for (cluster, center) in centers.iter_mut().enumerate() {
            let is_member = assignment.iter().map(|of| *of == cluster);
            let members: Vec<&Vec<f64>> = points
                .iter()
                .zip(is_member)
                .filter_map(|(point, is_member)| is_member.then_some(point))
                .collect();
            if members.is_empty() {
                continue;
            }
            for (axis, value) in center.iter_mut().enumerate() {
                let sum: f64 = members.iter().map(|member| member[axis]).sum();
                *value = sum / members.len() as f64;
            }
        }
    }
    Run {
        inertia: points.iter().map(|point| nearest(point, &centers).1).sum(),
        assignment,
    }
}

/// A point with the probability of its squared distance to the centres so far, again and again.
fn first_centers(points: &[Vec<f64>], count: usize, random: &mut Random) -> Vec<Vec<f64>> {
    let mut centers = vec![points[random.below(points.len())].clone()];
    while centers.len() < count {
        let distances: Vec<f64> = points
            .iter()
            .map(|point| nearest(point, &centers).1)
            .collect();
        let mut left = random.fraction() * distances.iter().sum::<f64>();
        let chosen = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // None if all points are centres already, or by rounding.
        centers.push(points[chosen.unwrap_or(points.len() - 1)].clone());
    }
    centers
}

/// Index of the nearest centre (the first on ties), and the squared distance to it.
fn nearest(point: &[f64], centers: &[Vec<f64>]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (index, center) in centers.iter().enumerate() {
        let differences = point.iter().zip(center).map(|(a, b)| a - b);
        let distance = differences.map(|difference| difference * difference).sum();
        if distance < best.1 {
            best = (index, distance);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_groups_are_told_apart_from_any_seed() {
        let mut random = Random::new(2, 0);
        let groups = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]];
        let points: Vec<Vec<f64>> = (0..80)
            .map(|index| {
                groups[index % 4]
                    .iter()
                    .map(|center| center + 0.3 * random.normal())
                    .collect()
            })
            .collect();
        for seed in 0..20 {
            let assignment = k_means(&points, 4, seed);
            for (index, cluster) in assignment.iter().enumerate() {
                assert_eq!(*cluster, assignment[index % 4], "seed {seed}");
            }
            let mut names = assignment[..4].to_vec();
            names.sort_unstable();
            assert_eq!(names, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn fewer_different_points_than_clusters_are_no_obstacle() {
        let points = vec![vec![1.0], vec![1.0], vec![2.0], vec![1.0]];
        let assignment = k_means(&points, 3, 0);
        assert_eq!(assignment[0], assignment[1]);
        assert_eq!(assignment[0], assignment[3]);
        assert_ne!(assignment[0], assignment[2]);
        assert_eq!(k_means(&[], 3, 0), [0; 0]);
        assert_eq!(k_means(&points, 1, 0), [0; 4]);
    }
}
