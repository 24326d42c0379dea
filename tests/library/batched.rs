//! The network for GPUs, on candle's CPU backend: the same answers as Keras and as the reference, whoever shares a batch with whom.

use std::sync::LazyLock;
use std::thread;

use crate::golden_data::{Golden, MODEL, WEIGHTS, correlation, largest_difference, normalized};
use gradcam_video::explain::{
    Queries, Request, Score, TargetChoice, explain_forward, method_by_name,
};
use gradcam_video::heatmap::Heatmap;
use gradcam_video::model::batched::{BatchSize, load_on_cpu};
use gradcam_video::model::{Classifier, Forward, TargetLayer, ranked};
use half::f16;

const PHOTOS: [&str; 4] = ["chelsea", "coffee", "china", "catdog"];

static BATCHED: LazyLock<Box<dyn Classifier>> = LazyLock::new(|| {
    load_on_cpu::<f32>(
        &WEIGHTS,
        BatchSize {
            most: Some(4),
            latency: None,
        },
    )
    .unwrap()
});

fn request(layer: TargetLayer, targets: &[TargetChoice]) -> Request {
    Request {
        targets: targets.to_vec(),
        score: Score::Logit,
        contrast: None,
        layers: vec![layer],
    }
}

fn maps(
    model: &dyn Classifier,
    method: &str,
    golden: &Golden,
    forward: &Forward,
    request: &Request,
) -> Vec<Heatmap> {
    let method = method_by_name(method).unwrap();
    let queries = Queries::new(model);
    let explanation = explain_forward(&queries, method, &golden.input(), forward, request).unwrap();
    explanation
        .maps
        .into_iter()
        .map(|map| map.heatmap)
        .collect()
}

/// Of the range of the expected values.
fn relative_difference(ours: &[f32], expected: &[f32]) -> f32 {
    let range = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
    largest_difference(ours, expected) / range
}

#[test]
fn pictures_that_share_a_batch_have_the_logits_of_keras() {
    let layer = MODEL.spec().last_layer();
    // All at once, as workers do.
    let passes: Vec<(String, Forward)> = thread::scope(|scope| {
        let ask = |photo: &'static str| {
            let forward = move || {
                BATCHED
                    .forward(&Golden::open(photo).input(), &[layer])
                    .unwrap()
            };
            (photo, scope.spawn(forward))
        };
        let asked: Vec<_> = PHOTOS.iter().copied().map(ask).collect();
        let joined = asked
            .into_iter()
            .map(|(photo, thread)| (photo.to_owned(), thread.join().unwrap()));
        joined.collect()
    });
    for (photo, forward) in passes {
        let golden = Golden::open(&photo);
        let difference = largest_difference(&forward.logits, &golden.f32("logits"));
        assert!(difference < 1e-3, "{photo}: {difference}");
        let reference = MODEL.forward(&golden.input(), &[layer]).unwrap();
        assert_eq!(ranked(&forward.logits)[0].index, golden.class(), "{photo}");
        let (ours, theirs) = (
            forward.activations_of(layer).unwrap(),
            reference.activations_of(layer).unwrap(),
        );
        assert_eq!(
            (ours.channels, ours.height, ours.width),
            (theirs.channels, theirs.height, theirs.width)
        );
        let difference = relative_difference(&ours.values, &theirs.values);
        assert!(difference < 1e-3, "{photo}: {difference}");
    }
}

/// Made of what the device computed besides (likely classes, classes that were named), or of the activations (all others).
#[test]
fn maps_are_those_of_the_reference_whoever_computes_them() {
    let layer = MODEL.spec().last_layer();
    let golden = Golden::open("catdog");
    let input = golden.input();
    let reference = MODEL.forward(&input, &[layer]).unwrap();
    let order: Vec<usize> = ranked(&reference.logits)
        .iter()
        .map(|class| class.index)
        .collect();
    let (first, fourth, named, unlikely) = (order[0], order[3], order[700], order[900]);
    let forward = BATCHED.forward_for(&input, &[layer], &[named]).unwrap();
    let targets = [first, fourth, named, unlikely].map(TargetChoice::Class);
    for method in [
        "gradcam",
        "hirescam",
        "finercam",
        "layercam",
        "gradcam++",
        "xgradcam",
        "ablationcam",
    ] {
        let request = request(layer, &targets);
        let ours = maps(&**BATCHED, method, &golden, &forward, &request);
        let expected = maps(&*MODEL, method, &golden, &reference, &request);
        for ((ours, expected), class) in ours
            .iter()
            .zip(&expected)
            .zip([first, fourth, named, unlikely])
        {
            assert_eq!((ours.width, ours.height), (7, 7));
            let difference = relative_difference(&ours.values, &expected.values);
            assert!(difference < 1e-3, "{method}, class {class}: {difference}");
        }
    }
}

/// Maps of the photo's class: Keras', and at `layer3` and `layer2` those of f64, from which Keras' own differ by up to 1.1e-3.
#[test]
fn maps_of_all_stages_are_right() {
    let spec = MODEL.spec();
    for photo in PHOTOS {
        let golden = Golden::open(photo);
        let input = golden.input();
        let names = ["layer4", "layer3", "layer2", "layer1"];
        let layers = names.map(|name| spec.layer_by_name(name).unwrap());
        let forward = BATCHED.forward(&input, &layers).unwrap();
        for (name, layer) in names.into_iter().zip(layers) {
            let request = request(layer, &[TargetChoice::Class(golden.class())]);
            let ours = maps(&**BATCHED, "gradcam", &golden, &forward, &request);
            let expected = match name {
                "layer3" | "layer2" => Golden::exact_map(photo, name),
                _ => golden.f32(&format!("gradcam_logit_raw_{name}")),
            };
            let difference =
                largest_difference(&normalized(&ours[0].values), &normalized(&expected));
            println!("{photo} {name}: {difference:.2e}");
            assert!(difference < 1e-3, "{photo} {name}: {difference}");
        }
    }
}

/// Different questions about different layers at the same time: each caller gets what the reference says about the same activations.
#[test]
fn logits_and_gradients_of_inner_layers_are_those_of_autograd() {
    let spec = MODEL.spec();
    let ask = |photo: &str, name: &str, class: Option<usize>| {
        let layer = spec.layer_by_name(name).unwrap();
        let forward = MODEL
            .forward(&Golden::open(photo).input(), &[layer])
            .unwrap();
        let of = |model: &dyn Classifier| match class {
            None => {
                let activations = forward.activations_of(layer).unwrap();
                model.head(layer, activations).unwrap()
            }
            Some(class) => {
                let mut weights = vec![0.0; spec.labels.len()];
                (weights[class], weights[3]) = (1.0, -0.5);
                model
                    .backpropagate(&forward, layer, &weights)
                    .unwrap()
                    .values
            }
        };
        let difference = relative_difference(&of(&**BATCHED), &of(&*MODEL));
        // 4e-7 as a rule; a ReLU whose input is almost 0 may be on in one and off in the other.
        assert!(difference < 5e-3, "{photo} {name} {class:?}: {difference}");
    };
    thread::scope(|scope| {
        for (photo, name, class) in [
            ("catdog", "layer3", Some(281)),
            ("chelsea", "layer4.1", None),
            ("coffee", "layer3", Some(504)),
            ("catdog", "layer4.1", None),
            ("chelsea", "layer3", None),
            ("catdog", "layer4.0", Some(700)),
            ("coffee", "layer4", None),
        ] {
            scope.spawn(move || ask(photo, name, class));
        }
    });
}

#[test]
fn what_was_not_asked_for_is_an_error() {
    let spec = BATCHED.spec();
    let golden = Golden::open("chelsea");
    let (last, other) = (spec.last_layer(), spec.layer_by_name("layer2").unwrap());
    let forward = BATCHED.forward(&golden.input(), &[last]).unwrap();
    let error = forward.activations_of(other).unwrap_err();
    assert!(error.one_line().contains("layer2"), "{error}");
    let unknown = TargetLayer { stage: 9, block: 0 };
    let error = BATCHED
        .forward(&golden.input(), &[last, unknown])
        .unwrap_err();
    assert!(error.one_line().contains("has no layer"), "{error}");
    let mut wrong = forward.activations_of(last).unwrap().clone();
    assert!(BATCHED.head(unknown, &wrong).is_err());
    assert!(BATCHED.backpropagate(&forward, last, &[1.0; 999]).is_err());
    wrong.channels /= 2;
    assert!(BATCHED.head(last, &wrong).is_err());
    let mut small = golden.input();
    small.size = 100;
    assert!(BATCHED.forward(&small, &[last]).is_err());
}

/// The whole pipeline: more threads than were asked for keep the batches full, and the records are those of any other network.
#[cfg(feature = "video")]
#[test]
fn a_video_is_explained_in_batches_as_one_frame_at_a_time() {
    let (batched, single) = (records(&**BATCHED), records(&*MODEL));
    assert_eq!(batched.len(), single.len());
    assert!(batched.len() >= 8, "{}", batched.len());
    for (frame, (batched, single)) in batched.iter().zip(&single).enumerate() {
        assert_eq!(batched["frame"], frame);
        for same in ["target", "peak", "flags", "pts_s"] {
            assert_eq!(batched[same], single[same], "frame {frame}: {same}");
        }
        let values = |record: &serde_json::Value| -> Vec<f32> {
            let rows = record["heatmap"].as_array().unwrap().iter();
            let cells = rows.flat_map(|row| row.as_array().unwrap());
            cells.map(|value| value.as_f64().unwrap() as f32).collect()
        };
        let difference = relative_difference(&values(batched), &values(single));
        assert!(difference < 1e-3, "frame {frame}: {difference}");
    }
}

/// Of the first frames of the sample, by one worker.
#[cfg(feature = "video")]
fn records(model: &dyn Classifier) -> Vec<serde_json::Value> {
    use gradcam_video::explain::GradCam;
    use gradcam_video::pipeline::{
        self, CancelToken, Explaining, Job, Maps, Options, SilentReporter,
    };
    use gradcam_video::preprocess::ResizePolicy;
    use gradcam_video::records::{RecordsFormat, RecordsHeader, RecordsWriter};
    use gradcam_video::sink::{FrameSink, Written};
    use gradcam_video::source::{FfmpegSource, InputSpec, ReadOptions, SourceEnd, TimeRange};
    use gradcam_video::temporal::Normalize;

    struct Nowhere(u64);
    impl FrameSink for Nowhere {
        fn write(&mut self, _: gradcam_video::frame::Frame) -> gradcam_video::Result<()> {
            self.0 += 1;
            Ok(())
        }
        fn finish(self: Box<Self>, _: SourceEnd) -> gradcam_video::Result<Written> {
            Ok(Written {
                frames: self.0,
                ..Default::default()
            })
        }
    }

    let cancel = CancelToken::new();
    let reading = ReadOptions {
        range: TimeRange {
            start_secs: None,
            end_secs: Some(0.4),
        },
        ..ReadOptions::default()
    };
    let input = InputSpec::Path("samples/cup.mp4".into());
    let source = FfmpegSource::open(&input, reading, &cancel).unwrap();
    let written = crate::toy::SharedBytes::default();
    let header = RecordsHeader {
        header: true,
        ..RecordsHeader::default()
    };
    let format = RecordsFormat::Jsonl;
    let writer = RecordsWriter::new(Box::new(written.clone()), format, "records", &header);
    let job = Job {
        maps: Maps::Explained(Explaining::new(model, &GradCam)),
        source: Box::new(source),
        renderer: None,
        sink: Box::new(Nowhere(0)),
        records: Some(writer.unwrap()),
        options: Options {
            resize: ResizePolicy::Stretch,
            normalize: Normalize::Frame,
            smooth: 0.0,
        },
    };
    pipeline::run(job, &SilentReporter, &cancel).unwrap();
    let bytes = written.0.lock().unwrap();
    let lines = std::str::from_utf8(&bytes).unwrap().lines().skip(1);
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Of the last layer, and of an inner one, which goes back in f32 from the batch's rounded activations.
#[test]
fn half_precision_sees_the_same_in_the_same_place() {
    let size = BatchSize {
        most: Some(1),
        latency: None,
    };
    // Candle's CPU backend does not multiply bf16.
    let model = load_on_cpu::<f16>(&WEIGHTS, size).unwrap();
    let spec = MODEL.spec();
    let layers = ["layer3", "layer4"].map(|name| spec.layer_by_name(name).unwrap());
    let golden = Golden::open("catdog");
    let forward = model.forward(&golden.input(), &layers).unwrap();
    assert_eq!(ranked(&forward.logits)[0].index, golden.class());
    for layer in layers {
        let request = request(layer, &[TargetChoice::Top1]);
        let ours = maps(&*model, "gradcam", &golden, &forward, &request);
        let name = format!("gradcam_logit_raw_{}", spec.layer_name(layer));
        let similarity = correlation(&ours[0].values, &golden.f32(&name));
        assert!(similarity > 0.99, "{name}: {similarity}");
    }
}
