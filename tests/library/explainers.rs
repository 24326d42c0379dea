//! Every method against pytorch-grad-cam, or, where we differ from it on purpose, against an independent computation.

use crate::golden_data::{EXECUTORS, Golden, MODEL, correlation, largest_difference};
use gradcam_video::explain::{
    Explainer, LayerView, Queries, Request, Score, ScoreCam, Target, TargetChoice, method_by_name,
};
use gradcam_video::heatmap::Heatmap;
use gradcam_video::model::{Classifier, Forward, ModelInput, TargetLayer, softmax};

/// Photos whose maps pytorch-grad-cam made.
const PHOTOS: [&str; 2] = ["catdog", "chelsea"];
/// Of the range of the expected map.
const TOLERANCE: f32 = 1e-3;
const LEAST_CORRELATION: f64 = 0.9999;

/// The reference takes seconds for a photo: one is enough.
fn models(photo: &str) -> Vec<&'static dyn Classifier> {
    let executor = &**EXECUTORS.last().unwrap();
    if photo == PHOTOS[0] {
        vec![&*MODEL, executor]
    } else {
        vec![executor]
    }
}

fn layer(name: &str) -> TargetLayer {
    MODEL.spec().layer_by_name(name).unwrap()
}

/// For methods that do not look at the picture itself.
fn explain(
    method: &str,
    model: &dyn Classifier,
    forward: &Forward,
    layer: TargetLayer,
    class: usize,
) -> Heatmap {
    let nothing = ModelInput {
        size: 0,
        values: Vec::new(),
    };
    let method = method_by_name(method).unwrap();
    let target = Target::new(class, Score::Logit);
    crate::golden_data::explain(method, model, (&nothing, forward), layer, target)
}

fn check_equal(name: &str, ours: &[f32], expected: &[f32]) {
    let largest = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = largest - expected.iter().copied().fold(f32::INFINITY, f32::min);
    let difference = largest_difference(ours, expected) / range;
    let correlation = correlation(ours, expected);
    println!(
        "{name}: differs by at most {difference:.2e} of the range, correlation {correlation:.7}"
    );
    assert!(difference < TOLERANCE, "{name}: {difference}");
    assert!(correlation >= LEAST_CORRELATION, "{name}: {correlation}");
}

/// Of a photo and a network: pytorch-grad-cam's maps, their class, the network and its pass.
type Check<'a> = &'a dyn Fn(&str, &Golden, usize, &dyn Classifier, &Forward);

/// With the layers that pytorch-grad-cam's maps are of.
fn for_each_photo_and_model(layers: &[(&str, TargetLayer)], check: Check<'_>) {
    let layers: Vec<TargetLayer> = layers.iter().map(|(_, layer)| *layer).collect();
    for photo in PHOTOS {
        let torch = Golden::open(&format!("torch_{photo}"));
        let input = Golden::open(photo).input();
        for model in models(photo) {
            let forward = model.forward(&input, &layers).unwrap();
            check(photo, &torch, torch.class(), model, &forward);
        }
    }
}

#[test]
fn methods_equal_pytorch_grad_cam() {
    let layers = ["layer2", "layer3", "layer4"].map(|name| (name, layer(name)));
    for_each_photo_and_model(&layers, &|photo, torch, class, model, forward| {
        for (name, layer) in layers {
            for (method, theirs) in [
                ("gradcam++", "GradCAMPlusPlus"),
                ("xgradcam", "XGradCAM"),
                ("hirescam", "HiResCAM"),
                ("layercam", "LayerCAM"),
            ] {
                let map = explain(method, model, forward, layer, class);
                let expected = torch.f32(&format!("{name}.{theirs}.raw"));
                let name = format!("{} {photo} {name} {method}", model.backend().isa);
                check_equal(&name, &map.values, &expected);
            }
        }
        let map = explain("ablationcam", model, forward, layer("layer4"), class);
        let name = format!("{} {photo} ablationcam", model.backend().isa);
        check_equal(&name, &map.values, &torch.f32("layer4.AblationCAM.raw"));
    });
}

/// Up to the sign, which pytorch-grad-cam leaves to chance; ours agrees with the sum of the activations.
#[test]
fn principal_components_equal_pytorch_grad_cam_up_to_the_sign() {
    let layers = ["layer2", "layer3", "layer4"].map(|name| (name, layer(name)));
    for_each_photo_and_model(&layers, &|photo, torch, class, model, forward| {
        for (name, layer) in layers {
            let activations = forward.activations_of(layer).unwrap();
            let mut sums = vec![0.0f32; activations.height * activations.width];
            for plane in activations.planes() {
                sums.iter_mut()
                    .zip(plane)
                    .for_each(|(sum, value)| *sum += value);
            }
            for (method, theirs) in [("eigencam", "EigenCAM"), ("eigengradcam", "EigenGradCAM")] {
                let map = explain(method, model, forward, layer, class).values;
                let dot =
                    |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
                assert!(dot(&map, &sums) > 0.0, "{photo} {name} {method}");
                let mut expected = torch.f32(&format!("{name}.{theirs}.raw"));
                if dot(&map, &expected) < 0.0 {
                    expected.iter_mut().for_each(|value| *value = -*value);
                }
                let name = format!("{} {photo} {name} {method}", model.backend().isa);
                check_equal(&name, &map, &expected);
            }
        }
    });
}

/// What a channel is worth to a logit, by computing the logit without it.
#[test]
fn ablationcam_weighs_channels_by_the_logit_that_is_lost_without_them() {
    let model = &**EXECUTORS.last().unwrap();
    let layer = layer("layer4");
    let forward = model
        .forward(&Golden::open("catdog").input(), &[layer])
        .unwrap();
    let lowest = (0..1000).min_by(|a, b| forward.logits[*a].total_cmp(&forward.logits[*b]));
    let (negative, positive) = (lowest.unwrap(), 243);
    assert!(forward.logits[negative] < 0.0 && forward.logits[positive] > 0.0);

    let head = model.fully_connected();
    let activations = forward.activations_of(layer).unwrap();
    let means: Vec<f64> = activations
        .planes()
        .map(|plane| plane.iter().map(|value| f64::from(*value)).sum::<f64>() / 49.0)
        .collect();
    for class in [negative, positive] {
        let row = &head.weight[class * head.channels..][..head.channels];
        let logit_without = |ablated: Option<usize>| -> f64 {
            let channels = row.iter().zip(&means).enumerate();
            let kept = channels.filter(|(channel, _)| Some(*channel) != ablated);
            let sum: f64 = kept
                .map(|(_, (weight, mean))| f64::from(*weight) * mean)
                .sum();
            sum + f64::from(head.bias[class])
        };
        let logit = logit_without(None);
        let mut expected = vec![0.0f64; 49];
        for (channel, plane) in activations.planes().enumerate() {
            let weight = (logit - logit_without(Some(channel))) / logit.abs();
            for (sum, value) in expected.iter_mut().zip(plane) {
                *sum += weight * f64::from(*value);
            }
        }
        let expected: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
        let map = explain("ablationcam", model, &forward, layer, class);
        check_equal(&format!("class {class}"), &map.values, &expected);
    }
}

/// At the last and at an inner layer, by candle's autograd with the share of each class fixed.
#[test]
fn finercam_is_gradcam_of_the_difference_to_the_nearest_classes() {
    let reference: &dyn Classifier = &*MODEL;
    let executor = &**EXECUTORS.last().unwrap();
    for photo in PHOTOS {
        let golden = Golden::open(photo);
        let class = golden.class();
        for name in ["layer4", "layer3"] {
            let layer = layer(name);
            let exact = reference.forward(&golden.input(), &[layer]).unwrap();
            let mut nearest: Vec<usize> = (0..1000).filter(|other| *other != class).collect();
            nearest.sort_by(|a, b| {
                let distance = |index: usize| (exact.logits[index] - exact.logits[class]).abs();
                distance(*a).total_cmp(&distance(*b))
            });
            let probabilities = softmax(&exact.logits);
            let total: f64 = nearest[..3].iter().map(|other| probabilities[*other]).sum();
            let mut weights = vec![0.0f32; 1000];
            weights[class] = 1.0;
            for other in &nearest[..3] {
                weights[*other] = (-probabilities[*other] / total) as f32;
            }
            let gradient = reference.backpropagate(&exact, layer, &weights).unwrap();
            let activations = exact.activations_of(layer).unwrap();
            let cells = activations.height * activations.width;
            let mut expected = vec![0.0f64; cells];
            for (gradient, plane) in gradient.planes().zip(activations.planes()) {
                let mean =
                    gradient.iter().map(|value| f64::from(*value)).sum::<f64>() / cells as f64;
                for (sum, value) in expected.iter_mut().zip(plane) {
                    *sum += mean * f64::from(*value);
                }
            }
            let expected: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
            let forward = executor.forward(&golden.input(), &[layer]).unwrap();
            let map = explain("finercam", executor, &forward, layer, class);
            check_equal(&format!("{photo} {name} finercam"), &map.values, &expected);
        }
    }
}

/// At an inner layer by autograd's only rival: the rest of the network on activations without the channel, in candle.
#[test]
fn ablationcam_at_an_inner_layer_runs_the_rest_of_the_network() {
    let executor = &**EXECUTORS.last().unwrap();
    let golden = Golden::open("catdog");
    // The last block: few, cheap passes behind it.
    let layer = layer("layer4.1");
    let target = Target::new(golden.class(), Score::Logit);
    let exact = MODEL.forward(&golden.input(), &[layer]).unwrap();
    let activations = exact.activations_of(layer).unwrap();
    let cells = activations.height * activations.width;
    // The largest channels, and one that is off: with all others at zero weight they make a map that can be compared.
    let mut channels: Vec<usize> = (0..activations.channels).collect();
    let sum =
        |channel: usize| -> f32 { activations.values[channel * cells..][..cells].iter().sum() };
    channels.sort_by(|a, b| sum(*b).total_cmp(&sum(*a)));
    channels.truncate(24);
    let mut few = activations.clone();
    for channel in 0..few.channels {
        if !channels.contains(&channel) {
            few.values[channel * cells..][..cells].fill(0.0);
        }
    }
    let whole = f64::from(MODEL.head(layer, &few).unwrap()[target.class]);
    let logits = MODEL.head(layer, activations).unwrap();
    assert!(largest_difference(&logits, &exact.logits) < 1e-4);
    assert!(largest_difference(&executor.head(layer, activations).unwrap(), &logits) < 1e-3);
    let scale = f64::from(exact.logits[target.class]).abs();
    let mut expected = vec![0.0f64; cells];
    for channel in channels {
        let mut ablated = few.clone();
        ablated.values[channel * cells..][..cells].fill(0.0);
        let without = f64::from(MODEL.head(layer, &ablated).unwrap()[target.class]);
        let plane = &few.values[channel * cells..][..cells];
        for (sum, value) in expected.iter_mut().zip(plane) {
            *sum += (whole - without) / scale * f64::from(*value);
        }
    }
    let expected: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
    let forward = Forward::new(vec![layer], vec![few], exact.logits.clone());
    let view = LayerView {
        layer,
        forward: &forward,
        input: &golden.input(),
    };
    let method = method_by_name("ablationcam").unwrap();
    let queries = Queries::new(executor).with_threads(2);
    let map = method.explain(&queries, view, target).unwrap();
    check_equal("ablationcam layer4.1", &map.values, &expected);
}

#[test]
fn the_head_continues_any_layer() {
    let executor = &**EXECUTORS.last().unwrap();
    let golden = Golden::open("chelsea");
    let spec = MODEL.spec();
    let layers = spec.target_layers();
    let forward = executor.forward(&golden.input(), &layers).unwrap();
    for layer in &layers {
        let activations = forward.activations_of(*layer).unwrap();
        let logits = executor.head(*layer, activations).unwrap();
        let difference = largest_difference(&logits, &forward.logits);
        assert!(
            difference < 1e-3,
            "{}: {difference}",
            spec.layer_name(*layer)
        );
        let mut wrong = activations.clone();
        wrong.channels += 1;
        assert!(executor.head(*layer, &wrong).is_err());
    }
}

/// Over the strongest channels; pytorch-grad-cam's weights of all channels are a softmax, so that those of a part of them stand in the same
/// ratios.
#[test]
fn scorecam_weighs_channels_as_pytorch_grad_cam() {
    let executor = &**EXECUTORS.last().unwrap();
    let layer = layer("layer4");
    let golden = Golden::open("catdog");
    let torch = Golden::open("torch_catdog");
    let forward = executor.forward(&golden.input(), &[layer]).unwrap();
    let activations = forward.activations_of(layer).unwrap();
    let sum = |channel: usize| -> f32 { activations.values[channel * 49..][..49].iter().sum() };
    let mut channels: Vec<usize> = (0..activations.channels).collect();
    channels.sort_by(|a, b| sum(*b).total_cmp(&sum(*a)));
    let weights = torch.f32("layer4.ScoreCAM.weights");
    let total: f64 = channels[..48]
        .iter()
        .map(|channel| f64::from(weights[*channel]))
        .sum();
    let mut expected = vec![0.0f64; 49];
    for channel in &channels[..48] {
        let weight = f64::from(weights[*channel]) / total;
        for (sum, value) in expected
            .iter_mut()
            .zip(&activations.values[channel * 49..][..49])
        {
            *sum += weight * f64::from(*value);
        }
    }
    let expected: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
    let view = LayerView {
        layer,
        forward: &forward,
        input: &golden.input(),
    };
    let queries = Queries::new(executor)
        .with_threads(2)
        .with_sampling(Some(48), 0);
    let map = ScoreCam
        .explain(&queries, view, Target::new(torch.class(), Score::Logit))
        .unwrap();
    check_equal("scorecam", &map.values, &expected);
}

#[test]
fn at_the_last_layer_three_methods_are_one() {
    let model = &**EXECUTORS.last().unwrap();
    let layer = layer("layer4");
    let golden = Golden::open("chelsea");
    let forward = model.forward(&golden.input(), &[layer]).unwrap();
    let gradcam = explain("gradcam", model, &forward, layer, golden.class());
    for method in ["hirescam", "xgradcam"] {
        let map = explain(method, model, &forward, layer, golden.class());
        check_equal(method, &map.values, &gradcam.values);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let spec = MODEL.spec();
    let check = |method: &str, score, contrast| {
        let method = method_by_name(method).unwrap();
        let request = Request {
            targets: vec![TargetChoice::Top1],
            score,
            contrast,
            layers: vec![layer("layer3")],
        };
        method.check(spec, &request).is_ok()
    };
    assert!(check("gradcam", Score::Softmax, Some(3)));
    assert!(check("ablationcam", Score::Logit, Some(3)));
    assert!(check("eigencam", Score::Logit, None));
    for method in ["ablationcam", "eigencam", "finercam", "gradcam++"] {
        assert!(!check(method, Score::Softmax, None), "{method}");
    }
    for method in ["eigencam", "finercam"] {
        assert!(!check(method, Score::Logit, Some(3)), "{method}");
    }
    let line = method_by_name("gradcam+").unwrap_err().one_line();
    assert!(
        line.contains("\"gradcam+\"") && line.contains("layercam"),
        "{line}"
    );
}
