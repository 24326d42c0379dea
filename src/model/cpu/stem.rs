//! The first layers: 7x7 convolution with stride 2, ReLU, 3x3 max pooling with stride 2.

use super::convolution::Scratch;
use super::image::{Buffer, Image};
use super::kernels::{BLOCK, Convolve, Epilogue, Grid, Isa, MaxPool, convolve, max_pool};
use super::weights::Weights;
use crate::model::ModelInput;
use crate::model::weights::BatchNorm;

/// Rows and columns of the window.
pub(super) const WINDOW: usize = 7;
/// Pixels of border on each side.
const BORDER: usize = WINDOW / 2;
const STRIDE: usize = 2;
/// Of a pixel of the network's input.
const INPUT_CHANNELS: usize = 3;

/// The stem with its weights packed.
#[derive(Debug)]
pub(super) struct Stem {
    isa: Isa,
    weights: Buffer<f32>,
    norm: BatchNorm,
}

/// The stem's buffers.
#[derive(Debug)]
pub(super) struct StemBuffers {
    /// `[rows][columns][3]` with a border of zeros.
    pixels: Buffer<f32>,
    convolved: Image<f32>,
    pooled: Image<f32>,
}

impl StemBuffers {
    /// For square input of `size` pixels.
    pub(super) fn new(size: usize, channels: usize) -> Self {
        let side = size + 2 * BORDER;
        Self {
            pixels: Buffer::zeros(side * side * INPUT_CHANNELS),
            convolved: Image::new(channels, size / 2),
            pooled: Image::new(channels, size / 4),
        }
    }
}

impl Stem {
    pub(super) fn new(isa: Isa, weights: &Weights, norm: BatchNorm) -> Self {
        Self {
            isa,
            weights: weights.packed_for_pixels(isa),
            norm,
        }
    }

    /// Returns the pooled activations.
    pub(super) fn run<'a>(
        &self,
        input: &ModelInput,
        buffers: &'a mut StemBuffers,
        scratch: &mut Scratch,
    ) -> &'a Image<f32> {
        let side = input.size + 2 * BORDER;
        let row = side * INPUT_CHANNELS;
        assert_eq!(input.values.len(), INPUT_CHANNELS * input.size * input.size);
        let mut planes = input.values.chunks_exact(input.size * input.size);
        let mut rows_of_plane = || planes.next().unwrap_or_default().chunks_exact(input.size);
        let channels = rows_of_plane().zip(rows_of_plane()).zip(rows_of_plane());
        let rows = buffers.pixels.chunks_exact_mut(row).skip(BORDER);
        for (to, ((first, second), third)) in rows.zip(channels) {
            let pixels = to.chunks_exact_mut(INPUT_CHANNELS).skip(BORDER);
            for (((pixel, first), second), third) in pixels.zip(first).zip(second).zip(third) {
                pixel.copy_from_slice(&[*first, *second, *third]);
            }
        }
        let steps: [usize; WINDOW] = std::array::from_fn(|y| y * row);
        let convolved = &mut buffers.convolved;
        let (output_grid, output_plane, output_channels) =
            (convolved.grid(), convolved.plane, convolved.channels);
        convolve(
            self.isa,
            Convolve {
                input: &buffers.pixels,
                input_grid: Grid {
                    origin: 0,
                    row_stride: STRIDE * row,
                    column_stride: STRIDE * INPUT_CHANNELS,
                    ..output_grid
                },
                steps: &steps,
                words_per_step: WINDOW * INPUT_CHANNELS,
                weights: &self.weights,
                upcoming_weights: None,
                output_channels,
                output: &mut convolved.data,
                output_grid,
                output_plane,
                epilogue: Epilogue {
                    affine: Some((&self.norm.scale, &self.norm.shift)),
                    residual: None,
                    floor: 0.0,
                },
            },
            &mut scratch.convolve,
        );
        let (from, to) = (&buffers.convolved, &mut buffers.pooled);
        max_pool(
            self.isa,
            MaxPool {
                input: &from.data,
                input_plane: from.plane,
                output: &mut to.data,
                output_plane: to.plane,
                blocks: output_channels / BLOCK,
                size: to.size,
            },
        );
        &buffers.pooled
    }
}
