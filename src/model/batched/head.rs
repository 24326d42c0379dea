//! From a target layer on, for many pictures at a time: logits, and gradients of scores with respect to the layer.
//!
//! ```text
//! activations ──► blocks behind the layer ──► logits
//!                        │ what their ReLUs let through
//! gradient    ◄── the same blocks transposed ◄── pooled gradient
//! ```
//!
//! In f32 whatever the network computes in: the gradient of an improbable class's probability is too small for f16.

use std::fmt;

use super::BatchNetwork;
use super::class_maps::ClassHead;
use super::convolution::{Convolution, Transposed};
use super::network::{Parts, device_error};
use super::transfer::Download;
use crate::error::Result;
use crate::model::bottleneck::Bottleneck;
use crate::model::spec::{ModelSpec, TargetLayer};
use crate::model::weights::WeightFile;
use crate::model::{Activations, FullyConnected};

/// What is asked about the activations of one picture.
#[derive(Debug)]
pub(in crate::model) struct HeadQuestion {
    layer: TargetLayer,
    /// Of the layer, `[channels, height, width]`.
    activations: Vec<f32>,
    /// To go back: the gradient with respect to the pooled features of the last layer. None: the logits are asked for.
    pooled_gradient: Option<Vec<f32>>,
}

impl HeadQuestion {
    /// Which logits do these activations lead to?
    pub(super) fn logits(layer: TargetLayer, activations: &Activations) -> Self {
        Self {
            layer,
            activations: activations.values.clone(),
            pooled_gradient: None,
        }
    }

    /// What is the gradient of `sum_j logit_weights[j] * logit_j` with respect to these activations?
    pub(super) fn gradient(
        layer: TargetLayer,
        activations: &Activations,
        logit_weights: &[f32],
        head: &FullyConnected,
    ) -> Self {
        let sums = head.gradient(logit_weights.iter().map(|weight| f64::from(*weight)));
        Self {
            pooled_gradient: Some(sums.into_iter().map(|sum| sum as f32).collect()),
            ..Self::logits(layer, activations)
        }
    }
}

/// A block behind a target layer.
struct Block {
    layer: TargetLayer,
    there: Bottleneck<Convolution>,
    back: Bottleneck<Transposed>,
}

/// All that may lie behind a target layer, on one device, for the thread that it belongs to.
pub(in crate::model) struct HeadNetwork {
    input_size: usize,
    parts: Parts<f32>,
    blocks: Vec<Block>,
    classes: ClassHead,
}

impl fmt::Debug for HeadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadNetwork")
            .field("engine", &self.parts.engine)
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl HeadNetwork {
    /// Builds it from the network that the file's metadata describes.
    ///
    /// # Errors
    /// As [`FoldedResNet::load`](super::FoldedResNet::load).
    pub(in crate::model) fn load(file: &WeightFile, parts: Parts<f32>) -> Result<Self> {
        let spec = ModelSpec::from_weights(file)?;
        let loader = parts.loader(file, &spec);
        // The first block is behind no target layer.
        let layers = spec.target_layers().into_iter().skip(1);
        let blocks = layers.map(|layer| {
            let block = Bottleneck::load(&spec, layer, |conv, norm, shape, stride| {
                loader.both_ways(conv, norm, shape, stride)
            });
            let (there, back) = block?.unzip();
            Ok(Block { layer, there, back })
        });
        let blocks = blocks.collect::<Result<_>>()?;
        let fully_connected = FullyConnected::load(file, &spec)?;
        let classes = ClassHead::new(&fully_connected, &parts.device).map_err(device_error)?;
        Ok(Self {
            input_size: spec.input_size,
            parts,
            blocks,
            classes,
        })
    }

    /// Of pictures that are asked the same at the same layer: `[pictures, classes]`, or `[pictures, channels, height, width]` of the layer.
    ///
    /// # Errors
    /// If the device fails.
    fn run(&mut self, batch: &[&HeadQuestion]) -> candle_core::Result<Download> {
        let Some(first) = batch.first() else {
            return Ok(Box::new(|| Ok(Vec::new())));
        };
        let (layer, engine) = (first.layer, &*self.parts.engine);
        let side = (self.input_size / 4) >> layer.stage;
        let activations: Vec<&[f32]> = batch.iter().map(|asked| &*asked.activations).collect();
        let shape = [batch.len(), layer.shape().output, side, side];
        let planes = self.parts.transfer.upload(&activations, shape)?;
        let mut x = planes.permute((0, 2, 3, 1))?.contiguous()?;

        let gradients: Option<Vec<&[f32]>> = batch
            .iter()
            .map(|asked| asked.pooled_gradient.as_deref())
            .collect();
        let behind = self.blocks.iter().filter(|block| block.layer > layer);
        let Some(gradients) = gradients else {
            for block in behind {
                x = block.there.forward(engine, &x)?.output;
            }
            return self.parts.transfer.download(&self.classes.logits(&x)?);
        };
        // Before anything is computed: this copy would wait for it.
        let last = [
            batch.len(),
            1,
            1,
            gradients.first().map_or(0, |first| first.len()),
        ];
        let pooled = self.parts.transfer.upload(&gradients, last)?;
        let mut passed = Vec::new();
        for block in behind {
            let outputs = block.there.forward(engine, &x)?;
            x = outputs.output.clone();
            passed.push((&block.back, outputs));
        }
        // Average pooling gives each of its cells the same share.
        let (_, height, width, _) = x.dims4()?;
        let shares = (pooled / (height * width) as f64)?;
        let mut gradient = shares.broadcast_as(x.shape())?.contiguous()?;
        while let Some((back, outputs)) = passed.pop() {
            gradient = back.backward(engine, &outputs, &gradient)?;
        }
        let planes = gradient.permute((0, 3, 1, 2))?.contiguous()?;
        self.parts.transfer.download(&planes)
    }
}

/// Pictures that are asked the same at the same layer: their places in the batch, and what they are told.
struct Group {
    places: Vec<usize>,
    answers: Download,
}

/// A batch that the device computes.
pub(in crate::model) struct RunningHead(Vec<Group>);

impl BatchNetwork for HeadNetwork {
    type Question = HeadQuestion;
    /// Logits, or the gradient `[channels, height, width]`.
    type Answer = Vec<f32>;
    type Running = RunningHead;

    fn launch(&mut self, batch: &[&HeadQuestion]) -> Result<RunningHead> {
        // What differs in kind runs one after the other.
        let kind = |asked: &HeadQuestion| (asked.layer, asked.pooled_gradient.is_some());
        let mut groups = Vec::new();
        let mut rest: Vec<usize> = (0..batch.len()).collect();
        while let Some(first) = rest.first() {
            let kind_of_first = kind(batch[*first]);
            let (places, others): (Vec<usize>, Vec<usize>) = rest
                .into_iter()
                .partition(|place| kind(batch[*place]) == kind_of_first);
            let questions: Vec<_> = places.iter().map(|place| batch[*place]).collect();
            let answers = self.run(&questions).map_err(device_error)?;
            groups.push(Group { places, answers });
            rest = others;
        }
        Ok(RunningHead(groups))
    }

    fn collect(&mut self, running: RunningHead) -> Result<Vec<Vec<f32>>> {
        let mut placed = Vec::new();
        for Group { places, answers } in running.0 {
            let values = answers().map_err(device_error)?;
            let each = values.len() / places.len().max(1);
            placed.extend(
                places
                    .into_iter()
                    .zip(values.chunks_exact(each.max(1)))
                    .map(|(place, values)| (place, values.to_vec())),
            );
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(placed.into_iter().map(|(_, values)| values).collect())
    }

    fn give_back(&mut self) {
        self.parts.engine.give_back();
    }

    fn end(self) {
        let _alone = self.parts.engine.alone();
        drop(self);
    }
}
