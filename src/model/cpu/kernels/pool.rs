//! Max pooling.

use super::element::Element;
use super::simd::Simd;
use super::{BLOCK, Isa, extent, scalar};

/// 3x3 max pooling with stride 2 and a border of 1. The input must not be negative: the border counts as 0.
#[derive(Debug)]
pub(in crate::model::cpu) struct MaxPool<'a, E> {
    /// `[blocks][2 size][2 size][16]`
    pub(in crate::model::cpu) input: &'a [E],
    /// From one block of channels to the next, in elements.
    pub(in crate::model::cpu) input_plane: usize,
    /// `[blocks][size][size][16]`
    pub(in crate::model::cpu) output: &'a mut [E],
    /// From one block of channels to the next, in elements.
    pub(in crate::model::cpu) output_plane: usize,
    pub(in crate::model::cpu) blocks: usize,
    /// Rows and columns of the output.
    pub(in crate::model::cpu) size: usize,
}

/// Runs a pooling.
pub(in crate::model::cpu) fn max_pool<E: Element>(isa: Isa, mut call: MaxPool<'_, E>) {
    let output_plane = extent(extent(call.size, call.size, 0), BLOCK, 0);
    assert!(call.input_plane >= extent(output_plane, 4, 0) && call.output_plane >= output_plane);
    assert_eq!(call.input.len(), extent(call.blocks, call.input_plane, 0));
    assert_eq!(call.output.len(), extent(call.blocks, call.output_plane, 0));
    match E::table(isa) {
        // SAFETY: the lengths were checked; an `Isa` exists only where the CPU has the instruction set.
        Some(table) => unsafe { (table.max_pool)(&mut call) },
        None => scalar::max_pool(&mut call),
    }
}

/// # Safety
/// Lengths as [`max_pool`] checks them; inlined into a function that enables the instruction set.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(call: &mut MaxPool<'_, S::Element>) {
    let size = call.size;
    for block in 0..call.blocks {
        for row in 0..size {
            // Output (row, column) sees input rows 2 row - 1 to 2 row + 1; below the last row and right of the last column
            // there is always input.
            let top = (2 * row).saturating_sub(1);
            for column in 0..size {
                let left = (2 * column).saturating_sub(1);
                for lane in (0..BLOCK).step_by(S::LANES) {
                    // SAFETY: the rows, columns and lanes are inside the lengths that `max_pool` checked.
                    unsafe {
                        let mut maximum = S::splat(0.0);
                        for y in top..2 * row + 2 {
                            for x in left..2 * column + 2 {
                                let at = block * call.input_plane + (y * 2 * size + x) * BLOCK;
                                let from = call.input.as_ptr().add(at + lane);
                                maximum = S::max(maximum, S::load(from));
                            }
                        }
                        let at = block * call.output_plane + (row * size + column) * BLOCK;
                        let to = call.output.as_mut_ptr().add(at + lane);
                        S::store(to, maximum);
                    }
                }
            }
        }
    }
}
