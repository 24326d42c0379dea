//! A network whose probability is known by hand: it counts how many pixels of a patch are as they were.

use crate::error::Result;
use crate::evaluate::saliency::Saliency;
use crate::explain::{Explainer, LayerView, Queries, Score, Target};
use crate::heatmap::Heatmap;
use crate::model::{
    Activations, Backend, Classifier, Forward, FullyConnected, Labels, ModelInput, ModelSpec,
    Normalization, Precision, TargetLayer,
};

/// Side of the input in pixels; the patch has as many pixels.
pub(super) const SIZE: usize = 16;

/// Columns and rows of the patch.
pub(super) const PATCH: std::ops::Range<usize> = 4..8;

/// Class 0 has probability 0.1 + 0.8 * share of the patch's pixels that are as in `picture`.
pub(super) struct PatchModel {
    spec: ModelSpec,
    fully_connected: FullyConnected,
    pub(super) activations: Activations,
    pub(super) picture: ModelInput,
}

impl PatchModel {
    pub(super) fn new() -> Self {
        Self::with_weights(vec![1.0, 0.0, 0.0, 1.0])
    }

    /// With these rows of the final layer, which the probability does not depend on.
    pub(super) fn with_weights(weight: Vec<f32>) -> Self {
        let labels = r#"["patch", "rest"]"#;
        Self {
            spec: ModelSpec {
                arch: "patch".to_owned(),
                blocks: [1; 4],
                has_stride_in_1x1: true,
                batch_norm_epsilon: 1e-5,
                normalization: Normalization::CAFFE,
                input_size: SIZE,
                labels: Labels::from_json(labels, labels).unwrap(),
            },
            fully_connected: FullyConnected {
                weight,
                bias: vec![0.0; 2],
                channels: 2,
            },
            activations: Activations {
                channels: 2,
                height: 4,
                width: 4,
                values: (0..32u8).map(|index| f32::from(index * 7 % 32)).collect(),
            },
            picture: ModelInput {
                size: SIZE,
                values: (0..3 * SIZE * SIZE)
                    .map(|index| (index % 11) as f32 * 5.0 + 1.0)
                    .collect(),
            },
        }
    }

    /// The probability of class 0.
    pub(super) fn target(&self) -> Target {
        Target::new(0, Score::Softmax)
    }

    /// 1 in the patch and 0 elsewhere.
    pub(super) fn perfect(&self) -> Saliency {
        let value = |pixel| f32::from(u8::from(is_in_patch(pixel)));
        Saliency {
            size: SIZE,
            values: (0..SIZE * SIZE).map(value).collect(),
        }
    }
}

fn is_in_patch(pixel: usize) -> bool {
    PATCH.contains(&(pixel % SIZE)) && PATCH.contains(&(pixel / SIZE))
}

impl Classifier for PatchModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn backend(&self) -> Backend {
        Backend {
            device: "cpu".to_owned(),
            isa: "test",
            precision: Precision::F32,
            is_emulated: false,
        }
    }

    fn fully_connected(&self) -> &FullyConnected {
        &self.fully_connected
    }

    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward> {
        let is_intact = |pixel: &usize| {
            let difference = input.values[*pixel] - self.picture.values[*pixel];
            is_in_patch(*pixel) && difference.abs() < 1e-5
        };
        let intact = (0..SIZE * SIZE).filter(is_intact).count();
        let probability = 0.1 + 0.8 * intact as f64 / SIZE as f64;
        let logit = (probability / (1.0 - probability)).ln() as f32;
        Ok(Forward::new(
            layers.to_vec(),
            vec![self.activations.clone(); layers.len()],
            vec![logit, 0.0],
        ))
    }

    fn head(&self, _: TargetLayer, _: &Activations) -> Result<Vec<f32>> {
        Ok(vec![0.0; 2])
    }

    fn backpropagate(
        &self,
        _: &Forward,
        _: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations> {
        let weights = logit_weights.iter().map(|weight| f64::from(*weight));
        let gradient = self.fully_connected.gradient(weights);
        Ok(Activations {
            values: gradient
                .into_iter()
                .flat_map(|value| [value as f32 / 16.0; 16])
                .collect(),
            ..self.activations.clone()
        })
    }
}

/// CAM: the sum over channels of the class's weight times activation.
#[derive(Debug)]
pub(super) struct ClassMap;

impl Explainer for ClassMap {
    fn name(&self) -> &'static str {
        "class-map"
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let layer = queries.model().fully_connected();
        let weights = &layer.weight[target.class * layer.channels..];
        let activations = view.activations()?;
        let mut values = vec![0.0; activations.width * activations.height];
        for (plane, weight) in activations.planes().zip(weights) {
            for (sum, value) in values.iter_mut().zip(plane) {
                *sum += weight * value;
            }
        }
        Ok(Heatmap {
            width: activations.width,
            height: activations.height,
            values,
        })
    }
}

/// Always the same map.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) &'static str, pub(super) Heatmap);

impl Explainer for Fixed {
    fn name(&self) -> &'static str {
        self.0
    }

    fn explain(&self, _: &Queries<'_>, _: LayerView<'_>, _: Target) -> Result<Heatmap> {
        Ok(self.1.clone())
    }
}
