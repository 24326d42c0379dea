//! The kernels in plain loops: what the vector code must agree with, and what runs where there is none.
//!
//! Products and sums round separately here, where vector code fuses them: results agree to rounding, not to the bit.

use super::BLOCK;
use super::classify::PARTIAL_SUMS;
use super::convolve::Convolve;
use super::element::Element;
use super::pool::MaxPool;
use super::winograd::{Tiling, WinogradInput, WinogradOutput};

/// See [`super::convolve`]. Weights are packed for tiles of one block.
pub(super) fn convolve<E: Element>(call: &mut Convolve<'_, E>) {
    let per_step = call.words_per_step * E::PER_WORD;
    let weights_per_block = call.steps.len() * per_step * BLOCK;
    for block in 0..call.output_channels / BLOCK {
        let weights = &call.weights[block * weights_per_block..][..weights_per_block];
        for row in 0..call.input_grid.rows {
            for column in 0..call.input_grid.columns {
                let window = call.input_grid.offset(row, column);
                let mut sums = [0.0f32; BLOCK];
                for (step, weights) in call
                    .steps
                    .iter()
                    .zip(weights.chunks_exact(per_step * BLOCK))
                {
                    let inputs = &call.input[window + step..][..per_step];
                    // One word of the input meets one word per channel of the block.
                    for (index, input) in inputs.iter().enumerate() {
                        let (word, part) = (index / E::PER_WORD, index % E::PER_WORD);
                        let weights = &weights[word * E::PER_WORD * BLOCK + part..];
                        let value = input.to_f32();
                        // Indices are twice as fast as iterators in tests, which are barely optimised.
                        #[allow(clippy::needless_range_loop)]
                        for channel in 0..BLOCK {
                            sums[channel] += value * weights[channel * E::PER_WORD].to_f32();
                        }
                    }
                }
                let offset = block * call.output_plane + call.output_grid.offset(row, column);
                for (channel, sum) in sums.into_iter().enumerate() {
                    let mut value = sum;
                    if let Some((scale, shift)) = call.epilogue.affine {
                        let channel = block * BLOCK + channel;
                        value = value * scale[channel] + shift[channel];
                    }
                    if let Some(residual) = call.epilogue.residual {
                        value += residual[offset + channel].to_f32();
                    }
                    call.output[offset + channel] = E::from_f32(value.max(call.epilogue.floor));
                }
            }
        }
    }
}

/// See [`super::max_pool`].
pub(super) fn max_pool<E: Element>(call: &mut MaxPool<'_, E>) {
    let size = call.size;
    for block in 0..call.blocks {
        for row in 0..size {
            for column in 0..size {
                for channel in 0..BLOCK {
                    let mut maximum = 0.0f32;
                    for y in (2 * row).saturating_sub(1)..2 * row + 2 {
                        for x in (2 * column).saturating_sub(1)..2 * column + 2 {
                            let at = block * call.input_plane + (y * 2 * size + x) * BLOCK;
                            maximum = maximum.max(call.input[at + channel].to_f32());
                        }
                    }
                    let at = block * call.output_plane + (row * size + column) * BLOCK;
                    call.output[at + channel] = E::from_f32(maximum);
                }
            }
        }
    }
}

/// See [`super::positive_mask`].
pub(super) fn positive_mask<E: Element>(values: &[E], bits: &mut [u16]) {
    for (pixel, bits) in values.chunks_exact(BLOCK).zip(bits) {
        *bits = pixel.iter().enumerate().fold(0, |bits, (channel, value)| {
            bits | u16::from(value.to_f32() > 0.0) << channel
        });
    }
}

/// See [`super::masked`].
pub(super) fn masked(values: &[f32], bits: &[u16], output: &mut [f32]) {
    for (index, (value, output)) in values.iter().zip(output).enumerate() {
        let is_kept = bits[index / BLOCK] >> (index % BLOCK) & 1 == 1;
        *output = if is_kept { *value } else { 0.0 };
    }
}

/// The dot product, in [`PARTIAL_SUMS`] sums.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut partial = [0.0; PARTIAL_SUMS];
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        partial[index % PARTIAL_SUMS] += a * b;
    }
    partial.iter().sum()
}

/// `Bᵀ` of F(2x2, 3x3).
const INPUT_MATRIX_2: [[f32; 4]; 4] = [
    [1.0, 0.0, -1.0, 0.0],
    [0.0, 1.0, 1.0, 0.0],
    [0.0, -1.0, 1.0, 0.0],
    [0.0, 1.0, 0.0, -1.0],
];

/// `Aᵀ` of F(2x2, 3x3).
const OUTPUT_MATRIX_2: [[f32; 4]; 2] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]];

/// `Bᵀ` of F(4x4, 3x3).
const INPUT_MATRIX_4: [[f32; 6]; 6] = [
    [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
    [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
    [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
    [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
    [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
    [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
];

/// `Aᵀ` of F(4x4, 3x3).
const OUTPUT_MATRIX_4: [[f32; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
];

/// `M t Mᵀ`.
fn sandwich<const N: usize, const INPUT: usize>(
    matrix: &[[f32; INPUT]; N],
    tile: [[f32; INPUT]; INPUT],
) -> [[f32; N]; N] {
    let mut half = [[0.0; INPUT]; N];
    for (half, weights) in half.iter_mut().zip(matrix) {
        for (row, weight) in tile.iter().zip(weights) {
            for (sum, value) in half.iter_mut().zip(row) {
                *sum += weight * value;
            }
        }
    }
    let mut output = [[0.0; N]; N];
    for (output, half) in output.iter_mut().zip(half) {
        for (sum, weights) in output.iter_mut().zip(matrix) {
            *sum = half.iter().zip(weights).map(|(a, b)| a * b).sum();
        }
    }
    output
}

/// See [`super::winograd_input`].
pub(super) fn winograd_input(call: &mut WinogradInput<'_>) {
    match call.tiles.tiling {
        Tiling::F2x2 => input_tiles(call, &INPUT_MATRIX_2),
        Tiling::F4x4 => input_tiles(call, &INPUT_MATRIX_4),
    }
}

fn input_tiles<const INPUT: usize>(call: &mut WinogradInput<'_>, matrix: &[[f32; INPUT]; INPUT]) {
    let tiles = call.tiles;
    for block in 0..call.blocks {
        for index in 0..tiles.count {
            let (row, column) = tiles.corner(index);
            for channel in 0..BLOCK {
                let mut tile = [[0.0; INPUT]; INPUT];
                for (y, line) in tile.iter_mut().enumerate() {
                    for (x, value) in line.iter_mut().enumerate() {
                        let pixel = (row + y) * call.columns + column + x;
                        *value = call.input[block * call.plane + pixel * BLOCK + channel];
                    }
                }
                let transformed = sandwich(matrix, tile);
                for (frequency, value) in transformed.as_flattened().iter().enumerate() {
                    let tile = (block * tiles.count + index) * BLOCK;
                    call.output[frequency * call.frequency_stride + tile + channel] = *value;
                }
            }
        }
    }
}

/// See [`super::winograd_output`].
pub(super) fn winograd_output(call: &mut WinogradOutput<'_>) {
    match call.tiles.tiling {
        Tiling::F2x2 => output_tiles(call, &OUTPUT_MATRIX_2),
        Tiling::F4x4 => output_tiles(call, &OUTPUT_MATRIX_4),
    }
}

fn output_tiles<const OUTPUT: usize, const INPUT: usize>(
    call: &mut WinogradOutput<'_>,
    matrix: &[[f32; INPUT]; OUTPUT],
) {
    let tiles = call.tiles;
    for block in 0..call.blocks {
        for index in 0..tiles.count {
            let (row, column) = tiles.corner(index);
            for channel in 0..BLOCK {
                let mut sums = [[0.0; INPUT]; INPUT];
                for (frequency, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
                    let tile = (block * tiles.count + index) * BLOCK;
                    *sum = call.sums[frequency * call.frequency_stride + tile + channel];
                }
                let tile = sandwich(matrix, sums);
                for (i, line) in tile.iter().enumerate() {
                    for (j, value) in line.iter().enumerate() {
                        let (y, x) = (row + i, column + j);
                        if y < call.rows && x < call.columns {
                            let affine = call.affine.map_or(*value, |(scale, shift)| {
                                let channel = block * BLOCK + channel;
                                value * scale[channel] + shift[channel]
                            });
                            let at = block * call.plane + (y * call.columns + x) * BLOCK;
                            call.output[at + channel] = affine.max(call.floor);
                        }
                    }
                }
            }
        }
    }
}
