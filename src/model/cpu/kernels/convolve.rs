//! Direct convolution over blocked activations; a matrix product is its 1x1 case.

use super::element::Element;
use super::table::Table;
use super::tile::{MAX_PIXELS, Tile};
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

/// A larger input is cut into pieces of about this size, which stay in the second-level cache while the weights of all channels
/// pass by.
const INPUT_BYTES_AT_ONCE: usize = 96 * 1024;
/// Up to this size the whole input passes by the weights of each panel instead: it stays in the second-level cache, or is at least
/// not more to fetch than all weights again and again, which matters where a panel's weights do not fit into the first level.
const SMALL_INPUT_BYTES: usize = 450 * 1024;
const SMALL_INPUT_BYTES_FOR_LARGE_PANELS: usize = 832 * 1024;
const LARGE_PANEL_BYTES: usize = 32 * 1024;
/// Weights from this size on do not stay in the second-level cache from one round to the next.
const LARGE_WEIGHT_BYTES: usize = 192 * 1024;

/// Runs a convolution.
pub(in crate::model::cpu) fn convolve<E: Element>(isa: Isa, mut call: Convolve<'_, E>) {
    check(isa, &call);
    match E::table(isa) {
        // SAFETY: `check` holds every offset inside the buffers and at a whole word; an `Isa` exists only where the CPU has the instruction set.
        Some(table) => unsafe { run(table, &mut call) },
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

/// In what order the work is done, and in what portions: rounds of chunks whose input fits into the cache; in a round, panel by
/// panel of output channels; for a panel, chunk by chunk. A chunk of one panel is a tile.
#[derive(Debug, Clone, Copy)]
struct Plan {
    chunks: usize,
    chunks_per_round: usize,
    /// Pixels in a chunk; the first `larger_chunks` have one more.
    chunk_pixels: usize,
    larger_chunks: usize,
    /// Elements of later weights that a tile asks for with each of its words.
    prefetched_per_word: usize,
}

impl Plan {
    /// For `panels` panels and chunks of at most `most_pixels`, all of almost equal size.
    fn new<E: Element>(call: &Convolve<'_, E>, panels: usize, most_pixels: usize) -> Self {
        let pixels = call.input_grid.pixels();
        let chunks = pixels.div_ceil(most_pixels);
        let (input_bytes, weight_bytes) = (size_of_val(call.input), size_of_val(call.weights));
        let small_input_bytes = if weight_bytes / panels > LARGE_PANEL_BYTES {
            SMALL_INPUT_BYTES_FOR_LARGE_PANELS
        } else {
            SMALL_INPUT_BYTES
        };
        let chunks_per_round = if input_bytes <= small_input_bytes {
            chunks
        } else {
            (INPUT_BYTES_AT_ONCE / (input_bytes / chunks).max(1)).clamp(1, chunks)
        };
        // Large weights come from memory, more slowly than a tile would use them: each tile fetches its share of those that are next.
        let stays_cached = weight_bytes < LARGE_WEIGHT_BYTES && call.upcoming_weights.is_none();
        let prefetched_per_word = if stays_cached {
            0
        } else {
            let words = call.steps.len() * call.words_per_step;
            (call.weights.len() / panels / words).div_ceil(chunks_per_round)
        };
        Self {
            chunks,
            chunks_per_round,
            chunk_pixels: pixels / chunks,
            larger_chunks: pixels % chunks,
            prefetched_per_word,
        }
    }

    fn pixels_of(&self, chunk: usize) -> usize {
        self.chunk_pixels + usize::from(chunk < self.larger_chunks)
    }
}

/// Runs all tiles.
///
/// # Safety
/// The CPU has the table's instruction set, and `check` has passed.
unsafe fn run<E: Element>(table: &Table<E>, call: &mut Convolve<'_, E>) {
    let channels = 2 * table.lanes;
    let panels = call.output_channels / channels;
    let weights_per_panel = call.weights.len() / panels;
    let plan = Plan::new(call, panels, table.tiles.len());
    let words = call.steps.len() * call.words_per_step;
    let prefetched_per_tile = plan.prefetched_per_word * words;

    let mut round_start = Walk::new(call.input_grid, call.output_grid);
    for first_chunk in (0..plan.chunks).step_by(plan.chunks_per_round) {
        let round = first_chunk..(first_chunk + plan.chunks_per_round).min(plan.chunks);
        let mut walk = round_start;
        for panel in 0..panels {
            walk = round_start;
            let first_channel = panel * channels;
            let plane = first_channel / BLOCK * call.output_plane;
            let ahead = match call.upcoming_weights {
                Some(weights) => &weights[panel * weights_per_panel..],
                None => &call.weights[(panel + 1) % panels * weights_per_panel..],
            };
            let mut tile = Tile {
                input: call.input.as_ptr(),
                input_offsets: [0; MAX_PIXELS],
                steps: call.steps,
                words_per_step: call.words_per_step,
                weights: call.weights[panel * weights_per_panel..].as_ptr(),
                prefetch: ahead.as_ptr(),
                prefetched_per_word: plan.prefetched_per_word,
                output: call.output[plane..].as_mut_ptr(),
                output_offsets: [0; MAX_PIXELS],
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
            for chunk in round.clone() {
                let pixels = plan.pixels_of(chunk);
                for pixel in 0..pixels {
                    (tile.input_offsets[pixel], tile.output_offsets[pixel]) = walk.next();
                }
                // SAFETY: the caller's promise; the offsets are of pixels inside both grids.
                unsafe { table.tiles[pixels - 1](&tile) };
                tile.prefetch = tile.prefetch.wrapping_add(prefetched_per_tile);
            }
        }
        round_start = walk;
    }
}

/// Goes over two grids, row by row, without divisions.
#[derive(Debug, Clone, Copy)]
struct Walk {
    columns: usize,
    column: usize,
    input: usize,
    output: usize,
    /// To the next column, and from the last column to the next row.
    input_advance: [usize; 2],
    output_advance: [usize; 2],
}

impl Walk {
    fn new(input: Grid, output: Grid) -> Self {
        // Rows may overlap: the difference can be negative, and wraps.
        let advance = |grid: Grid| {
            let width = (grid.columns - 1) * grid.column_stride;
            [grid.column_stride, grid.row_stride.wrapping_sub(width)]
        };
        Self {
            columns: input.columns,
            column: 0,
            input: input.origin,
            output: output.origin,
            input_advance: advance(input),
            output_advance: advance(output),
        }
    }

    /// Offsets of the current pixel; moves on to the next.
    fn next(&mut self) -> (usize, usize) {
        let current = (self.input, self.output);
        self.column += 1;
        let is_row_end = self.column == self.columns;
        if is_row_end {
            self.column = 0;
        }
        let kind = usize::from(is_row_end);
        self.input = self.input.wrapping_add(self.input_advance[kind]);
        self.output = self.output.wrapping_add(self.output_advance[kind]);
        current
    }
}
