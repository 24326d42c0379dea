//! Opening what is read and creating what is written.

use std::path::Path;

use gradcam_video::evaluate::boxes::Boxes;
use gradcam_video::pipeline::{CancelToken, RecordsFit, Summary};
use gradcam_video::sink::{
    FfmpegSink, FrameSink, OutputSpec, PartialFile, PictureShape, StillSink,
};
use gradcam_video::source::{
    FfmpegSource, FrameSource, InputSpec, ReadOptions, SourceInfo, StillSource, TimeRange,
};

use super::Outcome;
use super::config::{Files, with_encoder_threads};
use super::console::{Console, say};
use super::results::write_stats;

/// `--boxes`, if it is given.
pub(super) fn open_boxes(
    path: Option<&Path>,
    console: Console,
) -> gradcam_video::Result<Option<Boxes>> {
    let boxes = path.map(Boxes::open).transpose()?;
    if let Some(count) = boxes
        .as_ref()
        .map(Boxes::without_area)
        .filter(|count| *count > 0)
    {
        console.note(&format!("{count} boxes without area are left out"));
    }
    Ok(boxes)
}

impl Files {
    pub(super) fn open_source(
        &self,
        range: TimeRange,
        cancel: &CancelToken,
    ) -> gradcam_video::Result<Box<dyn FrameSource>> {
        Ok(match &self.input {
            InputSpec::Path(path) if self.is_still_input => Box::new(StillSource::open(path)?),
            input => {
                let options = ReadOptions {
                    range,
                    ..self.reading
                };
                Box::new(FfmpegSource::open(input, options, cancel)?)
            }
        })
    }

    /// The sink, and what the user should be told.
    pub(super) fn create_sink(
        &self,
        info: &SourceInfo,
        shape: PictureShape,
    ) -> anyhow::Result<(Box<dyn FrameSink>, Vec<String>)> {
        let notices = info.notices.iter().cloned();
        match &self.output {
            OutputSpec::Path(path) if self.is_still_output => {
                let sink =
                    StillSink::create(path, self.encode.overwrite, self.input.file_path(), shape)?;
                Ok((Box::new(sink), notices.collect()))
            }
            output => {
                let encode = with_encoder_threads(&self.encode, shape);
                let sink = FfmpegSink::create(output, info, shape, &encode)?;
                let notices = sink.notices().iter().cloned().chain(notices).collect();
                Ok((Box::new(sink), notices))
            }
        }
    }

    /// What an interrupt does.
    pub(super) fn on_interrupt(&self) -> &'static str {
        if self.is_still_input {
            "stopping"
        } else {
            "stopping, the output is being finished"
        }
    }

    /// A file for a result beside the output, under its temporary name.
    pub(super) fn create_beside(&self, path: &Path) -> gradcam_video::Result<PartialFile> {
        PartialFile::create(path, self.encode.overwrite, self.input.file_path())
    }

    /// `--stats`, under its temporary name.
    pub(super) fn create_stats(&self) -> gradcam_video::Result<Option<PartialFile>> {
        let path = self.stats.as_deref();
        path.map(|path| self.create_beside(path)).transpose()
    }

    /// Writes `--stats`, says what was done, and how the run ended.
    pub(super) fn finish(
        &self,
        console: Console,
        summary: &Summary,
        stats: Option<PartialFile>,
    ) -> anyhow::Result<Outcome> {
        if let Some(file) = stats {
            write_stats(file, summary)?;
        }
        if self.is_still_input {
            console.info(&format!("wrote {}", self.output_name()));
        } else {
            console.info(&format!(
                "wrote {}: {} frames in {:.1} s, {:.1} fps, {:.0} ms CPU per frame",
                self.output_name(),
                summary.frames_out,
                summary.wall_s,
                summary.fps,
                summary.cpu_ms_per_frame
            ));
        }
        for notice in &summary.notices {
            console.note(notice);
        }
        if summary.no_positive_evidence > 0 {
            console.note(&format!(
                "{} frames have no positive evidence for their class: they are drawn plain, or smoothed as the frames before",
                summary.no_positive_evidence
            ));
        }
        let stages = &summary.stages;
        for (name, time) in [
            ("decode", stages.decode),
            ("preprocess", stages.preprocess),
            ("model", stages.model),
            ("explain", stages.explain),
            ("render", stages.render),
            ("encode", stages.encode),
        ] {
            console.detail(&format!(
                "{name:10} {:9.1} ms CPU {:9.1} ms waiting",
                time.cpu_ms, time.wait_ms
            ));
        }
        if summary.was_cancelled {
            return Ok(Outcome::Interrupted);
        }
        match summary.records_fit {
            RecordsFit::Whole => {}
            RecordsFit::GoOn => console.note(&format!(
                "there are records for more frames than {} has",
                self.input_title()
            )),
            RecordsFit::EndEarly => {
                say(&format!(
                    "the records end before {} does: only their {} frames were drawn",
                    self.input_title(),
                    summary.frames_out
                ));
                return Ok(Outcome::Damaged);
            }
        }
        if !summary.damage.is_none() {
            say(&format!(
                "{} is damaged: {}",
                self.input_title(),
                summary.damage
            ));
            return Ok(Outcome::Damaged);
        }
        Ok(Outcome::Done)
    }
}
