//! The library from outside, in one program: each more would compile the same code again.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub
)]

mod golden_data;
#[cfg(feature = "video")]
mod toy;

mod convert;

mod batched;
mod explainers;
mod golden;

#[cfg(feature = "video")]
mod live_pipeline;
#[cfg(feature = "video")]
mod pipeline;
