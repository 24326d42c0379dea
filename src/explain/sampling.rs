//! The number of samples of the methods that let one choose.

use crate::error::{Error, ErrorKind, Result};
use crate::explain::{Explainer, Queries};

/// How many passes of the network a map takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleCount {
    /// Where no other number is asked for; none if the layer decides.
    pub default: Option<usize>,
    /// With fewer there is no map.
    pub least: usize,
}

/// Whether a method can do with so many samples.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if it takes none, or needs more.
pub(super) fn check_samples(method: &dyn Explainer, samples: usize) -> Result<()> {
    let name = method.name();
    let message = match method.sample_count() {
        None => format!("{name} takes no samples: leave out --samples"),
        Some(count) if samples < count.least => {
            format!(
                "{name} needs at least {} samples, not {samples}",
                count.least
            )
        }
        Some(_) => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// How many samples to draw: what was asked for, or the method's own number.
///
/// # Errors
/// As [`check_samples`].
pub(super) fn number_of_samples(
    method: &dyn Explainer,
    queries: &Queries<'_>,
    default: usize,
) -> Result<usize> {
    let samples = queries.samples(default);
    check_samples(method, samples)?;
    Ok(samples)
}
