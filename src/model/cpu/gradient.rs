//! The backward pass: gradients with respect to inner layers, by the same kernels with the channels swapped.
//!
//! ```text
//! logit weights ──► pooled gradient ──► blocks, last to first: ReLU mask, 1x1ᵀ, mask, 3x3ᵀ, mask, 1x1ᵀ, plus the shortcut's
//! ```

use super::block::{BlockBuffers, BlockLayers, Layer, fastest_method};
use super::convolution::{Convolution, Method, Scratch, Then};
use super::image::Image;
use super::kernels::{BLOCK, Element, Isa, masked, positive_mask};
use super::pool::Pool;
use crate::error::Result;
use crate::model::spec::{ModelSpec, STAGES, TargetLayer};
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
        Ok(Self {
            layer,
            expand: transposed(layers.expand, Method::Direct),
            spatial: transposed(layers.spatial, fastest_method::<f32>(isa, layer)),
            reduce: transposed(layers.reduce, Method::Direct),
            shortcut: layers
                .shortcut
                .map(|layer| transposed(layer, Method::Direct)),
        })
    }

    /// Turns the gradient with respect to the block's output, `buffers.outputs[0]`, into the one with respect to its input: that
    /// takes its place, or, from a stage's first block, goes to `buffers.first.input`.
    fn run(&self, isa: Isa, masks: &BlockMasks, buffers: &mut StageBuffers, scratch: &mut Scratch) {
        let StageBuffers {
            outputs: [output, input],
            masked,
            inner,
            bordered,
            spatial,
            first,
        } = buffers;
        apply_mask(isa, &masks.output, output, masked);
        self.expand.run(masked, inner, &Then::NOTHING, scratch);
        apply_mask(isa, &masks.spatial, inner, bordered);
        self.spatial.run(bordered, spatial, &Then::NOTHING, scratch);
        apply_mask(isa, &masks.reduced, spatial, inner);

        let (residual, input) = match (&self.shortcut, first) {
            (Some(convolution), Some(first)) => {
                convolution.run(masked, &mut first.shortcut, &Then::NOTHING, scratch);
                (&first.shortcut, &mut first.input)
            }
            _ => (&*masked, input),
        };
        let then = Then {
            residual: Some(residual),
            has_relu: false,
        };
        self.reduce.run(inner, input, &then, scratch);
        buffers.outputs.swap(0, 1);
    }
}

/// Gradients of one stage.
#[derive(Debug)]
struct StageBuffers {
    /// With respect to the outputs of a block and of the one before it.
    outputs: [Image<f32>; 2],
    /// With respect to the sum before the output's ReLU.
    masked: Image<f32>,
    inner: Image<f32>,
    bordered: Image<f32>,
    spatial: Image<f32>,
    /// Not in the first stage: nothing before it is a target layer.
    first: Option<FirstBlockBuffers>,
}

/// For the first block of a stage, which has another number of channels before it.
#[derive(Debug)]
struct FirstBlockBuffers {
    shortcut: Image<f32>,
    input: Image<f32>,
}

impl StageBuffers {
    /// For images of `size` rows and columns.
    fn new(stage: usize, size: usize) -> Self {
        let shape = TargetLayer { stage, block: 0 }.shape();
        let outer = || Image::new(shape.output, size);
        let inner = || Image::new(shape.inner, size);
        let input = || Image::new(shape.input, size);
        Self {
            outputs: [outer(), outer()],
            masked: outer(),
            inner: inner(),
            bordered: Image::bordered(shape.inner, size),
            spatial: inner(),
            first: (stage > 0).then(|| FirstBlockBuffers {
                shortcut: input(),
                input: input(),
            }),
        }
    }
}

/// All that one backward pass writes to.
#[derive(Debug, Default)]
struct Buffers {
    scratch: Scratch,
    /// From the last stage on, as far as a gradient was ever asked for.
    stages: Vec<StageBuffers>,
}

/// The transposed convolutions of all blocks.
#[derive(Debug)]
pub(super) struct Backward {
    isa: Isa,
    input_size: usize,
    /// From the last block to the first.
    blocks: Vec<TransposedBlock>,
    buffers: Pool<Buffers>,
}

impl Backward {
    pub(super) fn load(isa: Isa, file: &WeightFile, spec: &ModelSpec) -> Result<Self> {
        // Nothing asks for the gradient before the first block.
        let layers = spec.target_layers().into_iter().skip(1).rev();
        let blocks = layers.map(|layer| TransposedBlock::load(isa, file, spec, layer));
        Ok(Self {
            isa,
            input_size: spec.input_size,
            blocks: blocks.collect::<Result<_>>()?,
            buffers: Pool::new(),
        })
    }

    /// The gradient with respect to the activations of `layer` of `sum_j logit_weights[j] * logit_j`; none if `masks` lack a block
    /// behind `layer`.
    pub(super) fn gradient(
        &self,
        masks: &ReluMasks,
        layer: TargetLayer,
        logit_weights: &[f32],
        head: &FullyConnected,
    ) -> Option<Activations> {
        self.buffers.with(Buffers::default, |buffers| {
            for stage in (layer.stage..STAGES - buffers.stages.len()).rev() {
                let size = (self.input_size / 4) >> stage;
                buffers.stages.push(StageBuffers::new(stage, size));
            }
            let stages = &mut buffers.stages;
            fill_pooled_gradient(head, logit_weights, &mut stages[0].outputs[0]);
            for block in self.blocks.iter().filter(|block| block.layer > layer) {
                let masks = masks
                    .blocks
                    .iter()
                    .find(|masks| masks.layer == block.layer)?;
                let (this, before) = stages[STAGES - 1 - block.layer.stage..].split_first_mut()?;
                let output = &this.outputs[0];
                if masks.output.len() * BLOCK != output.channels * output.size * output.size {
                    return None;
                }
                block.run(self.isa, masks, this, &mut buffers.scratch);
                if let (0, Some(first)) = (block.layer.block, &this.first) {
                    // The pixels that the stride skipped have no influence.
                    first.input.spread_into(&mut before.first_mut()?.outputs[0]);
                }
            }
            Some(stages[STAGES - 1 - layer.stage].outputs[0].to_activations())
        })
    }
}

/// `sum_j logit_weights[j] W[j,k] / Z` in each of the `Z` cells: what comes through the classifier and the average pooling.
fn fill_pooled_gradient(head: &FullyConnected, logit_weights: &[f32], image: &mut Image<f32>) {
    let sums = head.gradient(logit_weights.iter().map(|weight| f64::from(*weight)));
    let size = image.size;
    let cells = (size * size) as f64;
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
}
