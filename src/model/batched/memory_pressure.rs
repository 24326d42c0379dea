//! Device memory that runs out where another thread has it: whoever lacks some asks all devices' threads to give back what they hold, and tries again.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::error::{ErrorKind, Result};
use crate::model::{Activations, FetchActivations};

/// How long devices have for giving back: longer and longer, since what fills the memory may be a batch of pictures whose maps are being made.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// Says to devices' threads that memory is short.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryPressure(Arc<Mutex<Vec<Sender<()>>>>);

impl MemoryPressure {
    /// One more thread, which listens to the receiver.
    pub(super) fn add(&self) -> Receiver<()> {
        // Who asks while the thread has not heard the last one says nothing new.
        let (ask, asked) = bounded(1);
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(ask);
        asked
    }

    fn ask(&self) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without those that are no more.
        threads
            .retain(|thread| !matches!(thread.try_send(()), Err(TrySendError::Disconnected(()))));
    }

    /// What `work` says, which is asked again while it lacks memory.
    ///
    /// # Errors
    /// Those of `work`; that there is no memory, if there is none a second later.
    pub(super) fn retry<R>(&self, work: impl Fn() -> Result<R>) -> Result<R> {
        for pause in PAUSES {
            match work() {
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    self.ask();
                    thread::sleep(pause);
                }
                outcome => return outcome,
            }
        }
        work()
    }
}

/// Activations that are fetched again where there was no memory to fetch them.
#[derive(Debug)]
pub(super) struct RetryingFetch {
    pub(super) fetch: Box<dyn FetchActivations>,
    pub(super) pressure: MemoryPressure,
}

impl FetchActivations for RetryingFetch {
    fn fetch(&self, index: usize) -> Result<Activations> {
        self.pressure.retry(|| self.fetch.fetch(index))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::Error;

    #[test]
    fn only_what_lacks_memory_is_tried_again_and_not_for_ever() {
        let pressure = MemoryPressure::default();
        let told = pressure.add();
        let tries = Cell::new(0);
        let after = |failures: usize, kind: ErrorKind| {
            tries.set(0);
            pressure.retry(|| {
                tries.set(tries.get() + 1);
                if tries.get() > failures {
                    return Ok(tries.get());
                }
                Err(Error::new(kind, "as made"))
            })
        };
        assert_eq!(after(0, ErrorKind::OutOfMemory).unwrap(), 1);
        assert!(told.try_recv().is_err());
        assert_eq!(after(2, ErrorKind::OutOfMemory).unwrap(), 3);
        // However often it was said.
        assert!(told.try_recv().is_ok() && told.try_recv().is_err());
        assert!(after(1, ErrorKind::Compute).is_err());
        assert_eq!(tries.get(), 1);
        let error = after(100, ErrorKind::OutOfMemory).unwrap_err();
        assert_eq!((error.kind(), tries.get()), (ErrorKind::OutOfMemory, 7));
    }
}
