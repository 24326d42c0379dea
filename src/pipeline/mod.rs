//! Wiring of the stages: threads, queues, order, cancellation. No maths.

mod cancel;
mod describe;
mod failure;
mod offline;
mod ordered;
mod reorder;
mod report;
mod timing;
mod worker;

pub use cancel::CancelToken;
pub use offline::{Job, Options, run};
pub use report::{Progress, Reporter, SilentReporter, StageTime, StageTimes, Summary};
