//! Wiring of the stages: threads, queues, order, cancellation. No maths.

mod cancel;

pub use cancel::CancelToken;
