//! The network as the planted dataset sees it: activations of `layer4`, and what a final layer makes of them.

use std::path::Path;

use gradcam_video::frame::{Orientation, Picture};
use gradcam_video::heatmap::Heatmap;
use gradcam_video::model::{
    self, Activations, Classifier, FullyConnected, ModelInput, Precision, TargetLayer, WeightFile,
};
use gradcam_video::preprocess::{Preprocessor, ResizePolicy};
use gradcam_video::source::{FrameSource as _, StillSource};
use gradcam_video::{Error, ErrorKind, Result};
use image::RgbImage;

/// A network and its last layer before the mean over space.
pub(crate) struct Network {
    model: Box<dyn Classifier>,
    layer: TargetLayer,
}

impl Network {
    /// # Errors
    /// [`ErrorKind::Weights`] if the file cannot be read or holds no such network.
    pub(crate) fn load(weights: &Path) -> Result<Self> {
        let model = model::load(WeightFile::open(weights)?.into(), Precision::F32, None)?;
        let layer = model.spec().layer_by_name("layer4")?;
        Ok(Self { model, layer })
    }

    /// Index of the class of this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is none.
    pub(crate) fn class(&self, name: &str) -> Result<usize> {
        self.model.spec().labels.find(name)
    }

    /// The final layer.
    pub(crate) fn head(&self) -> &FullyConnected {
        self.model.fully_connected()
    }

    /// What the network reads of a picture.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if the picture is empty.
    pub(crate) fn input(&self, picture: &RgbImage) -> Result<ModelInput> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        self.input_of(&Picture::from_rgb8(width, height, picture.as_raw()))
    }

    /// What the network reads of a picture's file.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it cannot be read.
    pub(crate) fn input_from(&self, file: &Path) -> Result<ModelInput> {
        let frame = StillSource::open(file)?.next_frame()?;
        let nothing = || {
            Error::new(
                ErrorKind::Input,
                format!("no picture in {}", file.display()),
            )
        };
        self.input_of(&frame.ok_or_else(nothing)?.picture)
    }

    fn input_of(&self, picture: &Picture) -> Result<ModelInput> {
        let mut preprocessor = Preprocessor::new(ResizePolicy::Stretch, self.model.spec());
        preprocessor.run(picture, Orientation::default())
    }

    /// The activations of `layer4`, `[2048, 7, 7]`.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if the network fails.
    pub(crate) fn activations(&self, input: &ModelInput) -> Result<Activations> {
        let pass = self.model.forward(input, &[self.layer])?;
        Ok(pass.activations_of(self.layer)?.clone())
    }
}

/// The mean over space of each channel.
pub(crate) fn pooled(activations: &Activations) -> Vec<f64> {
    let cells = (activations.height * activations.width) as f64;
    let sums = activations
        .planes()
        .map(|plane| plane.iter().copied().map(f64::from).sum::<f64>());
    sums.map(|sum| sum / cells).collect()
}

/// The weights of one class.
pub(crate) fn row(head: &FullyConnected, class: usize) -> &[f32] {
    &head.weight[class * head.channels..][..head.channels]
}

/// One score per class, before softmax.
pub(crate) fn logits(head: &FullyConnected, activations: &Activations) -> Vec<f32> {
    let features = pooled(activations);
    let rows = head.weight.chunks_exact(head.channels).zip(&head.bias);
    rows.map(|(row, bias)| {
        let products = row
            .iter()
            .zip(&features)
            .map(|(weight, feature)| f64::from(*weight) * feature);
        (products.sum::<f64>() + f64::from(*bias)) as f32
    })
    .collect()
}

/// Grad-CAM of a class's logit behind global average pooling, where the gradient's mean is the class's weights by the number of cells.
pub(crate) fn gradcam(head: &FullyConnected, activations: &Activations, class: usize) -> Heatmap {
    let (width, height) = (activations.width, activations.height);
    let mut values = vec![0.0; width * height];
    for (plane, weight) in activations.planes().zip(row(head, class)) {
        for (value, activation) in values.iter_mut().zip(plane) {
            *value += weight * activation / (width * height) as f32;
        }
    }
    Heatmap {
        width,
        height,
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes, two channels, a grid of 2x1 cells.
    fn toy() -> (FullyConnected, Activations) {
        let head = FullyConnected {
            weight: vec![1.0, 2.0, -1.0, 0.0],
            bias: vec![0.5, 0.0],
            channels: 2,
        };
        let activations = Activations {
            channels: 2,
            height: 1,
            width: 2,
            values: vec![1.0, 3.0, 0.0, 4.0],
        };
        (head, activations)
    }

    #[test]
    fn logits_are_weighted_means_and_a_bias() {
        let (head, activations) = toy();
        assert_eq!(pooled(&activations), [2.0, 2.0]);
        assert_eq!(logits(&head, &activations), [6.5, -2.0]);
    }

    #[test]
    fn a_map_adds_up_to_the_logit_without_its_bias() {
        let (head, activations) = toy();
        assert_eq!(gradcam(&head, &activations, 0).values, [0.5, 5.5]);
        assert_eq!(gradcam(&head, &activations, 1).values, [-0.5, -1.5]);
    }
}
