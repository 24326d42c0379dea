//! The network for devices that are fastest with many pictures at a time.
//!
//! ```text
//! forward() ─┐  as the device      ┌► device-0: gather ► launch ► collect ─┐
//! forward() ─┼► reads it, on the  ─┤   (one batch computes while the next  ├► each caller its own pass
//! forward() ─┘  caller's thread    └► device-1: ...       is gathered)     ┘
//! ```
//!
//! One copy goes in and one small copy comes out for each batch: logits, and the class activation maps that Grad-CAM at the last layer is
//! made of. Activations stay on the device until somebody looks at them.
//!
//! What is asked about activations later, the logits that they lead to ([`Classifier::head`]) and gradients ([`Classifier::backpropagate`]), is
//! gathered in the same way by threads of their own (`head-0`), which start when somebody asks.
//!
//! Nothing here knows CUDA: the same code runs on candle's CPU backend, which is how it is tested.

mod block;
mod class_maps;
mod convolution;
mod devices;
mod gather;
mod head;
mod memory_pressure;
mod network;
mod picture;
mod probe;
#[cfg(test)]
mod tests;
mod transfer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[cfg(all(feature = "cuda", not(feature = "cudnn")))]
pub(in crate::model) use convolution::CandleEngine;
#[cfg(feature = "cudnn")]
pub(in crate::model) use convolution::Convolution;
#[cfg(feature = "cuda")]
pub(in crate::model) use convolution::Engine;
#[cfg(feature = "cudnn")]
pub(in crate::model) use convolution::{Layers, Passed};
use devices::Devices;
pub(in crate::model) use devices::Make;
pub(in crate::model) use head::HeadNetwork;
use head::HeadQuestion;
use memory_pressure::{MemoryPressure, RetryingFetch};
#[cfg(feature = "cuda")]
pub(in crate::model) use network::device_error;
#[cfg(feature = "cudnn")]
pub(in crate::model) use network::is_out_of_memory;
pub(in crate::model) use network::{FoldedResNet, Parts, Question};
pub use picture::Element;
pub(in crate::model) use picture::channels_last;
#[cfg(feature = "cuda")]
pub(in crate::model) use transfer::{Download, Transfer};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::{
    Activations, Backend, Classifier, Forward, FullyConnected, ModelInput, ModelSpec, TargetLayer,
    WeightFile, check_activations, check_input, checked_logits,
};

/// How many pictures make a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchSize {
    /// The largest batch; none: the one behind which more pictures bring no more speed, by measurement.
    pub most: Option<usize>,
    /// A batch that is chosen by measurement takes no longer than this.
    pub latency: Option<Duration>,
}

/// Answers batches of questions on one device, on the thread that made it.
pub(in crate::model) trait BatchNetwork: Sized {
    /// What is asked about one picture.
    type Question: Send + 'static;
    /// What is said about one picture.
    type Answer: Send + 'static;
    /// A batch that is being computed.
    type Running;

    /// Starts a batch and does not wait for it.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if a smaller batch may do; anything else means that the device cannot go on.
    fn launch(&mut self, batch: &[&Self::Question]) -> Result<Self::Running>;

    /// Waits for a batch: an answer to each question, in order.
    ///
    /// # Errors
    /// If the device fails.
    fn collect(&mut self, running: Self::Running) -> Result<Vec<Self::Answer>>;

    /// Gives back the memory that is held for later batches: it has run out. Nothing is under way.
    fn give_back(&mut self);

    /// Gives everything back, at a moment when that disturbs nobody.
    fn end(self) {}
}

/// What a batched network is, apart from the devices.
pub(in crate::model) struct Facts {
    spec: ModelSpec,
    fully_connected: FullyConnected,
    backend: Backend,
}

/// Prepares the networks behind inner layers, one for each device.
pub(in crate::model) type MakeHeads = Box<dyn Fn() -> Vec<Make<HeadNetwork>> + Send + Sync>;

/// Devices that are asked about activations.
type Heads = Devices<HeadQuestion, Vec<f32>>;

/// A classifier whose callers share batches.
pub struct Batched<P> {
    facts: Facts,
    to_device: fn(&ModelInput) -> P,
    pressure: MemoryPressure,
    passes: Devices<Question<P>, Forward>,
    make_heads: MakeHeads,
    /// Once somebody has asked.
    heads: Mutex<Option<Result<Arc<Heads>>>>,
}

impl<P> fmt::Debug for Batched<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("backend", &self.facts.backend)
            .field("devices", &self.passes.len())
            .finish_non_exhaustive()
    }
}

/// Runs the weight file's network in batches on candle's CPU backend. It is slower than [`cpu`](crate::model::cpu): a way to try the
/// code for GPUs without one.
///
/// # Errors
/// [`ErrorKind::Weights`] if the file does not fit its metadata.
pub fn load_on_cpu<T: Element>(
    file: &Arc<WeightFile>,
    size: BatchSize,
) -> Result<Box<dyn Classifier>> {
    let backend = Backend {
        device: "cpu".to_owned(),
        isa: "candle",
        precision: T::PRECISION,
        is_emulated: false,
    };
    let (for_network, for_heads) = (Arc::clone(file), Arc::clone(file));
    let make: Make<FoldedResNet<T>> =
        Box::new(move || FoldedResNet::load(&for_network, Parts::on_cpu()));
    let make_heads = move || -> Vec<Make<HeadNetwork>> {
        let file = Arc::clone(&for_heads);
        vec![Box::new(move || HeadNetwork::load(&file, Parts::on_cpu()))]
    };
    Ok(Box::new(Batched::start(
        Facts::of(file, backend)?,
        channels_last::<T>,
        (vec![make], Box::new(make_heads)),
        size,
    )?))
}

impl Facts {
    pub(in crate::model) fn of(file: &WeightFile, backend: Backend) -> Result<Self> {
        let spec = ModelSpec::from_weights(file)?;
        Ok(Self {
            fully_connected: FullyConnected::load(file, &spec)?,
            spec,
            backend,
        })
    }
}

impl<P: Clone + Send + 'static> Batched<P> {
    /// Starts a thread for each device and waits until all are ready. What makes the networks behind inner layers is kept for later.
    ///
    /// # Errors
    /// The first of any device.
    pub(in crate::model) fn start<N>(
        facts: Facts,
        to_device: fn(&ModelInput) -> P,
        (networks, make_heads): (Vec<Make<N>>, MakeHeads),
        size: BatchSize,
    ) -> Result<Self>
    where
        N: BatchNetwork<Question = Question<P>, Answer = Forward> + 'static,
    {
        let (input_size, last) = (facts.spec.input_size, facts.spec.last_layer());
        let batch_of = move |network: &mut N| match size.most {
            Some(most) => Ok(most),
            None => {
                let picture = to_device(&ModelInput {
                    size: input_size,
                    values: vec![0.0; 3 * input_size * input_size],
                });
                probe::best_batch(network, &Question::of(picture, last), size.latency)
            }
        };
        let pressure = MemoryPressure::default();
        Ok(Self {
            facts,
            to_device,
            passes: Devices::start("device", networks, batch_of, &pressure)?,
            pressure,
            make_heads,
            heads: Mutex::new(None),
        })
    }

    /// Asks about activations.
    fn ask_head(&self, question: impl Fn() -> HeadQuestion) -> Result<Vec<f32>> {
        let heads = self.heads()?;
        self.pressure.retry(|| heads.ask(question()))
    }

    /// What answers questions about activations: started the first time, with batches as large as those of whole passes are then. Whoever comes
    /// while it starts waits; if it does not start, that is everybody's answer.
    fn heads(&self) -> Result<Arc<Heads>> {
        let start = || {
            let batch = self.passes.batch().div_ceil(self.passes.len().max(1));
            let networks = (self.make_heads)();
            Devices::start("head", networks, move |_| Ok(batch), &self.pressure)
        };
        let mut slot = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let started = slot.get_or_insert_with(|| self.pressure.retry(start).map(Arc::new));
        let heads = started.as_ref().map(Arc::clone);
        // An error cannot be copied, its text can.
        heads.map_err(|error| Error::new(error.kind(), error.one_line()))
    }
}

impl<P: Clone + Send + 'static> Classifier for Batched<P> {
    fn spec(&self) -> &ModelSpec {
        &self.facts.spec
    }

    fn backend(&self) -> Backend {
        self.facts.backend.clone()
    }

    fn fully_connected(&self) -> &FullyConnected {
        &self.facts.fully_connected
    }

    fn concurrency(&self) -> usize {
        // One batch that computes, one that is gathered, and one whose callers are busy with their answers.
        3 * self.passes.batch()
    }

    fn batch(&self) -> Option<usize> {
        let passes = self.passes.batch();
        // Heads may have shrunk by themselves. Nobody waits for them here while they start.
        let heads = self.heads.try_lock();
        let heads = heads.as_ref().ok().and_then(|heads| heads.as_ref());
        match heads {
            Some(Ok(heads)) => Some(passes.min(heads.batch())),
            _ => Some(passes),
        }
    }

    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward> {
        self.forward_for(input, layers, &[])
    }

    fn forward_for(
        &self,
        input: &ModelInput,
        layers: &[TargetLayer],
        classes: &[usize],
    ) -> Result<Forward> {
        let spec = &self.facts.spec;
        check_input(spec, input)?;
        // Here, so that it is nobody else's error in the batch.
        let known = spec.target_layers();
        if let Some(unknown) = layers.iter().find(|layer| !known.contains(layer)) {
            let message = format!("the network has no layer {}", unknown.torch_name());
            return Err(Error::new(ErrorKind::Compute, message).at_stage(Stage::Model));
        }
        let is_known = |class: &&usize| **class < spec.labels.len();
        let question = || Question {
            picture: (self.to_device)(input),
            layers: layers.to_vec(),
            classes: classes.iter().filter(is_known).copied().collect(),
        };
        let forward = self
            .pressure
            .retry(|| self.passes.ask(question()))?
            .checked()?;
        Ok(forward.fetched_by(|fetch| {
            let pressure = self.pressure.clone();
            Box::new(RetryingFetch { fetch, pressure })
        }))
    }

    fn head(&self, layer: TargetLayer, activations: &Activations) -> Result<Vec<f32>> {
        check_activations(&self.facts.spec, layer, activations)?;
        checked_logits(self.ask_head(|| HeadQuestion::logits(layer, activations))?)
    }

    fn backpropagate(
        &self,
        forward: &Forward,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations> {
        let activations = forward.activations_of(layer)?;
        check_activations(&self.facts.spec, layer, activations)?;
        let head = &self.facts.fully_connected;
        let (weights, classes) = (logit_weights.len(), head.bias.len());
        if weights != classes {
            let message = format!("{weights} weights for {classes} logits");
            return Err(Error::new(ErrorKind::Compute, message).at_stage(Stage::Model));
        }
        let question = || HeadQuestion::gradient(layer, activations, logit_weights, head);
        Ok(Activations {
            values: self.ask_head(question)?,
            ..*activations
        })
    }
}
