//! Showing a live run to people: a window, a page in a browser, nobody.

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod jpeg;
#[cfg(feature = "http")]
mod page;
mod picture;
#[cfg(feature = "window")]
mod window;

#[cfg(feature = "http")]
pub use http::{HttpOptions, needs_token, random_token};
#[cfg(feature = "http")]
pub use page::HttpPreview;
pub use picture::snapshot;
#[cfg(feature = "window")]
pub use window::{TakeSnapshot, WindowPreview};

use std::time::Duration;

use crate::error::Result;
use crate::pipeline::live::{Preview, View};

/// How long a viewer waits for a picture before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// Shows nothing: for runs that only record.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPreview;

impl Preview for NoPreview {
    fn run(&mut self, view: &View) -> Result<()> {
        let mut last = None;
        while !view.is_over() {
            if let Some(shown) = view.picture_after(last, PATIENCE) {
                last = Some(shown.number);
                view.seen(&shown);
            }
        }
        Ok(())
    }
}
