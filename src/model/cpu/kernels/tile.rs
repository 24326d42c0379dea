//! The microkernel: a few pixels times two vectors of output channels, whose sums are held in registers.

use std::ops::Range;

use super::element::Element;
use super::simd::Simd;

/// Where a pixel lies, in elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelOffsets {
    /// Its window in the input.
    pub(super) input: usize,
    /// Its first channel of a block in the output and in the residual.
    pub(super) output: usize,
}

/// The work of one tile. `P` is the tile function's number of pixels, `L` its number of lanes.
///
/// # Safety
/// `pixels` has `P` entries. A tile function reads `input[pixel + step + 0..words_per_step * PER_WORD]` for each pixel's offset and step, weights
/// `[steps][words_per_step][2 L]` words, `2 L` scales and shifts, and reads (residual) and writes (output)
/// `L` elements at each pixel's offset and at `second_vector` behind it. With `earlier_sums` it reads `[P][2][L]` f32 there; with
/// `put_aside` it writes as many there, instead of everything behind the sums. All of that must be inside the buffers, and every word
/// of the input aligned to 32 bits.
#[derive(Debug)]
pub(super) struct Tile<'a, E> {
    pub(super) input: *const E,
    /// `P` pixels.
    pub(super) pixels: &'a [PixelOffsets],
    /// Where in a window the words of each step begin.
    pub(super) steps: &'a [usize],
    pub(super) words_per_step: usize,
    pub(super) weights: *const E,
    /// Weights of later tiles, and how many elements of them to ask for with each word.
    pub(super) prefetch: *const E,
    pub(super) prefetched_per_word: usize,
    /// Sums over the steps of earlier stretches, `[P][2][L]`.
    pub(super) earlier_sums: Option<*const f32>,
    /// Where the sums go if another stretch follows, laid out likewise; then there is no output yet. May be the same place.
    pub(super) put_aside: Option<*mut f32>,
    pub(super) output: *mut E,
    /// From a pixel's first vector of channels to its second.
    pub(super) second_vector: usize,
    /// Scales and shifts of the tile's channels; none: the sums are stored as they are.
    pub(super) affine: Option<(*const f32, *const f32)>,
    /// Added after the affine map.
    pub(super) residual: Option<*const E>,
    /// Lower bound of the output: 0 for a ReLU, else minus infinity.
    pub(super) floor: f32,
}

/// A tile function; see [`Tile`] for what it reads and writes.
pub(super) type TileFunction<E> = unsafe fn(&Tile<'_, E>);

/// Sums, epilogue and store of `P` pixels.
///
/// # Safety
/// As [`Tile`] says, inlined into a function that enables the instruction set.
// Indices where iterators would do: arrays stay in registers only if every loop over them is unrolled.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(super) unsafe fn run<S: Simd, const P: usize>(tile: &Tile<'_, S::Element>) {
    // SAFETY: the caller vouches for the addresses and the instruction set.
    unsafe {
        let mut sums = accumulate::<S, P>(tile);
        if let Some(aside) = tile.put_aside {
            for pixel in 0..P {
                for vector in 0..2 {
                    let to = aside.add((2 * pixel + vector) * S::LANES);
                    S::store_f32(to, sums[pixel][vector]);
                }
            }
            return;
        }
        if let Some((scale, shift)) = tile.affine {
            for vector in 0..2 {
                let scale = S::load_f32(scale.add(vector * S::LANES));
                let shift = S::load_f32(shift.add(vector * S::LANES));
                for pixel in 0..P {
                    sums[pixel][vector] = S::mul_add(sums[pixel][vector], scale, shift);
                }
            }
        }
        let floor = S::splat(tile.floor);
        // Pixel by pixel: if all residuals came first, they would not fit into the registers.
        for pixel in 0..P {
            let offset = tile.pixels.get_unchecked(pixel).output;
            let [mut first, mut second] = sums[pixel];
            if let Some(residual) = tile.residual {
                let from = residual.add(offset);
                first = S::add(first, S::load(from));
                second = S::add(second, S::load(from.add(tile.second_vector)));
            }
            let to = tile.output.add(offset);
            S::store(to, S::max(first, floor));
            S::store(to.add(tile.second_vector), S::max(second, floor));
        }
    }
}

/// The sums of the products of all steps so far.
///
/// # Safety
/// As [`run`].
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn accumulate<S: Simd, const P: usize>(tile: &Tile<'_, S::Element>) -> [[S::Vector; 2]; P] {
    // SAFETY: the caller vouches for the addresses and the instruction set.
    unsafe {
        let mut totals = [[S::splat(0.0); 2]; P];
        if let Some(earlier) = tile.earlier_sums {
            for pixel in 0..P {
                for vector in 0..2 {
                    let from = earlier.add((2 * pixel + vector) * S::LANES);
                    totals[pixel][vector] = S::load_f32(from);
                }
            }
        }
        let mut input_offsets = [0; P];
        for pixel in 0..P {
            input_offsets[pixel] = tile.pixels.get_unchecked(pixel).input;
        }
        let mut from = (tile.weights, tile.prefetch);
        for steps in tile.steps.chunks(S::STEPS_PER_SUM) {
            let mut sums = [[S::sum_after(S::splat(0.0)); 2]; P];
            for pixel in 0..P {
                for vector in 0..2 {
                    sums[pixel][vector] = S::sum_after(totals[pixel][vector]);
                }
            }
            add_steps::<S, P>(tile, steps, &input_offsets, &mut from, &mut sums);
            for pixel in 0..P {
                for vector in 0..2 {
                    totals[pixel][vector] = S::total(totals[pixel][vector], sums[pixel][vector]);
                }
            }
        }
        totals
    }
}

/// Adds the products of some steps, whose weights, and what to prefetch, begin at `from`; then at those of the next.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn add_steps<S: Simd, const P: usize>(
    tile: &Tile<'_, S::Element>,
    steps: &[usize],
    input_offsets: &[usize; P],
    from: &mut (*const S::Element, *const S::Element),
    sums: &mut [[S::Sum; 2]; P],
) {
    // SAFETY: the caller vouches for the addresses and the instruction set.
    unsafe {
        let per_word = S::Element::PER_WORD;
        let (mut weights, mut prefetch) = *from;
        for step in steps {
            let input = tile.input.add(*step);
            for word in 0..tile.words_per_step {
                // One at a time: a burst of them would keep the loads below waiting.
                S::prefetch(prefetch);
                prefetch = prefetch.wrapping_add(tile.prefetched_per_word);
                let first = S::load_words(weights);
                let second = S::load_words(weights.add(S::LANES * per_word));
                weights = weights.add(2 * S::LANES * per_word);
                let input = input.wrapping_add(word * per_word);
                // In halves, so that all of it is unrolled.
                let vectors = [first, second];
                add_products::<S, P>(sums, 0..P / 2, vectors, input, input_offsets);
                add_products::<S, P>(sums, P / 2..P, vectors, input, input_offsets);
            }
        }
        *from = (weights, prefetch);
    }
}

/// Adds the products of one word to the sums of some pixels.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn add_products<S: Simd, const P: usize>(
    sums: &mut [[S::Sum; 2]; P],
    pixels: Range<usize>,
    weights: [S::Vector; 2],
    input: *const S::Element,
    input_offsets: &[usize; P],
) {
    // SAFETY: the caller vouches for the addresses and the instruction set.
    unsafe {
        // A `while` over at most seven pixels is unrolled even where little is optimised, as in the builds for tests. What is
        // not unrolled keeps the sums in memory, and takes four times as long.
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let x = S::splat_word(input.wrapping_add(input_offsets[pixel]));
            sums[pixel][0] = S::dot(sums[pixel][0], x, weights[0]);
            sums[pixel][1] = S::dot(sums[pixel][1], x, weights[1]);
            pixel += 1;
        }
    }
}
