//! An explanation as records, and the label that is drawn from one.

use crate::explain::{Explanation, TargetChoice, TargetMap};
use crate::frame::FrameIndex;
use crate::model::Labels;
use crate::pipeline::Explaining;
use crate::pipeline::ordered::InputFacts;
use crate::preprocess::ResizePolicy;
use crate::records::{Flag, Record, RecordTarget, RecordTop};
use crate::render::LabelLine;

/// The label: the top classes; before them the target, if it is another class or set against one. A class that is held takes the
/// first place of the list itself, so that the list does not jump.
pub(super) fn label(record: &Record) -> Vec<LabelLine> {
    let name = |label: &str| label.replace('_', " ");
    let line = |text: String, probability: f64| LabelLine {
        text: format!("{text} {:.1}%", probability * 100.0),
        fraction: Some(probability as f32),
    };
    let Some(first) = record.top.first() else {
        return Vec::new();
    };
    let target = &record.target;
    let is_held = record.flags.contains(&Flag::Held);
    let why = match &record.contrast {
        Some(other) => Some(format!(
            "why {} not {}",
            name(&target.label),
            name(&other.label)
        )),
        None if is_held => Some(name(&target.label)),
        None => (first.index != target.index).then(|| format!("why {}", name(&target.label))),
    };
    let tops = record.top.iter();
    let tops = tops.filter(|top| !is_held || top.index != target.index);
    let lines = why.map(|text| line(text, record.prob)).into_iter();
    let lines = lines.chain(tops.map(|top| line(name(&top.label), top.prob)));
    let most = record.top.len() + usize::from(!is_held);
    lines.take(most).collect()
}

/// What stays the same from frame to frame.
#[derive(Clone, Copy)]
pub(super) struct Describer<'a> {
    pub(super) explaining: &'a Explaining<'a>,
    pub(super) resize: ResizePolicy,
    pub(super) input: InputFacts,
}

impl Describer<'_> {
    fn labels(&self) -> &Labels {
        &self.explaining.model.spec().labels
    }

    /// The records of one frame, one per target.
    pub(super) fn records(
        &self,
        index: FrameIndex,
        pts_s: f64,
        explanation: &Explanation,
        is_carried: bool,
    ) -> Vec<Record> {
        let ranking = explanation.ranking.iter().take(self.explaining.top_k);
        let top: Vec<RecordTop> = ranking
            .map(|top| RecordTop {
                index: top.index,
                label: self.labels().name(top.index).to_owned(),
                prob: top.probability,
            })
            .collect();
        let candidates = self.explaining.request.candidates(&explanation.ranking);
        let own = candidates.first().map(|top| top.index);
        let maps = explanation
            .maps
            .iter()
            .zip(&self.explaining.request.targets);
        maps.map(|(map, choice)| {
            let is_held = *choice == TargetChoice::Top1 && own != Some(map.target.class);
            let flags = [
                (is_carried, Flag::Carried),
                (is_held, Flag::Held),
                (
                    !map.heatmap.has_positive_evidence(),
                    Flag::NoPositiveEvidence,
                ),
            ];
            let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
            Record {
                frame: index.0,
                pts_s,
                target: self.target(map.target.class),
                contrast: map.target.contrast.map(|other| self.target(other)),
                score: map.prediction.logit,
                prob: map.prediction.probability,
                top: top.clone(),
                layer: self.explaining.layer_name.clone(),
                method: self.explaining.explainer.name().to_owned(),
                heatmap: map.heatmap.clone(),
                peak: self.peak_in_frame(map),
                flags: flags.map(|(_, flag)| flag).collect(),
            }
        })
        .collect()
    }

    fn target(&self, class: usize) -> RecordTarget {
        RecordTarget {
            index: class,
            wnid: self.labels().wnid(class).to_owned(),
            label: self.labels().name(class).to_owned(),
        }
    }

    /// Centre of the strongest cell as fractions of the upright frame.
    fn peak_in_frame(&self, map: &TargetMap) -> [f64; 2] {
        let input = self.input;
        let upright = input.shape.upright(input.orientation);
        self.resize
            .peak_in_frame(&map.heatmap, upright, input.model_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heatmap::Heatmap;

    fn class(index: usize) -> RecordTarget {
        RecordTarget {
            index,
            wnid: String::new(),
            label: format!("class_{index}"),
        }
    }

    fn lines(target: usize, contrast: Option<usize>, flags: &[Flag]) -> Vec<String> {
        let top = [(1, 0.5), (2, 0.25)].map(|(index, prob)| RecordTop {
            index,
            label: class(index).label,
            prob,
        });
        let record = Record {
            frame: 0,
            pts_s: 0.0,
            target: class(target),
            contrast: contrast.map(class),
            score: 0.0,
            prob: 0.125,
            top: top.to_vec(),
            layer: String::new(),
            method: String::new(),
            heatmap: Heatmap {
                width: 1,
                height: 1,
                values: vec![0.0],
            },
            peak: [0.0; 2],
            flags: flags.to_vec(),
        };
        label(&record).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_label_says_what_the_map_is_of() {
        let tops = ["class 1 50.0%", "class 2 25.0%"];
        assert_eq!(lines(1, None, &[]), tops);
        assert_eq!(lines(7, None, &[]), ["why class 7 12.5%", tops[0], tops[1]]);
        assert_eq!(
            lines(1, Some(2), &[]),
            ["why class 1 not class 2 12.5%", tops[0], tops[1]]
        );
    }

    #[test]
    fn a_held_class_keeps_the_first_place() {
        assert_eq!(
            lines(2, None, &[Flag::Held]),
            ["class 2 12.5%", "class 1 50.0%"]
        );
        assert_eq!(
            lines(7, None, &[Flag::Held]),
            ["class 7 12.5%", "class 1 50.0%"]
        );
    }
}
