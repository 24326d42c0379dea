//! What a weight file's metadata says of its network: topology, input, labels.

use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::model::weights::WeightFile;

/// Stages of a ResNet after the stem, `layer1` to `layer4`.
pub const STAGES: usize = 4;

/// Channels of the stem, and inner channels of the first stage; they double from stage to stage.
pub(crate) const BASE_CHANNELS: usize = 64;
/// A bottleneck's output has this many times its inner channels.
pub(crate) const EXPANSION: usize = 4;

/// How 8-bit RGB becomes the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// For each input channel: which of R, G, B (0, 1, 2) it holds.
    pub channel_order: [usize; 3],
    /// Subtracted per input channel, in 0..=255.
    pub mean: [f32; 3],
    /// Divided by, per input channel, after the mean.
    pub deviation: [f32; 3],
}

impl Normalization {
    /// `keras.applications` "caffe" mode: BGR minus the ImageNet mean.
    pub const CAFFE: Self = Self {
        channel_order: [2, 1, 0],
        mean: [103.939, 116.779, 123.68],
        deviation: [1.0; 3],
    };

    /// torchvision: RGB / 255, minus the ImageNet mean, by its standard deviation (here all times 255).
    pub const TORCH: Self = Self {
        channel_order: [0, 1, 2],
        mean: [123.675, 116.28, 103.53],
        deviation: [58.395, 57.12, 57.375],
    };

    /// By the name that weight files and records have for it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "caffe" => Some(Self::CAFFE),
            "torch" => Some(Self::TORCH),
            _ => None,
        }
    }

    /// The opposite of [`named`](Self::named).
    pub fn name(&self) -> &'static str {
        if *self == Self::TORCH {
            "torch"
        } else {
            "caffe"
        }
    }
}

/// Everything about a network but its weights.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// Architecture, such as `resnet50`.
    pub arch: String,
    /// Bottleneck blocks per stage.
    pub blocks: [usize; STAGES],
    /// Whether a stage's first block strides in its first 1x1 (Keras, v1) or in its 3x3 (torchvision, v1.5).
    pub has_stride_in_1x1: bool,
    /// Epsilon of batch normalisation.
    pub batch_norm_epsilon: f64,
    /// Input preprocessing.
    pub normalization: Normalization,
    /// Side of the square input in pixels.
    pub input_size: usize,
    /// The classes.
    pub labels: Labels,
}

impl ModelSpec {
    /// Reads the metadata of a weight file.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] for a missing, malformed or unknown entry.
    pub fn from_weights(file: &WeightFile) -> Result<Self> {
        let arch = file.entry("arch")?.to_owned();
        let blocks = match arch.as_str() {
            "resnet50" => [3, 4, 6, 3],
            other => {
                return Err(file.error(format!(
                    "architecture {other:?} is unknown, known is resnet50"
                )));
            }
        };
        let has_stride_in_1x1 = parse(file, "stride_in_1x1")?;
        let batch_norm_epsilon: f64 = parse(file, "bn_eps")?;
        if !(0.0..1.0).contains(&batch_norm_epsilon) {
            return Err(file.error(format!("bn_eps {batch_norm_epsilon} is not in 0..1")));
        }
        // The entry is a keyword, then a colon and a description for people.
        let preprocess = file.entry("preprocess")?;
        let keyword = preprocess.split(':').next().unwrap_or_default().trim();
        let normalization = Normalization::named(keyword).ok_or_else(|| {
            file.error(format!(
                "preprocess {keyword:?} is unknown, known are caffe and torch"
            ))
        })?;
        let input_size: usize = parse(file, "input_size")?;
        if input_size == 0 || !input_size.is_multiple_of(32) || input_size > 4096 {
            return Err(file.error(format!(
                "input_size {input_size} is not a multiple of 32 up to 4096"
            )));
        }
        let labels = Labels::from_json(file.entry("labels")?, file.entry("wnids")?)
            .map_err(|error| file.error(error))?;
        let num_classes: usize = parse(file, "num_classes")?;
        if labels.len() != num_classes {
            return Err(file.error(format!(
                "{} labels for num_classes {num_classes}",
                labels.len()
            )));
        }
        Ok(Self {
            arch,
            blocks,
            has_stride_in_1x1,
            batch_norm_epsilon,
            normalization,
            input_size,
            labels,
        })
    }
}

fn parse<T: std::str::FromStr>(file: &WeightFile, key: &str) -> Result<T> {
    let text = file.entry(key)?;
    text.parse().map_err(|_| {
        file.error(format!(
            "metadata entry {key:?} has no valid value: {text:?}"
        ))
    })
}

/// A block whose output a heatmap can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetLayer {
    /// 0 to 3 for `layer1` to `layer4`.
    pub stage: usize,
    /// Block within the stage, from 0.
    pub block: usize,
}

impl TargetLayer {
    /// `layer1.0`.
    pub(crate) const FIRST: Self = Self { stage: 0, block: 0 };

    /// torchvision's name: `layer4.2`.
    pub fn torch_name(self) -> String {
        format!("layer{}.{}", self.stage + 1, self.block)
    }

    /// Keras' name: `conv5_block3_out`.
    pub fn keras_name(self) -> String {
        format!("conv{}_block{}_out", self.stage + 2, self.block + 1)
    }
}

/// Channels and strides of a bottleneck block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockShape {
    pub(crate) input: usize,
    /// Between the two 1x1 convolutions.
    pub(crate) inner: usize,
    pub(crate) output: usize,
    /// Of the whole block, and of its shortcut.
    pub(crate) stride: usize,
    /// Whether a 1x1 convolution brings the input to the output's shape.
    pub(crate) has_downsample: bool,
}

impl TargetLayer {
    pub(crate) fn shape(self) -> BlockShape {
        let inner = BASE_CHANNELS << self.stage;
        let output = inner * EXPANSION;
        let is_first = self.block == 0;
        BlockShape {
            input: match (is_first, self.stage) {
                (false, _) => output,
                (true, 0) => BASE_CHANNELS,
                (true, _) => output / 2,
            },
            inner,
            output,
            stride: if is_first && self.stage > 0 { 2 } else { 1 },
            has_downsample: is_first,
        }
    }
}

impl ModelSpec {
    /// All target layers, from the input to the output.
    pub fn target_layers(&self) -> Vec<TargetLayer> {
        (0..STAGES)
            .flat_map(|stage| {
                (0..self.blocks[stage]).map(move |block| TargetLayer { stage, block })
            })
            .collect()
    }

    /// The last block: its output goes straight to pooling and the classifier.
    pub fn last_layer(&self) -> TargetLayer {
        self.last_block(STAGES - 1)
    }

    fn last_block(&self, stage: usize) -> TargetLayer {
        TargetLayer {
            stage,
            block: self.blocks[stage] - 1,
        }
    }

    /// Finds a layer by torchvision's (`layer3`, `layer4.1`) or Keras' name (`conv5_block3_out`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] that lists the valid names.
    pub fn layer_by_name(&self, name: &str) -> Result<TargetLayer> {
        for stage in 0..STAGES {
            if name == format!("layer{}", stage + 1) {
                return Ok(self.last_block(stage));
            }
        }
        self.target_layers()
            .into_iter()
            .find(|layer| layer.torch_name() == name || layer.keras_name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = (0..STAGES)
                    .map(|stage| {
                        format!(
                            "layer{0} (layer{0}.0 to {1})",
                            stage + 1,
                            self.last_block(stage).torch_name()
                        )
                    })
                    .collect();
                let (first, last) = (TargetLayer { stage: 0, block: 0 }, self.last_layer());
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "unknown layer {name:?}; valid are {}, and the Keras names {} to {}",
                        names.join(", "),
                        first.keras_name(),
                        last.keras_name()
                    ),
                )
            })
    }

    /// Short name for records: `layer4` for the last block of a stage, else `layer4.1`.
    pub fn layer_name(&self, layer: TargetLayer) -> String {
        if layer == self.last_block(layer.stage) {
            format!("layer{}", layer.stage + 1)
        } else {
            layer.torch_name()
        }
    }
}
