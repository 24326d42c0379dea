//! AVX2 with FMA: 8 lanes, 16 registers.

// Each function is an intrinsic or a few; their contract is the trait's.
#![allow(unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

use half::bf16;

use super::simd::{Simd, read, write};

/// f32 in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2F32;

/// bf16 in memory; there is no bf16 multiplication, so words are widened: slower than f32, for comparing results only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2Bf16;

/// Bit `i` in lane `i`.
#[inline(always)]
unsafe fn lane_bits() -> __m256i {
    _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128)
}

/// The operations on f32 lanes, which do not depend on the element type.
macro_rules! f32_lanes {
    () => {
        type Vector = __m256;
        const LANES: usize = 8;
        // 8 KiB of weights.
        const WORDS_PER_STRETCH: usize = 128;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m256 {
            _mm256_set1_ps(value)
        }

        #[inline(always)]
        unsafe fn load_f32(from: *const f32) -> __m256 {
            read(from.cast())
        }

        #[inline(always)]
        unsafe fn store_f32(to: *mut f32, value: __m256) {
            write(to.cast(), value);
        }

        #[inline(always)]
        unsafe fn splat_word(from: *const Self::Element) -> __m256 {
            // Not `read_unaligned`, whose check in debug builds keeps the caller's loop from being unrolled.
            _mm256_broadcastss_ps(_mm_load_ss(from.cast()))
        }

        #[inline(always)]
        unsafe fn load_words(from: *const Self::Element) -> __m256 {
            read(from.cast())
        }

        #[inline(always)]
        unsafe fn prefetch(from: *const Self::Element) {
            _mm_prefetch::<_MM_HINT_T1>(from.cast())
        }

        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            _mm256_add_ps(a, b)
        }

        #[inline(always)]
        unsafe fn sub(a: __m256, b: __m256) -> __m256 {
            _mm256_sub_ps(a, b)
        }

        #[inline(always)]
        unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            _mm256_fmadd_ps(a, b, c)
        }

        #[inline(always)]
        unsafe fn neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            _mm256_fnmadd_ps(a, b, c)
        }

        #[inline(always)]
        unsafe fn max(a: __m256, b: __m256) -> __m256 {
            _mm256_max_ps(a, b)
        }

        #[inline(always)]
        unsafe fn positive(a: __m256) -> u16 {
            let is_positive = _mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps());
            _mm256_movemask_ps(is_positive) as u16
        }

        #[inline(always)]
        unsafe fn keep(a: __m256, bits: u16) -> __m256 {
            let own_bit = _mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), lane_bits());
            let is_kept = _mm256_cmpeq_epi32(own_bit, lane_bits());
            _mm256_and_ps(a, _mm256_castsi256_ps(is_kept))
        }
    };
}

/// Sums in f32 lanes.
macro_rules! f32_sums {
    () => {
        type Sum = __m256;
        const STEPS_PER_SUM: usize = usize::MAX;

        #[inline(always)]
        unsafe fn sum_after(total: __m256) -> __m256 {
            total
        }

        #[inline(always)]
        unsafe fn total(_: __m256, sum: __m256) -> __m256 {
            sum
        }
    };
}

impl Simd for Avx2F32 {
    type Element = f32;

    f32_lanes!();
    f32_sums!();

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        read(from.cast())
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m256) {
        write(to.cast(), value)
    }

    #[inline(always)]
    unsafe fn dot(sum: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, sum)
    }
}

impl Simd for Avx2Bf16 {
    type Element = bf16;

    f32_lanes!();
    f32_sums!();

    #[inline(always)]
    unsafe fn load(from: *const bf16) -> __m256 {
        let halves = _mm256_cvtepu16_epi32(read(from.cast()));
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
    }

    #[inline(always)]
    unsafe fn store(to: *mut bf16, value: __m256) {
        let bits = _mm256_castps_si256(value);
        // Half of the dropped part, plus the last kept bit: ties go to even.
        let last_bit = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounding = _mm256_add_epi32(last_bit, _mm256_set1_epi32(0x7fff));
        let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, rounding));
        let packed = _mm256_packus_epi32(rounded, rounded);
        let in_order = _mm256_permute4x64_epi64::<0b00_00_10_00>(packed);
        write(to.cast(), _mm256_castsi256_si128(in_order));
    }

    #[inline(always)]
    unsafe fn dot(sum: __m256, a: __m256, b: __m256) -> __m256 {
        let upper = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
        let (a_bits, b_bits) = (_mm256_castps_si256(a), _mm256_castps_si256(b));
        let a_first = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(a_bits));
        let b_first = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(b_bits));
        let a_second = _mm256_and_ps(a, upper);
        let b_second = _mm256_and_ps(b, upper);
        _mm256_fmadd_ps(a_second, b_second, _mm256_fmadd_ps(a_first, b_first, sum))
    }
}
