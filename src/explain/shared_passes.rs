//! Passes that several targets share: what was hidden from the network does not depend on what is asked about its answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;

/// Logits of all inputs of one [`Queries::scores`](super::Queries::scores).
type Logits = Arc<Vec<Vec<f32>>>;

/// The logits of one picture's passes, in the order in which a method asks for them. The first target makes them, the others read
/// them again.
#[derive(Debug, Default)]
pub(super) struct SharedPasses {
    made: Mutex<Vec<Logits>>,
    next: AtomicUsize,
}

impl SharedPasses {
    /// The next target begins.
    pub(super) fn rewind(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    /// The next logits, which `make` makes if no target has asked for them before.
    pub(super) fn next(&self, make: impl FnOnce() -> Result<Vec<Vec<f32>>>) -> Result<Logits> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let lock = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = lock().get(index) {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(make()?);
        lock().push(Arc::clone(&made));
        Ok(made)
    }
}
