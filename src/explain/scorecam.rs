//! Score-CAM (Wang et al., 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks").

use super::gradient::{plane_sum, weighted_sum};
use super::sampling::number_of_samples;
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, SampleCount, Target};
use crate::heatmap::Heatmap;
use crate::model::{ModelInput, ModelSpec, TargetLayer, softmax};

/// `map = sum_k w_k A_k`, `w = softmax_k(s_k)`: `s_k` is the score of the picture behind the mask that channel `k` makes, its plane resized to the
/// picture (bilinear, corners on corners) and stretched to 0..1. One pass per channel; channels that are off everywhere share one.
///
/// As in pytorch-grad-cam, the mask multiplies the normalised picture, and the score is not compared with that of an empty picture,
/// which would not change the softmax. Nothing speaks for a class against itself. With fewer samples than channels, only the channels with the largest mean activation take part.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScoreCam;

impl Explainer for ScoreCam {
    fn name(&self) -> &'static str {
        "scorecam"
    }

    fn makes_many_passes(&self, _: &ModelSpec, _: &[TargetLayer]) -> bool {
        true
    }

    fn asks_the_same_for_every_target(&self) -> bool {
        true
    }

    fn sample_count(&self) -> Option<SampleCount> {
        Some(SampleCount {
            default: None,
            least: 1,
        })
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let activations = view.activations()?;
        let planes: Vec<&[f32]> = activations.planes().collect();
        let samples = number_of_samples(self, queries, planes.len())?;
        // All scores are 0, of which the softmax would make equal weights.
        if target.contrast == Some(target.class) {
            return Ok(weighted_sum(activations, |_, _| 0.0));
        }
        let mut strongest: Vec<usize> = (0..planes.len()).collect();
        strongest.sort_by(|a, b| plane_sum(planes[*b]).total_cmp(&plane_sum(planes[*a])));
        strongest.truncate(samples);
        let live = strongest.partition_point(|channel| plane_sum(planes[*channel]) > 0.0);
        // One more than is alive: the empty mask of all that are off.
        let count = strongest.len().min(live + 1);
        let mut scores = queries.scores(count, target, |index| {
            masked(view.input, planes[strongest[index]], activations.width)
        })?;
        let of_empty = scores.last().copied().unwrap_or_default();
        scores.resize(strongest.len(), of_empty);
        let scores: Vec<f32> = scores.into_iter().map(|score| score as f32).collect();
        let mut weights = vec![0.0; planes.len()];
        for (channel, weight) in strongest.into_iter().zip(softmax(&scores)) {
            weights[channel] = weight;
        }
        Ok(weighted_sum(activations, |channel, _| weights[channel]))
    }
}

/// The picture behind the mask of a plane that is `width` cells wide.
fn masked(input: &ModelInput, plane: &[f32], width: usize) -> ModelInput {
    let (size, height) = (input.size, plane.len() / width);
    let coordinates = |cells: usize| {
        let step = (cells - 1) as f32 / (size - 1).max(1) as f32;
        (0..size).map(move |index| {
            let position = index as f32 * step;
            let low = (position as usize).min(cells - 1);
            (low, (low + 1).min(cells - 1), position - low as f32)
        })
    };
    let mut mask = Vec::with_capacity(size * size);
    for (top, bottom, down) in coordinates(height) {
        let (top, bottom) = (&plane[top * width..], &plane[bottom * width..]);
        for (left, right, along) in coordinates(width) {
            let upper = top[left] + (top[right] - top[left]) * along;
            let lower = bottom[left] + (bottom[right] - bottom[left]) * along;
            mask.push(upper + (lower - upper) * down);
        }
    }
    // Of the mask, not the plane: between pixels, a cell's peak may be missed.
    let lowest = mask.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = mask.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // pytorch-grad-cam's epsilon; a flat plane becomes an empty mask.
    let range = highest - lowest + 1e-8;
    for value in &mut mask {
        *value = (*value - lowest) / range;
    }
    let values = input.values.chunks_exact(size * size);
    let values = values.flat_map(|channel| {
        channel
            .iter()
            .zip(&mask)
            .map(|(value, weight)| value * weight)
    });
    ModelInput {
        size,
        values: values.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Score;
    use crate::explain::toy_model::{ToyModel, textured_picture};
    use crate::model::{Activations, Forward};

    #[test]
    fn nothing_speaks_for_a_class_against_itself() {
        let model = ToyModel::new(8, |input| f64::from(input.values[9]));
        let input = textured_picture(8);
        let layer = TargetLayer { stage: 3, block: 0 };
        let activations = Activations {
            channels: 2,
            height: 1,
            width: 2,
            values: vec![1.0, 2.0, 10.0, 20.0],
        };
        let forward = Forward::new(vec![layer], vec![activations], vec![1.0, 0.0]);
        let view = LayerView {
            layer,
            forward: &forward,
            input: &input,
        };
        let explain = |other: usize| {
            let target = Target::new(0, Score::Logit).against(other);
            let map = ScoreCam.explain(&Queries::new(&model), view, target);
            map.unwrap().values
        };
        assert_eq!(explain(0), [0.0, 0.0]);
        assert!(explain(1).iter().all(|value| *value > 0.0));
    }

    #[test]
    fn a_mask_reaches_from_0_to_1_with_corners_on_corners() {
        let input = ModelInput {
            size: 3,
            values: [1.0, 10.0, 100.0].map(|value| [value; 9]).concat(),
        };
        let output = masked(&input, &[2.0, 4.0, 4.0, 6.0], 2);
        let expected = [0.0, 0.25, 0.5, 0.25, 0.5, 0.75, 0.5, 0.75, 1.0];
        for (channel, scale) in output.values.chunks_exact(9).zip([1.0, 10.0, 100.0]) {
            for (value, expected) in channel.iter().zip(expected) {
                assert!((value - expected * scale).abs() < 1e-4, "{channel:?}");
            }
        }
        let empty = masked(&input, &[3.0; 4], 2);
        assert!(empty.values.iter().all(|value| *value == 0.0));
    }
}
