//! What is written beside pictures: records and stats.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use gradcam_video::explain::{Explainer, Request};
use gradcam_video::model::{ModelSpec, Precision, WeightFile};
use gradcam_video::preprocess::ResizePolicy;
use gradcam_video::records::RecordsHeader;
use gradcam_video::sink::PartialFile;
use gradcam_video::source::SourceInfo;
use serde::Serialize;

/// What a run's records were made with.
pub(super) struct RecordedAs<'a> {
    pub(super) input: String,
    pub(super) info: &'a SourceInfo,
    pub(super) spec: &'a ModelSpec,
    pub(super) weights: &'a WeightFile,
    pub(super) precision: Precision,
    pub(super) resize: ResizePolicy,
    pub(super) explainer: &'a dyn Explainer,
    pub(super) request: &'a Request,
    pub(super) layer_name: &'a str,
}

impl RecordedAs<'_> {
    /// The first line of the records, for a run over all of its input.
    pub(super) fn header(self) -> RecordsHeader {
        let (info, spec) = (self.info, self.spec);
        let (width, height) = info.orientation.upright_size(info.width, info.height);
        RecordsHeader {
            header: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            input: self.input,
            size: [width, height],
            rotation: u16::from(info.orientation.quarter_turns) * 90,
            resize: self.resize.name().to_owned(),
            input_size: spec.input_size,
            preprocess: spec.normalization.name().to_owned(),
            layer: self.layer_name.to_owned(),
            method: self.explainer.name().to_owned(),
            score: self.request.score.name().to_owned(),
            precision: self.precision.name().to_owned(),
            weights_sha256: self.weights.sha256().to_owned(),
            ..RecordsHeader::default()
        }
    }
}

/// What writes into `file`, which will be called `path`.
pub(super) fn open_partial(file: &PartialFile, path: &Path) -> anyhow::Result<BufWriter<File>> {
    let output =
        File::create(file.path()).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(BufWriter::new(output))
}

/// Writes `--stats` and gives the file its name.
pub(super) fn write_stats(file: PartialFile, summary: &impl Serialize) -> anyhow::Result<()> {
    let write = |path: &Path| -> anyhow::Result<()> {
        let mut output = File::create(path)?;
        serde_json::to_writer_pretty(&mut output, summary)?;
        output.write_all(b"\n")?;
        Ok(())
    };
    write(file.path()).with_context(|| format!("cannot write {}", file.path().display()))?;
    file.commit()?;
    Ok(())
}
