//! One thread for each device, which answers questions in batches.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::BatchNetwork;
use super::gather::{self, Job, JobOf};
use super::memory_pressure::MemoryPressure;
use crate::error::{Error, ErrorKind, Result, Stage};

/// Questions that may wait for all devices together: as many as a handful of devices' callers with large batches, so that nobody is kept from asking and
/// a batch finds all that there is.
const QUEUE: usize = 4096;

/// Makes a network on its device's thread.
pub(in crate::model) type Make<N> = Box<dyn FnOnce() -> Result<N> + Send>;

/// Devices that share the questions `Q` and answer `A`.
pub(super) struct Devices<Q, A> {
    /// `None` once it is dropped.
    jobs: Option<Sender<Job<Q, A>>>,
    devices: Vec<Device>,
}

/// A device's thread.
struct Device {
    thread: Option<JoinHandle<()>>,
    /// Its largest batch.
    batch: Arc<AtomicUsize>,
}

impl<Q, A> fmt::Debug for Devices<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices")
            .field("devices", &self.devices.len())
            .finish_non_exhaustive()
    }
}

impl<Q: Send + 'static, A: Send + 'static> Devices<Q, A> {
    /// Starts threads `name-0`, `name-1` and so on, and waits until all are ready. `batch_of` chooses a network's largest batch, on its thread. Through `pressure` they hear that
    /// memory is short.
    ///
    /// # Errors
    /// The first of any device.
    pub(super) fn start<N>(
        name: &str,
        networks: Vec<Make<N>>,
        batch_of: impl Fn(&mut N) -> Result<usize> + Clone + Send + 'static,
        pressure: &MemoryPressure,
    ) -> Result<Self>
    where
        N: BatchNetwork<Question = Q, Answer = A> + 'static,
    {
        let (jobs, queue) = bounded(QUEUE);
        let mut this = Self {
            jobs: Some(jobs),
            devices: Vec::with_capacity(networks.len()),
        };
        let mut starting = Vec::with_capacity(networks.len());
        for (number, make) in networks.into_iter().enumerate() {
            let (ready, is_ready) = bounded(1);
            let (queue, batch_of) = (queue.clone(), batch_of.clone());
            let batch = Arc::new(AtomicUsize::new(1));
            let limit = Arc::clone(&batch);
            let orders = (queue, pressure.add(Arc::clone(&batch)));
            let work = move || device_thread(make, orders, &limit, &batch_of, &ready);
            let name = format!("{name}-{number}");
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

    /// Waits for the answer.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn ask(&self, question: Q) -> Result<A> {
        let (reply, answer) = bounded(1);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job { question, reply }).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl<Q, A> Devices<Q, A> {
    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    /// The largest batches of all devices together.
    pub(super) fn batch(&self) -> usize {
        let devices = self.devices.iter();
        devices
            .map(|device| device.batch.load(Ordering::Relaxed))
            .sum()
    }
}

impl<Q, A> Drop for Devices<Q, A> {
    fn drop(&mut self) {
        self.jobs.take();
        for device in &mut self.devices {
            if let Some(thread) = device.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// Makes the network, chooses the batch, says so, and works.
fn device_thread<N: BatchNetwork>(
    make: Make<N>,
    orders: (Receiver<JobOf<N>>, Receiver<()>),
    limit: &Arc<AtomicUsize>,
    batch_of: &dyn Fn(&mut N) -> Result<usize>,
    ready: &Sender<Result<()>>,
) {
    let mut network = match make() {
        Ok(network) => network,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    match batch_of(&mut network) {
        Ok(batch) => limit.store(batch.max(1), Ordering::Relaxed),
        Err(error) => {
            let _ = ready.send(Err(error));
            network.end();
            return;
        }
    }
    let _ = ready.send(Ok(()));
    let work = AssertUnwindSafe(|| gather::run(&mut network, &orders, limit));
    if catch_unwind(work).is_err() {
        // Nobody may wait for a thread that is gone, neither for an answer nor for memory.
        let (jobs, shortages) = orders;
        drop(shortages);
        for job in &jobs {
            job.refuse(&gone());
        }
    }
    network.end();
}

fn gone() -> Error {
    Error::new(ErrorKind::Compute, "the device's thread has ended").at_stage(Stage::Model)
}
