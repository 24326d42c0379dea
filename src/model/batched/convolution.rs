//! Convolutions with batch normalisation folded into their weights, on tensors with channels last: `[pictures, height, width, channels]`.

use std::any::Any;

use candle_core::{DType, Device, Tensor};

use super::network::device_error;
use crate::error::Result;
use crate::model::spec::TargetLayer;
use crate::model::weights::WeightFile;

/// One convolution's weights, where the device has them.
#[derive(Debug)]
pub(in crate::model) struct Convolution {
    /// As [`Engine::prepare`] made it.
    pub(in crate::model) weight: Tensor,
    /// `[out]`.
    pub(in crate::model) bias: Tensor,
    /// Side of the filter.
    pub(in crate::model) size: usize,
    pub(in crate::model) stride: usize,
}

impl Convolution {
    /// Zeros around the picture.
    pub(in crate::model) fn padding(&self) -> usize {
        self.size / 2
    }

    /// What comes behind the convolution, one operation after the other.
    ///
    /// # Errors
    /// If the device fails.
    pub(in crate::model) fn finish(
        &self,
        y: Tensor,
        shortcut: Option<&Tensor>,
        is_rectified: bool,
    ) -> candle_core::Result<Tensor> {
        let mut y = y.broadcast_add(&self.bias)?;
        if let Some(shortcut) = shortcut {
            y = (y + shortcut)?;
        }
        if is_rectified { y.relu() } else { Ok(y) }
    }
}

/// Where weights are loaded to, and as what.
pub(super) struct Loader<'a> {
    pub(super) file: &'a WeightFile,
    pub(super) batch_norm_epsilon: f64,
    pub(super) engine: &'a dyn Engine,
    pub(super) device: &'a Device,
    pub(super) dtype: DType,
}

impl Loader<'_> {
    /// Loads `conv` and folds `norm` (tensor name prefixes) into it: `scale * (w x) + shift = (scale * w) x + shift`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights) if a tensor is missing or has another shape; as [`device_error`] if the device refuses it.
    pub(super) fn convolution(
        &self,
        conv: &str,
        norm: &str,
        shape: [usize; 3],
        stride: usize,
    ) -> Result<Convolution> {
        let [filter, bias] = self.folded(conv, norm, shape)?;
        let [.., size] = shape;
        let weight = self.engine.prepare(&filter).map_err(device_error)?;
        Ok(Convolution {
            weight,
            bias,
            size,
            stride,
        })
    }

    /// [`convolution`](Self::convolution), and the way back through it.
    ///
    /// # Errors
    /// As [`convolution`](Self::convolution).
    pub(super) fn both_ways(
        &self,
        conv: &str,
        norm: &str,
        shape: [usize; 3],
        stride: usize,
    ) -> Result<(Convolution, Transposed)> {
        let [filter, bias] = self.folded(conv, norm, shape)?;
        both_ways(self.engine, &filter, bias, stride).map_err(device_error)
    }

    /// The filter `[out, height, width, in]` and the bias `[out]`, on the device.
    fn folded(
        &self,
        conv: &str,
        norm: &str,
        [out, input, size]: [usize; 3],
    ) -> Result<[Tensor; 2]> {
        let file = self.file;
        let weight = file.tensor(&format!("{conv}.weight"), &[out, input, size, size])?;
        let norm = file.batch_norm(conv, norm, out, self.batch_norm_epsilon)?;
        let shape = [out, size, size, input];
        let filter = fold(&weight, &norm.scale, shape);
        let bias = norm.rounded().shift;
        let tensors = || -> candle_core::Result<[Tensor; 2]> {
            let filter = Tensor::from_vec(filter, &shape, &Device::Cpu)?.to_dtype(self.dtype)?;
            let bias = Tensor::from_vec(bias, out, &Device::Cpu)?.to_dtype(self.dtype)?;
            Ok([filter.to_device(self.device)?, bias.to_device(self.device)?])
        };
        // The file is sound by now: what fails is the device.
        tensors().map_err(device_error)
    }
}

/// A filter `[out, in, height, width]` times its channels' factors, as `[out, height, width, in]`. In f64: what a rounded factor is off by would add up over all of
/// a channel's products, and turned a ReLU in `layer4` that moved the maps of one of four photos by 8.5e-4 to 1.0e-3.
fn fold(weight: &[f32], scale: &[f64], [_, height, width, input]: [usize; 4]) -> Vec<f32> {
    let area = height * width;
    let channels = weight.chunks_exact(area * input).zip(scale);
    let mut folded = Vec::with_capacity(weight.len());
    for (filter, scale) in channels {
        for pixel in 0..area {
            let values = filter.iter().skip(pixel).step_by(area);
            folded.extend(values.map(|value| (f64::from(*value) * scale) as f32));
        }
    }
    folded
}

/// A convolution's transpose: from the gradient with respect to its output to the one with respect to its input.
///
/// With a stride it is in two steps: [`spread`] brings the gradient to the input's size, and a convolution without stride does the rest; a
/// 1x1 may come first, since it looks at one pixel at a time.
#[derive(Debug)]
pub(super) struct Transposed {
    /// Channels swapped, filter turned by 180 degrees, no bias, no stride.
    pub(super) convolution: Convolution,
    /// Of the convolution that it is the transpose of.
    pub(super) stride: usize,
}

/// A convolution and its transpose, of a filter `[out, height, width, in]` and a bias.
///
/// # Errors
/// If the device fails.
pub(super) fn both_ways(
    engine: &dyn Engine,
    filter: &Tensor,
    bias: Tensor,
    stride: usize,
) -> candle_core::Result<(Convolution, Transposed)> {
    let (_, size, _, input) = filter.dims4()?;
    let swapped = filter.permute((3, 1, 2, 0))?.contiguous()?;
    let turned = if size > 1 {
        swapped.flip(&[1, 2])?
    } else {
        swapped
    };
    let transposed = Convolution {
        weight: engine.prepare(&turned)?,
        bias: Tensor::zeros(input, bias.dtype(), bias.device())?,
        size,
        stride: 1,
    };
    let convolution = Convolution {
        weight: engine.prepare(filter)?,
        bias,
        size,
        stride,
    };
    let transposed = Transposed {
        convolution: transposed,
        stride,
    };
    Ok((convolution, transposed))
}

/// What the layers make of a batch.
pub(in crate::model) struct Passed {
    /// Outputs of the layers that were asked for, in the network's order.
    pub(in crate::model) kept: Vec<Tensor>,
    /// Output of the last layer.
    pub(in crate::model) last: Tensor,
}

/// All layers of the network, run by the engine that it is given.
pub(in crate::model) type Layers<'a> =
    dyn Fn(&dyn Engine, &Tensor) -> candle_core::Result<Passed> + 'a;

/// What runs the layers on a device.
pub(in crate::model) trait Engine: std::fmt::Debug {
    /// Runs all layers on these pictures. `kept` names what they keep: an engine that remembers what it launched may launch the same again without asking
    /// `layers`. So these are the same in all runs, and their weights outlive the engine. What is done with [`Passed::last`] must be launched before the
    /// next run is.
    ///
    /// # Errors
    /// If the device fails.
    fn run(
        &self,
        pictures: &Tensor,
        kept: &[TargetLayer],
        layers: &Layers<'_>,
    ) -> candle_core::Result<Passed>;

    /// The smallest batch, of those that this engine is prepared to run, that holds so many pictures.
    fn batch_for(&self, pictures: usize) -> usize {
        pictures
    }

    /// Gives back the memory that is kept for later runs: it has run out.
    fn give_back(&self) {}

    /// While this is held, what the engine has may be given up without disturbing what others do on the device.
    fn alone(&self) -> Box<dyn Any> {
        Box::new(())
    }

    /// A filter `[out, height, width, in]` in the order that this engine reads.
    ///
    /// # Errors
    /// If the device fails.
    fn prepare(&self, filter: &Tensor) -> candle_core::Result<Tensor>;

    /// `conv(x) + bias`, then `+ shortcut`, then ReLU if `is_rectified`.
    ///
    /// # Errors
    /// If the device fails.
    fn convolve(
        &self,
        x: &Tensor,
        convolution: &Convolution,
        shortcut: Option<&Tensor>,
        is_rectified: bool,
    ) -> candle_core::Result<Tensor>;

    /// Convolutions so far whose parts had to run one after the other though this engine has fused kernels.
    #[cfg(feature = "cuda")]
    fn unfused(&self) -> usize {
        0
    }

    /// Why a batch so far was launched kernel by kernel though this engine can launch it as a whole.
    #[cfg(feature = "cuda")]
    fn unrecorded(&self) -> Option<String> {
        None
    }

    /// The largest of every 3x3, two apart, one pixel over the edge; `x` is not negative.
    ///
    /// # Errors
    /// If the device fails.
    fn max_pool(&self, x: &Tensor) -> candle_core::Result<Tensor>;
}

/// Candle's own operations, on any of its devices: 1x1 convolutions are products with the matrix of all pixels.
#[derive(Debug)]
pub(in crate::model) struct CandleEngine;

impl Engine for CandleEngine {
    fn run(
        &self,
        pictures: &Tensor,
        _: &[TargetLayer],
        layers: &Layers<'_>,
    ) -> candle_core::Result<Passed> {
        layers(self, pictures)
    }

    fn prepare(&self, filter: &Tensor) -> candle_core::Result<Tensor> {
        let (out, size, _, input) = filter.dims4()?;
        if size == 1 {
            return filter.reshape((out, input))?.t()?.contiguous();
        }
        filter.permute((0, 3, 1, 2))?.contiguous()
    }

    fn convolve(
        &self,
        x: &Tensor,
        convolution: &Convolution,
        shortcut: Option<&Tensor>,
        is_rectified: bool,
    ) -> candle_core::Result<Tensor> {
        let Convolution { weight, stride, .. } = convolution;
        let y = if convolution.size == 1 {
            let x = every_nth_pixel(x, *stride)?;
            let (pictures, height, width, _) = x.dims4()?;
            let y = x.flatten_to(2)?.matmul(weight)?;
            y.reshape((pictures, height, width, ()))?
        } else {
            let x = x.permute((0, 3, 1, 2))?.contiguous()?;
            let y = x.conv2d(weight, convolution.padding(), *stride, 1, 1)?;
            y.permute((0, 2, 3, 1))?.contiguous()?
        };
        convolution.finish(y, shortcut, is_rectified)
    }

    fn max_pool(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        // Zero padding is right: what is pooled is not negative.
        let x = x.permute((0, 3, 1, 2))?.contiguous()?;
        let x = x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
        x.max_pool2d_with_stride(3, 2)?
            .permute((0, 2, 3, 1))?
            .contiguous()
    }
}

/// What a 1x1 convolution with a stride looks at.
fn every_nth_pixel(x: &Tensor, n: usize) -> candle_core::Result<Tensor> {
    if n == 1 {
        return Ok(x.clone());
    }
    let (pictures, height, width, channels) = x.dims4()?;
    // Rows and columns in groups of `n`, of which the first is taken.
    let x = x.reshape((pictures, height / n, n, width / n, n, channels))?;
    let x = x.narrow(4, 0, 1)?.narrow(2, 0, 1)?.contiguous()?;
    x.reshape((pictures, height / n, width / n, channels))
}

/// Every pixel as the first of `n x n`, of which the others are zero: the transpose of [`every_nth_pixel`].
///
/// # Errors
/// If the device fails.
pub(super) fn spread(x: &Tensor, n: usize) -> candle_core::Result<Tensor> {
    if n == 1 {
        return Ok(x.clone());
    }
    let (pictures, height, width, channels) = x.dims4()?;
    let x = x.reshape((pictures, height, 1, width, 1, channels))?;
    let x = x.pad_with_zeros(2, 0, n - 1)?.pad_with_zeros(4, 0, n - 1)?;
    x.reshape((pictures, n * height, n * width, channels))
}
