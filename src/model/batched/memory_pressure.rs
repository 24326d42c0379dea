//! Device memory that runs out where another thread has it: whoever lacks some asks all devices' threads to give back what they hold and to make do with
//! half, and tries again as long as any of them could.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::error::{ErrorKind, Result};
use crate::model::{Activations, FetchActivations};

/// How long devices have for giving back.
const PAUSE: Duration = Duration::from_millis(50);

/// The same once all of them compute single pictures: longer and longer, since what fills the memory may be pictures whose maps are being made.
const LAST_PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// A device's thread.
#[derive(Debug)]
struct Listener {
    ask: Sender<()>,
    /// Its largest batch.
    batch: Arc<AtomicUsize>,
}

/// Says to devices' threads that memory is short.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryPressure(Arc<Mutex<Vec<Listener>>>);

impl MemoryPressure {
    /// One more thread, which listens to the receiver, and halves its largest batch when it hears.
    pub(super) fn add(&self, batch: Arc<AtomicUsize>) -> Receiver<()> {
        // Who asks while the thread has not heard the last one says nothing new.
        let (ask, asked) = bounded(1);
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(Listener { ask, batch });
        asked
    }

    /// Whether any of them can still halve its batch.
    fn ask(&self) -> bool {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without those that are no more.
        threads.retain(|thread| {
            !matches!(thread.ask.try_send(()), Err(TrySendError::Disconnected(())))
        });
        let mut threads = threads.iter();
        threads.any(|thread| thread.batch.load(Ordering::Relaxed) > 1)
    }

    /// What `work` says, which is asked again while it lacks memory.
    ///
    /// # Errors
    /// Those of `work`; that there is no memory, if there is none a second after nobody could make do with less.
    pub(super) fn retry<R>(&self, work: impl Fn() -> Result<R>) -> Result<R> {
        let mut last_pauses = LAST_PAUSES.iter();
        loop {
            let outcome = work();
            match &outcome {
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    let pause = if self.ask() {
                        Some(&PAUSE)
                    } else {
                        last_pauses.next()
                    };
                    let Some(pause) = pause else { return outcome };
                    thread::sleep(*pause);
                }
                _ => return outcome,
            }
        }
    }
}

/// Activations that are fetched again where there was no memory to fetch them.
#[derive(Debug)]
pub(super) struct RetryingFetch {
    pub(super) fetch: Box<dyn FetchActivations>,
    pub(super) pressure: MemoryPressure,
}

impl FetchActivations for RetryingFetch {
    fn fetch(&self) -> Result<Activations> {
        self.pressure.retry(|| self.fetch.fetch())
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
        let batch = Arc::new(AtomicUsize::new(1));
        let told = pressure.add(Arc::clone(&batch));
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
        assert_eq!((error.kind(), tries.get()), (ErrorKind::OutOfMemory, 5));
    }

    #[test]
    fn nobody_gives_up_while_a_batch_can_be_halved() {
        let pressure = MemoryPressure::default();
        let batch = Arc::new(AtomicUsize::new(64));
        let told = pressure.add(Arc::clone(&batch));
        let tries = Cell::new(0);
        let outcome = pressure.retry(|| {
            tries.set(tries.get() + 1);
            // A slow device: it hears one in three.
            if tries.get() % 3 == 0 && told.try_recv().is_ok() {
                batch.store(batch.load(Ordering::Relaxed).div_ceil(2), Ordering::Relaxed);
            }
            match batch.load(Ordering::Relaxed) {
                1 => Ok(()),
                _ => Err(Error::new(ErrorKind::OutOfMemory, "full")),
            }
        });
        outcome.unwrap();
        assert_eq!(tries.get(), 18);
        // A thread that is gone gives back nothing more.
        batch.store(64, Ordering::Relaxed);
        drop(told);
        let full = || -> Result<()> { Err(Error::new(ErrorKind::OutOfMemory, "full")) };
        assert!(pressure.retry(full).is_err());
    }
}
