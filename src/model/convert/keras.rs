//! The Keras ResNet's weights: their names and shapes there, and their names and layouts here.

/// How Keras lays a weight out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[height, width, in, out]`, becomes `[out, in, height, width]`.
    Convolution,
    /// `[in, out]`, becomes `[out, in]`.
    Dense,
    /// One value per channel: stays as it is.
    Vector,
}

impl Layout {
    /// Shape and row-major values in torch's layout. A shape of another rank is left as it is:
    /// shapes are checked before.
    pub(super) fn to_torch(self, shape: &[usize], values: Vec<f32>) -> (Vec<usize>, Vec<f32>) {
        match (self, shape) {
            (Self::Convolution, &[height, width, inputs, outputs]) => (
                vec![outputs, inputs, height, width],
                transpose_kernel(&values, height * width, inputs, outputs),
            ),
            (Self::Dense, &[inputs, outputs]) => (
                vec![outputs, inputs],
                transpose_kernel(&values, 1, inputs, outputs),
            ),
            _ => (shape.to_vec(), values),
        }
    }
}

/// `[taps, inputs, outputs]` to `[outputs, inputs, taps]`.
fn transpose_kernel(values: &[f32], taps: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let mut transposed = Vec::with_capacity(values.len());
    for output in 0..outputs {
        for input in 0..inputs {
            for tap in 0..taps {
                transposed.push(values[(tap * inputs + input) * outputs + output]);
            }
        }
    }
    transposed
}

/// One weight that the network has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KerasWeight {
    /// Name in the TF.js manifest, such as `res2a_branch2a/kernel`.
    pub(super) keras_name: String,
    /// Name in our file, such as `layer1.0.conv1.weight`.
    pub(super) torch_name: String,
    /// Layout of `keras_shape`.
    pub(super) layout: Layout,
    /// Shape in the TF.js manifest.
    pub(super) keras_shape: Vec<usize>,
}

impl KerasWeight {
    /// How many numbers it holds.
    pub(super) fn value_count(&self) -> u64 {
        self.keras_shape.iter().map(|&size| size as u64).product()
    }
}

/// Sizes of a bottleneck ResNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Architecture {
    /// Height and width of the first kernel.
    pub(super) stem_kernel: usize,
    /// Channels of the first convolution, and inside the first stage's blocks.
    pub(super) stem_width: usize,
    /// Blocks of each stage. Keras' v1 names letter the blocks of a stage, so at most 26.
    pub(super) blocks_per_stage: Vec<u8>,
    /// Outputs of the classifier.
    pub(super) classes: usize,
}

/// A bottleneck's output has this many times the channels of its inside (He et al. 2015, table 1).
const EXPANSION: usize = 4;
const INPUT_CHANNELS: usize = 3;

impl Architecture {
    /// ResNet50 for ImageNet.
    pub(super) fn resnet50() -> Self {
        Self {
            stem_kernel: 7,
            stem_width: 64,
            blocks_per_stage: vec![3, 4, 6, 3],
            classes: 1000,
        }
    }

    /// Every weight, in the order in which data meets it.
    pub(super) fn weights(&self) -> Vec<KerasWeight> {
        let mut list = WeightList::default();
        let mut channels = self.stem_width;
        list.convolution("conv1", "conv1", self.stem_kernel, INPUT_CHANNELS, channels);
        list.batch_norm("bn_conv1", "bn1", channels);

        for (stage, &blocks) in self.blocks_per_stage.iter().enumerate() {
            let width = self.stem_width << stage;
            for (block, letter) in (0..blocks).zip('a'..='z') {
                let keras = format!("{}{letter}_branch", stage + 2);
                let torch = format!("layer{}.{block}", stage + 1);
                list.bottleneck(&keras, &torch, channels, width, block == 0);
                channels = width * EXPANSION;
            }
        }
        list.dense(&format!("fc{}", self.classes), "fc", channels, self.classes);
        list.0
    }
}

#[derive(Default)]
struct WeightList(Vec<KerasWeight>);

impl WeightList {
    fn push(&mut self, keras_name: String, torch_name: String, layout: Layout, shape: &[usize]) {
        self.0.push(KerasWeight {
            keras_name,
            torch_name,
            layout,
            keras_shape: shape.to_vec(),
        });
    }

    /// Three convolutions (1x1, 3x3, 1x1), and a projection shortcut in the first block of a stage.
    fn bottleneck(
        &mut self,
        keras: &str,
        torch: &str,
        inputs: usize,
        width: usize,
        has_projection: bool,
    ) {
        let outputs = width * EXPANSION;
        let mut unit = |branch: &str, conv: &str, bn: &str, kernel, inputs, outputs| {
            self.convolution(
                &format!("res{keras}{branch}"),
                &format!("{torch}.{conv}"),
                kernel,
                inputs,
                outputs,
            );
            self.batch_norm(
                &format!("bn{keras}{branch}"),
                &format!("{torch}.{bn}"),
                outputs,
            );
        };
        unit("2a", "conv1", "bn1", 1, inputs, width);
        unit("2b", "conv2", "bn2", 3, width, width);
        unit("2c", "conv3", "bn3", 1, width, outputs);
        if has_projection {
            unit("1", "downsample.0", "downsample.1", 1, inputs, outputs);
        }
    }

    fn convolution(
        &mut self,
        keras: &str,
        torch: &str,
        kernel: usize,
        inputs: usize,
        outputs: usize,
    ) {
        self.push(
            format!("{keras}/kernel"),
            format!("{torch}.weight"),
            Layout::Convolution,
            &[kernel, kernel, inputs, outputs],
        );
        self.bias(keras, torch, outputs);
    }

    fn dense(&mut self, keras: &str, torch: &str, inputs: usize, outputs: usize) {
        self.push(
            format!("{keras}/kernel"),
            format!("{torch}.weight"),
            Layout::Dense,
            &[inputs, outputs],
        );
        self.bias(keras, torch, outputs);
    }

    fn bias(&mut self, keras: &str, torch: &str, outputs: usize) {
        self.push(
            format!("{keras}/bias"),
            format!("{torch}.bias"),
            Layout::Vector,
            &[outputs],
        );
    }

    fn batch_norm(&mut self, keras: &str, torch: &str, channels: usize) {
        for (keras_part, torch_part) in [
            ("gamma", "weight"),
            ("beta", "bias"),
            ("moving_mean", "running_mean"),
            ("moving_variance", "running_var"),
        ] {
            self.push(
                format!("{keras}/{keras_part}"),
                format!("{torch}.{torch_part}"),
                Layout::Vector,
                &[channels],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(keras_name: &str) -> KerasWeight {
        let weights = Architecture::resnet50().weights();
        let found = weights.into_iter().find(|w| w.keras_name == keras_name);
        found.unwrap_or_else(|| panic!("no {keras_name}"))
    }

    #[test]
    fn names_and_shapes_follow_the_published_network() {
        for (keras, torch, shape) in [
            ("conv1/kernel", "conv1.weight", vec![7, 7, 3, 64]),
            ("bn_conv1/gamma", "bn1.weight", vec![64]),
            (
                "res2a_branch2a/kernel",
                "layer1.0.conv1.weight",
                vec![1, 1, 64, 64],
            ),
            (
                "res2b_branch2a/kernel",
                "layer1.1.conv1.weight",
                vec![1, 1, 256, 64],
            ),
            (
                "res3a_branch1/bias",
                "layer2.0.downsample.0.bias",
                vec![512],
            ),
            (
                "bn4a_branch1/moving_mean",
                "layer3.0.downsample.1.running_mean",
                vec![1024],
            ),
            (
                "bn4f_branch2c/moving_variance",
                "layer3.5.bn3.running_var",
                vec![1024],
            ),
            ("bn4f_branch2b/beta", "layer3.5.bn2.bias", vec![256]),
            (
                "res5c_branch2b/kernel",
                "layer4.2.conv2.weight",
                vec![3, 3, 512, 512],
            ),
            ("fc1000/kernel", "fc.weight", vec![2048, 1000]),
        ] {
            let weight = find(keras);
            assert_eq!(weight.torch_name, torch);
            assert_eq!(weight.keras_shape, shape, "{keras}");
        }
    }

    #[test]
    fn resnet50_has_as_many_parameters_as_keras_says() {
        let weights = Architecture::resnet50().weights();
        let parameters: u64 = weights.iter().map(KerasWeight::value_count).sum();
        assert_eq!(parameters, 25_636_712);
        assert_eq!(weights.len(), 320);
    }

    #[test]
    fn kernels_move_from_hwio_to_oihw() {
        // Each value spells its own position in Keras' layout: height, width, input, output.
        let mut values = Vec::new();
        for height in 0..2 {
            for width in 0..3 {
                for input in 0..4 {
                    for output in 0..5 {
                        values.push((((height * 10 + width) * 10 + input) * 10 + output) as f32);
                    }
                }
            }
        }
        let (shape, values) = Layout::Convolution.to_torch(&[2, 3, 4, 5], values);
        assert_eq!(shape, [5, 4, 2, 3]);
        let at = |o: usize, i: usize, h: usize, w: usize| values[((o * 4 + i) * 2 + h) * 3 + w];
        assert_eq!(at(0, 0, 0, 0), 0.0);
        assert_eq!(at(4, 3, 1, 2), 1234.0);
        assert_eq!(at(3, 1, 0, 2), 213.0);
        assert_eq!(at(2, 0, 1, 0), 1002.0);
    }

    #[test]
    fn dense_weights_are_transposed_and_vectors_kept() {
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(
            Layout::Dense.to_torch(&[2, 3], values.clone()),
            (vec![3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0])
        );
        assert_eq!(
            Layout::Vector.to_torch(&[6], values.clone()),
            (vec![6], values)
        );
    }
}
