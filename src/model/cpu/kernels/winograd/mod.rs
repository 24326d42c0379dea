//! Winograd's minimal filtering: a 3x3 convolution with fewer multiplications (Lavin and Gray, 2015, "Fast Algorithms for
//! Convolutional Neural Networks").
//!
//! ```text
//! input tile d    ──► Bᵀ d B ──┐
//!                              ├─ product per frequency, summed over channels ──► Aᵀ m A ──► output tile
//! 3x3 weight g    ──► G g Gᵀ ──┘
//! ```
//!
//! Each frequency is a matrix product, which [`convolve`](super::convolve) computes. The matrices are in `transform.rs`.

mod transform;

use self::transform::{F2x2, F4x4, Transform};
use super::element::Element;
use super::simd::Simd;
use super::{BLOCK, Isa, extent, scalar};

/// How many pixels a tile yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model::cpu) enum Tiling {
    /// F(2x2, 3x3): 4 multiplications per output instead of 9, and 16/9 of the weights.
    F2x2,
    /// F(4x4, 3x3): 2.25 multiplications, but 4 times the weights, and larger rounding errors.
    F4x4,
}

impl Tiling {
    /// Rows and columns of an output tile.
    pub(in crate::model::cpu) fn output(self) -> usize {
        match self {
            Self::F2x2 => 2,
            Self::F4x4 => 4,
        }
    }

    /// Rows and columns of an input tile: neighbours overlap by two.
    pub(super) fn input(self) -> usize {
        self.output() + 2
    }

    /// Products per tile and pair of channels.
    pub(in crate::model::cpu) fn frequencies(self) -> usize {
        self.input() * self.input()
    }
}

/// Rows and columns of the largest output tile.
pub(in crate::model::cpu) const LARGEST_OUTPUT_TILE: usize = 4;

/// Consecutive tiles of an image, counted row by row.
#[derive(Debug, Clone, Copy)]
pub(in crate::model::cpu) struct TileRange {
    pub(in crate::model::cpu) tiling: Tiling,
    pub(in crate::model::cpu) first: usize,
    pub(in crate::model::cpu) count: usize,
    pub(in crate::model::cpu) per_row: usize,
}

impl TileRange {
    /// First row and column of the `index`th tile of the range, in pixels of the output.
    pub(super) fn corner(&self, index: usize) -> (usize, usize) {
        let (tile, size) = (self.first + index, self.tiling.output());
        (tile / self.per_row * size, tile % self.per_row * size)
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
    /// `[frequencies][blocks][tiles][16]`, with `frequency_stride` elements from one frequency to the next.
    pub(in crate::model::cpu) output: &'a mut [f32],
    pub(in crate::model::cpu) frequency_stride: usize,
}

/// The output transform of some tiles.
#[derive(Debug)]
pub(in crate::model::cpu) struct WinogradOutput<'a> {
    /// `[frequencies][blocks][tiles][16]`, with `frequency_stride` elements from one frequency to the next.
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

/// `G g Gᵀ` in f64: a 3x3 weight (row-major) in the frequency domain, all of which `transformed` takes.
pub(in crate::model::cpu) fn winograd_weight(
    tiling: Tiling,
    weight: [f32; 9],
    transformed: &mut [f32],
) {
    assert_eq!(transformed.len(), tiling.frequencies());
    match tiling {
        Tiling::F2x2 => transform::weight(&F2x2::WEIGHT_MATRIX, weight, transformed),
        Tiling::F4x4 => transform::weight(&F4x4::WEIGHT_MATRIX, weight, transformed),
    }
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
    let (last_row, _) = tiles.corner(tiles.count - 1);
    let (input_tile, output_tile) = (tiles.tiling.input(), tiles.tiling.output());
    assert!(extent(1, last_row, input_tile) <= call.rows);
    assert!(extent(tiles.per_row - 1, output_tile, input_tile) <= call.columns);
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
    // Counting to the last tile, in pixels, must not wrap.
    let end = extent(1, tiles.first, tiles.count);
    extent(end, tiles.tiling.output(), 0);
    assert!(stride >= extent(extent(blocks, tiles.count, 0), BLOCK, 0));
    assert_eq!(len, extent(tiles.tiling.frequencies(), stride, 0));
}

/// # Safety
/// Sizes as [`winograd_input`] checks them; inlined into a function that enables the instruction set.
#[inline(always)]
pub(super) unsafe fn run_input<S: Simd<Element = f32>>(call: &mut WinogradInput<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        match call.tiles.tiling {
            Tiling::F2x2 => input_tiles::<S, F2x2, 2, 4>(call),
            Tiling::F4x4 => input_tiles::<S, F4x4, 4, 6>(call),
        }
    }
}

/// # Safety
/// As [`run_input`]; the tiling is `T`.
// Indices where iterators would do: arrays of vectors are kept in registers only if every loop over them is unrolled.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn input_tiles<S, T, const OUTPUT: usize, const INPUT: usize>(call: &mut WinogradInput<'_>)
where
    S: Simd<Element = f32>,
    T: Transform<OUTPUT, INPUT>,
{
    let tiles = call.tiles;
    let row_stride = call.columns * BLOCK;
    for block in 0..call.blocks {
        for index in 0..tiles.count {
            let (row, column) = tiles.corner(index);
            let corner = block * call.plane + (row * call.columns + column) * BLOCK;
            let tile = (block * tiles.count + index) * BLOCK;
            for lane in (0..BLOCK).step_by(S::LANES) {
                // SAFETY: `winograd_input` checked that the last tile is inside the input, and the output's length.
                unsafe {
                    let from = call.input.as_ptr().add(corner + lane);
                    let zero = S::splat(0.0);
                    let mut rows = [[zero; INPUT]; INPUT];
                    for j in 0..INPUT {
                        let mut line = [zero; INPUT];
                        for i in 0..INPUT {
                            line[i] = S::load(from.add(i * row_stride + j * BLOCK));
                        }
                        let line = T::input_line::<S>(line);
                        for i in 0..INPUT {
                            rows[i][j] = line[i];
                        }
                    }
                    for i in 0..INPUT {
                        let line = T::input_line::<S>(rows[i]);
                        for j in 0..INPUT {
                            let frequency = i * INPUT + j;
                            let at = frequency * call.frequency_stride + tile;
                            S::store(call.output.as_mut_ptr().add(at + lane), line[j]);
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
    // SAFETY: the caller's promise.
    unsafe {
        match call.tiles.tiling {
            Tiling::F2x2 => output_tiles::<S, F2x2, 2, 4>(call),
            Tiling::F4x4 => output_tiles::<S, F4x4, 4, 6>(call),
        }
    }
}

/// # Safety
/// As [`run_output`]; the tiling is `T`.
// Indices where iterators would do: arrays of vectors are kept in registers only if every loop over them is unrolled.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn output_tiles<S, T, const OUTPUT: usize, const INPUT: usize>(call: &mut WinogradOutput<'_>)
where
    S: Simd<Element = f32>,
    T: Transform<OUTPUT, INPUT>,
{
    let tiles = call.tiles;
    for block in 0..call.blocks {
        for lane in (0..BLOCK).step_by(S::LANES) {
            for index in 0..tiles.count {
                let (top, left) = tiles.corner(index);
                let tile = (block * tiles.count + index) * BLOCK;
                // SAFETY: `winograd_output` checked the lengths; rows and columns beyond the image are left out.
                unsafe {
                    let zero = S::splat(0.0);
                    let channel = block * BLOCK + lane;
                    let affine = call.affine.map(|(scale, shift)| {
                        (scale.as_ptr().add(channel), shift.as_ptr().add(channel))
                    });
                    let floor = S::splat(call.floor);
                    let mut rows = [[zero; INPUT]; OUTPUT];
                    for j in 0..INPUT {
                        let mut line = [zero; INPUT];
                        for i in 0..INPUT {
                            let frequency = i * INPUT + j;
                            let at = frequency * call.frequency_stride + tile;
                            line[i] = S::load(call.sums.as_ptr().add(at + lane));
                        }
                        let line = T::output_line::<S>(line);
                        for i in 0..OUTPUT {
                            rows[i][j] = line[i];
                        }
                    }
                    for i in 0..OUTPUT {
                        if top + i >= call.rows {
                            break;
                        }
                        let line = T::output_line::<S>(rows[i]);
                        for j in 0..OUTPUT {
                            if left + j >= call.columns {
                                break;
                            }
                            let mut value = line[j];
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
