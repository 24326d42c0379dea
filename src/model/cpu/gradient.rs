//! The backward pass: gradients with respect to inner layers, by the same kernels with the channels swapped.
//!
//! ```text
//! logit weights ──► pooled gradient ──► blocks, last to first: ReLU mask, 1x1ᵀ, mask, 3x3ᵀ, mask, 1x1ᵀ, plus the shortcut's
//! ```

use super::block::{BlockBuffers, BlockLayers, Layer, has_winograd};
use super::convolution::{Convolution, Method, Scratch, Then};
use super::image::Image;
use super::kernels::{BLOCK, Element, Isa, masked, positive_mask};
use crate::error::Result;
use crate::model::spec::{ModelSpec, TargetLayer};
use crate::model::weights::WeightFile;
use crate::model::{Activations, FullyConnected};

/// Which channels of which pixels the ReLUs of some blocks let through.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReluMasks {
    blocks: Vec<BlockMasks>,
}

/// Per block of 16 channels and pixel, a bit per channel.
#[derive(Debug, Clone)]
struct BlockMasks {
    layer: TargetLayer,
    reduced: Vec<u16>,
    spatial: Vec<u16>,
    output: Vec<u16>,
}

impl ReluMasks {
    /// Keeps the masks of a block that just ran.
    pub(super) fn push<E: Element>(
        &mut self,
        isa: Isa,
        layer: TargetLayer,
        buffers: &BlockBuffers<'_, E>,
    ) {
        self.blocks.push(BlockMasks {
            layer,
            reduced: mask_of(isa, buffers.reduced),
            spatial: mask_of(isa, buffers.spatial),
            output: mask_of(isa, buffers.output),
        });
    }
}

fn mask_of<E: Element>(isa: Isa, image: &Image<E>) -> Vec<u16> {
    let mut bits = vec![0; image.channels / BLOCK * image.size * image.size];
    for (row, bits) in image.rows().zip(bits.chunks_exact_mut(image.size)) {
        positive_mask(isa, row, bits);
    }
    bits
}

/// Copies an image without border, row by row, with the mask's zeros.
fn apply_mask(isa: Isa, mask: &[u16], from: &Image<f32>, to: &mut Image<f32>) {
    let masks = mask.chunks_exact(from.size);
    for ((from, to), bits) in from.rows().zip(to.rows_mut()).zip(masks) {
        masked(isa, from, bits, to);
    }
}

/// The transposed convolutions of a block.
#[derive(Debug)]
struct TransposedBlock {
    layer: TargetLayer,
    expand: Convolution<f32>,
    spatial: Convolution<f32>,
    reduce: Convolution<f32>,
    shortcut: Option<Convolution<f32>>,
}

impl TransposedBlock {
    fn load(isa: Isa, file: &WeightFile, spec: &ModelSpec, layer: TargetLayer) -> Result<Self> {
        let layers = BlockLayers::load(file, spec, layer)?;
        let transposed = |layer: Layer, method| {
            let weights = layer.weights.transposed(&layer.norm.scale);
            Convolution::new(isa, &weights, None, method)
        };
        let spatial_method = if has_winograd::<f32>(layer) {
            Method::Winograd
        } else {
            Method::Direct
        };
        Ok(Self {
            layer,
            expand: transposed(layers.expand, Method::Direct),
            spatial: transposed(layers.spatial, spatial_method),
            reduce: transposed(layers.reduce, Method::Direct),
            shortcut: layers
                .shortcut
                .map(|layer| transposed(layer, Method::Direct)),
        })
    }

    /// From the gradient with respect to the block's output to the one with respect to its input.
    fn run(
        &self,
        isa: Isa,
        gradient: &Image<f32>,
        masks: &BlockMasks,
        scratch: &mut Scratch,
    ) -> Image<f32> {
        let (shape, size) = (self.layer.shape(), gradient.size);
        let mut output = Image::new(shape.output, size);
        apply_mask(isa, &masks.output, gradient, &mut output);

        let mut inner = Image::new(shape.inner, size);
        let mut bordered = Image::bordered(shape.inner, size);
        self.expand
            .run(&output, &mut inner, &Then::NOTHING, scratch);
        apply_mask(isa, &masks.spatial, &inner, &mut bordered);
        let mut spatial = Image::new(shape.inner, size);
        self.spatial
            .run(&bordered, &mut spatial, &Then::NOTHING, scratch);
        apply_mask(isa, &masks.reduced, &spatial, &mut inner);

        let residual = match &self.shortcut {
            Some(convolution) => {
                let mut shortcut = Image::new(shape.input, size);
                convolution.run(&output, &mut shortcut, &Then::NOTHING, scratch);
                shortcut
            }
            None => output,
        };
        let then = Then {
            residual: Some(&residual),
            has_relu: false,
        };
        let mut input = Image::new(shape.input, size);
        self.reduce.run(&inner, &mut input, &then, scratch);
        if shape.stride == 1 {
            return input;
        }
        // The pixels that the stride skipped have no influence.
        let mut spread = Image::new(shape.input, size * shape.stride);
        input.spread_into(&mut spread);
        spread
    }
}

/// The transposed convolutions of all blocks.
#[derive(Debug)]
pub(super) struct Backward {
    isa: Isa,
    /// From the last block to the first.
    blocks: Vec<TransposedBlock>,
}

impl Backward {
    pub(super) fn load(isa: Isa, file: &WeightFile, spec: &ModelSpec) -> Result<Self> {
        let layers = spec.target_layers().into_iter().rev();
        let blocks = layers.map(|layer| TransposedBlock::load(isa, file, spec, layer));
        Ok(Self {
            isa,
            blocks: blocks.collect::<Result<_>>()?,
        })
    }

    /// The gradient with respect to the activations of `layer` of `sum_j logit_weights[j] * logit_j`; none if `masks` lack a block
    /// behind `layer`. `last_size`: rows and columns of the last layer.
    pub(super) fn gradient(
        &self,
        masks: &ReluMasks,
        layer: TargetLayer,
        logit_weights: &[f32],
        head: &FullyConnected,
        last_size: usize,
    ) -> Option<Activations> {
        let mut scratch = Scratch::new();
        let mut gradient = pooled_gradient(head, logit_weights, last_size);
        for block in self.blocks.iter().filter(|block| block.layer > layer) {
            let masks = masks
                .blocks
                .iter()
                .find(|masks| masks.layer == block.layer)?;
            if masks.output.len() * BLOCK != gradient.channels * gradient.size * gradient.size {
                return None;
            }
            gradient = block.run(self.isa, &gradient, masks, &mut scratch);
        }
        Some(gradient.to_activations())
    }
}

/// `sum_j logit_weights[j] W[j,k] / Z` in each of the `Z` cells: what comes through the classifier and the average pooling.
fn pooled_gradient(head: &FullyConnected, logit_weights: &[f32], size: usize) -> Image<f32> {
    let sums = head.gradient(logit_weights.iter().map(|weight| f64::from(*weight)));
    let cells = (size * size) as f64;
    let mut image = Image::new(head.channels, size);
    let mut rows = image.rows_mut();
    for sums in sums.chunks_exact(BLOCK) {
        for row in rows.by_ref().take(size) {
            for pixel in row.chunks_exact_mut(BLOCK) {
                for (value, sum) in pixel.iter_mut().zip(sums) {
                    *value = (sum / cells) as f32;
                }
            }
        }
    }
    drop(rows);
    image
}
