//! The vector code of each instruction set, compiled for it.

use half::{bf16, f16};

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::avx2::{Avx2Bf16, Avx2F32};
#[cfg(target_arch = "x86_64")]
use super::avx512::{Avx512Bf16, Avx512F16, Avx512F32};
#[cfg(target_arch = "x86_64")]
use super::isa::Level;
use super::pool::MaxPool;
use super::tile::TileFunction;
use super::winograd::{WinogradInput, WinogradOutput};

/// Entry points of one instruction set for one element type.
///
/// # Safety
/// They run only on a CPU that has the instruction set, with arguments that the safe function of the same name has checked.
#[derive(Debug)]
pub(crate) struct Table<E: 'static> {
    /// f32 values per vector.
    pub(super) lanes: usize,
    /// See [`Simd`](super::simd::Simd).
    pub(super) words_per_stretch: usize,
    /// Tile functions for 1, 2, ... pixels.
    pub(super) tiles: &'static [TileFunction<E>],
    pub(super) max_pool: unsafe fn(&mut MaxPool<'_, E>),
    pub(super) positive_mask: unsafe fn(&[E], &mut [u16]),
    pub(super) masked: unsafe fn(&[f32], &[u16], &mut [f32]),
    pub(super) dot: unsafe fn(&[f32], &[f32]) -> f32,
    pub(super) winograd_input: unsafe fn(&mut WinogradInput<'_>),
    pub(super) winograd_output: unsafe fn(&mut WinogradOutput<'_>),
}

/// Compiles the vector code with `$features` enabled.
#[cfg(target_arch = "x86_64")]
macro_rules! table {
    ($name:ident, $features:literal, $simd:ty, f32 lanes of $lanes:ty, tiles of $($pixels:literal)*) => {
        mod $name {
            use super::super::simd::Simd;
            use super::super::tile::Tile;
            use super::super::{classify, mask, pool, tile, winograd};
            use super::*;

            type Stored = <$simd as Simd>::Element;

            #[target_feature(enable = $features)]
            unsafe fn tile<const P: usize>(tile: &Tile<'_, Stored>) {
                // SAFETY: the instruction set is enabled here; the rest is the caller's promise. So below.
                unsafe { tile::run::<$simd, P>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn max_pool(call: &mut MaxPool<'_, Stored>) {
                // SAFETY: as in `tile`.
                unsafe { pool::run::<$simd>(call) }
            }

            #[target_feature(enable = $features)]
            unsafe fn positive_mask(values: &[Stored], bits: &mut [u16]) {
                // SAFETY: as in `tile`.
                unsafe { mask::run_positive::<$simd>(values, bits) }
            }

            #[target_feature(enable = $features)]
            unsafe fn masked(values: &[f32], bits: &[u16], output: &mut [f32]) {
                // SAFETY: as in `tile`.
                unsafe { mask::run_masked::<$lanes>(values, bits, output) }
            }

            #[target_feature(enable = $features)]
            unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
                // SAFETY: as in `tile`.
                unsafe { classify::run::<$lanes>(a, b) }
            }

            #[target_feature(enable = $features)]
            unsafe fn winograd_input(call: &mut WinogradInput<'_>) {
                // SAFETY: as in `tile`.
                unsafe { winograd::run_input::<$lanes>(call) }
            }

            #[target_feature(enable = $features)]
            unsafe fn winograd_output(call: &mut WinogradOutput<'_>) {
                // SAFETY: as in `tile`.
                unsafe { winograd::run_output::<$lanes>(call) }
            }

            pub(super) static TABLE: Table<Stored> = Table {
                lanes: <$simd as Simd>::LANES,
                words_per_stretch: <$simd as Simd>::WORDS_PER_STRETCH,
                tiles: &[$(tile::<$pixels>),*],
                max_pool,
                positive_mask,
                masked,
                dot,
                winograd_input,
                winograd_output,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
table!(avx2_f32, "avx2,fma", Avx2F32, f32 lanes of Avx2F32, tiles of 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
table!(avx2_bf16, "avx2,fma", Avx2Bf16, f32 lanes of Avx2F32, tiles of 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
table!(avx512_f32, "avx512f", Avx512F32, f32 lanes of Avx512F32,
    tiles of 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
#[cfg(target_arch = "x86_64")]
table!(avx512_bf16, "avx512f,avx512bf16", Avx512Bf16, f32 lanes of Avx512F32,
    tiles of 1 2 3 4 5 6 7 8 9 10 11 12 13 14);

#[cfg(target_arch = "x86_64")]
table!(avx512_f16, "avx512f,avx512fp16", Avx512F16, f32 lanes of Avx512F32,
    tiles of 1 2 3 4 5 6 7 8 9 10 11 12 13 14);

#[cfg(target_arch = "x86_64")]
pub(super) fn f32_table(isa: Isa) -> Option<&'static Table<f32>> {
    match isa.level() {
        Level::Scalar => None,
        Level::Avx2 => Some(&avx2_f32::TABLE),
        Level::Avx512 => Some(&avx512_f32::TABLE),
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) fn bf16_table(isa: Isa) -> Option<&'static Table<bf16>> {
    match isa.level() {
        Level::Scalar => None,
        Level::Avx512 if isa.has_bf16() => Some(&avx512_bf16::TABLE),
        Level::Avx2 | Level::Avx512 => Some(&avx2_bf16::TABLE),
    }
}

/// None also where vectors of f16 are missing.
#[cfg(target_arch = "x86_64")]
pub(super) fn f16_table(isa: Isa) -> Option<&'static Table<f16>> {
    isa.has_f16().then_some(&avx512_f16::TABLE)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn f16_table(_: Isa) -> Option<&'static Table<f16>> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn f32_table(_: Isa) -> Option<&'static Table<f32>> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn bf16_table(_: Isa) -> Option<&'static Table<bf16>> {
    None
}
