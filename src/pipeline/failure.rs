//! The first failure of any thread: what the user is told. Threads that merely notice that a neighbour is gone stay silent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::error::{Error, ErrorKind};
use crate::pipeline::CancelToken;

/// Shared by all threads of one run.
#[derive(Debug)]
pub(crate) struct FirstFailure {
    error: Mutex<Option<Error>>,
    /// Nothing is ever sent: dropping it at the first failure wakes every thread that waits.
    running: Mutex<Option<Sender<()>>>,
    stopped: Receiver<()>,
    /// Of the source, which may be waiting for a sender.
    source: Option<CancelToken>,
}

impl FirstFailure {
    /// No failure yet.
    pub(crate) fn new() -> Self {
        let (running, stopped) = bounded(1);
        Self {
            error: Mutex::new(None),
            running: Mutex::new(Some(running)),
            stopped,
            source: None,
        }
    }

    /// The same; the first failure also ends the reading of a source with this [stopper](crate::source::FrameSource::stopper).
    pub(crate) fn stopping(source: Option<CancelToken>) -> Self {
        Self {
            source,
            ..Self::new()
        }
    }

    /// Notes a failure; only the first is kept. Threads in [`receive`](Self::receive) wake up.
    pub(crate) fn record(&self, error: Error) {
        lock(&self.error).get_or_insert(error);
        lock(&self.running).take();
        if let Some(source) = &self.source {
            source.cancel();
        }
    }

    /// The next item; `None` when the senders are gone or another thread has failed.
    pub(crate) fn receive<T>(&self, items: &Receiver<T>) -> Option<T> {
        if self.has_failed() {
            return None;
        }
        select! {
            recv(items) -> item => item.ok(),
            recv(self.stopped) -> _ => None,
        }
    }

    /// Runs `work`; a panic in it becomes a failure.
    pub(crate) fn catch<T>(&self, thread: &str, work: impl FnOnce() -> T) -> Option<T> {
        // What a panic leaves half done is not looked at again: the run has failed.
        catch_unwind(AssertUnwindSafe(work))
            .inspect_err(|panic| self.record_panic(thread, panic.as_ref()))
            .ok()
    }

    /// Notes that a thread panicked.
    fn record_panic(&self, thread: &str, payload: &(dyn std::any::Any + Send)) {
        let cause = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown panic".to_owned());
        self.record(Error::caused_by(
            ErrorKind::Internal,
            format!("internal error on thread {thread}, please report it"),
            cause,
        ));
    }

    /// Whether all threads should stop.
    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.running).is_none()
    }

    /// The failure, at the end.
    pub(crate) fn into_error(self) -> Option<Error> {
        self.error
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panicking thread leaves in these is as good as what any other leaves.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_wins() {
        let failure = FirstFailure::new();
        assert!(!failure.has_failed());
        failure.record(Error::new(ErrorKind::Input, "root cause"));
        failure.record(Error::new(ErrorKind::Internal, "consequence"));
        assert!(failure.has_failed());
        assert_eq!(failure.into_error().unwrap().one_line(), "root cause");
    }

    #[test]
    fn a_failure_wakes_whoever_waits() {
        let failure = FirstFailure::new();
        let (sender, receiver) = bounded::<u8>(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| failure.receive(&receiver));
            failure.record(Error::new(ErrorKind::Input, "root cause"));
            assert_eq!(waiting.join().unwrap(), None);
        });
        sender.send(1).unwrap();
        assert_eq!(failure.receive(&receiver), None, "nothing more is taken");
    }

    #[test]
    fn a_panic_becomes_a_failure() {
        let failure = FirstFailure::new();
        assert_eq!(
            failure.catch("worker-0", || panic!("boom {}", 1)),
            None::<()>
        );
        let error = failure.into_error().unwrap();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(
            error
                .one_line()
                .ends_with("worker-0, please report it: boom 1")
        );
    }
}
