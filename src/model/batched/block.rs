//! Residual blocks, there and back.

use candle_core::Tensor;

use super::convolution::{Convolution, Engine, Transposed, spread};
use crate::model::bottleneck::Bottleneck;

/// What a block's ReLUs put out.
pub(super) struct Outputs {
    reduced: Tensor,
    spatial: Tensor,
    /// Of the block.
    pub(super) output: Tensor,
}

impl Bottleneck<(Convolution, Transposed)> {
    /// The block, and the way back through it.
    pub(super) fn unzip(self) -> (Bottleneck<Convolution>, Bottleneck<Transposed>) {
        let Self {
            conv1,
            conv2,
            conv3,
            downsample,
        } = self;
        let (there, back) = downsample.unzip();
        let forward = Bottleneck {
            conv1: conv1.0,
            conv2: conv2.0,
            conv3: conv3.0,
            downsample: there,
        };
        let backward = Bottleneck {
            conv1: conv1.1,
            conv2: conv2.1,
            conv3: conv3.1,
            downsample: back,
        };
        (forward, backward)
    }
}

impl Bottleneck<Convolution> {
    /// `x` is `[pictures, height, width, channels]`.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn forward(&self, engine: &dyn Engine, x: &Tensor) -> candle_core::Result<Outputs> {
        let reduced = engine.convolve(x, &self.conv1, None, true)?;
        let spatial = engine.convolve(&reduced, &self.conv2, None, true)?;
        let shortcut = match &self.downsample {
            Some(conv) => engine.convolve(x, conv, None, false)?,
            None => x.clone(),
        };
        let output = engine.convolve(&spatial, &self.conv3, Some(&shortcut), true)?;
        Ok(Outputs {
            reduced,
            spatial,
            output,
        })
    }
}

impl Bottleneck<Transposed> {
    /// The gradient with respect to the block's input, from the one with respect to its output, at what its ReLUs put out. All are `[pictures, height,
    /// width, channels]`, each with the sizes of what it is the gradient of.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn backward(
        &self,
        engine: &dyn Engine,
        outputs: &Outputs,
        gradient: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let back = |gradient: &Tensor, through: &Transposed, shortcut: Option<&Tensor>| {
            engine.convolve(gradient, &through.convolution, shortcut, false)
        };
        let sum = through_relu(gradient, &outputs.output)?;
        let spatial = through_relu(&back(&sum, &self.conv3, None)?, &outputs.spatial)?;
        let spatial = spread(&spatial, self.conv2.stride)?;
        let reduced = through_relu(&back(&spatial, &self.conv2, None)?, &outputs.reduced)?;
        // Added before the first convolution's stride is undone, if it has one, else after the shortcut's is.
        let shortcut = match &self.downsample {
            Some(conv) => spread(&back(&sum, conv, None)?, conv.stride / self.conv1.stride)?,
            None => sum,
        };
        spread(
            &back(&reduced, &self.conv1, Some(&shortcut))?,
            self.conv1.stride,
        )
    }
}

/// The gradient where the ReLU let something through.
fn through_relu(gradient: &Tensor, output: &Tensor) -> candle_core::Result<Tensor> {
    // What comes out of a ReLU is positive or 0.
    gradient * output.sign()?
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::model::batched::convolution::{CandleEngine, both_ways};

    /// As good as random, the same each time.
    fn scattered(shape: impl Into<candle_core::Shape>) -> Tensor {
        let shape = shape.into();
        let count = shape.elem_count();
        let values = (0..count).map(|at| ((at * at + 7 * at + count) as f32 * 0.37).sin());
        Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
    }

    fn block(channels: [usize; 3], strides: [usize; 2]) -> Bottleneck<(Convolution, Transposed)> {
        let [input, inner, output] = channels;
        let convolution = |out: usize, input: usize, size: usize, stride| {
            let filter = scattered((out, size, size, input));
            both_ways(&CandleEngine, &filter, scattered(out), stride).unwrap()
        };
        let stride = strides[0] * strides[1];
        Bottleneck {
            conv1: convolution(inner, input, 1, strides[0]),
            conv2: convolution(inner, inner, 3, strides[1]),
            conv3: convolution(output, inner, 1, 1),
            downsample: (input != output).then(|| convolution(output, input, 1, stride)),
        }
    }

    /// For blocks as Keras has them, as torchvision has them, and those that change nothing.
    #[test]
    fn the_way_back_is_that_of_autograd() {
        for (channels, strides) in [
            ([6, 4, 12], [2, 1]),
            ([6, 4, 12], [1, 2]),
            ([6, 4, 12], [1, 1]),
            ([8, 3, 8], [1, 1]),
        ] {
            let (there, back) = block(channels, strides).unzip();
            let x = Var::from_tensor(&scattered((2, 4, 6, channels[0]))).unwrap();
            let outputs = there.forward(&CandleEngine, &x).unwrap();
            let gradient = scattered(outputs.output.shape());
            let score = (&outputs.output * &gradient).unwrap().sum_all().unwrap();
            let expected = score.backward().unwrap().remove(&x).unwrap();
            let ours = back.backward(&CandleEngine, &outputs, &gradient).unwrap();
            assert_eq!(ours.dims(), expected.dims());
            let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let range = values(&expected)
                .into_iter()
                .fold(0.0, |a: f32, b| a.max(b.abs()));
            let pairs = values(&ours).into_iter().zip(values(&expected));
            let largest = pairs.fold(0.0, |largest: f32, (a, b)| largest.max((a - b).abs()));
            assert!(
                range > 1.0 && largest < 1e-5 * range,
                "{strides:?}: {largest} of {range}"
            );
        }
    }
}
