//! The executor's inner loops, in scalar code and in vector instructions chosen at run time.
//!
//! ```text
//! convolve.rs  winograd/  pool.rs  mask.rs  classify.rs     safe functions: check the shapes, then call one of
//!      │           │        │        │          │
//!      ├───────────┴────────┴────────┴──────────┴──► scalar.rs                plain loops: the reference
//!      └──► table.rs ──► tile.rs, and the vector code in the files above,
//!                        generic over simd.rs (avx2.rs, avx512.rs)
//! ```
//!
//! In what order a convolution's tiles come says `plan.rs`. Activations are *blocked*: `[channels / 16][row][column][16]`, so that a vector holds neighbouring channels of one pixel.
//! This is one of the rooms where `unsafe` is allowed: everything that other modules see is safe.
#![allow(unsafe_code)]
// Elsewhere only scalar code runs.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod classify;
mod convolve;
mod element;
mod isa;
mod mask;
mod memory;
mod plan;
mod pool;
mod scalar;
mod simd;
mod table;
mod tile;
mod winograd;

pub(in crate::model::cpu) use classify::classify;
pub(in crate::model::cpu) use convolve::{Convolve, ConvolveScratch, Epilogue, Grid, convolve};
pub(in crate::model::cpu) use element::Element;
pub use isa::Isa;
pub(in crate::model::cpu) use mask::{masked, positive_mask};
pub(in crate::model::cpu) use memory::{page_out, prefer_huge_pages};
pub(in crate::model::cpu) use pool::{MaxPool, max_pool};
pub(in crate::model::cpu) use winograd::{
    LARGEST_OUTPUT_TILE, TileRange, Tiling, WinogradInput, WinogradOutput, winograd_input,
    winograd_output, winograd_weight,
};

/// Channels of a block, the innermost dimension of activations.
pub(in crate::model::cpu) const BLOCK: usize = 16;

/// Output channels of a *panel*: those that one tile computes, and in which weights are packed.
pub(in crate::model::cpu) fn panel_channels<E: Element>(isa: Isa) -> usize {
    E::table(isa).map_or(BLOCK, |table| 2 * table.lanes)
}

/// `a * b + c`, for checks of sizes: a wrapped product must not pass one.
///
/// # Panics
/// If the result is no `usize`, which is the size of no buffer.
fn extent(a: usize, b: usize, c: usize) -> usize {
    let result = a.checked_mul(b).and_then(|product| product.checked_add(c));
    assert!(result.is_some(), "{a} * {b} + {c} is no size");
    result.unwrap_or(usize::MAX)
}
