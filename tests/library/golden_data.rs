//! What others computed (see `tests/golden/README.md`), and our networks to compare with it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use gradcam_video::explain::{Explainer, LayerView, Queries, Target};
use gradcam_video::frame::{Orientation, Picture};
use gradcam_video::heatmap::Heatmap;
use gradcam_video::model::cpu::{self, Isa};
use gradcam_video::model::{
    Classifier, Forward, ModelInput, Precision, ResNet, TargetLayer, WeightFile,
};
use gradcam_video::preprocess::{Preprocessor, ResizePolicy};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

pub static WEIGHTS: LazyLock<Arc<WeightFile>> = LazyLock::new(|| {
    let path = Path::new("weights/resnet50-keras-f16.safetensors");
    Arc::new(WeightFile::open(path).unwrap())
});

/// The reference.
pub static MODEL: LazyLock<ResNet> = LazyLock::new(|| ResNet::load(&WEIGHTS).unwrap());

/// The fused executor on every instruction set of this machine.
pub static EXECUTORS: LazyLock<Vec<Box<dyn Classifier>>> = LazyLock::new(|| {
    Isa::available()
        .into_iter()
        .map(|isa| cpu::load(WEIGHTS.clone(), isa, Precision::F32).unwrap())
        .collect()
});

pub fn all_models() -> Vec<&'static dyn Classifier> {
    let executors = EXECUTORS.iter().map(|model| &**model);
    std::iter::once(&*MODEL as &dyn Classifier)
        .chain(executors)
        .collect()
}

pub struct Golden {
    bytes: Vec<u8>,
    pub metadata: HashMap<String, String>,
}

impl Golden {
    pub fn open(photo: &str) -> Self {
        let bytes = std::fs::read(format!("tests/golden/{photo}.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        Self { bytes, metadata }
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
        view.data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|quad| f32::from_le_bytes(*quad))
            .collect()
    }

    /// The raw Grad-CAM map of the photo's class at an inner layer, before anybody rounds.
    pub fn exact_map(photo: &str, layer: &str) -> Vec<f32> {
        let bytes = std::fs::read("tests/golden/exact.safetensors").unwrap();
        let exact = Self {
            bytes,
            metadata: HashMap::new(),
        };
        exact.f32(&format!("{photo}.{layer}"))
    }

    pub fn u8(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    }

    pub fn class(&self) -> usize {
        self.metadata["class"].parse().unwrap()
    }

    /// Keras' network input, made from the stored 224x224 photo and checked against the hash of Keras' own array.
    pub fn input(&self) -> ModelInput {
        let picture = Picture::from_rgb8(224, 224, &self.u8("resized_u8"));
        let mut preprocessor = Preprocessor::new(ResizePolicy::Stretch, MODEL.spec());
        let input = preprocessor.run(&picture, Orientation::default()).unwrap();
        let mut bytes_hwc = Vec::with_capacity(input.values.len() * 4);
        for pixel in 0..224 * 224 {
            for channel in 0..3 {
                bytes_hwc.extend(input.values[channel * 224 * 224 + pixel].to_le_bytes());
            }
        }
        let hash: String = Sha256::digest(&bytes_hwc)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hash, self.metadata["input_sha256"],
            "the input differs from Keras' preprocess_input"
        );
        input
    }
}

/// The raw map of a picture whose pass is `forward`.
pub fn explain(
    method: &dyn Explainer,
    model: &dyn Classifier,
    (input, forward): (&ModelInput, &Forward),
    layer: TargetLayer,
    target: Target,
) -> Heatmap {
    let view = LayerView {
        layer,
        forward,
        input,
    };
    method.explain(&Queries::new(model), view, target).unwrap()
}

pub fn largest_difference(ours: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(ours.len(), golden.len());
    assert!(ours.iter().all(|value| value.is_finite()));
    ours.iter()
        .zip(golden)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// ReLU and division by the maximum, as the seed does it.
pub fn normalized(map: &[f32]) -> Vec<f32> {
    let maximum = map.iter().copied().fold(0.0, f32::max);
    assert!(maximum > 0.0);
    map.iter().map(|value| value.max(0.0) / maximum).collect()
}

pub fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |values: &[f32]| {
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        sum / values.len() as f64
    };
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt()
}
