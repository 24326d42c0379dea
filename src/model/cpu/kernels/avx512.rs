//! AVX-512: 16 lanes, 32 registers; bf16 dot products and f16 arithmetic where the CPU has them.

// Each function is an intrinsic or a few; their contract is the trait's.
#![allow(unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::simd::{Simd, read, write};

/// f32 in memory; needs `avx512f`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512F32;

/// bf16 in memory and in the multiplier; needs `avx512f` and `avx512bf16`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512Bf16;

/// f16 in memory, in the multiplier, and in short sums; needs `avx512fp16`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512F16;

/// The operations on f32 lanes, which do not depend on the element type.
macro_rules! f32_lanes {
    () => {
        type Vector = __m512;
        const LANES: usize = 16;
        const WORDS_PER_STRETCH: usize = usize::MAX;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            _mm512_set1_ps(value)
        }

        #[inline(always)]
        unsafe fn load_f32(from: *const f32) -> __m512 {
            read(from.cast())
        }

        #[inline(always)]
        unsafe fn store_f32(to: *mut f32, value: __m512) {
            write(to.cast(), value);
        }

        #[inline(always)]
        unsafe fn splat_word(from: *const Self::Element) -> __m512 {
            // Not `read_unaligned`, whose check in debug builds keeps the caller's loop from being unrolled.
            _mm512_broadcastss_ps(_mm_load_ss(from.cast()))
        }

        #[inline(always)]
        unsafe fn load_words(from: *const Self::Element) -> __m512 {
            read(from.cast())
        }

        #[inline(always)]
        unsafe fn prefetch(from: *const Self::Element) {
            _mm_prefetch::<_MM_HINT_T1>(from.cast())
        }

        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            _mm512_add_ps(a, b)
        }

        #[inline(always)]
        unsafe fn sub(a: __m512, b: __m512) -> __m512 {
            _mm512_sub_ps(a, b)
        }

        #[inline(always)]
        unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            _mm512_fmadd_ps(a, b, c)
        }

        #[inline(always)]
        unsafe fn neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            _mm512_fnmadd_ps(a, b, c)
        }

        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            _mm512_max_ps(a, b)
        }

        #[inline(always)]
        unsafe fn positive(a: __m512) -> u16 {
            _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_setzero_ps())
        }

        #[inline(always)]
        unsafe fn keep(a: __m512, bits: u16) -> __m512 {
            _mm512_maskz_mov_ps(bits, a)
        }
    };
}

/// Sums in f32 lanes.
macro_rules! f32_sums {
    () => {
        type Sum = __m512;
        const STEPS_PER_SUM: usize = usize::MAX;

        #[inline(always)]
        unsafe fn sum_after(total: __m512) -> __m512 {
            total
        }

        #[inline(always)]
        unsafe fn total(_: __m512, sum: __m512) -> __m512 {
            sum
        }
    };
}

impl Simd for Avx512F32 {
    type Element = f32;

    f32_lanes!();
    f32_sums!();

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        read(from.cast())
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m512) {
        write(to.cast(), value)
    }

    #[inline(always)]
    unsafe fn dot(sum: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, sum)
    }
}

impl Simd for Avx512Bf16 {
    type Element = bf16;

    f32_lanes!();
    f32_sums!();

    #[inline(always)]
    unsafe fn load(from: *const bf16) -> __m512 {
        let halves = _mm512_cvtepu16_epi32(read(from.cast()));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
    }

    #[inline(always)]
    unsafe fn store(to: *mut bf16, value: __m512) {
        // Both are 256 bits without invalid values.
        let halves = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value));
        write(to.cast(), halves);
    }

    #[inline(always)]
    unsafe fn dot(sum: __m512, a: __m512, b: __m512) -> __m512 {
        // All are 512 bits without invalid values.
        let a = std::mem::transmute::<__m512, __m512bh>(a);
        let b = std::mem::transmute::<__m512, __m512bh>(b);
        _mm512_dpbf16_ps(sum, a, b)
    }
}

impl Simd for Avx512F16 {
    type Element = f16;
    /// Two sums per lane: of the words' first halves and of their second ones.
    type Sum = __m512h;
    /// 64 products, half of them in each.
    const STEPS_PER_SUM: usize = 4;

    f32_lanes!();

    #[inline(always)]
    unsafe fn load(from: *const f16) -> __m512 {
        _mm512_cvtph_ps(read(from.cast()))
    }

    #[inline(always)]
    unsafe fn store(to: *mut f16, value: __m512) {
        let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value);
        write(to.cast(), halves);
    }

    #[inline(always)]
    unsafe fn sum_after(_: __m512) -> __m512h {
        _mm512_setzero_ph()
    }

    #[inline(always)]
    unsafe fn dot(sum: __m512h, a: __m512, b: __m512) -> __m512h {
        _mm512_fmadd_ph(_mm512_castps_ph(a), _mm512_castps_ph(b), sum)
    }

    #[inline(always)]
    unsafe fn total(total: __m512, sum: __m512h) -> __m512 {
        let second = _mm512_srli_epi32::<16>(_mm512_castph_si512(sum));
        let both = _mm512_add_ph(sum, _mm512_castsi512_ph(second));
        // The upper halves, in which nothing meaningful is, fall away.
        let sum = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_castph_si512(both)));
        _mm512_add_ps(total, sum)
    }
}
