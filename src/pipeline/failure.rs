//! The first failure of any thread: what the user is told. Threads that merely notice that a neighbour is gone stay silent.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind};

/// Shared by all threads of one run.
#[derive(Debug, Default)]
pub(super) struct FirstFailure {
    has_failed: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl FirstFailure {
    /// Notes a failure; only the first is kept.
    pub(super) fn record(&self, error: Error) {
        let mut slot = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
        self.has_failed.store(true, Ordering::Release);
    }

    /// Notes that a thread panicked.
    pub(super) fn record_panic(&self, thread: &str, payload: &(dyn std::any::Any + Send)) {
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
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// The failure, at the end.
    pub(super) fn into_error(self) -> Option<Error> {
        self.error
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_wins() {
        let failure = FirstFailure::default();
        assert!(!failure.has_failed());
        failure.record(Error::new(ErrorKind::Input, "root cause"));
        failure.record(Error::new(ErrorKind::Internal, "consequence"));
        assert!(failure.has_failed());
        assert_eq!(failure.into_error().unwrap().one_line(), "root cause");
    }
}
