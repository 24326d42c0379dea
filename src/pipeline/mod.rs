//! Wiring of the stages: threads, queues, order, cancellation. No maths.

mod cancel;
mod describe;
mod failure;
mod offline;
mod ordered;
mod redraw;
mod reorder;
mod report;
mod timing;
mod whole_video;
mod worker;

pub use cancel::CancelToken;
pub use offline::{Explaining, Job, Maps, Options, run};
pub use redraw::largest_maxima;
pub use report::{Progress, Reporter, SilentReporter, StageTime, StageTimes, Summary};
pub use whole_video::run_over_whole_video;
