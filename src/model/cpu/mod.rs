//! The fused executor: the whole network as one operation on the CPU, several times faster than layer by layer.
//!
//! ```text
//! mod.rs          Executor: the Classifier
//! network.rs      forward pass            gradient.rs     backward pass
//!   stem.rs         first layers            (transposed weights, ReLU masks)
//!   block.rs        bottleneck block
//! convolution.rs  direct or by Winograd
//! weights.rs      weights in the order in which kernels read them
//! image.rs        activations in blocks of 16 channels
//! pool.rs         buffers per thread
//! kernels/        the inner loops per instruction set; the only unsafe code
//! ```
//!
//! What makes it fast: weights are packed once, in the order in which a kernel reads them; activations stay in one
//! layout from the first layer to the last; normalisation, shortcut and ReLU happen while a sum is still in registers; 3x3
//! convolutions go through Winograd's transform where it pays; of a stage's last block only the pixels that the next stage reads are
//! computed. One frame runs on one thread.
//!
//! Batch normalisation stays a multiplication behind the convolution (free, in the epilogue) instead of being folded into
//! the weights: so the weights of direct convolutions in f32 are exactly the file's.

mod block;
mod convolution;
mod gradient;
mod image;
mod kernels;
mod network;
mod pool;
mod stem;
#[cfg(test)]
mod tests;
mod weights;
pub mod workloads;

use std::sync::{Arc, Mutex, PoisonError};

use half::{bf16, f16};

pub(crate) use gradient::ReluMasks;
pub use kernels::Isa;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::spec::{ModelSpec, TargetLayer};
use crate::model::weights::WeightFile;
use crate::model::{
    Activations, Backend, Classifier, Forward, FullyConnected, ModelInput, Precision,
    check_activations, check_input, checked_logits,
};
use gradient::Backward;
use kernels::{Element, page_out};
use network::{DirectSpatials, Network, Workspace};
use pool::Pool;

/// What [`Precision::F16`] needs.
pub(super) const NO_F16: &str = "that takes AVX512_FP16 or a GPU";

/// Builds the executor for `precision`.
///
/// # Errors
/// [`ErrorKind::Weights`] if tensors are missing or of the wrong shape, or if the network is one that the executor cannot run
/// (see [`supports`]); [`ErrorKind::InvalidArgument`] for f16 on an instruction set without it.
pub fn load(file: Arc<WeightFile>, isa: Isa, precision: Precision) -> Result<Box<dyn Classifier>> {
    Ok(match precision {
        Precision::F32 => Box::new(Executor::<f32>::load(file, isa, precision)?),
        Precision::Bf16 => Box::new(Executor::<bf16>::load(file, isa, precision)?),
        Precision::F16 if isa.has_f16() => Box::new(Executor::<f16>::load(file, isa, precision)?),
        Precision::F16 => {
            let message = format!("cannot compute in f16: {NO_F16}");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
    })
}

/// Whether the executor can run this network: stages must stride in their first 1x1 convolution.
pub fn supports(spec: &ModelSpec) -> bool {
    spec.has_stride_in_1x1
}

/// The network, its weights packed for one instruction set.
#[derive(Debug)]
struct Executor<E> {
    spec: ModelSpec,
    fully_connected: FullyConnected,
    isa: Isa,
    precision: Precision,
    network: Network<E>,
    workspaces: Pool<Workspace<E>>,
    /// For what is packed only when it is needed.
    file: Arc<WeightFile>,
    /// From the first pass for an inner layer on.
    direct_spatials: Lazy<DirectSpatials<E>>,
    /// From the first gradient on.
    backward: Lazy<Backward>,
}

impl<E: Element> Executor<E> {
    fn load(file: Arc<WeightFile>, isa: Isa, precision: Precision) -> Result<Self> {
        let spec = ModelSpec::from_weights(&file)?;
        if !supports(&spec) {
            return Err(file.error("stages stride in their 3x3 convolutions"));
        }
        let fully_connected = FullyConnected::load(&file, &spec)?;
        let network = Network::load(isa, &file, &spec)?;
        release(&file);
        Ok(Self {
            fully_connected,
            isa,
            precision,
            network,
            workspaces: Pool::new(),
            file,
            direct_spatials: Lazy::new(),
            backward: Lazy::new(),
            spec,
        })
    }
}

impl<E: Element> Classifier for Executor<E> {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn backend(&self) -> Backend {
        Backend {
            device: "cpu".to_owned(),
            isa: self.isa.name_for(self.precision),
            precision: self.precision,
            is_emulated: self.precision == Precision::Bf16 && !self.isa.has_bf16(),
        }
    }

    fn fully_connected(&self) -> &FullyConnected {
        &self.fully_connected
    }

    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward> {
        check_input(&self.spec, input)?;
        let head = &self.fully_connected;
        let direct = if self.network.may_go_back(layers) {
            let (file, spec) = (&self.file, &self.spec);
            let load = || self.network.load_direct_spatials(file, spec);
            Some(self.direct_spatials.get_or_load(file, load)?)
        } else {
            None
        };
        let direct = direct.as_deref();
        let pass = self.workspaces.with(
            || Workspace::new(self.spec.input_size),
            |workspace| self.network.forward(input, layers, head, direct, workspace),
        );
        let activations = pass.activations.into_iter().collect::<Option<_>>();
        let activations = activations.ok_or_else(|| error("unknown target layer"))?;
        Ok(Forward {
            masks: pass.masks,
            ..Forward::new(layers.to_vec(), activations, checked_logits(pass.logits)?)
        })
    }

    fn head(&self, layer: TargetLayer, activations: &Activations) -> Result<Vec<f32>> {
        check_activations(&self.spec, layer, activations)?;
        let head = &self.fully_connected;
        checked_logits(self.workspaces.with(
            || Workspace::new(self.spec.input_size),
            |workspace| {
                self.network
                    .forward_from(layer, activations, head, workspace)
            },
        ))
    }

    fn backpropagate(
        &self,
        forward: &Forward,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations> {
        let classes = self.fully_connected.bias.len();
        if !forward.layers.contains(&layer) || logit_weights.len() != classes {
            return Err(error(
                "a gradient needs a requested layer and a weight per class",
            ));
        }
        let load = || Backward::load(self.isa, &self.file, &self.spec);
        self.backward
            .get_or_load(&self.file, load)?
            .gradient(&forward.masks, layer, logit_weights, &self.fully_connected)
            .ok_or_else(|| error("the forward pass kept nothing for a gradient at this layer"))
    }
}

/// Packed weights that not every run needs.
#[derive(Debug)]
struct Lazy<T>(Mutex<Option<Arc<T>>>);

impl<T> Lazy<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Threads that come here together wait for one of them to load it.
    fn get_or_load(&self, file: &WeightFile, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*slot {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(load()?);
        release(file);
        *slot = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// Once weights are packed, the program's own copy of them need not stay in memory.
fn release(file: &WeightFile) {
    if let Some(bytes) = file.built_in_bytes() {
        page_out(bytes);
    }
}

fn error(message: &str) -> Error {
    Error::new(ErrorKind::Compute, message).at_stage(Stage::Model)
}
