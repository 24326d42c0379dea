//! A device's thread: takes the questions that are there, runs them as one batch, and hands each caller its own answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, select};

use super::BatchNetwork;
use crate::error::{Error, ErrorKind, Result};

/// Who lacks memory so soon after others lacks the same memory.
const SAME_SHORTAGE: Duration = Duration::from_millis(200);

/// A question, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Job<Q, A> {
    pub(super) question: Q,
    pub(super) reply: Sender<Result<A>>,
}

impl<Q, A> Job<Q, A> {
    /// An error cannot be copied, its text can.
    pub(super) fn refuse(&self, error: &Error) {
        let copy = Error::new(error.kind(), error.one_line());
        let _ = self.reply.send(Err(copy));
    }
}

/// A job of a network.
pub(super) type JobOf<N> = Job<<N as BatchNetwork>::Question, <N as BatchNetwork>::Answer>;
type Batch<N> = Vec<JobOf<N>>;
/// A batch, and what the device has of it.
type Computing<N> = (Batch<N>, <N as BatchNetwork>::Running);

/// Works until nobody can ask any more. `limit` is the largest batch; it is halved when memory runs out here, or elsewhere, which comes through `shortages`.
///
/// A batch is what waits when the device is free, so that nobody waits for a batch to fill up; while one is computed, the next one is
/// launched.
pub(super) fn run<N: BatchNetwork>(
    network: &mut N,
    (jobs, shortages): &(Receiver<JobOf<N>>, Receiver<()>),
    limit: &Arc<AtomicUsize>,
) {
    let mut waiting: VecDeque<JobOf<N>> = VecDeque::new();
    let mut running: Option<Computing<N>> = None;
    let mut last_shortage: Option<Instant> = None;
    // Whether a batch fits beside the one before it.
    let mut is_roomy = true;
    loop {
        let largest = limit.load(Ordering::Relaxed).max(1);
        let is_short = if waiting.is_empty() && running.is_none() {
            select! {
                recv(jobs) -> job => match job {
                    Ok(job) => {
                        waiting.push_back(job);
                        false
                    }
                    Err(_) => return,
                },
                recv(shortages) -> told => match told {
                    Ok(()) => true,
                    Err(_) => return,
                },
            }
        } else {
            shortages.try_recv().is_ok()
        };
        if is_short {
            if last_shortage.is_some_and(|at| at.elapsed() < SAME_SHORTAGE) {
                continue;
            }
            last_shortage = Some(Instant::now());
            finish(network, &mut running);
            network.give_back();
            limit.store(largest.div_ceil(2), Ordering::Relaxed);
            continue;
        }
        while waiting.len() < largest {
            match jobs.try_recv() {
                Ok(job) => waiting.push_back(job),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let batch: Batch<N> = waiting.drain(..waiting.len().min(largest)).collect();
        if !is_roomy {
            finish(network, &mut running);
        }
        let was_alone = running.is_none();
        let questions: Vec<_> = batch.iter().map(|job| &job.question).collect();
        let launched = (!questions.is_empty()).then(|| network.launch(&questions));
        finish(network, &mut running);
        match launched {
            None => {}
            Some(Ok(pass)) => running = Some((batch, pass)),
            // Without the batch before it, which has given its memory back, it may fit.
            Some(Err(error)) if error.kind() == ErrorKind::OutOfMemory && !was_alone => {
                network.give_back();
                is_roomy = false;
                put_back(&mut waiting, batch);
            }
            Some(Err(error)) if error.kind() == ErrorKind::OutOfMemory && batch.len() > 1 => {
                network.give_back();
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

fn put_back<J>(waiting: &mut VecDeque<J>, batch: Vec<J>) {
    for job in batch.into_iter().rev() {
        waiting.push_front(job);
    }
}

/// A caller that has gone away misses nothing.
fn answer<Q, A>(batch: Vec<Job<Q, A>>, outcome: Result<Vec<A>>) {
    match outcome {
        Ok(answers) if answers.len() == batch.len() => {
            for (job, answer) in batch.into_iter().zip(answers) {
                let _ = job.reply.send(Ok(answer));
            }
        }
        Ok(answers) => {
            let message = format!("{} questions got {} answers", batch.len(), answers.len());
            refuse(&batch, &Error::new(ErrorKind::Internal, message));
        }
        Err(error) => refuse(&batch, &error),
    }
}

fn refuse<Q, A>(batch: &[Job<Q, A>], error: &Error) {
    for job in batch {
        job.refuse(error);
    }
}
