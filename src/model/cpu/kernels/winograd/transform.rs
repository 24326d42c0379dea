//! The matrices of F(2x2, 3x3) and F(4x4, 3x3), multiplied out for vectors.

use super::super::simd::Simd;

/// F(`OUTPUT` x `OUTPUT`, 3x3), with `INPUT = OUTPUT + 2`.
pub(super) trait Transform<const OUTPUT: usize, const INPUT: usize> {
    /// `G`.
    const WEIGHT_MATRIX: [[f64; 3]; INPUT];

    /// One row or column of `Bᵀ d`.
    ///
    /// # Safety
    /// Inlined into a function that enables the instruction set. So is the other.
    unsafe fn input_line<S: Simd>(d: [S::Vector; INPUT]) -> [S::Vector; INPUT];

    /// One row or column of `Aᵀ m`.
    ///
    /// # Safety
    /// As [`input_line`](Self::input_line).
    unsafe fn output_line<S: Simd>(m: [S::Vector; INPUT]) -> [S::Vector; OUTPUT];
}

/// `G g Gᵀ`, row by row.
pub(super) fn weight<const INPUT: usize>(
    g: &[[f64; 3]; INPUT],
    weight: [f32; 9],
    transformed: &mut [f32],
) {
    let weight = weight.map(f64::from);
    for (left, line) in g.iter().zip(transformed.chunks_exact_mut(INPUT)) {
        let column =
            |k: usize| left[0] * weight[k] + left[1] * weight[3 + k] + left[2] * weight[6 + k];
        let row = [column(0), column(1), column(2)];
        for (right, value) in g.iter().zip(line) {
            *value = (right[0] * row[0] + right[1] * row[1] + right[2] * row[2]) as f32;
        }
    }
}

/// F(2x2, 3x3).
#[derive(Debug, Clone, Copy)]
pub(super) struct F2x2;

/// F(4x4, 3x3).
#[derive(Debug, Clone, Copy)]
pub(super) struct F4x4;

impl Transform<2, 4> for F2x2 {
    const WEIGHT_MATRIX: [[f64; 3]; 4] = [
        [1.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [0.5, -0.5, 0.5],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn input_line<S: Simd>(d: [S::Vector; 4]) -> [S::Vector; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            [
                S::sub(d[0], d[2]),
                S::add(d[1], d[2]),
                S::sub(d[2], d[1]),
                S::sub(d[1], d[3]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_line<S: Simd>(m: [S::Vector; 4]) -> [S::Vector; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            [
                S::add(S::add(m[0], m[1]), m[2]),
                S::sub(S::sub(m[1], m[2]), m[3]),
            ]
        }
    }
}

impl Transform<4, 6> for F4x4 {
    const WEIGHT_MATRIX: [[f64; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn input_line<S: Simd>(d: [S::Vector; 6]) -> [S::Vector; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let (two, four, five) = (S::splat(2.0), S::splat(4.0), S::splat(5.0));
            let even = S::neg_mul_add(four, d[2], d[4]);
            let odd = S::neg_mul_add(four, d[1], d[3]);
            let even_difference = S::sub(d[4], d[2]);
            let odd_difference = S::sub(d[3], d[1]);
            [
                S::mul_add(four, d[0], S::neg_mul_add(five, d[2], d[4])),
                S::add(even, odd),
                S::sub(even, odd),
                S::mul_add(two, odd_difference, even_difference),
                S::neg_mul_add(two, odd_difference, even_difference),
                S::mul_add(four, d[1], S::neg_mul_add(five, d[3], d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_line<S: Simd>(m: [S::Vector; 6]) -> [S::Vector; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let (two, four, eight) = (S::splat(2.0), S::splat(4.0), S::splat(8.0));
            let (sum_12, difference_12) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (sum_34, difference_34) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            [
                S::add(S::add(m[0], sum_12), sum_34),
                S::mul_add(two, difference_34, difference_12),
                S::mul_add(four, sum_34, sum_12),
                S::add(S::mul_add(eight, difference_34, difference_12), m[5]),
            ]
        }
    }
}
