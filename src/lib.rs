//! Grad-CAM for video: for every frame, where a ResNet50 looked and what it saw.
//!
//! ```text
//! source ──► preprocess ──► model ──► explain ──► reorder ──► temporal ──► render ──► sink
//! (decode    (224x224,      (ResNet50  (raw CAM    by index    (scale)      (YUV blend, (encode,
//!  thread)    f32 CHW)       features)  at layer)                            label)      mux)
//!            └──── worker threads, one frame each ───┘         └──── one thread, in order ────┘
//! ```
//!
//! The modules stand in that order. [`pipeline::run`] wires them together; each can be used by itself:
//!
//! ```no_run
//! use gradcam_video::explain::{Explainer, GradCam, LayerView, Queries, Score, Target};
//! use gradcam_video::model::{self, Precision, WeightFile, ranked};
//! use gradcam_video::preprocess::{Preprocessor, ResizePolicy};
//! use gradcam_video::source::{FrameSource, StillSource};
//!
//! # fn main() -> gradcam_video::Result<()> {
//! let weights = WeightFile::open("weights/resnet50-keras-f16.safetensors".as_ref())?;
//! let model = model::load(weights.into(), Precision::F32, None)?;
//! let mut source = StillSource::open("photo.jpg".as_ref())?;
//! if let Some(frame) = source.next_frame()? {
//!     let mut preprocessor = Preprocessor::new(ResizePolicy::Stretch, model.spec());
//!     let input = preprocessor.run(&frame.picture, source.info().orientation)?;
//!     let layer = model.spec().layer_by_name("layer4")?;
//!     let forward = model.forward(&input, &[layer])?;
//!     let top = ranked(&forward.logits)[0];
//!     let view = LayerView { layer, forward: &forward, input: &input };
//!     let target = Target::new(top.index, Score::Logit);
//!     let heatmap = GradCam.explain(&Queries::new(&*model), view, target)?;
//!     println!("{}: {:?}", model.spec().labels.name(top.index), heatmap.values);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The library never prints, never exits, and spawns only named threads that it joins.

pub mod error;
#[cfg(feature = "video")]
mod ffmpeg_ffi;
#[cfg(feature = "video")]
mod ffmpeg_picture;
pub mod frame;
pub mod heatmap;
mod picture;
mod random;
pub mod source;
mod tone_map;
#[cfg(feature = "video")]
mod turn;

pub mod preprocess;

pub mod model;

pub mod explain;

pub mod evaluate;

pub mod temporal;

pub mod render;

pub mod records;

pub mod sink;

pub mod pipeline;

#[cfg(feature = "audit")]
pub mod audit;

#[cfg(feature = "video")]
pub mod preview;

pub use error::{Error, ErrorKind, Result, Stage};
