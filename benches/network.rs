//! The network on the CPU: each layer by itself, the whole, and the way back. Throughput, where it is given, is
//! FLOP per second.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gradcam_video::model::cpu::workloads::workloads;
use gradcam_video::model::cpu::{self, Isa};
use gradcam_video::model::{Classifier, ModelInput, Precision, ResNet, WeightFile};

/// Multiplications and additions of a ResNet50 for one 224x224 picture.
const NETWORK_FLOP: u64 = 7_720_000_000;

/// Instruction sets worth timing with a precision.
fn cases() -> Vec<(Isa, Precision)> {
    let vectors = Isa::available()
        .into_iter()
        .filter(|isa| isa.name() != "scalar");
    vectors
        .flat_map(|isa| {
            [Precision::F32, Precision::Bf16, Precision::F16].map(|precision| (isa, precision))
        })
        .filter(|(isa, precision)| match precision {
            Precision::F32 => true,
            Precision::Bf16 => isa.has_bf16(),
            Precision::F16 => isa.has_f16(),
        })
        .collect()
}

fn layers(c: &mut Criterion) {
    for (isa, precision) in cases() {
        let mut group = c.benchmark_group(format!("cpu/{}/{precision}", isa.name()));
        for mut workload in workloads(isa, precision) {
            group.throughput(Throughput::Elements(workload.flop));
            group.bench_function(&workload.name, |b| b.iter(&mut workload.run));
        }
        group.finish();
    }
}

fn whole(c: &mut Criterion) {
    let path = Path::new("weights/resnet50-keras-f16.safetensors");
    let file = Arc::new(WeightFile::open(path).unwrap());
    let mut models: Vec<Box<dyn Classifier>> = vec![Box::new(ResNet::load(&file).unwrap())];
    for (isa, precision) in cases() {
        models.push(cpu::load(file.clone(), isa, precision).unwrap());
    }
    let input = ModelInput {
        size: 224,
        values: (0..3 * 224 * 224)
            .map(|index| (index % 251) as f32 - 125.0)
            .collect(),
    };
    let name = |model: &dyn Classifier| {
        let backend = model.backend();
        format!("{}/{}", backend.isa, backend.precision)
    };
    let layer = |model: &dyn Classifier, name| model.spec().layer_by_name(name).unwrap();

    let mut group = c.benchmark_group("cpu/network");
    group.throughput(Throughput::Elements(NETWORK_FLOP));
    for model in &models {
        let last = layer(&**model, "layer4");
        group.bench_function(name(&**model), |b| {
            b.iter(|| model.forward(&input, &[last]).unwrap());
        });
    }
    group.finish();

    let mut group = c.benchmark_group("cpu/network and gradient");
    for model in &models {
        for inner in ["layer3", "layer2"] {
            let layer = layer(&**model, inner);
            group.bench_function(BenchmarkId::new(name(&**model), inner), |b| {
                b.iter(|| {
                    let forward = model.forward(&input, &[layer]).unwrap();
                    let weights: Vec<f32> =
                        (0..1000).map(|class| f32::from(class == 285)).collect();
                    model.backpropagate(&forward, layer, &weights).unwrap()
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = network;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = layers, whole
}
criterion_main!(network);
