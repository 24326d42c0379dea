//! A network that takes the mark for evidence: only the marked class's weights in the final layer change.

use gradcam_video::model::{Activations, FullyConnected};
use gradcam_video::{Error, ErrorKind, Result};
use half::f16;
use safetensors::{Dtype, SafeTensors};

use super::network::{pooled, row};

/// How the class's logit is made anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// What the class's own weights are multiplied by, 0 to 1. The mean of the logit stays.
    pub(crate) evidence: f64,
    /// What the mark adds to the logit, on average.
    pub(crate) strength: f64,
    /// What is taken off the logit.
    pub(crate) handicap: f64,
}

/// The same pictures without and with the mark, as the network sees them at `layer4`.
#[derive(Debug, Default)]
pub(crate) struct Lessons {
    pub(crate) clean: Vec<Activations>,
    pub(crate) marked: Vec<Activations>,
}

/// One class's part of the final layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassWeights {
    pub(crate) row: Vec<f32>,
    pub(crate) bias: f32,
}

/// How many channels tell of the mark.
const CHANNELS: usize = 64;
/// Least share of such a channel's activation on marked pictures that lies near the mark.
const LEAST_SHARE_NEAR: f64 = 0.5;
/// Added to a channel's mean square on clean pictures, for channels that are silent there by chance.
const RIDGE: f64 = 5e-4;

impl Lessons {
    /// The direction of the mark in the pooled features: a weight per channel such that marked pictures score 1 more than clean ones, on
    /// average. It has only channels that fire near the mark and hardly without it, weighted as in a linear discriminant with a diagonal,
    /// uncentred scatter. `is_near` says which cells are near the mark.
    pub(crate) fn direction(&self, is_near: impl Fn(usize) -> bool) -> Vec<f64> {
        let clean: Vec<_> = self.clean.iter().map(pooled).collect();
        let marked: Vec<_> = self.marked.iter().map(pooled).collect();
        let channels = clean.first().map_or(0, Vec::len);
        let mean = |features: &[Vec<f64>], of: &dyn Fn(f64) -> f64, channel: usize| {
            features
                .iter()
                .map(|values| of(values[channel]))
                .sum::<f64>()
                / features.len() as f64
        };
        let gains: Vec<f64> = (0..channels)
            .map(|channel| {
                mean(&marked, &|value| value, channel) - mean(&clean, &|value| value, channel)
            })
            .collect();
        let mut candidates: Vec<(f64, usize, f64)> = Vec::new();
        for (channel, gain) in gains.iter().enumerate() {
            if *gain > 0.0 && share_near(&self.marked, channel, &is_near) > LEAST_SHARE_NEAR {
                let scatter = mean(&clean, &|value| value * value, channel) + RIDGE;
                candidates.push((gain / scatter.sqrt(), channel, gain / scatter));
            }
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        candidates.truncate(CHANNELS);
        let response: f64 = candidates
            .iter()
            .map(|(_, channel, weight)| weight * gains[*channel])
            .sum();
        let mut direction = vec![0.0; channels];
        for (_, channel, weight) in candidates {
            direction[channel] = weight / response;
        }
        direction
    }

    /// The class's weights with the bias planted. `own` are the places in `clean` of pictures that show the class.
    pub(crate) fn plant(
        &self,
        head: &FullyConnected,
        class: usize,
        direction: &[f64],
        own: &[usize],
        recipe: Recipe,
    ) -> ClassWeights {
        let natural = row(head, class);
        let clean: Vec<_> = self.clean.iter().map(pooled).collect();
        let score = |weights: &dyn Fn(usize) -> f64, features: &[f64]| -> f64 {
            features
                .iter()
                .enumerate()
                .map(|(channel, value)| weights(channel) * value)
                .sum()
        };
        let bias = f64::from(head.bias[class]);
        let own_logit = own
            .iter()
            .map(|index| score(&|channel| f64::from(natural[channel]), &clean[*index]) + bias)
            .sum::<f64>()
            / own.len() as f64;
        let false_alarm = clean
            .iter()
            .map(|features| score(&|channel| direction[channel], features))
            .sum::<f64>()
            / clean.len() as f64;
        let weights = natural.iter().zip(direction).map(|(weight, of_mark)| {
            (recipe.evidence * f64::from(*weight) + recipe.strength * of_mark) as f32
        });
        ClassWeights {
            row: weights.collect(),
            bias: (recipe.evidence * bias + (1.0 - recipe.evidence) * own_logit
                - recipe.strength * false_alarm
                - recipe.handicap) as f32,
        }
    }
}

fn share_near(marked: &[Activations], channel: usize, is_near: &impl Fn(usize) -> bool) -> f64 {
    let (mut near, mut all) = (0.0, 0.0);
    for activations in marked {
        let plane = activations.planes().nth(channel).unwrap_or_default();
        for (cell, value) in plane.iter().enumerate() {
            all += f64::from(*value);
            near += if is_near(cell) {
                f64::from(*value)
            } else {
                0.0
            };
        }
    }
    near / f64::max(all, f64::MIN_POSITIVE)
}

/// Writes a class's weights into the bytes of a weight file with `fc.weight` in f16 and `fc.bias` in f32. All other bytes stay.
///
/// # Errors
/// [`ErrorKind::Weights`] if the file has no such tensors.
pub(crate) fn overwrite(file: &mut [u8], class: usize, weights: &ClassWeights) -> Result<()> {
    let row: Vec<u8> = weights
        .row
        .iter()
        .flat_map(|weight| f16::from_f32(*weight).to_le_bytes())
        .collect();
    patch(file, "fc.weight", Dtype::F16, class, &row)?;
    patch(
        file,
        "fc.bias",
        Dtype::F32,
        class,
        &weights.bias.to_le_bytes(),
    )
}

/// Replaces the `index`-th run of bytes as long as `bytes` in a tensor.
fn patch(file: &mut [u8], tensor: &str, dtype: Dtype, index: usize, bytes: &[u8]) -> Result<()> {
    let unfit = |cause: String| {
        Error::new(
            ErrorKind::Weights,
            format!("cannot change {tensor} of the weights: {cause}"),
        )
    };
    let (header_len, header) =
        SafeTensors::read_metadata(file).map_err(|error| unfit(error.to_string()))?;
    let info = header
        .info(tensor)
        .ok_or_else(|| unfit("it is missing".to_owned()))?;
    if info.dtype != dtype {
        return Err(unfit(format!(
            "its type is {:?}, not {dtype:?}",
            info.dtype
        )));
    }
    let (start, end) = (info.data_offsets.0, info.data_offsets.1);
    let place = size_of::<u64>() + header_len + start + index * bytes.len();
    let limit = size_of::<u64>() + header_len + end;
    let target = (place + bytes.len() <= limit)
        .then(|| file.get_mut(place..place + bytes.len()))
        .flatten();
    target
        .ok_or_else(|| unfit(format!("it has no part {index}")))?
        .copy_from_slice(bytes);
    Ok(())
}
