//! What a preview may do with a live run: look, wish, stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::{Desk, Look};
use super::messages::{End, Signal};
use super::screen::{Screen, Shown};
use super::settings::Wish;
use super::status::{LiveStatus, describe};
use crate::error::Result;

/// One of the viewers of a live run; clones see the same.
#[derive(Clone)]
pub struct View {
    pub(super) desk: Arc<Desk>,
    pub(super) screen: Arc<Screen>,
    pub(super) facts: Arc<Facts>,
}

/// What viewers are told that does not change.
pub(super) struct Facts {
    pub(super) source: String,
    pub(super) recording: Option<String>,
}

impl View {
    /// A picture that came after the one numbered `last`; waits for it at most `patience`.
    pub fn picture_after(&self, last: Option<u64>, patience: Duration) -> Option<Arc<Shown>> {
        self.screen.after(last, patience)
    }

    /// The picture that is shown.
    pub fn current_picture(&self) -> Option<Arc<Shown>> {
        self.screen.current()
    }

    /// To be called when a picture has reached the eyes: its latency is counted.
    pub fn seen(&self, shown: &Shown) {
        let now = Instant::now();
        self.desk.look(|Look { meters, .. }| {
            if let Some(at) = shown.captured_at {
                meters.picture.add(now, now.saturating_duration_since(at));
            }
            if let Some(at) = shown.map_captured_at {
                meters.map.add(now, now.saturating_duration_since(at));
            }
        });
    }

    /// Everything that a viewer may want to know.
    pub fn status(&self) -> LiveStatus {
        let facts = &self.facts;
        let (spec, start) = (&self.desk.spec, self.desk.start);
        self.desk.look(|look| describe(look, facts, spec, start))
    }

    /// Whether pictures come.
    pub fn has_signal(&self) -> bool {
        self.desk.look(|look| *look.signal == Signal::Live)
    }

    /// Changes what is asked or how it is drawn.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) says why it cannot be had; all stays as it was.
    pub fn wish(&self, wish: &Wish) -> Result<()> {
        self.wish_all(std::slice::from_ref(wish))
    }

    /// Changes several things at once, or none of them.
    ///
    /// # Errors
    /// As [`wish`](Self::wish).
    pub fn wish_all(&self, wishes: &[Wish]) -> Result<()> {
        self.desk.fulfil(wishes)
    }

    /// Ends the run.
    pub fn quit(&self) {
        self.desk.end(End::Stopped);
        self.screen.wake();
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.desk.is_over()
    }

    /// Waits until the run is over or the time is up; tells whether it is over.
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        self.desk.wait_for_end(patience)
    }
}
