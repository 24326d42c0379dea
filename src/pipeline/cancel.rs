//! A flag that asks all threads of a pipeline to stop soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared stop request. Clones see the same flag.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Request>);

#[derive(Debug, Default)]
struct Request {
    is_set: AtomicBool,
    /// Whose request holds here too.
    parent: Option<CancelToken>,
}

impl CancelToken {
    /// A token that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token of its own that is also set when this one is.
    pub fn child(&self) -> Self {
        Self(Arc::new(Request {
            is_set: AtomicBool::new(false),
            parent: Some(self.clone()),
        }))
    }

    /// Asks for a stop. Cannot be taken back.
    pub fn cancel(&self) {
        self.0.is_set.store(true, Ordering::Release);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_set.load(Ordering::Acquire)
            || self.0.parent.as_ref().is_some_and(Self::is_cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_other_way_round() {
        let parent = CancelToken::new();
        let (one, other) = (parent.child(), parent.child());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !parent.is_cancelled());
        parent.cancel();
        assert!(other.is_cancelled());
    }
}
