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
//! Nothing here knows CUDA: the same code runs on candle's CPU backend, which is how it is tested.

mod class_maps;
mod convolution;
mod gather;
mod network;
mod picture;
mod probe;
#[cfg(test)]
mod tests;
mod transfer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

#[cfg(all(feature = "cuda", not(feature = "cudnn")))]
pub(in crate::model) use convolution::CandleEngine;
#[cfg(feature = "cudnn")]
pub(in crate::model) use convolution::Convolution;
#[cfg(feature = "cuda")]
pub(in crate::model) use convolution::Engine;
#[cfg(feature = "cudnn")]
pub(in crate::model) use convolution::{Layers, Passed};
use gather::Job;
pub(in crate::model) use gather::Question;
#[cfg(feature = "cuda")]
pub(in crate::model) use network::device_error;
#[cfg(feature = "cudnn")]
pub(in crate::model) use network::is_out_of_memory;
pub(in crate::model) use network::{FoldedResNet, Parts};
pub use picture::Element;
pub(in crate::model) use picture::channels_last;
#[cfg(feature = "cuda")]
pub(in crate::model) use transfer::{Download, Transfer};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::{
    Activations, Backend, Classifier, Forward, FullyConnected, ModelInput, ModelSpec, ResNet,
    TargetLayer, WeightFile, check_input,
};

/// Pictures that may wait for all devices together: as many as a handful of devices' callers with large batches, so that nobody is kept from asking and
/// a batch finds all that there is.
const QUEUE: usize = 4096;

/// How many pictures make a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchSize {
    /// The largest batch; none: the one behind which more pictures bring no more speed, by measurement.
    pub most: Option<usize>,
    /// A batch that is chosen by measurement takes no longer than this.
    pub latency: Option<Duration>,
}

/// Runs batches on one device, on the thread that made it.
pub(in crate::model) trait BatchNetwork {
    /// A picture as it reads it.
    type Picture: Clone + Send + 'static;
    /// A batch that is being computed.
    type Running;

    /// Starts a batch and does not wait for it.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if a smaller batch may do; anything else means that the device cannot go on.
    fn launch(&mut self, batch: &[&Question<Self::Picture>]) -> Result<Self::Running>;

    /// Waits for a batch: a pass for each picture, in order.
    ///
    /// # Errors
    /// If the device fails.
    fn collect(&mut self, running: Self::Running) -> Result<Vec<Forward>>;
}

/// What a batched network is, apart from the devices.
pub(in crate::model) struct Facts {
    pub(in crate::model) spec: ModelSpec,
    pub(in crate::model) fully_connected: FullyConnected,
    pub(in crate::model) backend: Backend,
    /// Makes the network that computes one picture at a time, without folded weights: gradients, and logits from activations on.
    pub(in crate::model) single: Box<dyn Fn() -> Result<Box<dyn Classifier>> + Send + Sync>,
}

/// Makes a network on its device's thread.
pub(in crate::model) type Make<N> = Box<dyn FnOnce() -> Result<N> + Send>;

/// A classifier whose callers share batches.
pub struct Batched<P> {
    facts: Facts,
    to_device: fn(&ModelInput) -> P,
    /// `None` once it is dropped.
    jobs: Option<Sender<Job<P>>>,
    devices: Vec<Device>,
    single: Mutex<Option<Box<dyn Classifier>>>,
}

/// A device's thread.
struct Device {
    thread: Option<JoinHandle<()>>,
    /// Its largest batch.
    batch: Arc<AtomicUsize>,
}

impl<P> fmt::Debug for Batched<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("backend", &self.facts.backend)
            .field("devices", &self.devices.len())
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
    let (for_facts, for_network) = (Arc::clone(file), Arc::clone(file));
    let facts = Facts::of(
        file,
        Backend {
            device: "cpu".to_owned(),
            isa: "candle",
            precision: T::PRECISION,
            is_emulated: false,
        },
        move || Ok(Box::new(ResNet::load(&for_facts)?)),
    )?;
    let make: Make<FoldedResNet<T>> =
        Box::new(move || FoldedResNet::load(&for_network, Parts::on_cpu()));
    Ok(Box::new(Batched::start(
        facts,
        channels_last::<T>,
        vec![make],
        size,
    )?))
}

impl Facts {
    pub(in crate::model) fn of(
        file: &WeightFile,
        backend: Backend,
        single: impl Fn() -> Result<Box<dyn Classifier>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let spec = ModelSpec::from_weights(file)?;
        Ok(Self {
            fully_connected: FullyConnected::load(file, &spec)?,
            spec,
            backend,
            single: Box::new(single),
        })
    }
}

impl<P: Clone + Send + 'static> Batched<P> {
    /// Starts a thread for each device and waits until all are ready.
    ///
    /// # Errors
    /// The first of any device.
    pub(in crate::model) fn start<N>(
        facts: Facts,
        to_device: fn(&ModelInput) -> P,
        networks: Vec<Make<N>>,
        size: BatchSize,
    ) -> Result<Self>
    where
        N: BatchNetwork<Picture = P> + 'static,
    {
        let (jobs, queue) = bounded(QUEUE);
        let (input_size, last) = (facts.spec.input_size, facts.spec.last_layer());
        let mut this = Self {
            facts,
            to_device,
            jobs: Some(jobs),
            devices: Vec::with_capacity(networks.len()),
            single: Mutex::new(None),
        };
        let mut starting = Vec::with_capacity(networks.len());
        for (number, make) in networks.into_iter().enumerate() {
            let (ready, is_ready) = bounded(1);
            let (queue, batch) = (queue.clone(), Arc::new(AtomicUsize::new(1)));
            let limit = Arc::clone(&batch);
            let question = move || {
                let picture = to_device(&ModelInput {
                    size: input_size,
                    values: vec![0.0; 3 * input_size * input_size],
                });
                Question::of(picture, last)
            };
            let work = move || device_thread(make, &queue, &limit, (size, &question), &ready);
            let name = format!("device-{number}");
            let thread = Builder::new().name(name.clone()).spawn(work);
            let thread = thread.map_err(|error| {
                let message = format!("cannot start thread {name}");
                Error::caused_by(ErrorKind::Internal, message, error)
            })?;
            let thread = Some(thread);
            this.devices.push(Device { thread, batch });
            starting.push(is_ready);
        }
        for is_ready in starting {
            is_ready.recv().unwrap_or_else(|_| Err(gone()))?;
        }
        Ok(this)
    }

    fn single<R>(&self, work: impl FnOnce(&dyn Classifier) -> Result<R>) -> Result<R> {
        let mut slot = self.single.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some((self.facts.single)()?);
        }
        work(&**slot.as_ref().ok_or_else(gone)?)
    }
}

/// Makes the network, chooses the batch, says so, and works.
fn device_thread<N: BatchNetwork>(
    make: Make<N>,
    queue: &Receiver<Job<N::Picture>>,
    limit: &Arc<AtomicUsize>,
    (size, question): (BatchSize, &dyn Fn() -> Question<N::Picture>),
    ready: &Sender<Result<()>>,
) {
    let prepared = make().and_then(|mut network| {
        let batch = match size.most {
            Some(most) => most.max(1),
            None => probe::best_batch(&mut network, &question(), size.latency)?,
        };
        limit.store(batch, Ordering::Relaxed);
        Ok(network)
    });
    match prepared {
        Ok(mut network) => {
            let _ = ready.send(Ok(()));
            // With the network, whose end may fail on a device that is lost.
            let work = AssertUnwindSafe(move || gather::run(&mut network, queue, limit));
            if catch_unwind(work).is_err() {
                // Nobody may wait for a thread that is gone.
                for job in queue {
                    job.refuse(&gone());
                }
            }
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
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
        3 * self.batch().unwrap_or(1)
    }

    fn batch(&self) -> Option<usize> {
        let batches = self.devices.iter();
        Some(
            batches
                .map(|device| device.batch.load(Ordering::Relaxed))
                .sum(),
        )
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
        let (reply, answer) = bounded(1);
        let job = Job {
            question: Question {
                picture: (self.to_device)(input),
                layers: layers.to_vec(),
                classes: classes.iter().filter(is_known).copied().collect(),
            },
            reply,
        };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    fn head(&self, layer: TargetLayer, activations: &Activations) -> Result<Vec<f32>> {
        self.single(|network| network.head(layer, activations))
    }

    fn backpropagate(
        &self,
        forward: &Forward,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations> {
        self.single(|network| network.backpropagate(forward, layer, logit_weights))
    }
}

impl<P> Drop for Batched<P> {
    fn drop(&mut self) {
        self.jobs.take();
        for device in &mut self.devices {
            if let Some(thread) = device.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Compute, "the device's thread has ended").at_stage(Stage::Model)
}
