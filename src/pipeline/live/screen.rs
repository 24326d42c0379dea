//! What viewers see: always the freshest picture, never a queue of them.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::frame::{Orientation, Picture};

/// A finished picture.
pub struct Shown {
    /// Rises from picture to picture.
    pub number: u64,
    /// As it is coded.
    pub picture: Arc<Picture>,
    /// How it is turned to stand upright.
    pub orientation: Orientation,
    /// Width of a coded pixel divided by its height.
    pub pixel_aspect: f64,
    /// When the frame was captured, if this is the first picture of it.
    pub(super) captured_at: Option<Instant>,
    /// When the frame was captured whose map is shown, if this is the first picture with it.
    pub(super) map_captured_at: Option<Instant>,
}

impl Shown {
    /// A picture of no run, to be shown as one.
    pub fn new(number: u64, picture: Picture, orientation: Orientation, pixel_aspect: f64) -> Self {
        Self {
            number,
            picture: Arc::new(picture),
            orientation,
            pixel_aspect,
            captured_at: None,
            map_captured_at: None,
        }
    }

    #[cfg(feature = "window")]
    /// Another picture in the place of this one, for a viewer who draws into it.
    pub(crate) fn with_picture(&self, picture: Picture) -> Self {
        Self {
            number: self.number,
            picture: Arc::new(picture),
            orientation: self.orientation,
            pixel_aspect: self.pixel_aspect,
            captured_at: self.captured_at,
            map_captured_at: self.map_captured_at,
        }
    }
}

/// The freshest picture, for any number of viewers.
#[derive(Default)]
pub(super) struct Screen {
    freshest: Mutex<Option<Arc<Shown>>>,
    changed: Condvar,
}

impl Screen {
    pub(super) fn show(&self, shown: Shown) {
        let mut freshest = self.freshest.lock().unwrap_or_else(PoisonError::into_inner);
        *freshest = Some(Arc::new(shown));
        self.changed.notify_all();
    }

    /// A picture that came after the one numbered `last`; waits for it at most `patience`.
    pub(super) fn after(&self, last: Option<u64>, patience: Duration) -> Option<Arc<Shown>> {
        let is_old = |shown: &mut Option<Arc<Shown>>| {
            shown
                .as_ref()
                .is_none_or(|shown| Some(shown.number) == last)
        };
        let freshest = self.freshest.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(freshest, patience, is_old);
        let mut freshest = waited.unwrap_or_else(PoisonError::into_inner).0;
        if is_old(&mut freshest) {
            return None;
        }
        freshest.clone()
    }

    /// The picture that is shown.
    pub(super) fn current(&self) -> Option<Arc<Shown>> {
        let freshest = self.freshest.lock();
        freshest.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Wakes viewers that wait, so that they look whether the run is over.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }
}
