//! Winograd's convolution F(4x4, 3x3): a quarter of the multiplications (Lavin and Gray, 2015, "Fast Algorithms for Convolutional
//! Neural Networks").
//!
//! ```text
//! 6x6 input tile d ──► Bᵀ d B ──┐
//!                               ├─ product per frequency, summed over channels ──► Aᵀ m A ──► 4x4 output tile
//! 3x3 weight g     ──► G g Gᵀ ──┘
//! ```
//!
//! The 36 frequencies are 36 matrix products, which [`convolve`](super::convolve) computes.

use super::element::Element;
use super::simd::Simd;
use super::{BLOCK, Isa, extent, scalar};

/// Rows and columns of an output tile.
pub(in crate::model::cpu) const OUTPUT_TILE: usize = 4;
/// Rows and columns of an input tile: neighbours overlap by two.
pub(super) const INPUT_TILE: usize = 6;
/// Products per tile and channel pair.
pub(in crate::model::cpu) const FREQUENCIES: usize = INPUT_TILE * INPUT_TILE;

/// Consecutive tiles of an image, counted row by row.
#[derive(Debug, Clone, Copy)]
pub(in crate::model::cpu) struct TileRange {
    pub(in crate::model::cpu) first: usize,
    pub(in crate::model::cpu) count: usize,
    pub(in crate::model::cpu) per_row: usize,
}

impl TileRange {
    /// Row and column of the `index`th tile of the range, in tiles.
    pub(super) fn position(&self, index: usize) -> (usize, usize) {
        let tile = self.first + index;
        (tile / self.per_row, tile % self.per_row)
    }
}

/// The input transform of some tiles.
#[derive(Debug)]
pub(in crate::model::cpu) struct WinogradInput<'a> {
    /// `[blocks][rows][columns][16]` with a border of 1, filled up with zeros to whole tiles.
    pub(in crate::model::cpu) input: &'a [f32],
    pub(in crate::model::cpu) blocks: usize,
    pub(in crate::model::cpu) rows: usize,
    pub(in crate::model::cpu) columns: usize,
    /// From one block of channels to the next, in elements.
    pub(in crate::model::cpu) plane: usize,
    pub(in crate::model::cpu) tiles: TileRange,
    /// `[36][blocks][tiles][16]`, with `frequency_stride` elements from one frequency to the next.
    pub(in crate::model::cpu) output: &'a mut [f32],
    pub(in crate::model::cpu) frequency_stride: usize,
}

/// The output transform of some tiles.
#[derive(Debug)]
pub(in crate::model::cpu) struct WinogradOutput<'a> {
    /// `[36][blocks][tiles][16]`, with `frequency_stride` elements from one frequency to the next.
    pub(in crate::model::cpu) sums: &'a [f32],
    pub(in crate::model::cpu) frequency_stride: usize,
    pub(in crate::model::cpu) blocks: usize,
    pub(in crate::model::cpu) tiles: TileRange,
    /// `[blocks][rows][columns][16]`; what tiles have beyond it is dropped.
    pub(in crate::model::cpu) output: &'a mut [f32],
    pub(in crate::model::cpu) rows: usize,
    pub(in crate::model::cpu) columns: usize,
    /// From one block of channels to the next, in elements.
    pub(in crate::model::cpu) plane: usize,
    /// Scale and shift per output channel.
    pub(in crate::model::cpu) affine: Option<(&'a [f32], &'a [f32])>,
    /// 0 for a ReLU, else minus infinity.
    pub(in crate::model::cpu) floor: f32,
}

/// `G g Gᵀ` in f64: a 3x3 weight (row-major) in the frequency domain.
pub(in crate::model::cpu) fn winograd_weight(weight: [f32; 9]) -> [f32; FREQUENCIES] {
    const G: [[f64; 3]; INPUT_TILE] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    let mut rows = [[0.0f64; 3]; INPUT_TILE];
    for (row, g) in rows.iter_mut().zip(G) {
        for (column, value) in row.iter_mut().enumerate() {
            *value = (0..3)
                .map(|k| g[k] * f64::from(weight[3 * k + column]))
                .sum();
        }
    }
    let mut output = [0.0; FREQUENCIES];
    for (i, row) in rows.iter().enumerate() {
        for (j, g) in G.iter().enumerate() {
            let sum: f64 = (0..3).map(|k| g[k] * row[k]).sum();
            output[i * INPUT_TILE + j] = sum as f32;
        }
    }
    output
}

/// Transforms tiles of the input.
pub(in crate::model::cpu) fn winograd_input(isa: Isa, mut call: WinogradInput<'_>) {
    let tiles = call.tiles;
    check_planes(
        call.input.len(),
        call.blocks,
        call.plane,
        [call.rows, call.columns],
    );
    check_frequencies(call.output.len(), call.frequency_stride, call.blocks, tiles);
    let (last_row, _) = tiles.position(tiles.count - 1);
    assert!(extent(last_row, OUTPUT_TILE, INPUT_TILE) <= call.rows);
    assert!(extent(tiles.per_row - 1, OUTPUT_TILE, INPUT_TILE) <= call.columns);
    match f32::table(isa) {
        // SAFETY: the sizes were checked; an `Isa` exists only where the CPU has the instruction set.
        Some(table) => unsafe { (table.winograd_input)(&mut call) },
        None => scalar::winograd_input(&mut call),
    }
}

/// Transforms sums back to pixels.
pub(in crate::model::cpu) fn winograd_output(isa: Isa, mut call: WinogradOutput<'_>) {
    let tiles = call.tiles;
    check_frequencies(call.sums.len(), call.frequency_stride, call.blocks, tiles);
    check_planes(
        call.output.len(),
        call.blocks,
        call.plane,
        [call.rows, call.columns],
    );
    if let Some((scale, shift)) = call.affine {
        assert_eq!(scale.len(), call.blocks * BLOCK);
        assert_eq!(shift.len(), call.blocks * BLOCK);
    }
    match f32::table(isa) {
        // SAFETY: the sizes were checked; an `Isa` exists only where the CPU has the instruction set.
        Some(table) => unsafe { (table.winograd_output)(&mut call) },
        None => scalar::winograd_output(&mut call),
    }
}

fn check_planes(len: usize, blocks: usize, plane: usize, [rows, columns]: [usize; 2]) {
    assert!(plane >= extent(extent(rows, columns, 0), BLOCK, 0));
    assert_eq!(len, extent(blocks, plane, 0));
}

fn check_frequencies(len: usize, stride: usize, blocks: usize, tiles: TileRange) {
    assert!(tiles.count > 0 && tiles.per_row > 0);
    // Counting to the last tile must not wrap.
    extent(1, tiles.first, tiles.count);
    assert!(stride >= extent(extent(blocks, tiles.count, 0), BLOCK, 0));
    assert_eq!(len, extent(FREQUENCIES, stride, 0));
}

/// One row or column of `Bᵀ d`.
///
/// # Safety
/// Inlined into a function that enables the instruction set. So are the others.
#[inline(always)]
unsafe fn input_line<S: Simd>(d: [S::Vector; INPUT_TILE]) -> [S::Vector; INPUT_TILE] {
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

/// One row or column of `Aᵀ m`.
///
/// # Safety
/// As [`input_line`].
#[inline(always)]
unsafe fn output_line<S: Simd>(m: [S::Vector; INPUT_TILE]) -> [S::Vector; OUTPUT_TILE] {
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

/// # Safety
/// Sizes as [`winograd_input`] checks them; inlined into a function that enables the instruction set.
#[inline(always)]
pub(super) unsafe fn run_input<S: Simd<Element = f32>>(call: &mut WinogradInput<'_>) {
    let tiles = call.tiles;
    let row_stride = call.columns * BLOCK;
    for block in 0..call.blocks {
        for index in 0..tiles.count {
            let (row, column) = tiles.position(index);
            let corner = block * call.plane + (row * call.columns + column) * OUTPUT_TILE * BLOCK;
            let tile = (block * tiles.count + index) * BLOCK;
            for lane in (0..BLOCK).step_by(S::LANES) {
                // SAFETY: `winograd_input` checked that the last tile is inside the input, and the output's length.
                unsafe {
                    let from = call.input.as_ptr().add(corner + lane);
                    let zero = S::splat(0.0);
                    let mut rows = [[zero; INPUT_TILE]; INPUT_TILE];
                    for j in 0..INPUT_TILE {
                        let mut line = [zero; INPUT_TILE];
                        for (i, value) in line.iter_mut().enumerate() {
                            *value = S::load(from.add(i * row_stride + j * BLOCK));
                        }
                        let line = input_line::<S>(line);
                        for (row, value) in rows.iter_mut().zip(line) {
                            row[j] = value;
                        }
                    }
                    for (i, row) in rows.into_iter().enumerate() {
                        let line = input_line::<S>(row);
                        for (j, value) in line.into_iter().enumerate() {
                            let frequency = i * INPUT_TILE + j;
                            let at = frequency * call.frequency_stride + tile;
                            S::store(call.output.as_mut_ptr().add(at + lane), value);
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// Sizes as [`winograd_output`] checks them; inlined into a function that enables the instruction set.
#[inline(always)]
pub(super) unsafe fn run_output<S: Simd<Element = f32>>(call: &mut WinogradOutput<'_>) {
    let tiles = call.tiles;
    for block in 0..call.blocks {
        for lane in (0..BLOCK).step_by(S::LANES) {
            for index in 0..tiles.count {
                let (row, column) = tiles.position(index);
                let (top, left) = (row * OUTPUT_TILE, column * OUTPUT_TILE);
                let tile = (block * tiles.count + index) * BLOCK;
                // SAFETY: `winograd_output` checked the lengths; rows and columns beyond the image are left out.
                unsafe {
                    let zero = S::splat(0.0);
                    let channel = block * BLOCK + lane;
                    let affine = call.affine.map(|(scale, shift)| {
                        (scale.as_ptr().add(channel), shift.as_ptr().add(channel))
                    });
                    let floor = S::splat(call.floor);
                    let mut rows = [[zero; INPUT_TILE]; OUTPUT_TILE];
                    for j in 0..INPUT_TILE {
                        let mut line = [zero; INPUT_TILE];
                        for (i, value) in line.iter_mut().enumerate() {
                            let frequency = i * INPUT_TILE + j;
                            let at = frequency * call.frequency_stride + tile;
                            *value = S::load(call.sums.as_ptr().add(at + lane));
                        }
                        let line = output_line::<S>(line);
                        for (row, value) in rows.iter_mut().zip(line) {
                            row[j] = value;
                        }
                    }
                    for (i, row) in rows.into_iter().enumerate() {
                        if top + i >= call.rows {
                            break;
                        }
                        let line = output_line::<S>(row);
                        for (j, mut value) in line.into_iter().enumerate() {
                            if left + j >= call.columns {
                                break;
                            }
                            if let Some((scale, shift)) = affine {
                                value = S::mul_add(value, S::load(scale), S::load(shift));
                            }
                            let pixel = (top + i) * call.columns + left + j;
                            let at = block * call.plane + pixel * BLOCK + lane;
                            let to = call.output.as_mut_ptr().add(at);
                            S::store(to, S::max(value, floor));
                        }
                    }
                }
            }
        }
    }
}
