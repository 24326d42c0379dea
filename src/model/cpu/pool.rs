//! Buffers that threads borrow, so that each is made only once per thread.

use std::sync::{Mutex, PoisonError};

/// Values that no thread uses at the moment; there are as many as threads ever needed at once.
#[derive(Debug)]
pub(super) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Runs `work` with a value of the pool, or with one from `make` if all are in use.
    pub(super) fn with<R>(&self, make: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        let free = self.all(Vec::pop);
        let mut value = free.unwrap_or_else(make);
        let result = work(&mut value);
        self.all(|all| all.push(value));
        result
    }

    fn all<R>(&self, act: impl FnOnce(&mut Vec<T>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
