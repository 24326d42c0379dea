//! How many pictures make a batch: measured, since it depends on the device, the precision and the network.

use std::time::{Duration, Instant};

use super::BatchNetwork;
use crate::error::{ErrorKind, Result};

/// Batches that are tried, in this order. Not more, as three batches of whole frames are under way: 300 MB at 1080p.
const CANDIDATES: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// A larger batch must bring at least this much more speed.
const WORTH: f64 = 1.05;
/// Runs of each candidate, of which the fastest counts; one before them makes buffers and plans.
const RUNS: usize = 3;

/// With batches of the same question, the smallest batch behind which more pictures bring no more speed, or memory or `latency` runs out.
///
/// # Errors
/// If the device cannot run a single picture.
pub(super) fn best_batch<N: BatchNetwork>(
    network: &mut N,
    question: &N::Question,
    latency: Option<Duration>,
) -> Result<usize> {
    choose(latency, |batch| {
        let time = time_of(network, question, batch);
        if time
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::OutOfMemory)
        {
            network.give_back();
        }
        time
    })
}

fn choose(
    latency: Option<Duration>,
    mut time_of: impl FnMut(usize) -> Result<Duration>,
) -> Result<usize> {
    let mut best = (1, 0.0);
    for batch in CANDIDATES {
        let time = match time_of(batch) {
            Ok(time) => time,
            Err(error) if error.kind() == ErrorKind::OutOfMemory && batch > 1 => break,
            Err(error) => return Err(error),
        };
        if batch > 1 && latency.is_some_and(|latency| time > latency) {
            break;
        }
        let speed = batch as f64 / time.as_secs_f64().max(f64::EPSILON);
        if speed < best.1 * WORTH {
            break;
        }
        best = (batch, speed);
    }
    Ok(best.0)
}

fn time_of<N: BatchNetwork>(
    network: &mut N,
    question: &N::Question,
    batch: usize,
) -> Result<Duration> {
    let questions = vec![question; batch];
    let mut fastest = Duration::MAX;
    for run in 0..=RUNS {
        let start = Instant::now();
        let running = network.launch(&questions)?;
        network.collect(running)?;
        if run > 0 {
            fastest = fastest.min(start.elapsed());
        }
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// For a device with room for so many pictures, on which a batch takes `micros.0`, and `micros.1` more for each picture.
    fn chosen(room: usize, micros: (u64, u64), latency: Option<u64>) -> Result<usize> {
        choose(latency.map(Duration::from_micros), |batch| {
            if batch > room {
                return Err(Error::new(ErrorKind::OutOfMemory, "full"));
            }
            Ok(Duration::from_micros(micros.0 + micros.1 * batch as u64))
        })
    }

    #[test]
    fn the_batch_grows_while_it_pays_and_fits() {
        // Launching costs all: the more the better, up to what fits.
        assert_eq!(chosen(usize::MAX, (2000, 0), None).unwrap(), 32);
        assert_eq!(chosen(20, (2000, 0), None).unwrap(), 16);
        // Nothing is won by a second picture.
        assert_eq!(chosen(usize::MAX, (0, 3000), None).unwrap(), 1);
        // From 8 to 16 the speed grows by 1.04.
        assert_eq!(chosen(usize::MAX, (100, 140), None).unwrap(), 8);
        // Four take 4 ms, eight would take 6.
        assert_eq!(chosen(usize::MAX, (2000, 500), Some(5000)).unwrap(), 4);
        // A single picture may take longer than is wished, but it must fit.
        assert_eq!(chosen(usize::MAX, (9000, 0), Some(5000)).unwrap(), 1);
        let error = chosen(0, (1, 0), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }
}
