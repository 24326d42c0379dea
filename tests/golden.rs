//! The network and Grad-CAM against Keras, which was run with exactly the shipped weights.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use gradcam_video::explain::{Explainer, GradCam, LayerView, Score, Target};
use gradcam_video::frame::{Orientation, Picture};
use gradcam_video::model::{
    Activations, Classifier, ModelInput, ResNet, WeightFile, ranked, softmax,
};
use gradcam_video::preprocess::{Preprocessor, ResizePolicy};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

const PHOTOS: [&str; 4] = ["chelsea", "coffee", "china", "catdog"];
/// The bar for logits and normalised heatmaps.
const TOLERANCE: f32 = 1e-3;

static MODEL: LazyLock<ResNet> = LazyLock::new(|| {
    let weights = WeightFile::open(Path::new("weights/resnet50-keras-f16.safetensors")).unwrap();
    ResNet::load(&weights).unwrap()
});

struct Golden {
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl Golden {
    fn open(photo: &str) -> Self {
        let bytes = std::fs::read(format!("tests/golden/{photo}.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        Self { bytes, metadata }
    }

    fn f32(&self, name: &str) -> Vec<f32> {
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

    fn u8(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    }

    fn class(&self) -> usize {
        self.metadata["class"].parse().unwrap()
    }

    /// Keras' network input, made from the stored 224x224 photo and checked against the hash of Keras' own array.
    fn input(&self) -> ModelInput {
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

fn largest_difference(ours: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(ours.len(), golden.len());
    ours.iter()
        .zip(golden)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// ReLU and division by the maximum, as the seed does it.
fn normalized(map: &[f32]) -> Vec<f32> {
    let maximum = map.iter().copied().fold(0.0, f32::max);
    assert!(maximum > 0.0);
    map.iter().map(|value| value.max(0.0) / maximum).collect()
}

#[test]
fn logits_and_top_five_equal_keras_on_all_photos() {
    for photo in PHOTOS {
        let golden = Golden::open(photo);
        let forward = MODEL.forward(&golden.input(), &[]).unwrap();
        let expected = golden.f32("logits");
        let difference = largest_difference(&forward.logits, &expected);
        println!("{photo}: logits differ by at most {difference:.2e}");
        assert!(difference < TOLERANCE, "{photo}: {difference}");
        let top = |logits: &[f32]| -> Vec<usize> {
            ranked(logits)[..5].iter().map(|p| p.index).collect()
        };
        assert_eq!(top(&forward.logits), top(&expected), "{photo}");
        assert_eq!(top(&expected)[0], golden.class());
        let probabilities: Vec<f32> = softmax(&forward.logits).iter().map(|p| *p as f32).collect();
        assert!(largest_difference(&probabilities, &golden.f32("probs")) < TOLERANCE);
    }
}

#[test]
fn gradcam_equals_keras_at_every_stage() {
    let layers: Vec<_> = (1..=4)
        .map(|stage| {
            MODEL
                .spec()
                .layer_by_name(&format!("layer{stage}"))
                .unwrap()
        })
        .collect();
    for photo in PHOTOS {
        let golden = Golden::open(photo);
        let forward = MODEL.forward(&golden.input(), &layers).unwrap();
        let cases = [
            (4, Score::Softmax),
            (4, Score::Logit),
            (3, Score::Logit),
            (2, Score::Logit),
            (1, Score::Logit),
        ];
        for (stage, score) in cases {
            let view = LayerView {
                layer: layers[stage - 1],
                activations: &forward.activations[stage - 1],
                logits: &forward.logits,
            };
            let target = Target {
                class: golden.class(),
                score,
            };
            let map = GradCam.explain(&*MODEL, view, target).unwrap();
            let expected = golden.f32(&format!("gradcam_{}_raw_layer{stage}", score.name()));
            let difference = largest_difference(&normalized(&map.values), &normalized(&expected));
            println!(
                "{photo} layer{stage} {}: heatmap differs by at most {difference:.2e}",
                score.name()
            );
            assert!(
                difference < TOLERANCE,
                "{photo} layer{stage} {score:?}: {difference}"
            );
            let scale = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
            assert!(
                largest_difference(&map.values, &expected) < TOLERANCE * scale,
                "{photo} layer{stage} {score:?}: the raw map has another scale or sign"
            );
        }
    }
}

#[test]
fn the_closed_form_equals_autograd_at_the_last_layer() {
    let golden = Golden::open("catdog");
    let layer = MODEL.spec().last_layer();
    let forward = MODEL.forward(&golden.input(), &[layer]).unwrap();
    let activations = &forward.activations[0];
    for score in [Score::Logit, Score::Softmax] {
        let target = Target {
            class: golden.class(),
            score,
        };
        let view = LayerView {
            layer,
            activations,
            logits: &forward.logits,
        };
        let closed = GradCam.explain(&*MODEL, view, target).unwrap();
        let weights: Vec<f32> = target
            .logit_weights(&forward.logits)
            .iter()
            .map(|weight| *weight as f32)
            .collect();
        let gradient = MODEL.backpropagate(activations, layer, &weights).unwrap();
        let by_autograd = weighted_by_mean_gradient(activations, &gradient);
        let scale = closed
            .values
            .iter()
            .map(|value| value.abs())
            .fold(0.0, f32::max);
        let difference = largest_difference(&closed.values, &by_autograd) / scale;
        assert!(difference < 1e-4, "{score:?}: {difference}");
    }
}

fn weighted_by_mean_gradient(activations: &Activations, gradient: &Activations) -> Vec<f32> {
    let cells = activations.height * activations.width;
    let mut map = vec![0.0; cells];
    for (plane, gradient) in activations.planes().zip(gradient.planes()) {
        let alpha = gradient.iter().sum::<f32>() / cells as f32;
        for (sum, value) in map.iter_mut().zip(plane) {
            *sum += alpha * value;
        }
    }
    map
}

#[test]
fn every_block_can_be_explained_by_both_names() {
    let spec = MODEL.spec();
    let golden = Golden::open("chelsea");
    let layers = spec.target_layers();
    assert_eq!(layers.len(), 16);
    let forward = MODEL.forward(&golden.input(), &layers).unwrap();
    for (layer, activations) in layers.iter().zip(&forward.activations) {
        assert_eq!(spec.layer_by_name(&layer.torch_name()).unwrap(), *layer);
        assert_eq!(spec.layer_by_name(&layer.keras_name()).unwrap(), *layer);
        let view = LayerView {
            layer: *layer,
            activations,
            logits: &forward.logits,
        };
        let target = Target {
            class: golden.class(),
            score: Score::Logit,
        };
        let map = GradCam.explain(&*MODEL, view, target).unwrap();
        let side = 56 >> layer.stage;
        assert_eq!(
            (map.width, map.height),
            (side, side),
            "{}",
            layer.torch_name()
        );
        assert!(map.has_positive_evidence(), "{}", layer.torch_name());
    }
    let error = spec.layer_by_name("layer5").unwrap_err().one_line();
    assert!(
        error.contains("layer4 (layer4.0 to layer4.2)") && error.contains("conv5_block3_out"),
        "{error}"
    );
}

#[test]
fn resizing_a_photo_equals_pil() {
    for (photo, path) in [
        ("chelsea", "samples/chelsea.png"),
        ("coffee", "tests/media/coffee.png"),
    ] {
        let image = image::open(path).unwrap().to_rgb8();
        let picture = Picture::from_rgb8(
            image.width() as usize,
            image.height() as usize,
            image.as_raw(),
        );
        let mut preprocessor = Preprocessor::new(ResizePolicy::Stretch, MODEL.spec());
        let input = preprocessor.run(&picture, Orientation::default()).unwrap();
        let normalization = MODEL.spec().normalization;
        let golden = Golden::open(photo).u8("resized_bilinear_u8");
        for channel in 0..3 {
            for pixel in 0..224 * 224 {
                let ours = input.values[channel * 224 * 224 + pixel] + normalization.mean[channel];
                let expected = f32::from(golden[pixel * 3 + normalization.channel_order[channel]]);
                assert!(
                    (ours - expected).abs() < 1.01,
                    "{photo} channel {channel} pixel {pixel}: {ours} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_summary_counts_what_keras_counts() {
    let rows = gradcam_video::model::summary::layer_table(MODEL.spec());
    let parameters: usize = rows.iter().map(|row| row.parameters).sum();
    assert_eq!(parameters, 25_636_712);
    // Keras counts 177 layers: 175 and the two paddings among them.
    assert_eq!(rows.len(), 177);
    let find = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(find("conv5_block3_out").output_shape, [7, 7, 2048]);
    assert_eq!(find("conv4_block1_0_bn").parameters, 4096);
    assert_eq!(
        find("conv2_block1_add").connected_to,
        ["conv2_block1_0_bn", "conv2_block1_3_bn"]
    );
    assert_eq!(find("avg_pool").connected_to, ["conv5_block3_out"]);
    let names: std::collections::HashSet<_> = rows.iter().map(|row| &row.name).collect();
    assert!(
        rows.iter()
            .flat_map(|row| &row.connected_to)
            .all(|input| names.contains(input))
    );
}
