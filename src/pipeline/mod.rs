//! Wiring of the stages: threads, queues, order, cancellation. No maths.
//!
//! Explains a video with records, then draws it again from them in another way:
//!
//! ```no_run
//! use std::fs::File;
//! use std::io::BufWriter;
//!
//! use gradcam_video::explain::GradCam;
//! use gradcam_video::pipeline::{self, CancelToken, Explaining, Job, Maps, Options, SilentReporter};
//! use gradcam_video::preprocess::ResizePolicy;
//! use gradcam_video::records::{RecordsFormat, RecordsHeader, RecordsReader, RecordsWriter};
//! use gradcam_video::render::{ColorMap, RenderOptions, Renderer};
//! use gradcam_video::sink::{EncodeOptions, FfmpegSink, OutputSpec};
//! use gradcam_video::source::{FfmpegSource, FrameSource, InputSpec, ReadOptions};
//! use gradcam_video::temporal::Normalize;
//!
//! # fn example(model: &dyn gradcam_video::model::Classifier) -> Result<(), Box<dyn std::error::Error>> {
//! let cancel = CancelToken::new();
//! let input = InputSpec::Path("in.mp4".into());
//! let run = |maps: Maps, render: RenderOptions, output: &str, records| -> gradcam_video::Result<()> {
//!     let source = FfmpegSource::open(&input, ReadOptions::default(), &cancel)?;
//!     let renderer = Renderer::for_stream(render, source.info())?;
//!     let output = OutputSpec::Path(output.into());
//!     let sink = FfmpegSink::create(&output, source.info(), renderer.shape(), &EncodeOptions::default())?;
//!     let options = Options { resize: ResizePolicy::Stretch, normalize: Normalize::Rolling, smooth: 0.0 };
//!     let job = Job {
//!         maps, source: Box::new(source), renderer: Some(renderer), sink: Box::new(sink), records, options,
//!     };
//!     pipeline::run(job, &SilentReporter, &cancel)?;
//!     Ok(())
//! };
//! let header = RecordsHeader {
//!     header: true, size: [640, 480], resize: "stretch".into(), input_size: 224, preprocess: "caffe".into(),
//!     ..RecordsHeader::default()
//! };
//! let file = Box::new(BufWriter::new(File::create("maps.jsonl")?));
//! let records = RecordsWriter::new(file, RecordsFormat::Jsonl, "maps.jsonl", &header)?;
//! let explaining = Explaining { workers: 2, hold: 0.05, ..Explaining::new(model, &GradCam) };
//! run(Maps::Explained(explaining), RenderOptions::default(), "out.mp4", Some(records))?;
//!
//! let reader = Box::new(RecordsReader::open("maps.jsonl".as_ref())?);
//! let turbo = RenderOptions { colormap: ColorMap::Turbo, ..RenderOptions::default() };
//! run(Maps::Recorded(reader), turbo, "again.mp4", None)?;
//! # Ok(())
//! # }
//! ```
//!
//! The scale of a whole video takes two passes: [`run_over_whole_video`].

mod cancel;
mod describe;
mod drawing;
pub(crate) mod failure;
#[cfg(feature = "video")]
pub mod live;
mod offline;
mod ordered;
mod redraw;
pub(crate) mod reorder;
mod report;
pub(crate) mod timing;
mod whole_video;
pub(crate) mod worker;

pub use cancel::CancelToken;
pub use drawing::draw_threads;
#[cfg(feature = "audit")]
pub(crate) use offline::spawn;
pub use offline::{Explaining, Job, Maps, Options, run};
pub use redraw::{RecordsFit, largest_maxima};
pub use report::{Progress, Reporter, SilentReporter, StageTime, StageTimes, Summary};
pub use whole_video::run_over_whole_video;
