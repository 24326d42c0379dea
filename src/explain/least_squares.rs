//! Weighted least squares with a ridge penalty.

use crate::error::{Error, ErrorKind, Result};

/// A pivot below this share of the matrix's diagonal is rounding noise: the samples do not tell the coefficient.
const SINGULAR: f64 = 1e-12;
/// Penalty as a share of the mean diagonal, where without one there would be many solutions. It picks the shortest of them.
const SMALL_PENALTY: f64 = 1e-9;

/// `minimise sum_i weight_i (target_i - intercept - row_i . coefficients)^2 + penalty |coefficients|^2`. The intercept, if there is
/// one, is free of the penalty.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeastSquares {
    /// Ridge parameter, 0 for none. Should the samples then leave coefficients open, the shortest solution is taken (up to about 1e-9
    /// of its length).
    pub(super) penalty: f64,
    /// Whether there is an intercept.
    pub(super) has_intercept: bool,
}

impl LeastSquares {
    /// The coefficients, by the normal equations.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if there is no solution, such as for values that are no numbers.
    pub(super) fn coefficients(
        self,
        rows: &[Vec<f64>],
        targets: &[f64],
        weights: &[f64],
    ) -> Result<Vec<f64>> {
        let count = rows.first().map_or(0, Vec::len);
        let (mut means, mut target_mean) = (vec![0.0; count], 0.0);
        if self.has_intercept {
            // An unpenalised intercept is the same as taking the weighted means off.
            let total: f64 = weights.iter().sum();
            for ((row, target), weight) in rows.iter().zip(targets).zip(weights) {
                add_scaled(&mut means, row, weight / total);
                target_mean += target * weight / total;
            }
        }
        let mut matrix = vec![vec![0.0; count]; count];
        let mut right = vec![0.0; count];
        for ((row, target), weight) in rows.iter().zip(targets).zip(weights) {
            let centred: Vec<f64> = row.iter().zip(&means).map(|(a, b)| a - b).collect();
            add_scaled(&mut right, &centred, weight * (target - target_mean));
            for (line, value) in matrix.iter_mut().zip(&centred) {
                if *value != 0.0 {
                    add_scaled(line, &centred, weight * value);
                }
            }
        }
        add_to_diagonal(&mut matrix, self.penalty);
        if let Some(coefficients) = solved(&matrix, &right) {
            return Ok(coefficients);
        }
        let trace: f64 = (0..count).map(|index| matrix[index][index]).sum();
        if trace == 0.0 {
            // All rows are alike: nothing speaks for any coefficient.
            return Ok(vec![0.0; count]);
        }
        add_to_diagonal(&mut matrix, SMALL_PENALTY * trace / count as f64);
        solved(&matrix, &right).ok_or_else(|| {
            Error::new(
                ErrorKind::Compute,
                "the scores of the samples have no least-squares fit",
            )
        })
    }
}

fn add_scaled(sums: &mut [f64], values: &[f64], scale: f64) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += scale * value;
    }
}

fn add_to_diagonal(matrix: &mut [Vec<f64>], value: f64) {
    for (index, row) in matrix.iter_mut().enumerate() {
        row[index] += value;
    }
}

/// Solves a system with a symmetric positive definite matrix by Cholesky's decomposition `L Lᵀ`. `None` if the matrix is none.
fn solved(matrix: &[Vec<f64>], right: &[f64]) -> Option<Vec<f64>> {
    let count = right.len();
    let mut lower: Vec<Vec<f64>> = Vec::with_capacity(count);
    for (index, line) in matrix.iter().enumerate() {
        let mut row = vec![0.0; index + 1];
        for column in 0..=index {
            let known: f64 = (0..column)
                .map(|k| {
                    row[k]
                        * if column == index {
                            row[k]
                        } else {
                            lower[column][k]
                        }
                })
                .sum();
            let rest = line[column] - known;
            row[column] = if column < index {
                rest / lower[column][column]
            } else if rest > SINGULAR * line[index] {
                rest.sqrt()
            } else {
                return None;
            };
        }
        lower.push(row);
    }
    let mut solution = right.to_vec();
    for index in 0..count {
        let known: f64 = (0..index).map(|k| lower[index][k] * solution[k]).sum();
        solution[index] = (solution[index] - known) / lower[index][index];
    }
    for index in (0..count).rev() {
        let known: f64 = (index + 1..count)
            .map(|k| lower[k][index] * solution[k])
            .sum();
        solution[index] = (solution[index] - known) / lower[index][index];
    }
    solution
        .iter()
        .all(|value| value.is_finite())
        .then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [[f64; 2]; 4] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]];

    fn fit(problem: LeastSquares, rows: &[[f64; 2]], target: fn(&[f64; 2]) -> f64) -> Vec<f64> {
        let targets: Vec<f64> = rows.iter().map(target).collect();
        let weights: Vec<f64> = (1..=rows.len()).map(|weight| weight as f64).collect();
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| row.to_vec()).collect();
        problem.coefficients(&rows, &targets, &weights).unwrap()
    }

    fn assert_close(values: &[f64], expected: &[f64]) {
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-7, "{values:?} {expected:?}");
        }
    }

    #[test]
    fn a_linear_function_is_found_exactly() {
        let problem = LeastSquares {
            penalty: 0.0,
            has_intercept: false,
        };
        assert_close(
            &fit(problem, &ROWS, |row| 3.0 * row[0] - 2.0 * row[1]),
            &[3.0, -2.0],
        );
        let problem = LeastSquares {
            has_intercept: true,
            ..problem
        };
        assert_close(
            &fit(problem, &ROWS, |row| 3.0 * row[0] - 2.0 * row[1] + 7.0),
            &[3.0, -2.0],
        );
    }

    /// One coefficient, rows 1 and -1 of weights 1 and 2, targets 5 and 3: `b = sum w x y / (sum w x^2 + penalty)`.
    #[test]
    fn the_penalty_shrinks_by_the_closed_form() {
        let problem = LeastSquares {
            penalty: 2.0,
            has_intercept: false,
        };
        let rows = [vec![1.0], vec![-1.0]];
        let found = problem
            .coefficients(&rows, &[5.0, 3.0], &[1.0, 2.0])
            .unwrap();
        assert_close(&found, &[(5.0 - 6.0) / (3.0 + 2.0)]);
        // Centred: means -1/3 and 11/3.
        let problem = LeastSquares {
            has_intercept: true,
            ..problem
        };
        let (a, b) = (4.0 / 3.0, -2.0 / 3.0);
        let expected =
            (a * (5.0 - 11.0 / 3.0) + 2.0 * b * (3.0 - 11.0 / 3.0)) / (a * a + 2.0 * b * b + 2.0);
        let found = problem
            .coefficients(&rows, &[5.0, 3.0], &[1.0, 2.0])
            .unwrap();
        assert_close(&found, &[expected]);
    }

    #[test]
    fn the_shortest_solution_is_taken_where_there_are_many() {
        let problem = LeastSquares {
            penalty: 0.0,
            has_intercept: false,
        };
        assert_close(
            &fit(problem, &[[1.0, 1.0], [2.0, 2.0]], |row| 3.0 * row[0]),
            &[1.5, 1.5],
        );
        assert_close(&fit(problem, &[[0.0, 0.0]], |_| 1.0), &[0.0, 0.0]);
        assert_close(&fit(problem, &[], |_| 1.0), &[]);
    }

    #[test]
    fn scores_that_are_no_numbers_are_an_error() {
        let problem = LeastSquares {
            penalty: 1.0,
            has_intercept: true,
        };
        let error = problem.coefficients(&[vec![1.0], vec![0.0]], &[f64::NAN, 1.0], &[1.0, 1.0]);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Compute);
    }
}
