//! The forward pass: stem, four stages of blocks, pooling, classifier.
//!
//! The stem and the first block always compute in f32: what is rounded there all later layers see, so that in bf16 these few layers
//! would make more than half of the logits' error. bf16 here stands for f16 too.

use std::collections::BTreeMap;

use super::block::{BlockBuffers, Bottleneck, Layer};
use super::convolution::{Convolution, Scratch};
use super::gradient::ReluMasks;
use super::image::Image;
use super::kernels::{Element, Isa, classify};
use super::stem::{Stem, StemBuffers, WINDOW};
use crate::error::Result;
use crate::model::spec::{BASE_CHANNELS, ModelSpec, STAGES, TargetLayer};
use crate::model::weights::WeightFile;
use crate::model::{Activations, FullyConnected, ModelInput};

/// The convolutions of a ResNet whose stages stride in 1x1 convolutions.
#[derive(Debug)]
pub(super) struct Network<E> {
    isa: Isa,
    stem: Stem,
    first: Bottleneck<f32>,
    /// The first stage without its first block.
    stages: Vec<Vec<Bottleneck<E>>>,
}

/// Direct versions of the 3x3 convolutions that go through Winograd's transform, for passes that one back may follow. Winograd's
/// rounding errors are some times larger: small enough for logits and for activations, but a gradient jumps where a ReLU's input
/// changes its sign, so that the smallest error in an input near 0 shows.
#[derive(Debug)]
pub(super) struct DirectSpatials<E> {
    first: Option<Convolution<f32>>,
    others: BTreeMap<TargetLayer, Convolution<E>>,
}

/// All that one pass writes to; one per thread, made once.
#[derive(Debug)]
pub(super) struct Workspace<E> {
    scratch: Scratch,
    stem: StemBuffers,
    first: FirstBlockBuffers,
    /// The first block's output, as the other blocks store activations.
    entry: Image<E>,
    stages: Vec<StageBuffers<E>>,
}

#[derive(Debug)]
struct FirstBlockBuffers {
    reduced: Image<f32>,
    spatial: Image<f32>,
    shortcut: Image<f32>,
    output: Image<f32>,
}

/// Buffers for the blocks of a stage.
#[derive(Debug)]
struct StageBuffers<E> {
    reduced: Image<E>,
    spatial: Image<E>,
    /// Blocks write to the one and read from the other, in turn. The first block, which reads the stage before, has its shortcut
    /// in the other.
    outputs: [Image<E>; 2],
    /// For the last block; the last stage, which no other follows, has none.
    pulled: Option<PulledBuffers<E>>,
}

/// Every second row and column of a stage's last block: all that the next stage reads, because it strides in 1x1 convolutions.
#[derive(Debug)]
struct PulledBuffers<E> {
    spatial: Image<E>,
    shortcut: Image<E>,
    output: Image<E>,
}

impl<E: Element> Workspace<E> {
    pub(super) fn new(input_size: usize) -> Self {
        let stage = |stage| {
            let shape = TargetLayer { stage, block: 0 }.shape();
            let size = (input_size / 4) >> stage;
            let inner = |size| Image::new(shape.inner, size);
            let outer = |size| Image::new(shape.output, size);
            StageBuffers {
                reduced: Image::bordered(shape.inner, size),
                spatial: inner(size),
                outputs: [outer(size), outer(size)],
                pulled: (stage + 1 < STAGES).then(|| PulledBuffers {
                    spatial: inner(size / 2),
                    shortcut: outer(size / 2),
                    output: outer(size / 2),
                }),
            }
        };
        let (shape, size) = (TargetLayer::FIRST.shape(), input_size / 4);
        Self {
            scratch: Scratch::default(),
            stem: StemBuffers::new(input_size, BASE_CHANNELS),
            first: FirstBlockBuffers {
                reduced: Image::bordered(shape.inner, size),
                spatial: Image::new(shape.inner, size),
                shortcut: Image::new(shape.output, size),
                output: Image::new(shape.output, size),
            },
            entry: Image::new(shape.output, size),
            stages: (0..STAGES).map(stage).collect(),
        }
    }
}

/// What a caller wants from a pass besides logits, and what it got so far.
#[derive(Debug)]
struct Observer<'a> {
    isa: Isa,
    layers: &'a [TargetLayer],
    activations: Vec<Option<Activations>>,
    masks: ReluMasks,
}

impl<'a> Observer<'a> {
    fn new(isa: Isa, layers: &'a [TargetLayer]) -> Self {
        Self {
            isa,
            layers,
            activations: vec![None; layers.len()],
            masks: ReluMasks::default(),
        }
    }

    fn first_layer(&self) -> Option<TargetLayer> {
        self.layers.iter().min().copied()
    }

    /// Whether nobody but the next stage reads what this one writes.
    fn may_pull(&self, stage: usize) -> bool {
        self.first_layer().is_none_or(|first| first.stage > stage)
    }

    fn see<E: Element>(&mut self, layer: TargetLayer, buffers: &BlockBuffers<'_, E>) {
        // Behind the first layer a gradient may pass.
        if self.first_layer().is_some_and(|first| first < layer) {
            self.masks.push(self.isa, layer, buffers);
        }
        for (wanted, slot) in self.layers.iter().zip(&mut self.activations) {
            if *wanted == layer {
                *slot = Some(buffers.output.to_activations());
            }
        }
    }
}

/// What a pass yields.
#[derive(Debug)]
pub(super) struct Pass {
    /// Of the requested layers; none for a layer that does not exist.
    pub(super) activations: Vec<Option<Activations>>,
    pub(super) logits: Vec<f32>,
    /// Of the blocks behind the first requested layer.
    pub(super) masks: ReluMasks,
}

impl<E: Element> Network<E> {
    pub(super) fn load(isa: Isa, file: &WeightFile, spec: &ModelSpec) -> Result<Self> {
        let stem = Layer::load(file, spec, "conv1", "bn1", [BASE_CHANNELS, 3, WINDOW])?;
        let stages = spec.blocks.iter().enumerate().map(|(stage, blocks)| {
            let layers = (0..*blocks).map(|block| TargetLayer { stage, block });
            layers
                .filter(|layer| *layer != TargetLayer::FIRST)
                .map(|layer| {
                    // The last block of a stage that another follows mostly computes every second pixel.
                    let may_stride = layer.block + 1 == *blocks && stage + 1 < spec.blocks.len();
                    Bottleneck::load(isa, file, spec, layer, may_stride)
                })
                .collect()
        });
        Ok(Self {
            isa,
            stem: Stem::new(isa, &stem.weights, stem.norm),
            first: Bottleneck::load(isa, file, spec, TargetLayer::FIRST, false)?,
            stages: stages.collect::<Result<_>>()?,
        })
    }

    fn last_layer(&self) -> TargetLayer {
        let stage = self.stages.len() - 1;
        let block = self.stages[stage].len() - 1;
        TargetLayer { stage, block }
    }

    /// Whether a pass that is asked for `layers` may be followed by one back: behind the last layer no ReLU follows.
    pub(super) fn may_go_back(&self, layers: &[TargetLayer]) -> bool {
        layers.iter().any(|layer| *layer < self.last_layer())
    }

    /// What [`forward`](Self::forward) needs for a pass that [may be followed by one back](Self::may_go_back).
    pub(super) fn load_direct_spatials(
        &self,
        file: &WeightFile,
        spec: &ModelSpec,
    ) -> Result<DirectSpatials<E>> {
        let mut others = BTreeMap::new();
        for block in self.stages.iter().flatten() {
            if let Some(convolution) = block.direct_spatial(self.isa, file, spec)? {
                others.insert(block.layer, convolution);
            }
        }
        let first = self.first.direct_spatial(self.isa, file, spec)?;
        Ok(DirectSpatials { first, others })
    }

    /// `direct`: needed if the pass [may be followed by one back](Self::may_go_back).
    pub(super) fn forward(
        &self,
        input: &ModelInput,
        layers: &[TargetLayer],
        head: &FullyConnected,
        direct: Option<&DirectSpatials<E>>,
        workspace: &mut Workspace<E>,
    ) -> Pass {
        debug_assert!(direct.is_some() || !self.may_go_back(layers));
        let mut observer = Observer::new(self.isa, layers);
        let Workspace {
            scratch,
            stem,
            first,
            entry,
            stages,
        } = workspace;
        let pooled = self.stem.run(input, stem, scratch);
        let mut buffers = BlockBuffers {
            reduced: &mut first.reduced,
            spatial: &mut first.spatial,
            shortcut: Some(&mut first.shortcut),
            output: &mut first.output,
        };
        let direct_first = direct.and_then(|direct| direct.first.as_ref());
        self.first.run(pooled, &mut buffers, direct_first, scratch);
        observer.see(TargetLayer::FIRST, &buffers);
        first.output.hand_over(entry);
        let mut x = &*entry;
        for (blocks, buffers) in self.stages.iter().zip(stages) {
            x = run_stage(blocks, x, buffers, direct, &mut observer, scratch);
        }
        Pass {
            logits: self.classify(x, head),
            activations: observer.activations,
            masks: observer.masks,
        }
    }

    /// The logits that the blocks behind `layer`, which must exist, make of its output.
    pub(super) fn forward_from(
        &self,
        layer: TargetLayer,
        output: &Activations,
        head: &FullyConnected,
        workspace: &mut Workspace<E>,
    ) -> Vec<f32> {
        let mut observer = Observer::new(self.isa, &[]);
        let output = Image::from_activations(output);
        let mut x = &output;
        for (blocks, buffers) in self.stages.iter().zip(&mut workspace.stages) {
            let first = blocks.partition_point(|block| block.layer <= layer);
            let blocks = &blocks[first..];
            x = run_stage(
                blocks,
                x,
                buffers,
                None,
                &mut observer,
                &mut workspace.scratch,
            );
        }
        self.classify(x, head)
    }

    fn classify(&self, last: &Image<E>, head: &FullyConnected) -> Vec<f32> {
        classify(self.isa, &last.channel_means(), &head.weight, &head.bias)
    }
}

/// Runs the blocks of a stage; returns what the next stage reads.
fn run_stage<'a, E: Element>(
    blocks: &[Bottleneck<E>],
    x: &'a Image<E>,
    buffers: &'a mut StageBuffers<E>,
    direct: Option<&DirectSpatials<E>>,
    observer: &mut Observer<'_>,
    scratch: &mut Scratch,
) -> &'a Image<E> {
    let StageBuffers {
        reduced,
        spatial,
        outputs: [output, previous],
        pulled,
    } = buffers;
    let (mut output, mut previous) = (output, previous);
    let Some((last, others)) = blocks.split_last() else {
        return x;
    };
    let direct_of =
        |block: &Bottleneck<E>| direct.and_then(|direct| direct.others.get(&block.layer));
    let mut x = Some(x);
    for block in others {
        let (input, shortcut) = input_and_shortcut(&mut x, &mut *previous);
        let mut buffers = BlockBuffers {
            reduced: &mut *reduced,
            spatial: &mut *spatial,
            shortcut,
            output: &mut *output,
        };
        block.run(input, &mut buffers, direct_of(block), scratch);
        observer.see(block.layer, &buffers);
        std::mem::swap(&mut output, &mut previous);
    }
    let (input, shortcut) = input_and_shortcut(&mut x, previous);
    let mut buffers = match pulled {
        Some(pulled) if observer.may_pull(last.layer.stage) => BlockBuffers {
            reduced,
            spatial: &mut pulled.spatial,
            shortcut: Some(&mut pulled.shortcut),
            output: &mut pulled.output,
        },
        _ => BlockBuffers {
            reduced,
            spatial,
            shortcut,
            output,
        },
    };
    last.run(input, &mut buffers, direct_of(last), scratch);
    observer.see(last.layer, &buffers);
    buffers.output
}

/// What a block reads, and where its shortcut may go: the first block of a stage reads `x`, the stage before, and `previous` is
/// free; the others read `previous`.
fn input_and_shortcut<'x: 'a, 'a, E>(
    x: &mut Option<&'x Image<E>>,
    previous: &'a mut Image<E>,
) -> (&'a Image<E>, Option<&'a mut Image<E>>) {
    match x.take() {
        Some(x) => (x, Some(previous)),
        None => (previous, None),
    }
}
