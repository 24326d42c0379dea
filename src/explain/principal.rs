//! The first principal component of a layer.

/// Steps of the power iteration at most. Each multiplies what is left of the second component by the ratio of the two largest
/// eigenvalues.
const MOST_STEPS: usize = 2_000;
/// The largest change of a unit vector's component in one step at which the iteration has converged.
const TOLERANCE: f64 = 1e-11;

/// Its multiples are spread evenly over the fractions.
const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;

/// Cells projected on the first right singular vector of the matrix `[cells][channels]`, whose columns have been centred. `values` has
/// all cells of the first channel, then of the second, and so on. The sign is any.
///
/// The projection is `sqrt(l) u` with `l` and `u` the largest eigenvalue and its vector of `X Xᵀ`, by power iteration on `X Xᵀ` or
/// `Xᵀ X`, whichever is smaller.
pub(super) fn first_principal_component(values: &[f64], cells: usize) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = values
        .chunks_exact(cells)
        .map(|row| {
            let mean = row.iter().sum::<f64>() / cells as f64;
            row.iter().map(|value| value - mean).collect()
        })
        .collect();
    if cells <= rows.len() {
        let columns: Vec<Vec<f64>> = (0..cells)
            .map(|cell| rows.iter().map(|row| row[cell]).collect())
            .collect();
        let (eigenvalue, vector) = largest_eigenpair(&gram(&columns));
        let scale = eigenvalue.max(0.0).sqrt();
        return vector.iter().map(|value| value * scale).collect();
    }
    let (_, direction) = largest_eigenpair(&gram(&rows));
    let mut projection = vec![0.0; cells];
    for (row, weight) in rows.iter().zip(direction) {
        for (sum, value) in projection.iter_mut().zip(row) {
            *sum += weight * value;
        }
    }
    projection
}

/// Products of all pairs of vectors.
fn gram(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut products = vec![vec![0.0; vectors.len()]; vectors.len()];
    for i in 0..vectors.len() {
        for j in 0..=i {
            let product = dot(&vectors[i], &vectors[j]);
            products[i][j] = product;
            products[j][i] = product;
        }
    }
    products
}

/// Of a symmetric matrix without negative eigenvalues. The vector has length 1; of a zero matrix both are 0.
fn largest_eigenpair(matrix: &[Vec<f64>]) -> (f64, Vec<f64>) {
    // All columns with unequal weights: no single column need have a share in the first eigenvector.
    let weights: Vec<f64> = (0..matrix.len())
        .map(|index| 0.5 + (index as f64 * GOLDEN_RATIO).fract())
        .collect();
    let mut vector: Vec<f64> = matrix.iter().map(|row| dot(row, &weights)).collect();
    if !normalize(&mut vector) {
        return (0.0, vec![0.0; matrix.len()]);
    }
    let mut eigenvalue = 0.0;
    for _ in 0..MOST_STEPS {
        let mut next: Vec<f64> = matrix.iter().map(|row| dot(row, &vector)).collect();
        eigenvalue = dot(&next, &vector);
        if !normalize(&mut next) {
            break;
        }
        let change = next
            .iter()
            .zip(&vector)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        vector = next;
        if change < TOLERANCE {
            break;
        }
    }
    (eigenvalue, vector)
}

/// Scales to length 1; false if the length is 0 or no number.
fn normalize(vector: &mut [f64]) -> bool {
    let length = dot(vector, vector).sqrt();
    if length == 0.0 || !length.is_finite() {
        return false;
    }
    vector.iter_mut().for_each(|value| *value /= length);
    true
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on a line through the mean, in any number of channels: the projection is the distance along it.
    #[test]
    fn points_on_a_line_are_projected_to_their_distance() {
        let along = [-3.0, 1.0, 4.0, -2.0];
        for directions in [vec![0.6, 0.8], vec![0.1, 0.7, -0.5, 0.5, 0.0]] {
            let channels = directions.iter().enumerate();
            let values: Vec<f64> = channels
                .flat_map(|(channel, direction)| {
                    along.map(|distance| distance * direction + channel as f64)
                })
                .collect();
            let projection = first_principal_component(&values, along.len());
            let sign = projection[2].signum();
            for (value, distance) in projection.iter().zip(along) {
                assert!((sign * value - distance).abs() < 1e-9, "{projection:?}");
            }
        }
    }

    /// The channel of the largest variance has no part in the first component.
    #[test]
    fn the_first_component_may_be_shared_by_smaller_channels() {
        let matrix = [[98.0, 0.0, 0.0], [0.0, 80.0, 64.0], [0.0, 64.0, 80.0]].map(Vec::from);
        let (eigenvalue, vector) = largest_eigenpair(&matrix);
        assert!((eigenvalue - 144.0).abs() < 1e-6, "{eigenvalue}");
        assert!(vector[0].abs() < 1e-6 && (vector[1] - vector[2]).abs() < 1e-6);
    }

    #[test]
    fn a_layer_without_variance_has_an_empty_map() {
        assert_eq!(first_principal_component(&[2.0; 12], 4), [0.0; 4]);
    }
}
