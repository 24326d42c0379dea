//! A network that is one function of its input, for the tests of methods that look at inputs and outputs only.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::superpixels::Superpixels;
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Score, Target};
use crate::heatmap::Heatmap;
use crate::model::{
    Activations, Backend, Classifier, Forward, FullyConnected, Labels, ModelInput, ModelSpec,
    Normalization, Precision, TargetLayer,
};

type Function = dyn Fn(&ModelInput) -> f64 + Send + Sync;

/// Two classes: the logit of the first is the function's value, that of the second 0.
pub(crate) struct ToyModel {
    spec: ModelSpec,
    fully_connected: FullyConnected,
    function: Box<Function>,
    passes: AtomicUsize,
}

impl ToyModel {
    /// For inputs of this side.
    pub(crate) fn new(
        size: usize,
        function: impl Fn(&ModelInput) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            spec: ModelSpec {
                arch: "toy".to_owned(),
                blocks: [1; 4],
                has_stride_in_1x1: false,
                batch_norm_epsilon: 1e-5,
                normalization: Normalization::TORCH,
                input_size: size,
                labels: Labels::from_json(r#"["yes", "no"]"#, r#"["n1", "n2"]"#).unwrap(),
            },
            fully_connected: FullyConnected {
                weight: Vec::new(),
                bias: Vec::new(),
                channels: 0,
            },
            function: Box::new(function),
            passes: AtomicUsize::new(0),
        }
    }

    /// The map of the first class's logit, with `queries` made of this model. The pass that is explained is not counted.
    pub(super) fn explain(
        &self,
        method: &dyn Explainer,
        input: &ModelInput,
        queries: Queries<'_>,
    ) -> Result<Heatmap> {
        let layer = TargetLayer { stage: 3, block: 0 };
        let forward = self.forward(input, &[layer])?;
        self.passes.store(0, Ordering::Relaxed);
        let view = LayerView {
            layer,
            forward: &forward,
            input,
        };
        method.explain(&queries, view, Target::new(0, Score::Logit))
    }

    /// How many passes the last explanation took.
    pub(super) fn passes(&self) -> usize {
        self.passes.load(Ordering::Relaxed)
    }

    /// The same map for one seed at any number of threads; for another seed another one if the method draws lots.
    pub(super) fn assert_is_reproducible(
        &self,
        method: &dyn Explainer,
        input: &ModelInput,
        samples: Option<usize>,
    ) {
        let map = |threads, seed| {
            let queries = Queries::new(self).with_threads(threads);
            let queries = queries.with_sampling(samples, seed);
            self.explain(method, input, queries).unwrap()
        };
        let first = map(1, 5);
        assert_eq!(first, map(1, 5));
        assert_eq!(first, map(4, 5), "other threads, other map");
        assert_eq!(first != map(1, 6), samples.is_some());
    }
}

impl Classifier for ToyModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn backend(&self) -> Backend {
        Backend {
            device: "cpu".to_owned(),
            isa: "toy",
            precision: Precision::F32,
            is_emulated: false,
        }
    }

    fn fully_connected(&self) -> &FullyConnected {
        &self.fully_connected
    }

    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward> {
        assert_eq!(input.size, self.spec.input_size);
        assert_eq!(input.values.len(), 3 * input.size * input.size);
        self.passes.fetch_add(1, Ordering::Relaxed);
        let activations = Activations {
            channels: 1,
            height: 1,
            width: 1,
            values: vec![0.0],
        };
        Ok(Forward::new(
            layers.to_vec(),
            vec![activations; layers.len()],
            vec![(self.function)(input) as f32, 0.0],
        ))
    }

    fn head(&self, _: TargetLayer, _: &Activations) -> Result<Vec<f32>> {
        unreachable!("the toy has no layers")
    }

    fn backpropagate(&self, _: &Forward, _: TargetLayer, _: &[f32]) -> Result<Activations> {
        unreachable!("the toy has no layers")
    }
}

/// A picture with soft blobs of colour and fine texture, so that no superpixel is flat.
pub(super) fn textured_picture(size: usize) -> ModelInput {
    let values = (0..3 * size * size).map(|index| {
        let (channel, pixel) = (index / (size * size), index % (size * size));
        let (column, row) = (pixel % size, pixel / size);
        let blob = ((column * (channel + 2)) as f32 / 9.0).sin() + (row as f32 / 7.0).cos();
        blob + 0.3 * ((column * 31 + row * 17 + channel * 5) % 13) as f32 / 13.0
    });
    ModelInput {
        size,
        values: values.collect(),
    }
}

/// Reads off an input which superpixels are on (1) and which show the fill (0), from the pixel of each that tells it best.
pub(super) fn switches(
    input: &ModelInput,
    fill: &ModelInput,
    superpixels: &Superpixels,
) -> impl Fn(&ModelInput) -> Vec<f64> + Send + Sync + 'static {
    let difference = |pixel: usize| input.values[pixel] - fill.values[pixel];
    let telling: Vec<(usize, f32, f32)> = (0..superpixels.count)
        .map(|label| {
            let pixels = superpixels.labels.iter().enumerate();
            let (pixel, _) = pixels
                .filter(|(_, other)| **other == label)
                .max_by(|(a, _), (b, _)| difference(*a).abs().total_cmp(&difference(*b).abs()))
                .unwrap();
            assert!(difference(pixel).abs() > 1e-3, "superpixel {label} is flat");
            (pixel, fill.values[pixel], difference(pixel))
        })
        .collect();
    move |shown| {
        let states = telling
            .iter()
            .map(|(pixel, off, difference)| (shown.values[*pixel] - off) / difference);
        states.map(f64::from).collect()
    }
}
