//! Which activations a ReLU let through, as bits; for the backward pass.

use super::element::Element;
use super::simd::Simd;
use super::{BLOCK, Isa, scalar};

/// Bit `i` of an item is set where channel `i` of that pixel's block is above 0.
pub(in crate::model::cpu) fn positive_mask<E: Element>(isa: Isa, values: &[E], bits: &mut [u16]) {
    assert_eq!(values.len(), bits.len() * BLOCK);
    match E::table(isa) {
        // SAFETY: the lengths were checked; an `Isa` exists only where the CPU has the instruction set.
        Some(table) => unsafe { (table.positive_mask)(values, bits) },
        None => scalar::positive_mask(values, bits),
    }
}

/// Copies `values`, with 0 where the bit of a channel is 0.
pub(in crate::model::cpu) fn masked(isa: Isa, values: &[f32], bits: &[u16], output: &mut [f32]) {
    assert_eq!(values.len(), bits.len() * BLOCK);
    assert_eq!(values.len(), output.len());
    match f32::table(isa) {
        // SAFETY: as above.
        Some(table) => unsafe { (table.masked)(values, bits, output) },
        None => scalar::masked(values, bits, output),
    }
}

/// # Safety
/// Lengths as [`positive_mask`] checks them; inlined into a function that enables the instruction set.
#[inline(always)]
pub(super) unsafe fn run_positive<S: Simd>(values: &[S::Element], bits: &mut [u16]) {
    for (pixel, bits) in values.chunks_exact(BLOCK).zip(bits) {
        *bits = 0;
        for lane in (0..BLOCK).step_by(S::LANES) {
            // SAFETY: a pixel has `BLOCK` values.
            *bits |= unsafe { S::positive(S::load(pixel.as_ptr().add(lane))) } << lane;
        }
    }
}

/// # Safety
/// Lengths as [`masked`] checks them; inlined into a function that enables the instruction set.
#[inline(always)]
pub(super) unsafe fn run_masked<S: Simd<Element = f32>>(
    values: &[f32],
    bits: &[u16],
    output: &mut [f32],
) {
    let pixels = values
        .chunks_exact(BLOCK)
        .zip(output.chunks_exact_mut(BLOCK));
    for ((from, to), bits) in pixels.zip(bits) {
        for lane in (0..BLOCK).step_by(S::LANES) {
            // SAFETY: a pixel has `BLOCK` values.
            unsafe {
                let kept = S::keep(S::load(from.as_ptr().add(lane)), bits >> lane);
                S::store(to.as_mut_ptr().add(lane), kept);
            }
        }
    }
}
