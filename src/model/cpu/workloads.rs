//! The executor's pieces as separate pieces of work, for benchmarks: a register spill or a slower layer shows here first.

use super::convolution::{Convolution, Method, Scratch, Then};
use super::image::Image;
use super::kernels::{Element, Isa, Tiling};
use super::stem::{Stem, StemBuffers, WINDOW};
use super::weights::Weights;
use crate::model::spec::{BASE_CHANNELS, STAGES, TargetLayer};
use crate::model::weights::BatchNorm;
use crate::model::{ModelInput, Precision};

/// A layer of a ResNet50 on made-up data.
pub struct Workload {
    /// Such as `layer2 3x3 F(4x4)`.
    pub name: String,
    /// Additions and multiplications of the layer computed directly, whatever the method.
    pub flop: u64,
    /// Runs the layer once.
    pub run: Box<dyn FnMut()>,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload")
            .field("name", &self.name)
            .field("flop", &self.flop)
            .finish_non_exhaustive()
    }
}

/// The layers of a ResNet50 for 224x224 pixels: the stem, and for each stage its three kinds of convolutions.
pub fn workloads(isa: Isa, precision: Precision) -> Vec<Workload> {
    match precision {
        Precision::F32 => of_type::<f32>(isa),
        Precision::Bf16 => of_type::<half::bf16>(isa),
        Precision::F16 => of_type::<half::f16>(isa),
    }
}

fn of_type<E: Element>(isa: Isa) -> Vec<Workload> {
    let mut all = vec![stem(isa)];
    for stage in 0..STAGES {
        let shape = TargetLayer { stage, block: 1 }.shape();
        let size = 56 >> stage;
        let mut add = |name: &str, [output, input, window]: [usize; 3], method| {
            let name = format!("layer{} {name}", stage + 1);
            all.push(convolution::<E>(
                isa,
                name,
                [output, input, window],
                size,
                method,
            ));
        };
        add("1x1 reduce", [shape.inner, shape.output, 1], Method::Direct);
        add("3x3 direct", [shape.inner, shape.inner, 3], Method::Direct);
        if E::HAS_WINOGRAD {
            let weights = [shape.inner, shape.inner, 3];
            add("3x3 F(2x2)", weights, Method::Winograd(Tiling::F2x2));
            add("3x3 F(4x4)", weights, Method::Winograd(Tiling::F4x4));
        }
        add("1x1 expand", [shape.output, shape.inner, 1], Method::Direct);
    }
    all
}

/// Weights that are not all alike.
fn weights([output, input, size]: [usize; 3]) -> Weights {
    let count = output * input * size * size;
    Weights {
        output,
        input,
        size,
        values: (0..count)
            .map(|index| (index % 7) as f32 * 0.01 - 0.03)
            .collect(),
    }
}

fn norm(channels: usize) -> BatchNorm {
    BatchNorm {
        scale: vec![1.0; channels],
        shift: vec![0.1; channels],
    }
}

fn stem(isa: Isa) -> Workload {
    const SIZE: usize = 224;
    let shape = [BASE_CHANNELS, 3, WINDOW];
    let stem = Stem::new(isa, &weights(shape), norm(BASE_CHANNELS));
    let mut buffers = StemBuffers::new(SIZE, BASE_CHANNELS);
    let mut scratch = Scratch::default();
    let input = ModelInput {
        size: SIZE,
        values: (0..3 * SIZE * SIZE)
            .map(|index| (index % 251) as f32 - 125.0)
            .collect(),
    };
    Workload {
        name: "stem and pooling".to_owned(),
        flop: flop(shape, SIZE / 2),
        run: Box::new(move || {
            stem.run(&input, &mut buffers, &mut scratch);
        }),
    }
}

fn convolution<E: Element>(
    isa: Isa,
    name: String,
    [output, input, window]: [usize; 3],
    size: usize,
    method: Method,
) -> Workload {
    let shape = [output, input, window];
    let convolution = Convolution::<E>::new(isa, &weights(shape), Some(norm(output)), method);
    let mut from = match window {
        1 => Image::new(input, size),
        _ => Image::bordered(input, size),
    };
    for row in from.rows_mut() {
        row.fill(E::from_f32(0.5));
    }
    let mut to = Image::new(output, size);
    let mut scratch = Scratch::default();
    Workload {
        name,
        flop: flop(shape, size),
        run: Box::new(move || convolution.run(&from, &mut to, &Then::RELU, &mut scratch)),
    }
}

fn flop([output, input, window]: [usize; 3], size: usize) -> u64 {
    (2 * output * input * window * window * size * size) as u64
}
