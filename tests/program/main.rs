//! The program from outside, on real files, in one program: each more would compile the same code again.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub
)]

mod common;
#[allow(dead_code, reason = "the example prints figures, too")]
#[path = "../tools/planted/mod.rs"]
mod planted;

mod cli;
mod docs;
mod faults;
mod memory;

mod clips;
mod conversion;
mod encoding;
mod hdr;
mod late_streams;
mod network;
mod subtitles;
mod video;
mod video_io;

mod evaluate;
mod methods;
mod render;

mod live;
mod live_page;

mod audit;
mod audit_page;
mod audit_planted;
