//! A device's thread: takes the pictures that are there, runs them as one batch, and hands each caller its own pass.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::BatchNetwork;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Forward, TargetLayer};

/// What is asked about one picture.
#[derive(Debug, Clone)]
pub(in crate::model) struct Question<P> {
    /// The picture as the network reads it.
    pub(super) picture: P,
    /// Layers whose activations the caller may look at.
    pub(super) layers: Vec<TargetLayer>,
    /// Classes whose maps are wanted, besides those of the most probable ones.
    pub(super) classes: Vec<usize>,
}

impl<P> Question<P> {
    /// What Grad-CAM at a layer asks: the logits, the maps of the most probable classes, and the layer.
    pub(in crate::model) fn of(picture: P, layer: TargetLayer) -> Self {
        Self {
            picture,
            layers: vec![layer],
            classes: Vec::new(),
        }
    }
}

/// A question, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Job<P> {
    pub(super) question: Question<P>,
    pub(super) reply: Sender<Result<Forward>>,
}

impl<P> Job<P> {
    /// An error cannot be copied, its text can.
    pub(super) fn refuse(&self, error: &Error) {
        let copy = Error::new(error.kind(), error.one_line());
        let _ = self.reply.send(Err(copy));
    }
}

type Batch<P> = Vec<Job<P>>;
/// A batch, and what the device has of it.
type Computing<N> = (
    Batch<<N as BatchNetwork>::Picture>,
    <N as BatchNetwork>::Running,
);

/// Works until nobody can ask any more. `limit` is the largest batch; it is halved when memory runs out.
///
/// A batch is what waits when the device is free, so that nobody waits for a batch to fill up; while one is computed, the next one is
/// launched.
pub(super) fn run<N: BatchNetwork>(
    network: &mut N,
    jobs: &Receiver<Job<N::Picture>>,
    limit: &Arc<AtomicUsize>,
) {
    let mut waiting: VecDeque<Job<N::Picture>> = VecDeque::new();
    let mut running: Option<Computing<N>> = None;
    // Whether a batch fits beside the one before it.
    let mut is_roomy = true;
    loop {
        let largest = limit.load(Ordering::Relaxed).max(1);
        if waiting.is_empty() && running.is_none() {
            let Ok(job) = jobs.recv() else { return };
            waiting.push_back(job);
        }
        while waiting.len() < largest {
            match jobs.try_recv() {
                Ok(job) => waiting.push_back(job),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let batch: Batch<_> = waiting.drain(..waiting.len().min(largest)).collect();
        if !is_roomy {
            finish(network, &mut running);
        }
        let was_alone = running.is_none();
        let launched = (!batch.is_empty()).then(|| network.launch(&questions(&batch)));
        finish(network, &mut running);
        match launched {
            None => {}
            Some(Ok(pass)) => running = Some((batch, pass)),
            // Without the batch before it, which has given its memory back, it may fit.
            Some(Err(error)) if error.kind() == ErrorKind::OutOfMemory && !was_alone => {
                is_roomy = false;
                put_back(&mut waiting, batch);
            }
            Some(Err(error)) if error.kind() == ErrorKind::OutOfMemory && batch.len() > 1 => {
                limit.store(batch.len().div_ceil(2), Ordering::Relaxed);
                put_back(&mut waiting, batch);
            }
            Some(Err(error)) => answer(batch, Err(error)),
        }
    }
}

/// Waits for the batch that is computed, if any.
fn finish<N: BatchNetwork>(network: &mut N, running: &mut Option<Computing<N>>) {
    if let Some((batch, pass)) = running.take() {
        answer(batch, network.collect(pass));
    }
}

fn put_back<P>(waiting: &mut VecDeque<Job<P>>, batch: Batch<P>) {
    for job in batch.into_iter().rev() {
        waiting.push_front(job);
    }
}

fn questions<P>(batch: &[Job<P>]) -> Vec<&Question<P>> {
    batch.iter().map(|job| &job.question).collect()
}

/// A caller that has gone away misses nothing.
fn answer<P>(batch: Batch<P>, outcome: Result<Vec<Forward>>) {
    match outcome {
        Ok(passes) if passes.len() == batch.len() => {
            for (job, pass) in batch.into_iter().zip(passes) {
                let _ = job.reply.send(Ok(pass));
            }
        }
        Ok(passes) => {
            let message = format!("{} pictures gave {} passes", batch.len(), passes.len());
            refuse(&batch, &Error::new(ErrorKind::Internal, message));
        }
        Err(error) => refuse(&batch, &error),
    }
}

fn refuse<P>(batch: &[Job<P>], error: &Error) {
    for job in batch {
        job.refuse(error);
    }
}
