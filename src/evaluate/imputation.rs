//! Filling holes in a picture from their surroundings: the linear part of ROAD's noisy linear imputation (Rong 2022).
//!
//! Each missing pixel is the weighted mean of its 8 neighbours, missing ones included: 1/6 for those that share an edge, 1/12 for
//! those that share a corner, divided by the sum of the weights inside the picture. Written as in the authors' code, with rows not
//! divided by that sum, the system `sum(w) x_i - sum(w_j x_j, missing j) = sum(w_j v_j, known j)` is symmetric and positive
//! definite, so conjugate gradients solve it without a sparse matrix: the matrix is a stencil.

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::ModelInput;

/// Weight of a neighbour that shares an edge.
const DIRECT: f64 = 1.0 / 6.0;

/// Weight of a neighbour that shares a corner.
const DIAGONAL: f64 = 1.0 / 12.0;

/// The residual, as a share of the right-hand side, at which a solution counts as found.
const TOLERANCE: f64 = 1e-8;

/// Some hundred iterations are enough for a hole as large as the picture.
const MAXIMUM_ITERATIONS: usize = 20_000;

/// The picture with the missing pixels (`is_missing`, one per pixel) filled in; known ones stay as they are to the bit. A hole
/// that touches no known pixel, which only a picture without any has, becomes 0.
///
/// # Errors
/// [`ErrorKind::Compute`] if the picture holds values that are not finite.
pub fn impute(input: &ModelInput, is_missing: &[bool]) -> Result<ModelInput> {
    let holes = Holes::new(input.size, is_missing);
    let area = input.size * input.size;
    let mut output = input.clone();
    for plane in output.values.chunks_exact_mut(area) {
        let known = holes.padded(|pixel| {
            if is_missing[pixel] {
                0.0
            } else {
                f64::from(plane[pixel])
            }
        });
        let solution = holes.solve(&holes.sum_of_neighbours(&known))?;
        for (pixel, value) in plane.iter_mut().enumerate() {
            if is_missing[pixel] {
                *value = solution[holes.padded_index(pixel)] as f32;
            }
        }
    }
    Ok(output)
}

/// The stencil on a picture with a border of one pixel, which is always 0 and never missing.
struct Holes {
    size: usize,
    /// 1 where a pixel is missing, else 0.
    missing: Vec<f64>,
    /// The sum of the weights of neighbours inside the picture.
    diagonal: Vec<f64>,
}

impl Holes {
    fn new(size: usize, is_missing: &[bool]) -> Self {
        let mut holes = Self {
            size,
            missing: vec![1.0; (size + 2) * (size + 2)],
            diagonal: Vec::new(),
        };
        holes.diagonal = holes.sum_of_neighbours(&holes.padded(|_| 1.0));
        holes.missing = holes.padded(|pixel| f64::from(u8::from(is_missing[pixel])));
        holes
    }

    fn padded_index(&self, pixel: usize) -> usize {
        (pixel / self.size + 1) * (self.size + 2) + pixel % self.size + 1
    }

    fn padded(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut padded = vec![0.0; self.missing.len()];
        for pixel in 0..self.size * self.size {
            padded[self.padded_index(pixel)] = value(pixel);
        }
        padded
    }

    /// The weighted sum of the 8 neighbours of every missing pixel, 0 elsewhere.
    fn sum_of_neighbours(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; values.len()];
        self.for_rows(values, &mut sums, |[above, row, below], sums| {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = neighbours([above, row, below], column);
            }
        });
        for (sum, missing) in sums.iter_mut().zip(&self.missing) {
            *sum *= missing;
        }
        sums
    }

    /// The system's matrix times `values`, which are 0 wherever no pixel is missing.
    fn multiply(&self, values: &[f64], products: &mut [f64]) {
        self.for_rows(values, products, |[above, row, below], products| {
            for (column, product) in products.iter_mut().enumerate() {
                *product = -neighbours([above, row, below], column);
            }
        });
        let weights = self.diagonal.iter().zip(&self.missing);
        for ((product, value), (diagonal, missing)) in products.iter_mut().zip(values).zip(weights)
        {
            *product = missing * (*product + diagonal * value);
        }
    }

    /// Hands `work` three padded rows and the results of the middle one, without its border.
    fn for_rows(
        &self,
        values: &[f64],
        results: &mut [f64],
        work: impl Fn([&[f64]; 3], &mut [f64]),
    ) {
        let width = self.size + 2;
        for row in 1..=self.size {
            let [above, middle, below] =
                [row - 1, row, row + 1].map(|row| &values[row * width..][..width]);
            let results = &mut results[row * width + 1..][..self.size];
            work([above, middle, below], results);
        }
    }

    /// Conjugate gradients from 0.
    fn solve(&self, right: &[f64]) -> Result<Vec<f64>> {
        let mut solution = vec![0.0; right.len()];
        let mut residual = right.to_vec();
        let mut direction = right.to_vec();
        let mut product = vec![0.0; right.len()];
        let mut squared = dot(&residual, &residual);
        let enough = TOLERANCE * TOLERANCE * squared;
        for _ in 0..MAXIMUM_ITERATIONS {
            if squared <= enough {
                return Ok(solution);
            }
            self.multiply(&direction, &mut product);
            let step = squared / dot(&direction, &product);
            add(&mut solution, step, &direction);
            add(&mut residual, -step, &product);
            let before = squared;
            squared = dot(&residual, &residual);
            if !squared.is_finite() {
                break;
            }
            for (direction, residual) in direction.iter_mut().zip(&residual) {
                *direction = residual + squared / before * *direction;
            }
        }
        let message = "cannot fill the removed pixels from their surroundings";
        Err(Error::new(ErrorKind::Compute, message).at_stage(Stage::Explain))
    }
}

/// The weighted sum around the pixel of this column without the border, that is `column + 1` of the padded rows.
#[inline(always)]
fn neighbours([above, row, below]: [&[f64]; 3], column: usize) -> f64 {
    DIRECT * (row[column] + row[column + 2] + above[column + 1] + below[column + 1])
        + DIAGONAL * (above[column] + above[column + 2] + below[column] + below[column + 2])
}

fn add(values: &mut [f64], factor: f64, others: &[f64]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value += factor * other;
    }
}

/// In eight sums side by side, always in the same order, written so that it is unrolled in builds for tests too.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        let mut lane = 0;
        while lane < 8 {
            sums[lane] += a[lane] * b[lane];
            lane += 1;
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += a * b;
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 12;

    fn picture(value: impl Fn(usize, usize) -> f32) -> ModelInput {
        let plane: Vec<f32> = (0..SIZE * SIZE)
            .map(|pixel| value(pixel % SIZE, pixel / SIZE))
            .collect();
        ModelInput {
            size: SIZE,
            values: [plane.clone(), plane.clone(), plane].concat(),
        }
    }

    fn missing(is_missing: impl Fn(usize, usize) -> bool) -> Vec<bool> {
        (0..SIZE * SIZE)
            .map(|pixel| is_missing(pixel % SIZE, pixel / SIZE))
            .collect()
    }

    #[test]
    fn a_ramp_is_restored_inside() {
        let ramp = picture(|x, y| 3.0 * x as f32 - 2.0 * y as f32 + 5.0);
        let holes = missing(|x, y| (2..9).contains(&x) && (1..11).contains(&y));
        let filled = impute(&ramp, &holes).unwrap();
        for (value, expected) in filled.values.iter().zip(&ramp.values) {
            assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        }
    }

    #[test]
    fn weights_are_renormalised_at_the_border() {
        let values = picture(|x, y| (x * x + 3 * y) as f32);
        let corner = impute(&values, &missing(|x, y| x == 0 && y == 0)).unwrap();
        // (0,1), (1,0) direct and (1,1) diagonal.
        let expected = (3.0 / 6.0 + 1.0 / 6.0 + 4.0 / 12.0) / (2.0 / 6.0 + 1.0 / 12.0);
        assert!((corner.values[0] - expected as f32).abs() < 1e-5);
        let flat = impute(&picture(|_, _| 7.0), &missing(|x, y| x < 6 || y == 0)).unwrap();
        assert!(flat.values.iter().all(|value| (value - 7.0).abs() < 1e-5));
    }

    #[test]
    fn missing_pixels_satisfy_the_system_and_known_ones_stay() {
        let values = picture(|x, y| ((x * 5 + y * 3) % 7) as f32);
        let holes = missing(|x, y| (x * y) % 3 == 1 || x > 8);
        let filled = impute(&values, &holes).unwrap();
        for (pixel, is_missing) in holes.iter().enumerate() {
            if !is_missing {
                assert_eq!(filled.values[pixel], values.values[pixel]);
                continue;
            }
            let (x, y) = ((pixel % SIZE) as i64, (pixel / SIZE) as i64);
            let (mut sum, mut weights) = (0.0, 0.0);
            for (dx, dy) in (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (dx, dy))) {
                let inside =
                    (0..SIZE as i64).contains(&(x + dx)) && (0..SIZE as i64).contains(&(y + dy));
                if inside && (dx, dy) != (0, 0) {
                    let weight = if dx * dy == 0 { 1.0 / 6.0 } else { 1.0 / 12.0 };
                    weights += weight;
                    sum += weight
                        * f64::from(filled.values[((y + dy) * SIZE as i64 + x + dx) as usize]);
                }
            }
            let value = f64::from(filled.values[pixel]);
            assert!(
                (value - sum / weights).abs() < 1e-5,
                "{value} {}",
                sum / weights
            );
        }
    }

    #[test]
    fn a_picture_without_known_pixels_becomes_zero() {
        let nothing = impute(&picture(|_, _| 3.0), &[true; SIZE * SIZE]).unwrap();
        assert!(nothing.values.iter().all(|value| *value == 0.0));
    }

    #[test]
    fn values_that_are_no_numbers_are_an_error() {
        let broken = picture(|x, _| if x == 0 { f32::NAN } else { 1.0 });
        let error = impute(&broken, &missing(|x, _| x == 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Compute);
    }
}
