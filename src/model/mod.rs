//! The classifier: weights, labels, named layers, and the split at a target layer.
//!
//! ```text
//! ModelInput ──► features ──► Activations (target layer) ──► head ──► Logits
//! ```

pub mod convert;
pub mod labels;
mod resnet;
pub mod spec;
pub mod summary;
pub mod weights;

pub use labels::Labels;
pub use resnet::ResNet;
pub use spec::{ModelSpec, Normalization, TargetLayer};
pub use weights::WeightFile;

use crate::error::Result;

/// A normalised picture: `[3, size, size]`, row-major, channels as the network wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Side of the square in pixels.
    pub size: usize,
    /// `3 * size * size` values.
    pub values: Vec<f32>,
}

/// Output of a layer for one picture (or a gradient with respect to it): `[channels, height, width]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `channels * height * width` values.
    pub values: Vec<f32>,
}

impl Activations {
    /// The cells of every channel, one slice of `height * width` values each.
    pub fn planes(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.height * self.width)
    }
}

/// What one forward pass yields.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Activations of the requested layers, in the order of the request.
    pub activations: Vec<Activations>,
    /// One score per class, before softmax.
    pub logits: Vec<f32>,
}

/// The final fully connected layer: `logits = weight * pooled + bias`.
#[derive(Debug, Clone)]
pub struct FullyConnected {
    /// `[classes, channels]`, row-major.
    pub weight: Vec<f32>,
    /// `[classes]`.
    pub bias: Vec<f32>,
    /// Length of a row of `weight`.
    pub channels: usize,
}

/// A network that ends in global average pooling and one fully connected layer.
pub trait Classifier: Send + Sync {
    /// Topology, input, labels.
    fn spec(&self) -> &ModelSpec;

    /// The final layer, for closed forms.
    fn fully_connected(&self) -> &FullyConnected;

    /// Runs the network once and keeps the activations of `layers`.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails or the input has the wrong size.
    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward>;

    /// The vector-Jacobian product of the rest of the network: the gradient with respect to the activations of `layer` of
    /// `sum_j logit_weights[j] * logit_j`.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails.
    fn backpropagate(
        &self,
        activations: &Activations,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations>;
}

/// Softmax in f64, so that probabilities near 0 and 1 keep their distance.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits
        .iter()
        .map(|logit| f64::from(logit - maximum).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

/// One class of a prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Class index.
    pub index: usize,
    /// Score before softmax.
    pub logit: f32,
    /// Softmax probability.
    pub probability: f64,
}

/// All classes by falling logit; equal logits by rising index.
pub fn ranked(logits: &[f32]) -> Vec<Prediction> {
    let mut predictions: Vec<_> = softmax(logits)
        .into_iter()
        .zip(logits)
        .enumerate()
        .map(|(index, (probability, logit))| Prediction {
            index,
            logit: *logit,
            probability,
        })
        .collect();
    predictions.sort_by(|a, b| b.logit.total_cmp(&a.logit));
    predictions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let probabilities = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((probabilities[0] - 1.0 / (1.0 + (-1.0f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn predictions_are_ranked_by_logit() {
        let order: Vec<_> = ranked(&[1.0, 3.0, 2.0, 3.0])
            .iter()
            .map(|p| p.index)
            .collect();
        assert_eq!(order, [1, 3, 2, 0]);
    }
}
