//! Direct convolution over blocked activations; a matrix product is its 1x1 case.

use super::super::image::Buffer;
use super::element::Element;
use super::plan::Plan;
use super::table::Table;
use super::tile::{PixelOffsets, Tile};
use super::{BLOCK, Isa, extent, panel_channels, scalar};

/// Where the pixels of an image lie in a buffer, in elements.
#[derive(Debug, Clone, Copy)]
pub(in crate::model::cpu) struct Grid {
    pub(in crate::model::cpu) rows: usize,
    pub(in crate::model::cpu) columns: usize,
    /// The first pixel.
    pub(in crate::model::cpu) origin: usize,
    pub(in crate::model::cpu) row_stride: usize,
    pub(in crate::model::cpu) column_stride: usize,
}

impl Grid {
    pub(super) fn pixels(&self) -> usize {
        extent(self.rows, self.columns, 0)
    }

    pub(super) fn offset(&self, row: usize, column: usize) -> usize {
        self.origin + row * self.row_stride + column * self.column_stride
    }

    /// The offset of the last pixel, which is the largest.
    fn last(&self) -> usize {
        let row = extent(self.rows - 1, self.row_stride, self.origin);
        extent(self.columns - 1, self.column_stride, row)
    }
}

/// What happens to a sum before it is stored: `max(sum * scale + shift + residual, floor)`.
#[derive(Debug, Clone, Copy)]
pub(in crate::model::cpu) struct Epilogue<'a, E> {
    /// Scale and shift per output channel.
    pub(in crate::model::cpu) affine: Option<(&'a [f32], &'a [f32])>,
    /// Laid out as the output.
    pub(in crate::model::cpu) residual: Option<&'a [E]>,
    /// 0 for a ReLU, else minus infinity.
    pub(in crate::model::cpu) floor: f32,
}

impl<E> Epilogue<'_, E> {
    /// Stores the sums as they are.
    pub(in crate::model::cpu) const NONE: Self = Self {
        affine: None,
        residual: None,
        floor: f32::NEG_INFINITY,
    };
}

/// One convolution. An output pixel sees a *window* of the input: runs of `words_per_step` words at each of `steps`.
#[derive(Debug)]
pub(in crate::model::cpu) struct Convolve<'a, E> {
    pub(in crate::model::cpu) input: &'a [E],
    /// Where each output pixel's window begins.
    pub(in crate::model::cpu) input_grid: Grid,
    /// Offsets from there, in elements: one per block of input channels and kernel tap.
    pub(in crate::model::cpu) steps: &'a [usize],
    pub(in crate::model::cpu) words_per_step: usize,
    /// `[panels][steps][words_per_step][panel_channels]` words.
    pub(in crate::model::cpu) weights: &'a [E],
    /// Weights of the call that follows, as many as these, to be fetched into the cache meanwhile.
    pub(in crate::model::cpu) upcoming_weights: Option<&'a [E]>,
    /// A multiple of [`panel_channels`].
    pub(in crate::model::cpu) output_channels: usize,
    pub(in crate::model::cpu) output: &'a mut [E],
    /// As many rows and columns as `input_grid`.
    pub(in crate::model::cpu) output_grid: Grid,
    /// From one block of output channels to the next, in elements.
    pub(in crate::model::cpu) output_plane: usize,
    pub(in crate::model::cpu) epilogue: Epilogue<'a, E>,
}

/// What convolutions need while they run; grows to the needs of the largest.
#[derive(Debug, Default)]
pub(in crate::model::cpu) struct ConvolveScratch {
    /// Of the whole image, row by row.
    pixels: Vec<PixelOffsets>,
    /// Put aside between the stretches of a group: `[chunks][pixels][channels of a panel]`.
    sums: Buffer<f32>,
}

impl ConvolveScratch {
    fn prepare<E>(&mut self, call: &Convolve<'_, E>, sums: usize) {
        let (from, to) = (&call.input_grid, &call.output_grid);
        self.pixels.clear();
        for row in 0..from.rows {
            self.pixels
                .extend((0..from.columns).map(|column| PixelOffsets {
                    input: from.offset(row, column),
                    output: to.offset(row, column),
                }));
        }
        if self.sums.len() < sums {
            self.sums = Buffer::zeros(sums);
        }
    }
}

/// Runs a convolution.
pub(in crate::model::cpu) fn convolve<E: Element>(
    isa: Isa,
    mut call: Convolve<'_, E>,
    scratch: &mut ConvolveScratch,
) {
    check(isa, &call);
    match E::table(isa) {
        // SAFETY: `check` holds every offset inside the buffers and at a whole word; an `Isa` exists only where the CPU has the instruction set.
        Some(table) => unsafe { run(table, &mut call, scratch) },
        None => scalar::convolve(&mut call),
    }
}

/// All that tiles rely on.
fn check<E: Element>(isa: Isa, call: &Convolve<'_, E>) {
    let (from, to) = (&call.input_grid, &call.output_grid);
    assert!(from.rows > 0 && from.columns > 0);
    assert_eq!((from.rows, from.columns), (to.rows, to.columns));
    assert!(call.output_channels > 0);
    assert!(
        call.output_channels
            .is_multiple_of(panel_channels::<E>(isa))
    );
    assert!(call.words_per_step > 0 && !call.steps.is_empty());

    let per_step = extent(call.words_per_step, E::PER_WORD, 0);
    let per_channel = extent(call.steps.len(), per_step, 0);
    assert_eq!(
        call.weights.len(),
        extent(call.output_channels, per_channel, 0)
    );
    if let Some(upcoming) = call.upcoming_weights {
        assert_eq!(upcoming.len(), call.weights.len());
    }
    // Words are aligned.
    assert!(call.input.as_ptr().cast::<u32>().is_aligned());
    let strides = [from.origin, from.row_stride, from.column_stride];
    let mut offsets = strides.iter().chain(call.steps);
    assert!(offsets.all(|offset| offset.is_multiple_of(E::PER_WORD)));

    let last_step = call.steps.iter().copied().max().unwrap_or(0);
    let window_end = extent(1, last_step, per_step);
    assert!(extent(1, from.last(), window_end) <= call.input.len());
    let last_block = call.output_channels / BLOCK - 1;
    let output_end = extent(last_block, call.output_plane, BLOCK);
    assert!(extent(1, to.last(), output_end) <= call.output.len());
    if let Some((scale, shift)) = call.epilogue.affine {
        assert_eq!(scale.len(), call.output_channels);
        assert_eq!(shift.len(), call.output_channels);
    }
    if let Some(residual) = call.epilogue.residual {
        assert_eq!(residual.len(), call.output.len());
    }
}

/// Runs all tiles.
///
/// # Safety
/// The CPU has the table's instruction set, and `check` has passed.
unsafe fn run<E: Element>(
    table: &Table<E>,
    call: &mut Convolve<'_, E>,
    scratch: &mut ConvolveScratch,
) {
    let channels = 2 * table.lanes;
    let panels = call.output_channels / channels;
    let words_per_step = call.words_per_step;
    let weights_per_step = words_per_step * E::PER_WORD * channels;
    let weights_per_panel = call.steps.len() * weights_per_step;
    let sums_per_chunk = table.tiles.len() * channels;
    let plan = Plan::new(table, call);
    scratch.prepare(call, plan.chunks_put_aside() * sums_per_chunk);

    for round in plan.rounds() {
        for panel in 0..panels {
            let first_channel = panel * channels;
            let plane = first_channel / BLOCK * call.output_plane;
            let weights = &call.weights[panel * weights_per_panel..];
            let ahead = match call.upcoming_weights {
                Some(weights) => &weights[panel * weights_per_panel..],
                None => &call.weights[(panel + 1) % panels * weights_per_panel..],
            };
            // Pixels, steps and what belongs to them follow in the inner loops.
            let mut tile = Tile {
                input: call.input.as_ptr(),
                pixels: &[],
                steps: &[],
                words_per_step,
                weights: weights.as_ptr(),
                prefetch: ahead.as_ptr(),
                prefetched_per_word: plan.prefetched_per_word,
                earlier_sums: None,
                put_aside: None,
                output: call.output[plane..].as_mut_ptr(),
                // Two vectors make one block of channels, or each is one.
                second_vector: if table.lanes == BLOCK {
                    call.output_plane
                } else {
                    table.lanes
                },
                affine: call.epilogue.affine.map(|(scale, shift)| {
                    let (scale, shift) = (&scale[first_channel..], &shift[first_channel..]);
                    (scale.as_ptr(), shift.as_ptr())
                }),
                residual: call.epilogue.residual.map(|all| all[plane..].as_ptr()),
                floor: call.epilogue.floor,
            };
            for group in plan.groups(round.clone()) {
                for stretch in plan.stretches() {
                    let is_first = stretch.start == 0;
                    let is_last = stretch.end == call.steps.len();
                    tile.weights = weights[stretch.start * weights_per_step..].as_ptr();
                    tile.steps = &call.steps[stretch];
                    let prefetched = plan.prefetched_per_word * words_per_step * tile.steps.len();
                    for (index, chunk) in group.clone().enumerate() {
                        tile.pixels = &scratch.pixels[plan.pixels(chunk)];
                        if !(is_first && is_last) {
                            let sums = &mut scratch.sums[index * sums_per_chunk..];
                            let sums = sums[..sums_per_chunk].as_mut_ptr();
                            tile.earlier_sums = (!is_first).then_some(sums.cast_const());
                            tile.put_aside = (!is_last).then_some(sums);
                        }
                        // SAFETY: the caller's promise; the offsets are of pixels inside both grids, and a chunk's
                        // sums have room for all its pixels.
                        unsafe { table.tiles[tile.pixels.len() - 1](&tile) };
                        tile.prefetch = tile.prefetch.wrapping_add(prefetched);
                    }
                }
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use half::bf16;

    use super::*;

    /// A 1x1 convolution of 17 times 20 pixels: more chunks than a group has, in several stretches of unequal length, or in one.
    fn outputs<E: Element>(table: &Table<E>) -> Vec<E> {
        const BLOCKS: usize = 19;
        let (rows, columns) = (17, 20);
        let plane = rows * columns * BLOCK;
        let grid = Grid {
            rows,
            columns,
            origin: 0,
            row_stride: columns * BLOCK,
            column_stride: BLOCK,
        };
        let channels = 2 * table.lanes;
        let number = |index: usize| E::from_f32((index * 7919 % 1013) as f32 / 500.0 - 1.0);
        let mut input = Buffer::zeros(BLOCKS * plane);
        let mut weights = Buffer::zeros(BLOCKS * BLOCK * channels);
        for buffer in [&mut input, &mut weights] {
            for (index, value) in buffer.iter_mut().enumerate() {
                *value = number(index);
            }
        }
        let steps: Vec<usize> = (0..BLOCKS).map(|block| block * plane).collect();
        let mut output = Buffer::zeros(channels / BLOCK * plane);
        let mut call = Convolve {
            input: &input,
            input_grid: grid,
            steps: &steps,
            words_per_step: BLOCK / E::PER_WORD,
            weights: &weights,
            upcoming_weights: None,
            output_channels: channels,
            output: &mut output,
            output_grid: grid,
            output_plane: plane,
            epilogue: Epilogue::NONE,
        };
        // SAFETY: the sizes fit, and the caller has the table of an instruction set of this CPU.
        unsafe { run(table, &mut call, &mut ConvolveScratch::default()) };
        output.to_vec()
    }

    fn check<E: Element + PartialEq>() {
        for isa in Isa::available() {
            let Some(table) = E::table(isa) else { continue };
            let expected = outputs(&Table {
                words_per_stretch: usize::MAX,
                ..*table
            });
            assert!(expected.iter().any(|value| value.to_f32() != 0.0));
            for words_per_stretch in [1, 100, 128] {
                let table = Table {
                    words_per_stretch,
                    ..*table
                };
                assert!(outputs(&table) == expected, "{isa:?} {words_per_stretch}");
            }
        }
    }

    #[test]
    fn sums_do_not_depend_on_stretches() {
        check::<f32>();
        check::<bf16>();
    }
}
