//! Is the network right on a GPU, and how fast? One JSON object per line: checks first, then times.
//!
//! Usage, in the checkout: `gpu_bench [--batches 1,8,32,128] [--precisions f32,f16,bf16] [--rounds 50] [--device 0]`. `scripts/bench_gpu.sh` runs it beside
//! its peers.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

#[allow(dead_code, missing_docs, unreachable_pub, reason = "the tests' own")]
#[path = "../library/golden_data.rs"]
mod golden_data;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use golden_data::{Golden, WEIGHTS, correlation, explain, largest_difference, normalized};
use gradcam_video::explain::{GradCam, Score, Target};
use gradcam_video::model::batched::BatchSize;
use gradcam_video::model::cuda::{self, BatchTime};
use gradcam_video::model::{Classifier, ModelInput, Precision, TargetLayer, ranked};
use serde_json::json;

const PHOTOS: [&str; 4] = ["chelsea", "coffee", "china", "catdog"];
/// Largest difference from Keras, of logits and of maps that reach from 0 to 1, in f32. Maps at inner layers are held against f64's, from which Keras'
/// own differ by up to 1.1e-3 (tests/golden/README.md).
const TOLERANCE: f32 = 1e-3;
/// Least correlation of a map with Keras', in f16 and bf16.
const LEAST_CORRELATION: f64 = 0.99;

struct Options {
    batches: Vec<usize>,
    precisions: Vec<Precision>,
    rounds: usize,
    device: usize,
}

impl Options {
    fn from_arguments() -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            batches: vec![1, 8, 32, 128],
            precisions: vec![Precision::F32, Precision::F16, Precision::Bf16],
            rounds: 50,
            device: 0,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--batches" => {
                    let batches = value.split(',').map(str::parse);
                    options.batches = batches.collect::<Result<_, _>>()?;
                }
                "--precisions" => {
                    let precisions = value.split(',').map(precision);
                    options.precisions = precisions.collect::<Result<_, _>>()?;
                }
                "--rounds" => options.rounds = value.parse()?,
                "--device" => options.device = value.parse()?,
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(options)
    }
}

fn precision(name: &str) -> Result<Precision, String> {
    let all = [Precision::F32, Precision::F16, Precision::Bf16];
    let found = all.into_iter().find(|precision| precision.name() == name);
    found.ok_or(format!("unknown precision {name}"))
}

fn main() -> ExitCode {
    match Options::from_arguments().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let ours = error.downcast_ref::<gradcam_video::Error>();
            let line = ours.map_or_else(|| error.to_string(), gradcam_video::Error::one_line);
            println!("{}", json!({ "error": line }));
            ExitCode::from(2)
        }
    }
}

/// Whether all checks passed. Times are told in any case: the report says beside them what is wrong.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let mut is_right = true;
    for precision in options.precisions.iter().copied() {
        is_right &= check(precision, options.device)?;
    }
    let input = Golden::open("catdog").input();
    for precision in options.precisions.iter().copied() {
        for batch in options.batches.iter().copied() {
            let BatchTime {
                compute_ms,
                launch_ms,
                whole_ms,
                unfused,
                unrecorded,
            } = cuda::time_batch(
                &WEIGHTS,
                precision,
                options.device,
                (&input, batch),
                options.rounds,
            )?;
            let of = |what: &str, ms: f64| {
                let fps = batch as f64 * 1e3 / ms;
                let line = json!({
                    "program": format!("gradcam-video, {what}"), "precision": precision.name(),
                    "batch": batch, "ms": ms, "fps": fps,
                });
                println!("{line}");
            };
            if unfused > 0 {
                println!(
                    "{}",
                    json!({ "unfused": unfused, "precision": precision.name(), "batch": batch })
                );
            }
            if let Some(cause) = unrecorded {
                println!(
                    "{}",
                    json!({ "unrecorded": cause, "precision": precision.name(), "batch": batch })
                );
            }
            of("network and map", compute_ms);
            of("of which the host launches", launch_ms);
            of("with copies in and out", whole_ms);
            let size = BatchSize {
                most: Some(batch),
                latency: None,
            };
            let model = cuda::load(&WEIGHTS, precision, &[options.device], size)?;
            for (what, layer) in [
                ("asked by threads, as in a run", "layer4"),
                ("the same at layer3, gradients included", "layer3"),
            ] {
                let layer = model.spec().layer_by_name(layer)?;
                of(
                    what,
                    time_threads(&*model, &input, layer, (batch, options.rounds))?,
                );
            }
        }
    }
    Ok(is_right)
}

/// Milliseconds per batch when as many threads ask as a run has, each for Grad-CAM of one picture at a time.
fn time_threads(
    model: &dyn Classifier,
    input: &ModelInput,
    layer: TargetLayer,
    (batch, rounds): (usize, usize),
) -> Result<f64, Box<dyn Error>> {
    let threads = model.concurrency();
    let each = (batch * rounds).div_ceil(threads);
    let ask = |times: usize| -> gradcam_video::Result<()> {
        for _ in 0..times {
            let forward = model.forward_for(input, &[layer], &[])?;
            let class = ranked(&forward.logits)[0].index;
            let target = Target::new(class, Score::Logit);
            explain(&GradCam, model, (input, &forward), layer, target);
        }
        Ok(())
    };
    let all = |times: usize| {
        thread::scope(|scope| {
            let asked: Vec<_> = (0..threads).map(|_| scope.spawn(|| ask(times))).collect();
            let joined = asked.into_iter().map(|thread| thread.join());
            joined
                .map(|result| result.map_err(|_| "a thread panicked".to_owned()))
                .try_for_each(|result| result?.map_err(|error| error.one_line()))
        })
    };
    all(3)?;
    let start = Instant::now();
    all(each)?;
    let pictures = (each * threads) as f64;
    Ok(start.elapsed().as_secs_f64() * 1e3 * batch as f64 / pictures)
}

/// All photos at once, against Keras.
fn check(precision: Precision, device: usize) -> Result<bool, Box<dyn Error>> {
    let size = BatchSize {
        most: Some(PHOTOS.len()),
        latency: None,
    };
    let model = cuda::load(&WEIGHTS, precision, &[device], size)?;
    let backend = model.backend();
    println!(
        "{}",
        json!({ "device": backend.device, "kernels": backend.isa, "precision": precision.name() })
    );
    let results: Vec<bool> = thread::scope(|scope| {
        let threads: Vec<_> = PHOTOS
            .iter()
            .map(|photo| scope.spawn(|| check_photo(&*model, precision, photo)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.unwrap_or(false)).collect()
    });
    Ok(results.into_iter().all(|is_right| is_right))
}

fn check_photo(model: &dyn Classifier, precision: Precision, photo: &str) -> bool {
    let golden = Golden::open(photo);
    let input = golden.input();
    let spec = model.spec();
    let mut is_right = true;
    let mut report = |what: &str, value: f64, is_passed: bool| {
        is_right &= is_passed;
        let line = json!({
            "check": what, "photo": photo, "precision": precision.name(),
            "value": value, "passed": is_passed,
        });
        println!("{line}");
    };
    let last = spec.last_layer();
    let class = golden.class();
    let target = Target::new(class, Score::Logit);
    let forward = model.forward_for(&input, &[last], &[class]).unwrap();
    let difference = largest_difference(&forward.logits, &golden.f32("logits"));
    let is_close = precision != Precision::F32 || difference < TOLERANCE;
    report("logits differ by", f64::from(difference), is_close);
    let top = ranked(&forward.logits)[0].index;
    report("top class", top as f64, top == class);

    let map = explain(&GradCam, model, (&input, &forward), last, target).values;
    let expected = golden.f32("gradcam_logit_raw_layer4");
    if precision != Precision::F32 {
        let similarity = correlation(&map, &expected);
        report(
            "layer4 map correlates",
            similarity,
            similarity >= LEAST_CORRELATION,
        );
        return is_right;
    }
    let difference = largest_difference(&normalized(&map), &normalized(&expected));
    report(
        "layer4 map differs by",
        f64::from(difference),
        difference < TOLERANCE,
    );
    for name in ["layer3", "layer2"] {
        let layer = spec.layer_by_name(name).unwrap();
        let forward = model.forward(&input, &[layer]).unwrap();
        let map = explain(&GradCam, model, (&input, &forward), layer, target).values;
        let expected = Golden::exact_map(photo, name);
        let difference = largest_difference(&normalized(&map), &normalized(&expected));
        report(
            &format!("{name} map differs from f64's by"),
            f64::from(difference),
            difference < TOLERANCE,
        );
    }
    is_right
}
