//! Records of a live run: as offline, with the time of day in the header.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Asking;
use super::messages::{Captured, LiveExplanation};
use super::tape::TIME_BASE;
use crate::error::Result;
use crate::frame::FrameIndex;
use crate::pipeline::Explaining;
use crate::pipeline::describe::Describer;
use crate::pipeline::ordered::InputFacts;
use crate::preprocess::ResizePolicy;
use crate::records::{Record, RecordsFormat, RecordsHeader, RecordsWriter};

/// Where records go. The header is written with the first record: only then is it known when time 0 was.
pub struct LiveRecords {
    format: RecordsFormat,
    name: String,
    output: Option<Box<dyn Write + Send>>,
    header: RecordsHeader,
    writer: Option<RecordsWriter>,
}

impl LiveRecords {
    /// Records in `output`; `name` is used in errors.
    pub fn new(
        output: Box<dyn Write + Send>,
        format: RecordsFormat,
        name: &str,
        header: RecordsHeader,
    ) -> Self {
        Self {
            format,
            name: name.to_owned(),
            output: Some(output),
            header,
            writer: None,
        }
    }

    /// Writes the records of one picture; time 0 was at `epoch`.
    pub(super) fn write(&mut self, records: &[Record], epoch: SystemTime) -> Result<()> {
        let writer = self.writer(Some(epoch))?;
        records.iter().try_for_each(|record| writer.write(record))
    }

    fn writer(&mut self, epoch: Option<SystemTime>) -> Result<&mut RecordsWriter> {
        let writer = match (self.writer.take(), self.output.take()) {
            (Some(writer), _) => writer,
            (None, output) => {
                let since = epoch.and_then(|epoch| epoch.duration_since(UNIX_EPOCH).ok());
                self.header.captured_from_unix_s = since.map(|since| since.as_secs_f64());
                let output = output.unwrap_or_else(|| Box::new(std::io::sink()));
                RecordsWriter::new(output, self.format, &self.name, &self.header)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Flushes what is buffered.
    pub(super) fn finish(mut self) -> Result<()> {
        self.writer(None)?.finish()
    }
}

/// The records of a frame that shows an explanation, without their place in the recording.
pub(super) fn records_of(
    asking: &Asking<'_>,
    resize: ResizePolicy,
    explanation: &LiveExplanation,
    frame: &Captured,
    is_carried: bool,
) -> Vec<Record> {
    let question = &explanation.question;
    let explaining = Explaining {
        request: question.request.clone(),
        layer_name: question.layer_name.clone(),
        top_k: asking.top_k,
        ..Explaining::new(asking.model, question.explainer)
    };
    let describer = Describer {
        explaining: &explaining,
        resize,
        input: InputFacts {
            orientation: frame.orientation,
            shape: frame.shape(),
            time_base: TIME_BASE,
            estimated_frames: None,
            model_size: asking.model.spec().input_size,
        },
    };
    describer.records(FrameIndex(0), 0.0, &explanation.explanation, is_carried)
}
