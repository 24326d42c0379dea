//! Residual blocks with a bottleneck (He et al., 2015): which convolutions they have, under which names, with which shapes and strides.

use crate::error::Result;
use crate::model::spec::{ModelSpec, TargetLayer};

/// The convolutions of a block: 1x1, 3x3, 1x1, and, where the shape changes, a 1x1 for the shortcut. `C` is what a network makes of a convolution
/// and the normalisation behind it.
#[derive(Debug)]
pub(super) struct Bottleneck<C> {
    pub(super) conv1: C,
    pub(super) conv2: C,
    pub(super) conv3: C,
    pub(super) downsample: Option<C>,
}

impl<C> Bottleneck<C> {
    /// `load` is told the name of a convolution, that of the normalisation behind it (tensor name prefixes), its shape `[out, in, size]` and its stride.
    ///
    /// # Errors
    /// Those of `load`.
    pub(super) fn load(
        spec: &ModelSpec,
        layer: TargetLayer,
        load: impl Fn(&str, &str, [usize; 3], usize) -> Result<C>,
    ) -> Result<Self> {
        let (shape, name) = (layer.shape(), layer.torch_name());
        let (inner, stride) = (shape.inner, shape.stride);
        let (stride1, stride2) = if spec.has_stride_in_1x1 {
            (stride, 1)
        } else {
            (1, stride)
        };
        let convolution = |index: usize, shape, stride| {
            let (conv, norm) = (format!("{name}.conv{index}"), format!("{name}.bn{index}"));
            load(&conv, &norm, shape, stride)
        };
        let downsample = shape.has_downsample.then(|| {
            let [conv, norm] =
                ["downsample.0", "downsample.1"].map(|part| format!("{name}.{part}"));
            load(&conv, &norm, [shape.output, shape.input, 1], stride)
        });
        Ok(Self {
            conv1: convolution(1, [inner, shape.input, 1], stride1)?,
            conv2: convolution(2, [inner, inner, 3], stride2)?,
            conv3: convolution(3, [shape.output, inner, 1], 1)?,
            downsample: downsample.transpose()?,
        })
    }
}
