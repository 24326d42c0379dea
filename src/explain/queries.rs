//! Forward passes over variations of one picture: what methods that ask the network many questions share.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::explain::Target;
use crate::explain::shared_passes::SharedPasses;
use crate::model::{Classifier, ModelInput};

/// Hears how many of how many passes of one explanation are done, from any thread; may say stop.
pub type OnPass<'a> = &'a (dyn Fn(usize, usize) -> ControlFlow<()> + Sync);

/// The network, and how to run it many times: threads, budget, seed.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    model: &'a dyn Classifier,
    threads: usize,
    samples: Option<usize>,
    seed: u64,
    on_pass: OnPass<'a>,
    shared: Option<&'a SharedPasses>,
}

impl fmt::Debug for Queries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries")
            .field("threads", &self.threads)
            .field("samples", &self.samples)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl<'a> Queries<'a> {
    /// On this thread, with each method's own number of samples and seed 0.
    pub fn new(model: &'a dyn Classifier) -> Self {
        Self {
            model,
            threads: 1,
            samples: None,
            seed: 0,
            on_pass: &|_, _| ControlFlow::Continue(()),
            shared: None,
        }
    }

    /// On so many threads. The results are the same at any number.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            ..self
        }
    }

    /// With another number of samples than the method's own, and this seed for all that is random.
    #[must_use]
    pub fn with_sampling(self, samples: Option<usize>, seed: u64) -> Self {
        Self {
            samples,
            seed,
            ..self
        }
    }

    /// The same, of another network.
    #[must_use]
    pub fn with_model<'b>(self, model: &'b dyn Classifier) -> Queries<'b>
    where
        'a: 'b,
    {
        let this: Queries<'b> = self;
        Queries { model, ..this }
    }

    /// Reports every pass.
    #[must_use]
    pub fn with_report(self, on_pass: OnPass<'a>) -> Self {
        Self { on_pass, ..self }
    }

    /// Several targets of one picture share their passes.
    pub(super) fn sharing(self, shared: &'a SharedPasses) -> Self {
        Self {
            shared: Some(shared),
            ..self
        }
    }

    /// The network.
    pub fn model(&self) -> &'a dyn Classifier {
        self.model
    }

    /// For all that is random.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The budget of forward passes, `default` if none was asked for.
    pub fn samples(&self, default: usize) -> usize {
        self.samples.unwrap_or(default)
    }

    /// Reports a pass that was made without these queries, such as the one whose activations are explained.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the report said stop.
    pub fn one_pass(&self) -> Result<()> {
        match (self.on_pass)(1, 1) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::cancelled()),
        }
    }

    /// The target's score of each of `count` inputs, in order. `input(i)` makes the `i`th, on any thread.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if the network fails, [`ErrorKind::Cancelled`] if the report said stop.
    pub fn scores(
        &self,
        count: usize,
        target: Target,
        input: impl Fn(usize) -> ModelInput + Sync,
    ) -> Result<Vec<f64>> {
        let logits = |index| Ok(self.model.forward(&input(index), &[])?.logits);
        if let Some(shared) = self.shared {
            let made = shared.next(|| self.map(count, logits))?;
            return Ok(made.iter().map(|logits| target.value(logits)).collect());
        }
        self.map(count, |index| Ok(target.value(&logits(index)?)))
    }

    /// The results of `count` pieces of work that each take about one pass, in order.
    ///
    /// # Errors
    /// The first of any thread; [`ErrorKind::Cancelled`] if the report said stop.
    pub fn map<T: Send>(
        &self,
        count: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let (next, done, is_over) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicBool::new(false),
        );
        let results: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
        let run = || -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                let result = work(index).inspect_err(|_| is_over.store(true, Ordering::Relaxed))?;
                results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if (self.on_pass)(done, count).is_break() {
                    is_over.store(true, Ordering::Relaxed);
                    return Err(Error::cancelled());
                }
            }
            Ok(())
        };
        thread::scope(|scope| -> Result<()> {
            // Threads that wait for a device's batches cost nothing.
            let threads = self.threads.max(self.model.concurrency());
            let spawned: Vec<_> = (1..threads.min(count))
                .map(|number| {
                    thread::Builder::new()
                        .name(format!("query-{number}"))
                        .spawn_scoped(scope, run)
                })
                .collect();
            let mut outcome = run();
            for handle in spawned {
                // A thread that cannot start leaves its share to the others.
                let Ok(handle) = handle else { continue };
                let joined = handle.join().unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Internal, "a query thread panicked"))
                });
                outcome = outcome.and(joined);
            }
            outcome
        })?;
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let results: Option<Vec<T>> = results.into_iter().collect();
        results.ok_or_else(|| Error::new(ErrorKind::Internal, "a query has no result"))
    }
}
