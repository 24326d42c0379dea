//! The number of samples of the methods that let one choose.

use crate::error::{Error, ErrorKind, Result};
use crate::explain::{Explainer, Queries};

/// How many samples to draw, `default` if nothing was asked for.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if there are fewer than the method needs.
pub(super) fn number_of_samples(
    method: &dyn Explainer,
    queries: &Queries<'_>,
    default: usize,
    least: usize,
) -> Result<usize> {
    let samples = queries.samples(default);
    if samples >= least {
        return Ok(samples);
    }
    let message = format!(
        "{} needs at least {least} samples, not {samples}",
        method.name()
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
}
