//! In what order a convolution's work is done, and in what portions.

use std::ops::Range;

use super::convolve::Convolve;
use super::element::Element;
use super::table::Table;

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
/// The most chunks that go over a stretch of steps before the next stretch begins: enough that its weights are worth fetching, and few
/// enough that the sums put aside meanwhile stay cached.
const MOST_CHUNKS_PER_GROUP: usize = 32;

/// Rounds of chunks whose input fits into the cache; in a round, panel by panel of output channels; for a panel, group by group of
/// chunks; for a group, stretch by stretch of steps; for a stretch, chunk by chunk. A chunk of one panel in one stretch is a tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    chunks: usize,
    chunks_per_round: usize,
    chunks_per_group: usize,
    steps: usize,
    steps_per_stretch: usize,
    /// Pixels in a chunk; the first `larger_chunks` have one more.
    chunk_pixels: usize,
    larger_chunks: usize,
    /// Elements of later weights that a tile asks for with each of its words.
    pub(super) prefetched_per_word: usize,
}

impl Plan {
    /// For chunks of almost equal size.
    pub(super) fn new<E: Element>(table: &Table<E>, call: &Convolve<'_, E>) -> Self {
        let panels = call.output_channels / (2 * table.lanes);
        let pixels = call.input_grid.pixels();
        let chunks = pixels.div_ceil(table.tiles.len());
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
        let steps = call.steps.len();
        let words = steps * call.words_per_step;
        let stretches =
            ((words + table.words_per_stretch / 2) / table.words_per_stretch).clamp(1, steps);
        let chunks_per_group = if stretches == 1 {
            chunks_per_round
        } else {
            chunks_per_round.div_ceil(chunks_per_round.div_ceil(MOST_CHUNKS_PER_GROUP))
        };
        // Large weights come from memory, more slowly than a tile would use them: each tile fetches its share of those that are next.
        let stays_cached = weight_bytes < LARGE_WEIGHT_BYTES && call.upcoming_weights.is_none();
        let prefetched_per_word = if stays_cached {
            0
        } else {
            (call.weights.len() / panels / words).div_ceil(chunks_per_round)
        };
        Self {
            chunks,
            chunks_per_round,
            chunks_per_group,
            steps,
            steps_per_stretch: steps.div_ceil(stretches),
            chunk_pixels: pixels / chunks,
            larger_chunks: pixels % chunks,
            prefetched_per_word,
        }
    }

    /// Chunks of each round.
    pub(super) fn rounds(&self) -> impl Iterator<Item = Range<usize>> {
        pieces(0..self.chunks, self.chunks_per_round)
    }

    /// Chunks of each group of a round.
    pub(super) fn groups(&self, round: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        pieces(round, self.chunks_per_group)
    }

    /// Steps of each stretch.
    pub(super) fn stretches(&self) -> impl Iterator<Item = Range<usize>> {
        pieces(0..self.steps, self.steps_per_stretch)
    }

    /// Pixels of a chunk, counted row by row.
    pub(super) fn pixels(&self, chunk: usize) -> Range<usize> {
        let first = |chunk: usize| chunk * self.chunk_pixels + chunk.min(self.larger_chunks);
        first(chunk)..first(chunk + 1)
    }

    /// Chunks whose sums are put aside between two stretches.
    pub(super) fn chunks_put_aside(&self) -> usize {
        if self.steps_per_stretch < self.steps {
            self.chunks_per_group
        } else {
            0
        }
    }
}

/// A range in pieces of `size`, the last of which may be shorter.
fn pieces(all: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = all.end;
    all.step_by(size)
        .map(move |start| start..(start + size).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole() {
        for (all, size) in [(0..10, 3), (4..8, 4), (0..1, 9), (3..3, 2)] {
            let joined: Vec<_> = pieces(all.clone(), size).flatten().collect();
            assert_eq!(joined, all.clone().collect::<Vec<_>>());
            assert!(pieces(all, size).all(|piece| piece.len() <= size));
        }
    }

    #[test]
    fn chunks_are_all_pixels() {
        let plan = Plan {
            chunks: 9,
            chunks_per_round: 4,
            chunks_per_group: 2,
            steps: 5,
            steps_per_stretch: 2,
            chunk_pixels: 5,
            larger_chunks: 4,
            prefetched_per_word: 0,
        };
        let chunks = plan.rounds().flat_map(|round| plan.groups(round)).flatten();
        let pixels: Vec<_> = chunks.flat_map(|chunk| plan.pixels(chunk)).collect();
        assert_eq!(pixels, (0..49).collect::<Vec<_>>());
        assert_eq!(plan.stretches().flatten().count(), 5);
        assert_eq!(plan.chunks_put_aside(), 2);
    }
}
