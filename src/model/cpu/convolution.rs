//! A layer: packed weights, batch normalisation, and how its windows lie in the input.

use super::image::{Buffer, Image};
use super::kernels::{
    BLOCK, Convolve, ConvolveScratch, Element, Epilogue, Grid, Isa, TileRange, Tiling,
    WinogradInput, WinogradOutput, convolve, winograd_input, winograd_output,
};
use super::weights::Weights;
use crate::model::weights::BatchNorm;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Window by window.
    Direct,
    /// Winograd, for 3x3 with stride 1.
    Winograd(Tiling),
}

/// Frequencies of a strip of tiles, before or after the products: what stays in the second-level cache.
const STRIP_BYTES: usize = 832 * 1024;
/// Tiles in a strip at least: each strip fetches all weights again.
const SHORTEST_STRIP: usize = 16;

/// Elements from one frequency of `tiles` tiles to the next. The spare cache lines keep the frequencies of a tile, which are
/// written together, in different cache sets.
fn frequency_stride(channels: usize, tiles: usize) -> usize {
    channels * tiles + 7 * BLOCK
}

/// Buffers that convolutions need while they run; one per thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    steps: Vec<usize>,
    pub(super) convolve: ConvolveScratch,
    /// Tiles in the frequency domain, before and after the products.
    winograd_input: Buffer<f32>,
    winograd_sums: Buffer<f32>,
}

impl Scratch {
    fn reserve(&mut self, input: usize, sums: usize) {
        for (buffer, len) in [
            (&mut self.winograd_input, input),
            (&mut self.winograd_sums, sums),
        ] {
            if buffer.len() < len {
                *buffer = Buffer::zeros(len);
            }
        }
    }
}

/// What follows the convolution and its normalisation.
#[derive(Debug)]
pub(super) struct Then<'a, E> {
    pub(super) residual: Option<&'a Image<E>>,
    pub(super) has_relu: bool,
}

impl<E> Then<'_, E> {
    pub(super) const NOTHING: Self = Self {
        residual: None,
        has_relu: false,
    };
    pub(super) const RELU: Self = Self {
        residual: None,
        has_relu: true,
    };

    fn floor(&self) -> f32 {
        if self.has_relu {
            0.0
        } else {
            f32::NEG_INFINITY
        }
    }
}

/// A convolution with its batch normalisation, ready to run.
#[derive(Debug)]
pub(super) struct Convolution<E> {
    isa: Isa,
    method: Method,
    output_channels: usize,
    input_channels: usize,
    /// Rows and columns of the window.
    size: usize,
    weights: Buffer<E>,
    norm: Option<BatchNorm>,
}

impl<E: Element> Convolution<E> {
    /// A 1x1 convolution of images without border, or a 3x3 one of images with border.
    pub(super) fn new(
        isa: Isa,
        weights: &Weights,
        mut norm: Option<BatchNorm>,
        method: Method,
    ) -> Self {
        assert!(method == Method::Direct || E::HAS_WINOGRAD);
        let rescaled = E::LARGEST_WEIGHT
            .zip(norm.as_mut())
            .map(|(largest, norm)| weights.brought_to(largest, &mut norm.scale));
        let weights = rescaled.as_ref().unwrap_or(weights);
        Self {
            isa,
            method,
            output_channels: weights.output,
            input_channels: weights.input,
            size: weights.size,
            weights: match method {
                Method::Direct => weights.packed(isa),
                Method::Winograd(tiling) => weights.packed_for_winograd(isa, tiling),
            },
            norm,
        }
    }

    pub(super) fn method(&self) -> Method {
        self.method
    }

    fn affine(&self) -> Option<(&[f32], &[f32])> {
        let norm = self.norm.as_ref()?;
        Some((&norm.scale, &norm.shift))
    }

    /// Runs the convolution. How much smaller the output is than the input says what the stride is.
    pub(super) fn run(
        &self,
        input: &Image<E>,
        output: &mut Image<E>,
        then: &Then<'_, E>,
        scratch: &mut Scratch,
    ) {
        assert_eq!(
            (input.channels, output.channels),
            (self.input_channels, self.output_channels)
        );
        match self.method {
            Method::Direct => self.run_direct(input, output, then, scratch),
            Method::Winograd(tiling) => self.run_winograd(tiling, input, output, then, scratch),
        }
    }

    fn run_direct(
        &self,
        input: &Image<E>,
        output: &mut Image<E>,
        then: &Then<'_, E>,
        scratch: &mut Scratch,
    ) {
        let steps = &mut scratch.steps;
        steps.clear();
        for block in 0..input.blocks() {
            for y in 0..self.size {
                for x in 0..self.size {
                    steps.push(block * input.plane + (y * input.side + x) * BLOCK);
                }
            }
        }
        let stride = input.size / output.size;
        let output_grid = output.grid();
        let output_plane = output.plane;
        convolve(
            self.isa,
            Convolve {
                input: &input.data,
                input_grid: Grid {
                    origin: 0,
                    row_stride: stride * input.side * BLOCK,
                    column_stride: stride * BLOCK,
                    ..output_grid
                },
                steps,
                words_per_step: BLOCK / E::PER_WORD,
                weights: &self.weights,
                upcoming_weights: None,
                output_channels: self.output_channels,
                output: &mut output.data,
                output_grid,
                output_plane,
                epilogue: Epilogue {
                    affine: self.affine(),
                    residual: then.residual.map(|image| &*image.data),
                    floor: then.floor(),
                },
            },
            &mut scratch.convolve,
        );
    }

    /// A strip of tiles at a time, so that the strip's frequencies stay in the cache.
    fn run_winograd(
        &self,
        tiling: Tiling,
        input: &Image<E>,
        output: &mut Image<E>,
        then: &Then<'_, E>,
        scratch: &mut Scratch,
    ) {
        assert!(then.residual.is_none() && input.size == output.size);
        let per_row = output.size.div_ceil(tiling.output());
        let tiles = per_row * per_row;
        let channels = self.input_channels.max(self.output_channels);
        let fitting = STRIP_BYTES / (tiling.frequencies() * channels * size_of::<f32>());
        let strips = tiles.div_ceil(fitting.max(SHORTEST_STRIP));
        let longest = tiles.div_ceil(strips);
        scratch.reserve(
            tiling.frequencies() * frequency_stride(self.input_channels, longest),
            tiling.frequencies() * frequency_stride(self.output_channels, longest),
        );
        for first in (0..tiles).step_by(longest) {
            let range = TileRange {
                tiling,
                first,
                count: longest.min(tiles - first),
                per_row,
            };
            self.run_strip(input, output, then.floor(), range, scratch);
        }
    }

    fn run_strip(
        &self,
        input: &Image<E>,
        output: &mut Image<E>,
        floor: f32,
        tiles: TileRange,
        scratch: &mut Scratch,
    ) {
        let input_stride = frequency_stride(self.input_channels, tiles.count);
        let output_stride = frequency_stride(self.output_channels, tiles.count);
        let count = tiles.tiling.frequencies();
        let frequencies = &mut scratch.winograd_input[..count * input_stride];
        let sums = &mut scratch.winograd_sums[..count * output_stride];
        winograd_input(
            self.isa,
            WinogradInput {
                input: bytemuck::cast_slice(&input.data),
                blocks: input.blocks(),
                rows: input.side,
                columns: input.side,
                plane: input.plane,
                tiles,
                output: frequencies,
                frequency_stride: input_stride,
            },
        );
        scratch.steps.clear();
        scratch
            .steps
            .extend((0..input.blocks()).map(|block| block * tiles.count * BLOCK));
        let grid = Grid {
            rows: 1,
            columns: tiles.count,
            origin: 0,
            row_stride: 0,
            column_stride: BLOCK,
        };
        let weights: &[f32] = bytemuck::cast_slice(&self.weights);
        let mut weights = weights
            .chunks_exact(self.input_channels * self.output_channels)
            .peekable();
        let frequencies = frequencies.chunks_exact(input_stride);
        for (frequency, sums) in frequencies.zip(sums.chunks_exact_mut(output_stride)) {
            let Some(current) = weights.next() else { break };
            convolve(
                self.isa,
                Convolve {
                    input: frequency,
                    input_grid: grid,
                    steps: &scratch.steps,
                    words_per_step: BLOCK,
                    weights: current,
                    upcoming_weights: weights.peek().copied(),
                    output_channels: self.output_channels,
                    output: sums,
                    output_grid: grid,
                    output_plane: tiles.count * BLOCK,
                    epilogue: Epilogue::NONE,
                },
                &mut scratch.convolve,
            );
        }
        winograd_output(
            self.isa,
            WinogradOutput {
                sums,
                frequency_stride: output_stride,
                blocks: output.blocks(),
                tiles,
                rows: output.size,
                columns: output.size,
                plane: output.plane,
                output: bytemuck::cast_slice_mut(&mut output.data),
                affine: self.affine(),
                floor,
            },
        );
    }
}
