//! An explanation in words: the label's lines and the record.

use crate::explain::Explanation;
use crate::frame::FrameIndex;
use crate::model::Labels;
use crate::pipeline::Options;
use crate::pipeline::ordered::InputFacts;
use crate::records::{Record, RecordTarget, RecordTop, heatmap_rows};
use crate::render::LabelLine;

/// What stays the same from frame to frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Describer<'a> {
    pub(super) labels: &'a Labels,
    pub(super) method: &'static str,
    pub(super) options: &'a Options,
    pub(super) input: InputFacts,
}

impl Describer<'_> {
    /// The label: the target first if it is not the top class, then the top classes.
    pub(super) fn label(&self, explanation: &Explanation) -> Vec<LabelLine> {
        let line = |prefix: &str, index: usize, probability: f64| LabelLine {
            text: format!(
                "{prefix}{} {:.1}%",
                self.labels.name(index).replace('_', " "),
                probability * 100.0
            ),
            fraction: Some(probability as f32),
        };
        let target = &explanation.target_prediction;
        let top = explanation.ranking.iter().take(self.options.top_k);
        let is_target_on_top = top
            .clone()
            .next()
            .is_none_or(|top| top.index == target.index);
        let why = (!is_target_on_top).then(|| line("why ", target.index, target.probability));
        why.into_iter()
            .chain(top.map(|top| line("", top.index, top.probability)))
            .collect()
    }

    /// The record of one frame.
    pub(super) fn record(
        &self,
        index: FrameIndex,
        pts_s: f64,
        explanation: &Explanation,
        flags: Vec<&'static str>,
    ) -> Record {
        let target = &explanation.target_prediction;
        let top = explanation.ranking.iter().take(self.options.top_k);
        Record {
            frame: index.0,
            pts_s,
            target: RecordTarget {
                index: target.index,
                wnid: self.labels.wnid(target.index).to_owned(),
                label: self.labels.name(target.index).to_owned(),
            },
            score: target.logit,
            prob: target.probability,
            top: top
                .map(|top| RecordTop {
                    index: top.index,
                    label: self.labels.name(top.index).to_owned(),
                    prob: top.probability,
                })
                .collect(),
            layer: self.options.layer_name.clone(),
            method: self.method.to_owned(),
            heatmap: heatmap_rows(&explanation.heatmap),
            peak: self.peak_in_frame(explanation),
            flags,
        }
    }

    /// Centre of the strongest cell as fractions of the upright frame.
    fn peak_in_frame(&self, explanation: &Explanation) -> [f64; 2] {
        let input = self.input;
        let (width, height) = input.orientation.upright_size(input.width, input.height);
        let rect = self
            .options
            .resize
            .map_in_frame(width, height, input.model_size);
        let map = &explanation.heatmap;
        let (column, row) = map.peak_cell();
        let x = rect.x0 + (column as f64 + 0.5) / map.width as f64 * (rect.x1 - rect.x0);
        let y = rect.y0 + (row as f64 + 0.5) / map.height as f64 * (rect.y1 - rect.y0);
        [
            (x / width as f64).clamp(0.0, 1.0),
            (y / height as f64).clamp(0.0, 1.0),
        ]
    }
}
