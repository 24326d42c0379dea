//! ResNet with bottleneck blocks in candle: named layers, split at a target layer.
//!
//! He et al., "Deep Residual Learning for Image Recognition", 2015. This is the reference path: plain candle operations in f32,
//! in the order in which Keras computes them. Folding batch normalisation into the convolutions would save a tenth of the time, but it
//! rounds otherwise than Keras does, and a ReLU whose input is almost 0 shows it.

use candle_core::{D, Device, Tensor, Var};
use candle_nn::{Linear, Module};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::bottleneck::Bottleneck;
use crate::model::spec::{BASE_CHANNELS, ModelSpec, TargetLayer};
use crate::model::weights::WeightFile;
use crate::model::{
    Activations, Backend, Classifier, Forward, FullyConnected, ModelInput, Precision,
    check_activations, check_input, checked_logits,
};

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
    /// Loads `conv` and `norm` (tensor name prefixes).
    fn load(
        file: &WeightFile,
        epsilon: f64,
        conv: &str,
        norm: &str,
        [out, input, size]: [usize; 3],
        stride: usize,
    ) -> Result<Self> {
        let weight = file.tensor(&format!("{conv}.weight"), &[out, input, size, size])?;
        let norm = file.batch_norm(conv, norm, out, epsilon)?.rounded();
        let tensors = || -> candle_core::Result<[Tensor; 3]> {
            // A 1x1 convolution is a matrix product; as one, candle is spared its layout copies.
            let weight = match size {
                1 if stride == 1 => Tensor::from_vec(weight, (1, out, input), &Device::Cpu)?,
                _ => Tensor::from_vec(weight, (out, input, size, size), &Device::Cpu)?,
            };
            let per_channel = |values| Tensor::from_vec(values, (1, out, 1, 1), &Device::Cpu);
            Ok([weight, per_channel(norm.scale)?, per_channel(norm.shift)?])
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

impl Bottleneck<Convolution> {
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

/// The network on candle's CPU backend, one picture at a time.
#[derive(Debug)]
pub struct ResNet {
    spec: ModelSpec,
    stem: Convolution,
    blocks: Vec<(TargetLayer, Bottleneck<Convolution>)>,
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
            .map(|layer| {
                let block = Bottleneck::load(&spec, layer, |conv, norm, shape, stride| {
                    Convolution::load(file, spec.batch_norm_epsilon, conv, norm, shape, stride)
                });
                Ok((layer, block?))
            })
            .collect::<Result<Vec<_>>>()?;
        let fully_connected = FullyConnected::load(file, &spec)?;
        let (classes, channels) = (spec.labels.len(), fully_connected.channels);
        let linear = || -> candle_core::Result<Linear> {
            let weight = &fully_connected.weight;
            let weight = Tensor::from_slice(weight, (classes, channels), &Device::Cpu)?;
            let bias = Tensor::from_slice(&fully_connected.bias, classes, &Device::Cpu)?;
            Ok(Linear::new(weight, Some(bias)))
        };
        let linear = linear().map_err(|error| file.error(error))?;
        Ok(Self {
            spec,
            stem,
            blocks,
            fully_connected,
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
        let activations =
            activations.ok_or_else(|| candle_core::Error::Msg("unknown target layer".into()))?;
        let logits = self.classify(&x)?.flatten_all()?.to_vec1()?;
        Ok(Forward::new(layers.to_vec(), activations, logits))
    }

    fn to_tensor(&self, activations: &Activations) -> candle_core::Result<Tensor> {
        let Activations {
            channels,
            height,
            width,
            values,
        } = activations;
        Tensor::from_slice(values, (1, *channels, *height, *width), &Device::Cpu)
    }

    /// From the output of `layer` to the logits, `[1, classes]`.
    fn run_from(&self, layer: TargetLayer, output: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = output.clone();
        for (_, block) in self.blocks.iter().filter(|(other, _)| *other > layer) {
            x = block.forward(&x)?;
        }
        self.classify(&x)
    }

    fn gradient(
        &self,
        activations: &Activations,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> candle_core::Result<Activations> {
        let leaf = Var::from_tensor(&self.to_tensor(activations)?)?;
        let weights = Tensor::from_slice(logit_weights, (1, logit_weights.len()), &Device::Cpu)?;
        let score = (self.run_from(layer, leaf.as_tensor())? * weights)?.sum_all()?;
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

    fn backend(&self) -> Backend {
        Backend {
            device: "cpu".to_owned(),
            isa: "candle",
            precision: Precision::F32,
            is_emulated: false,
        }
    }

    fn fully_connected(&self) -> &FullyConnected {
        &self.fully_connected
    }

    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward> {
        check_input(&self.spec, input)?;
        let forward = self
            .run(input, layers)
            .map_err(|error| compute_error("cannot run the network", error))?;
        forward.checked()
    }

    fn head(&self, layer: TargetLayer, activations: &Activations) -> Result<Vec<f32>> {
        check_activations(&self.spec, layer, activations)?;
        let logits = self
            .to_tensor(activations)
            .and_then(|output| self.run_from(layer, &output)?.flatten_all()?.to_vec1());
        checked_logits(
            logits.map_err(|error| compute_error("cannot run the network's head", error))?,
        )
    }

    fn backpropagate(
        &self,
        forward: &Forward,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations> {
        let activations = forward.activations_of(layer)?;
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
