//! ResNet with bottleneck blocks in candle: named layers, split at a target layer.
//!
//! He et al., "Deep Residual Learning for Image Recognition", 2015. This is the reference path: plain candle operations in f32,
//! in the order in which Keras computes them. Folding batch normalisation into the convolutions would save a tenth of the time, but its
//! other rounding flips ReLUs whose input is almost 0: on one of four test photos that moved the `layer2` map by 1.1e-3.

use candle_core::{D, Device, Tensor, Var};
use candle_nn::{Linear, Module};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::spec::{ModelSpec, STAGES, TargetLayer};
use crate::model::weights::{WeightFile, WeightTensor};
use crate::model::{Activations, Classifier, Forward, FullyConnected, ModelInput};

/// Channels of the stem, and inner channels of the first stage; they double from stage to stage.
pub(crate) const BASE_CHANNELS: usize = 64;
/// A bottleneck's output has this many times its inner channels.
pub(crate) const EXPANSION: usize = 4;

/// A convolution and the batch normalisation behind it.
#[derive(Debug)]
struct Convolution {
    weight: Tensor,
    /// Per output channel: normalisation and the convolution's bias in one multiplication and one addition.
    scale: Tensor,
    shift: Tensor,
    stride: usize,
    padding: usize,
}

impl Convolution {
    /// Loads `conv` and `norm` (tensor name prefixes). With the convolution's bias `b` and the normalisation's `g`, `beta`, mean `m`
    /// and variance `v`: scale = g / sqrt(v + eps), shift = beta + (b - m) scale, computed in f64.
    fn load(
        file: &WeightFile,
        epsilon: f64,
        conv: &str,
        norm: &str,
        [out, input, size]: [usize; 3],
        stride: usize,
    ) -> Result<Self> {
        let weight = file.tensor(&format!("{conv}.weight"), &[out, input, size, size])?;
        let conv_bias = file.optional_tensor(&format!("{conv}.bias"), &[out])?;
        let vector = |name: &str| file.tensor(&format!("{norm}.{name}"), &[out]);
        let (gamma, beta) = (vector("weight")?, vector("bias")?);
        let (mean, variance) = (vector("running_mean")?, vector("running_var")?);

        let (mut scales, mut shifts) = (Vec::with_capacity(out), Vec::with_capacity(out));
        for channel in 0..out {
            let value = |tensor: &WeightTensor| f64::from(tensor.values[channel]);
            let scale = value(gamma) / (value(variance) + epsilon).sqrt();
            let bias = conv_bias.map_or(0.0, value);
            scales.push(scale as f32);
            shifts.push((value(beta) + (bias - value(mean)) * scale) as f32);
        }
        let tensors = || -> candle_core::Result<[Tensor; 3]> {
            // A 1x1 convolution is a matrix product; as one, candle is spared its layout copies.
            let weight = match size {
                1 if stride == 1 => {
                    Tensor::from_slice(&weight.values, (1, out, input), &Device::Cpu)?
                }
                _ => Tensor::from_slice(&weight.values, (out, input, size, size), &Device::Cpu)?,
            };
            let per_channel = |values| Tensor::from_vec(values, (1, out, 1, 1), &Device::Cpu);
            Ok([weight, per_channel(scales)?, per_channel(shifts)?])
        };
        let [weight, scale, shift] = tensors().map_err(|error| file.error(error))?;
        Ok(Self {
            weight,
            scale,
            shift,
            stride,
            padding: size / 2,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = if self.weight.rank() == 3 {
            let (batch, _, height, width) = x.dims4()?;
            let y = self.weight.broadcast_matmul(&x.flatten_from(2)?)?;
            y.reshape((batch, (), height, width))?
        } else {
            x.conv2d(&self.weight, self.padding, self.stride, 1, 1)?
        };
        y.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)
    }
}

/// Residual block: 1x1, 3x3, 1x1, plus the input (through a 1x1 where the shape changes).
#[derive(Debug)]
struct Bottleneck {
    conv1: Convolution,
    conv2: Convolution,
    conv3: Convolution,
    downsample: Option<Convolution>,
}

impl Bottleneck {
    fn load(file: &WeightFile, spec: &ModelSpec, layer: TargetLayer) -> Result<Self> {
        let inner = BASE_CHANNELS << layer.stage;
        let outer = inner * EXPANSION;
        let is_first = layer.block == 0;
        let input = match (is_first, layer.stage) {
            (false, _) => outer,
            (true, 0) => BASE_CHANNELS,
            (true, _) => outer / 2,
        };
        let stride = if is_first && layer.stage > 0 { 2 } else { 1 };
        let (stride1, stride2) = if spec.has_stride_in_1x1 {
            (stride, 1)
        } else {
            (1, stride)
        };
        let name = layer.torch_name();
        let conv = |index: usize, shape, stride| {
            let (conv, norm) = (format!("{name}.conv{index}"), format!("{name}.bn{index}"));
            Convolution::load(file, spec.batch_norm_epsilon, &conv, &norm, shape, stride)
        };
        let downsample = is_first.then(|| {
            let (conv, norm) = (
                format!("{name}.downsample.0"),
                format!("{name}.downsample.1"),
            );
            Convolution::load(
                file,
                spec.batch_norm_epsilon,
                &conv,
                &norm,
                [outer, input, 1],
                stride,
            )
        });
        Ok(Self {
            conv1: conv(1, [inner, input, 1], stride1)?,
            conv2: conv(2, [inner, inner, 3], stride2)?,
            conv3: conv(3, [outer, inner, 1], 1)?,
            downsample: downsample.transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = self.conv1.forward(x)?.relu()?;
        let y = self.conv2.forward(&y)?.relu()?;
        let y = self.conv3.forward(&y)?;
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(x)?,
            None => x.clone(),
        };
        (y + shortcut)?.relu()
    }
}

/// The network on candle's CPU backend.
#[derive(Debug)]
pub struct ResNet {
    spec: ModelSpec,
    stem: Convolution,
    blocks: Vec<(TargetLayer, Bottleneck)>,
    fully_connected: FullyConnected,
    linear: Linear,
}

impl ResNet {
    /// Builds the network that the file's metadata describes.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if metadata or tensors are missing, malformed or of the wrong shape.
    pub fn load(file: &WeightFile) -> Result<Self> {
        let spec = ModelSpec::from_weights(file)?;
        let stem = Convolution::load(
            file,
            spec.batch_norm_epsilon,
            "conv1",
            "bn1",
            [BASE_CHANNELS, 3, 7],
            2,
        )?;
        let blocks = spec
            .target_layers()
            .into_iter()
            .map(|layer| Ok((layer, Bottleneck::load(file, &spec, layer)?)))
            .collect::<Result<Vec<_>>>()?;
        let (classes, channels) = (
            spec.labels.len(),
            (BASE_CHANNELS << (STAGES - 1)) * EXPANSION,
        );
        let weight = file
            .tensor("fc.weight", &[classes, channels])?
            .values
            .clone();
        let bias = file.tensor("fc.bias", &[classes])?.values.clone();
        let linear = || -> candle_core::Result<Linear> {
            let weight = Tensor::from_slice(&weight, (classes, channels), &Device::Cpu)?;
            let bias = Tensor::from_slice(&bias, classes, &Device::Cpu)?;
            Ok(Linear::new(weight, Some(bias)))
        };
        let linear = linear().map_err(|error| file.error(error))?;
        Ok(Self {
            spec,
            stem,
            blocks,
            fully_connected: FullyConnected {
                weight,
                bias,
                channels,
            },
            linear,
        })
    }

    fn stem(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        // Zero padding is right for the pooling: its input is not negative.
        self.stem
            .forward(x)?
            .relu()?
            .pad_with_zeros(2, 1, 1)?
            .pad_with_zeros(3, 1, 1)?
            .max_pool2d_with_stride(3, 2)
    }

    /// Global average pooling and the fully connected layer: `[1, channels, h, w]` to `[1, classes]`.
    fn classify(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.linear.forward(&x.mean((D::Minus2, D::Minus1))?)
    }

    fn run(&self, input: &ModelInput, layers: &[TargetLayer]) -> candle_core::Result<Forward> {
        let size = input.size;
        let mut x = Tensor::from_slice(&input.values, (1, 3, size, size), &Device::Cpu)?;
        x = self.stem(&x)?;
        let mut kept = vec![None; layers.len()];
        for (layer, block) in &self.blocks {
            x = block.forward(&x)?;
            for (slot, wanted) in kept.iter_mut().zip(layers) {
                if wanted == layer {
                    *slot = Some(to_activations(&x)?);
                }
            }
        }
        let activations = kept.into_iter().collect::<Option<Vec<_>>>();
        Ok(Forward {
            activations: activations
                .ok_or_else(|| candle_core::Error::Msg("unknown target layer".into()))?,
            logits: self.classify(&x)?.flatten_all()?.to_vec1()?,
        })
    }

    fn gradient(
        &self,
        activations: &Activations,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> candle_core::Result<Activations> {
        let shape = (
            1,
            activations.channels,
            activations.height,
            activations.width,
        );
        let leaf = Var::from_tensor(&Tensor::from_slice(
            &activations.values,
            shape,
            &Device::Cpu,
        )?)?;
        let mut x = leaf.as_tensor().clone();
        for (_, block) in self.blocks.iter().filter(|(other, _)| *other > layer) {
            x = block.forward(&x)?;
        }
        let weights = Tensor::from_slice(logit_weights, (1, logit_weights.len()), &Device::Cpu)?;
        let score = (self.classify(&x)? * weights)?.sum_all()?;
        let gradients = score.backward()?;
        let gradient = gradients.get(&leaf).ok_or_else(|| {
            candle_core::Error::Msg("no gradient reached the target layer".into())
        })?;
        to_activations(gradient)
    }
}

impl Classifier for ResNet {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn fully_connected(&self) -> &FullyConnected {
        &self.fully_connected
    }

    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward> {
        if input.size != self.spec.input_size || input.values.len() != 3 * input.size * input.size {
            let message = format!(
                "the network wants 3x{0}x{0} values, got {1} for size {2}",
                self.spec.input_size,
                input.values.len(),
                input.size
            );
            return Err(Error::new(ErrorKind::Compute, message).at_stage(Stage::Model));
        }
        self.run(input, layers)
            .map_err(|error| compute_error("cannot run the network", error))
    }

    fn backpropagate(
        &self,
        activations: &Activations,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations> {
        self.gradient(activations, layer, logit_weights)
            .map_err(|error| compute_error("cannot compute the gradient", error))
    }
}

fn compute_error(action: &str, error: candle_core::Error) -> Error {
    Error::caused_by(ErrorKind::Compute, action, error).at_stage(Stage::Model)
}

fn to_activations(tensor: &Tensor) -> candle_core::Result<Activations> {
    let (_, channels, height, width) = tensor.dims4()?;
    Ok(Activations {
        channels,
        height,
        width,
        values: tensor.flatten_all()?.to_vec1()?,
    })
}
