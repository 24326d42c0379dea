//! The vector operations that the kernels are written in.

use super::element::Element;

/// One instruction set working on one element type. Everything between load and store is f32, but for the short sums
/// of f16; only what lies in memory is `Element`.
///
/// A *word* is 32 bits of consecutive input channels of a pixel: one f32, or two bf16 or f16. [`dot`](Simd::dot) consumes a word per step.
///
/// # Safety
/// Every method needs a CPU with the instruction set, and must be inlined into a function that enables it; pointers must be valid
/// for the access that the method names. Unaligned is fine, but for the word of [`splat_word`](Simd::splat_word): it is aligned to 32 bits.
pub(super) trait Simd: Copy {
    /// What activations and weights are stored as.
    type Element: Element;
    /// `LANES` f32 values.
    type Vector: Copy;
    /// What [`dot`](Self::dot) adds to.
    type Sum: Copy;
    /// After how many steps a sum is to be added to the total in f32; `usize::MAX` if it goes on with the total itself.
    const STEPS_PER_SUM: usize;
    /// About how many words a tile goes over at once, so that their weights stay in the first-level cache from one tile to the next;
    /// `usize::MAX`: all of them.
    const WORDS_PER_STRETCH: usize;
    /// Values in a vector: 8 or 16.
    const LANES: usize;

    /// All lanes `value`.
    unsafe fn splat(value: f32) -> Self::Vector;
    /// Reads `LANES` f32.
    unsafe fn load_f32(from: *const f32) -> Self::Vector;
    /// Writes `LANES` f32.
    unsafe fn store_f32(to: *mut f32, value: Self::Vector);
    /// Reads `LANES` elements and widens them.
    unsafe fn load(from: *const Self::Element) -> Self::Vector;
    /// Rounds to elements (to nearest, ties to even) and writes `LANES` of them.
    unsafe fn store(to: *mut Self::Element, value: Self::Vector);
    /// Reads one word and repeats it in every lane.
    unsafe fn splat_word(from: *const Self::Element) -> Self::Vector;
    /// Reads `LANES` words.
    unsafe fn load_words(from: *const Self::Element) -> Self::Vector;
    /// Asks for a cache line that will be read soon; any address is fine.
    unsafe fn prefetch(from: *const Self::Element);
    /// What products after `total` are added to: `total` itself, or an empty sum.
    unsafe fn sum_after(total: Self::Vector) -> Self::Sum;
    /// `sum` plus, lane by lane, the dot product of two words.
    unsafe fn dot(sum: Self::Sum, a: Self::Vector, b: Self::Vector) -> Self::Sum;
    /// `total` together with `sum`, which [`sum_after`](Self::sum_after) it began.
    unsafe fn total(total: Self::Vector, sum: Self::Sum) -> Self::Vector;

    /// `a + b`
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once.
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `c - a * b`, rounded once.
    unsafe fn neg_mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger of each pair of lanes.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Bit `i` is set where lane `i` is above 0.
    unsafe fn positive(a: Self::Vector) -> u16;
    /// Lanes whose bit is 0 become 0.
    unsafe fn keep(a: Self::Vector, bits: u16) -> Self::Vector;
}

/// A value at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Unaligned<V>(V);

/// Reads a vector at any address: the intrinsics for it copy bytes, which builds with debug assertions check at each call, so that the network took twice as
/// long there.
///
/// # Safety
/// `from` is valid for reads.
#[inline(always)]
pub(super) unsafe fn read<V: Copy>(from: *const V) -> V {
    // SAFETY: a packed value may lie anywhere; the caller vouches for the address.
    unsafe { (*from.cast::<Unaligned<V>>()).0 }
}

/// Writes a vector to any address; see [`read`].
///
/// # Safety
/// `to` is valid for writes.
#[inline(always)]
pub(super) unsafe fn write<V: Copy>(to: *mut V, value: V) {
    // SAFETY: as in `read`.
    unsafe { *to.cast::<Unaligned<V>>() = Unaligned(value) }
}
