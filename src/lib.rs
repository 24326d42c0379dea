//! Grad-CAM for video.
pub mod error;
pub mod frame;
pub mod heatmap;
pub mod model;
pub mod pipeline;
pub mod render;
pub mod sink;
pub mod source;

pub use error::{Error, ErrorKind, Result, Stage};
