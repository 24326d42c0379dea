//! The fully connected layer.

use super::element::Element;
use super::simd::Simd;
use super::{Isa, extent, scalar};

/// Independent partial sums of a dot product: enough to hide the latency of the additions, and as many in all vector
/// code, so that all of it rounds alike.
pub(super) const PARTIAL_SUMS: usize = 32;

/// `logits[i] = bias[i] + weight[i] . features`, with `weight` `[logits][features]`; features in multiples of 32.
pub(in crate::model::cpu) fn classify(
    isa: Isa,
    features: &[f32],
    weight: &[f32],
    bias: &[f32],
) -> Vec<f32> {
    assert!(features.len().is_multiple_of(PARTIAL_SUMS) && !features.is_empty());
    assert_eq!(weight.len(), extent(bias.len(), features.len(), 0));
    let rows = weight.chunks_exact(features.len());
    rows.zip(bias)
        .map(|(row, bias)| {
            let dot = match f32::table(isa) {
                // SAFETY: the lengths were checked; an `Isa` exists only where the CPU has the instruction set.
                Some(table) => unsafe { (table.dot)(features, row) },
                None => scalar::dot(features, row),
            };
            bias + dot
        })
        .collect()
}

/// # Safety
/// Equal lengths, a multiple of [`PARTIAL_SUMS`]; inlined into a function that enables the instruction set.
#[inline(always)]
pub(super) unsafe fn run<S: Simd<Element = f32>>(a: &[f32], b: &[f32]) -> f32 {
    let mut partial = [0.0; PARTIAL_SUMS];
    // SAFETY: all offsets are below the common length, or below `PARTIAL_SUMS`.
    unsafe {
        // As many vectors as the narrowest instruction set needs; wider ones use the first.
        let mut sums = [S::splat(0.0); 4];
        let vectors = PARTIAL_SUMS / S::LANES;
        for start in (0..a.len()).step_by(PARTIAL_SUMS) {
            for (vector, sum) in sums.iter_mut().enumerate().take(vectors) {
                let at = start + vector * S::LANES;
                let (x, y) = (S::load(a.as_ptr().add(at)), S::load(b.as_ptr().add(at)));
                *sum = S::mul_add(x, y, *sum);
            }
        }
        for (vector, sum) in sums.iter().enumerate().take(vectors) {
            S::store(partial.as_mut_ptr().add(vector * S::LANES), *sum);
        }
    }
    partial.iter().sum()
}
