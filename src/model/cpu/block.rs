//! A bottleneck block: 1x1, 3x3, 1x1, plus the input (through a 1x1 where the shape changes).

use super::convolution::{Convolution, Method, Scratch, Then};
use super::image::Image;
use super::kernels::{BLOCK, Element, Isa, Tiling, panel_channels};
use super::weights::Weights;
use crate::error::Result;
use crate::model::bottleneck;
use crate::model::spec::{ModelSpec, TargetLayer};
use crate::model::weights::{BatchNorm, WeightFile};

/// A convolution and its normalisation as the file has them.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) weights: Weights,
    pub(super) norm: BatchNorm,
}

impl Layer {
    pub(super) fn load(
        file: &WeightFile,
        spec: &ModelSpec,
        conv: &str,
        norm: &str,
        [output, input, size]: [usize; 3],
    ) -> Result<Self> {
        let values = file.tensor(&format!("{conv}.weight"), &[output, input, size, size])?;
        Ok(Self {
            weights: Weights {
                output,
                input,
                size,
                values,
            },
            norm: file
                .batch_norm(conv, norm, output, spec.batch_norm_epsilon)?
                .rounded(),
        })
    }
}

/// The convolutions of a block as the file has them.
#[derive(Debug)]
pub(super) struct BlockLayers {
    pub(super) reduce: Layer,
    pub(super) spatial: Layer,
    pub(super) expand: Layer,
    pub(super) shortcut: Option<Layer>,
}

impl BlockLayers {
    pub(super) fn load(file: &WeightFile, spec: &ModelSpec, layer: TargetLayer) -> Result<Self> {
        // Strides are the executor's affair: a stage reads every second pixel of the one before it.
        let load = |conv: &str, norm: &str, shape, _| Layer::load(file, spec, conv, norm, shape);
        let bottleneck::Bottleneck {
            conv1,
            conv2,
            conv3,
            downsample,
        } = bottleneck::Bottleneck::load(spec, layer, load)?;
        Ok(Self {
            reduce: conv1,
            spatial: conv2,
            expand: conv3,
            shortcut: downsample,
        })
    }

    fn load_spatial(file: &WeightFile, spec: &ModelSpec, layer: TargetLayer) -> Result<Layer> {
        let (name, inner) = (layer.torch_name(), layer.shape().inner);
        let (conv, norm) = (format!("{name}.conv2"), format!("{name}.bn2"));
        Layer::load(file, spec, &conv, &norm, [inner, inner, 3])
    }
}

/// The fastest method for the 3x3 of a block with stride 1. The smaller a stage's images, the more of the time goes into fetching
/// weights, which larger tiles have more of: at 14x14 the small tiles win, and at 7x7 they pay only with the shorter vectors of AVX2. (Scalar
/// code, the reference, follows AVX2.)
pub(super) fn fastest_method<E: Element>(isa: Isa, layer: TargetLayer) -> Method {
    let has_narrow_panels = panel_channels::<E>(isa) == BLOCK;
    match layer.stage {
        0 | 1 if E::HAS_WINOGRAD => Method::Winograd(Tiling::F4x4),
        2 if E::HAS_WINOGRAD => Method::Winograd(Tiling::F2x2),
        3 if E::HAS_WINOGRAD && has_narrow_panels => Method::Winograd(Tiling::F2x2),
        _ => Method::Direct,
    }
}

/// A block, ready to run.
#[derive(Debug)]
pub(super) struct Bottleneck<E> {
    pub(super) layer: TargetLayer,
    reduce: Convolution<E>,
    spatial: Convolution<E>,
    expand: Convolution<E>,
    shortcut: Option<Convolution<E>>,
}

/// What a block writes to.
#[derive(Debug)]
pub(super) struct BlockBuffers<'a, E> {
    pub(super) reduced: &'a mut Image<E>,
    pub(super) spatial: &'a mut Image<E>,
    /// For a shortcut that is not the input as it is.
    pub(super) shortcut: Option<&'a mut Image<E>>,
    pub(super) output: &'a mut Image<E>,
}

impl<E: Element> Bottleneck<E> {
    /// `may_stride`: whether the block's 3x3 may have to run with a stride of 2, which Winograd cannot do.
    pub(super) fn load(
        isa: Isa,
        file: &WeightFile,
        spec: &ModelSpec,
        layer: TargetLayer,
        may_stride: bool,
    ) -> Result<Self> {
        let layers = BlockLayers::load(file, spec, layer)?;
        let convolution = |layer: &Layer, method| {
            Convolution::new(isa, &layer.weights, Some(layer.norm.clone()), method)
        };
        let direct = |layer: &Layer| convolution(layer, Method::Direct);
        let method = if may_stride {
            Method::Direct
        } else {
            fastest_method::<E>(isa, layer)
        };
        Ok(Self {
            layer,
            reduce: direct(&layers.reduce),
            spatial: convolution(&layers.spatial, method),
            expand: direct(&layers.expand),
            shortcut: layers.shortcut.as_ref().map(direct),
        })
    }

    /// A direct version of its 3x3; none if it is direct already.
    pub(super) fn direct_spatial(
        &self,
        isa: Isa,
        file: &WeightFile,
        spec: &ModelSpec,
    ) -> Result<Option<Convolution<E>>> {
        if self.spatial.method() == Method::Direct {
            return Ok(None);
        }
        let layer = BlockLayers::load_spatial(file, spec, self.layer)?;
        let convolution = Convolution::new(isa, &layer.weights, Some(layer.norm), Method::Direct);
        Ok(Some(convolution))
    }

    /// Runs the block, with `direct_spatial` instead of its own 3x3 if there is one. The strides of its first 1x1 and of its 3x3
    /// follow from the sizes of the buffers.
    pub(super) fn run(
        &self,
        input: &Image<E>,
        buffers: &mut BlockBuffers<'_, E>,
        direct_spatial: Option<&Convolution<E>>,
        scratch: &mut Scratch,
    ) {
        let BlockBuffers {
            reduced,
            spatial,
            shortcut,
            output,
        } = buffers;
        self.reduce.run(input, reduced, &Then::RELU, scratch);
        let convolution = direct_spatial.unwrap_or(&self.spatial);
        convolution.run(reduced, spatial, &Then::RELU, scratch);
        let residual = match (&self.shortcut, shortcut) {
            (Some(convolution), Some(shortcut)) => {
                convolution.run(input, shortcut, &Then::NOTHING, scratch);
                shortcut
            }
            (None, Some(shortcut)) if input.size != output.size => {
                input.subsample_into(shortcut);
                shortcut
            }
            _ => input,
        };
        let then = Then {
            residual: Some(residual),
            has_relu: true,
        };
        self.expand.run(spatial, output, &then, scratch);
    }
}
