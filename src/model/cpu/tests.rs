//! Every kernel against plain loops, over random shapes and values, on every instruction set of this machine.

use half::{bf16, f16};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::convolution::{Convolution, Method, Scratch, Then};
use super::image::Image;
use super::kernels::{
    BLOCK, Element, Isa, MaxPool, Tiling, classify, masked, max_pool, positive_mask,
};
use super::stem::{Stem, StemBuffers, WINDOW};
use super::weights::Weights;
use crate::model::ModelInput;
use crate::model::weights::BatchNorm;

mod rounding;

const METHODS: [Method; 3] = [
    Method::Direct,
    Method::Winograd(Tiling::F2x2),
    Method::Winograd(Tiling::F4x4),
];

/// Numbers in -1..1 that depend on the seed only.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        // Knuth's MMIX generator.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// What an element type makes of a number.
fn rounded<E: Element>(value: f32) -> f64 {
    f64::from(E::from_f32(value).to_f32())
}

/// A convolution with everything that can follow it.
#[derive(Debug, Clone)]
struct Case {
    output: usize,
    input: usize,
    window: usize,
    /// Of the output.
    size: usize,
    stride: usize,
    has_norm: bool,
    has_residual: bool,
    has_relu: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = || (1usize..4).prop_map(|blocks| 32 * blocks);
    let shape = (
        channels(),
        channels(),
        prop_oneof![Just(1usize), Just(3)],
        1usize..10,
        1usize..3,
    );
    (shape, any::<[bool; 3]>(), any::<u64>()).prop_map(
        |((output, input, window, size, stride), [has_norm, has_residual, has_relu], seed)| Case {
            output,
            input,
            window,
            size,
            stride,
            has_norm,
            has_residual,
            has_relu,
            seed,
        },
    )
}

fn filled<E: Element>(mut image: Image<E>, numbers: &mut Numbers) -> Image<E> {
    for row in image.rows_mut() {
        for value in row {
            *value = E::from_f32(numbers.next());
        }
    }
    image
}

fn pixel<E: Element>(image: &Image<E>, channel: usize, row: isize, column: isize) -> f64 {
    let inside = 0..image.size as isize;
    if !inside.contains(&row) || !inside.contains(&column) {
        return 0.0;
    }
    let index = channel / BLOCK * image.size + row as usize;
    let row = image.rows().nth(index).unwrap();
    f64::from(row[column as usize * BLOCK + channel % BLOCK].to_f32())
}

impl Case {
    fn output<E: Element>(&self, isa: Isa, method: Method) -> Image<E> {
        self.run(isa, method, |_, _, _, _| ()).0
    }

    /// Runs the case, and `expect` on the same numbers.
    fn run<E: Element, T>(
        &self,
        isa: Isa,
        method: Method,
        expect: impl FnOnce(&Image<E>, &Weights, Option<&BatchNorm>, Option<&Image<E>>) -> T,
    ) -> (Image<E>, T) {
        let mut numbers = Numbers(self.seed);
        let input_size = self.size * self.stride;
        let blank = match self.window {
            1 => Image::new(self.input, input_size),
            _ => Image::bordered(self.input, input_size),
        };
        let input = filled::<E>(blank, &mut numbers);
        let residual = filled::<E>(Image::new(self.output, self.size), &mut numbers);
        let weights = Weights {
            output: self.output,
            input: self.input,
            size: self.window,
            values: numbers.take(self.output * self.input * self.window * self.window),
        };
        let norm = self.has_norm.then(|| BatchNorm {
            scale: numbers.take(self.output),
            shift: numbers.take(self.output),
        });
        let residual = (self.has_residual && method == Method::Direct).then_some(&residual);
        let convolution = Convolution::<E>::new(isa, &weights, norm.clone(), method);
        let mut output = Image::new(self.output, self.size);
        let then = Then {
            residual,
            has_relu: self.has_relu,
        };
        convolution.run(&input, &mut output, &then, &mut Scratch::default());
        let expected = expect(&input, &weights, norm.as_ref(), residual);
        (output, expected)
    }

    /// Every output in f64, and the sum of the absolute values of its terms.
    fn expected<E: Element>(
        &self,
        input: &Image<E>,
        weights: &Weights,
        norm: Option<&BatchNorm>,
        residual: Option<&Image<E>>,
    ) -> Vec<(f64, f64)> {
        let border = (self.window / 2) as isize;
        let mut all = Vec::new();
        for output in 0..self.output {
            for row in 0..self.size as isize {
                for column in 0..self.size as isize {
                    let (mut sum, mut size) = (0.0, 0.0);
                    for channel in 0..self.input {
                        for y in 0..self.window {
                            for x in 0..self.window {
                                let at = (output * self.input + channel) * self.window + y;
                                let weight = rounded::<E>(weights.values[at * self.window + x]);
                                let stride = self.stride as isize;
                                let (y, x) = (
                                    row * stride + y as isize - border,
                                    column * stride + x as isize - border,
                                );
                                let term = weight * pixel(input, channel, y, x);
                                sum += term;
                                size += term.abs();
                            }
                        }
                    }
                    if let Some(norm) = norm {
                        let scale = f64::from(norm.scale[output]);
                        sum = sum * scale + f64::from(norm.shift[output]);
                        size = size * scale.abs() + 1.0;
                    }
                    if let Some(residual) = residual {
                        sum += pixel(residual, output, row, column);
                        size += 1.0;
                    }
                    all.push((if self.has_relu { sum.max(0.0) } else { sum }, size));
                }
            }
        }
        all
    }

    /// Checks the result against f64, to `tolerance` of the terms' size.
    fn check<E: Element>(
        &self,
        isa: Isa,
        method: Method,
        tolerance: f64,
    ) -> Result<Image<E>, TestCaseError> {
        let (output, expected) = self.run::<E, _>(isa, method, |input, weights, norm, residual| {
            self.expected(input, weights, norm, residual)
        });
        let cells = self.size * self.size;
        for (index, (value, size)) in expected.into_iter().enumerate() {
            let (channel, cell) = (index / cells, index % cells);
            let (row, column) = (cell / self.size, cell % self.size);
            let ours = pixel(&output, channel, row as isize, column as isize);
            prop_assert!(
                (ours - value).abs() <= tolerance * size + 1e-6,
                "{isa:?} {method:?} channel {channel} row {row} column {column}: {ours}, expected {value} of terms {size}"
            );
        }
        Ok(output)
    }
}

/// Instruction sets whose f32 results must be equal to the bit: all but scalar code, which does not fuse.
fn vector_isas() -> Vec<Isa> {
    let mut all = Isa::available();
    all.retain(|isa| isa.name() != "scalar");
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn direct_convolution_equals_f64(case in cases()) {
        for isa in Isa::available() {
            case.check::<f32>(isa, Method::Direct, 1e-6)?;
        }
    }

    #[test]
    fn winograd_equals_f64(case in cases()) {
        let case = Case { window: 3, stride: 1, ..case };
        for isa in Isa::available() {
            case.check::<f32>(isa, Method::Winograd(Tiling::F2x2), 2e-6)?;
            // The transforms multiply by up to 100 and back.
            case.check::<f32>(isa, Method::Winograd(Tiling::F4x4), 2e-5)?;
        }
    }

    #[test]
    fn bf16_convolution_equals_f64_on_rounded_numbers(case in cases()) {
        for isa in Isa::available() {
            // The result is rounded to 8 bits.
            case.check::<bf16>(isa, Method::Direct, 1.0 / 256.0)?;
        }
    }

    #[test]
    fn f16_convolution_equals_f64_on_rounded_numbers(case in cases()) {
        for isa in Isa::available() {
            // So is the result, to 11 bits, and with vectors the sum of every product with up to 63 others.
            let tolerance = if isa.has_f16() { 1.0 / 512.0 } else { 1.0 / 2048.0 };
            case.check::<f16>(isa, Method::Direct, tolerance)?;
        }
    }

    #[test]
    fn vector_code_agrees_to_the_bit(case in cases()) {
        let isas = vector_isas();
        for pair in isas.windows(2) {
            for method in METHODS {
                let case = match method {
                    Method::Winograd(_) => Case { window: 3, stride: 1, ..case.clone() },
                    Method::Direct => case.clone(),
                };
                let first = case.output::<f32>(pair[0], method);
                let second = case.output::<f32>(pair[1], method);
                prop_assert_eq!(&*first.data, &*second.data, "{:?} {:?}", method, pair);
            }
        }
    }

    #[test]
    fn the_stem_equals_f64(size in 1usize..4, seed in any::<u64>()) {
        for isa in Isa::available() {
            check_stem(isa, 32 * size, seed)?;
        }
    }

    #[test]
    fn small_kernels_equal_plain_loops(blocks in 1usize..4, size in 1usize..8, seed in any::<u64>()) {
        for isa in Isa::available() {
            check_small_kernels::<f32>(isa, blocks, size, seed)?;
            check_small_kernels::<bf16>(isa, blocks, size, seed)?;
            check_small_kernels::<f16>(isa, blocks, size, seed)?;
        }
    }
}

fn check_stem(isa: Isa, size: usize, seed: u64) -> Result<(), TestCaseError> {
    const CHANNELS: usize = 32;
    let mut numbers = Numbers(seed);
    let input = ModelInput {
        size,
        values: numbers.take(3 * size * size),
    };
    let weights = Weights {
        output: CHANNELS,
        input: 3,
        size: WINDOW,
        values: numbers.take(CHANNELS * 3 * WINDOW * WINDOW),
    };
    let norm = BatchNorm {
        scale: numbers.take(CHANNELS),
        shift: numbers.take(CHANNELS),
    };
    let mut buffers = StemBuffers::new(size, CHANNELS);
    let stem = Stem::new(isa, &weights, norm.clone());
    let pooled = stem.run(&input, &mut buffers, &mut Scratch::default());

    let at = |channel: usize, y: isize, x: isize| {
        let inside = 0..size as isize;
        if inside.contains(&y) && inside.contains(&x) {
            f64::from(input.values[(channel * size + y as usize) * size + x as usize])
        } else {
            0.0
        }
    };
    let convolved = |output: usize, row: isize, column: isize| {
        let mut sum = 0.0;
        for channel in 0..3 {
            for y in 0..WINDOW {
                for x in 0..WINDOW {
                    let index = ((output * 3 + channel) * WINDOW + y) * WINDOW + x;
                    let (y, x) = (row * 2 + y as isize - 3, column * 2 + x as isize - 3);
                    sum += f64::from(weights.values[index]) * at(channel, y, x);
                }
            }
        }
        (sum * f64::from(norm.scale[output]) + f64::from(norm.shift[output])).max(0.0)
    };
    let half = (size / 2) as isize;
    // A corner, an edge and the middle are enough: the loops are slow.
    let ends = [0, (size / 8) as isize, (size / 4 - 1) as isize];
    for output in (0..CHANNELS).step_by(5) {
        for row in ends {
            for column in ends {
                let mut maximum = 0.0f64;
                for y in (2 * row - 1).max(0)..(2 * row + 2).min(half) {
                    for x in (2 * column - 1).max(0)..(2 * column + 2).min(half) {
                        maximum = maximum.max(convolved(output, y, x));
                    }
                }
                let ours = pixel(pooled, output, row, column);
                prop_assert!(
                    (ours - maximum).abs() <= 1e-6 * (maximum + 50.0),
                    "{isa:?} channel {output} row {row} column {column}: {ours}, expected {maximum}"
                );
            }
        }
    }
    Ok(())
}

/// Pooling, masks, classifier.
fn check_small_kernels<E: Element>(
    isa: Isa,
    blocks: usize,
    size: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(seed);
    let channels = BLOCK * blocks;
    let mut input = filled::<E>(Image::new(channels, 2 * size), &mut numbers);
    let mask_row = input.rows().next().unwrap().to_vec();
    for row in input.rows_mut() {
        for value in row {
            *value = E::from_f32(value.to_f32().max(0.0));
        }
    }
    let mut output = Image::new(channels, size);
    max_pool(
        isa,
        MaxPool {
            input: &input.data,
            input_plane: input.plane,
            output: &mut output.data,
            output_plane: output.plane,
            blocks,
            size,
        },
    );
    for channel in 0..channels {
        for row in 0..size as isize {
            for column in 0..size as isize {
                let mut maximum = 0.0f64;
                for y in 2 * row - 1..2 * row + 2 {
                    for x in 2 * column - 1..2 * column + 2 {
                        maximum = maximum.max(pixel(&input, channel, y, x));
                    }
                }
                prop_assert_eq!(pixel(&output, channel, row, column), maximum);
            }
        }
    }

    let mut bits = vec![0; mask_row.len() / BLOCK];
    positive_mask(isa, &mask_row, &mut bits);
    let gradient = numbers.take(mask_row.len());
    let mut kept = vec![0.0; mask_row.len()];
    masked(isa, &gradient, &bits, &mut kept);
    for ((value, gradient), kept) in mask_row.iter().zip(&gradient).zip(&kept) {
        let expected = if value.to_f32() > 0.0 { *gradient } else { 0.0 };
        prop_assert_eq!(*kept, expected);
    }

    let (features, rows) = (32 * blocks, size);
    let (x, weight, bias) = (
        numbers.take(features),
        numbers.take(features * rows),
        numbers.take(rows),
    );
    for (row, logit) in classify(isa, &x, &weight, &bias).into_iter().enumerate() {
        let terms = x.iter().zip(&weight[row * features..]);
        let sum: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        prop_assert!((f64::from(logit) - sum - f64::from(bias[row])).abs() < 1e-5);
    }
    Ok(())
}

#[test]
fn subsampling_and_spreading_are_opposites() {
    let image = filled::<f32>(Image::new(32, 6), &mut Numbers(1));
    let mut half = Image::new(32, 3);
    image.subsample_into(&mut half);
    assert_eq!(pixel(&half, 17, 2, 1), pixel(&image, 17, 4, 2));
    let mut whole = Image::new(32, 6);
    half.spread_into(&mut whole);
    for channel in 0..32 {
        for (row, column) in (0..36).map(|cell| (cell / 6, cell % 6)) {
            let expected = if row % 2 == 0 && column % 2 == 0 {
                pixel(&image, channel, row, column)
            } else {
                0.0
            };
            assert_eq!(pixel(&whole, channel, row, column), expected);
        }
    }
}

#[test]
fn activations_and_means_leave_the_layout_behind() {
    let image = filled::<f32>(Image::new(32, 3), &mut Numbers(2));
    let activations = image.to_activations();
    assert_eq!(
        (activations.channels, activations.height, activations.width),
        (32, 3, 3)
    );
    for (channel, plane) in activations.planes().enumerate() {
        for (cell, value) in plane.iter().enumerate() {
            let expected = pixel(&image, channel, (cell / 3) as isize, (cell % 3) as isize);
            assert_eq!(f64::from(*value), expected);
        }
        let mean = plane.iter().sum::<f32>() / 9.0;
        assert!((image.channel_means()[channel] - mean).abs() < 1e-6);
    }
}

/// Elements that no kernel may read or write: the spare pixels between planes, and an output's border.
fn outside<E: Element>(image: &Image<E>) -> Vec<E> {
    let mut marked = image.clone();
    for row in marked.rows_mut() {
        row.fill(E::zeroed());
    }
    marked.data.to_vec()
}

#[test]
fn nothing_outside_the_image_is_read_or_written() {
    let mut numbers = Numbers(3);
    for isa in Isa::available() {
        for (method, window, size) in [
            (Method::Direct, 1, 5),
            (Method::Direct, 3, 7),
            (Method::Winograd(Tiling::F2x2), 3, 5),
            (Method::Winograd(Tiling::F4x4), 3, 6),
        ] {
            let weights = Weights {
                output: 32,
                input: 32,
                size: window,
                values: numbers.take(32 * 32 * window * window),
            };
            let convolution = Convolution::<f32>::new(isa, &weights, None, method);
            let input = match window {
                1 => Image::new(32, size),
                _ => Image::bordered(32, size),
            };
            let mut input = filled(input, &mut numbers);
            // A border is read, spare pixels are not.
            let (side, plane) = (input.side, input.plane);
            for plane in input.data.chunks_exact_mut(plane) {
                plane[side * side * BLOCK..].fill(f32::NAN);
            }
            let borders = [Image::new(32, size), Image::bordered(32, size)];
            let outputs = if method == Method::Direct { 2 } else { 1 };
            for mut output in borders.into_iter().take(outputs) {
                output.data.fill(7.0);
                let before = outside(&output);
                convolution.run(&input, &mut output, &Then::NOTHING, &mut Scratch::default());
                assert_eq!(outside(&output), before, "{isa:?} {method:?}");
                assert!(output.rows().flatten().all(|value| value.is_finite()));
            }
        }
    }
}

/// Layers of the real sizes: several rounds, strips and panels, large weights.
#[test]
fn large_layers_agree_with_scalar_code() {
    let all = Isa::available();
    for (output, input, window, size, method) in [
        (64, 256, 1, 56, Method::Direct),
        (64, 64, 3, 56, Method::Winograd(Tiling::F4x4)),
        (256, 256, 3, 14, Method::Winograd(Tiling::F2x2)),
        (256, 1024, 1, 14, Method::Direct),
        (128, 128, 3, 28, Method::Direct),
        (512, 512, 3, 7, Method::Winograd(Tiling::F2x2)),
    ] {
        let case = Case {
            output,
            input,
            window,
            size,
            stride: 1,
            has_norm: true,
            has_residual: true,
            has_relu: false,
            seed: 11,
        };
        let reference = case.output::<f32>(all[0], method);
        let largest = reference
            .rows()
            .flatten()
            .fold(0.0f32, |a, b| a.max(b.abs()));
        for isa in &all[1..] {
            let ours = case.output::<f32>(*isa, method);
            for (a, b) in ours.rows().flatten().zip(reference.rows().flatten()) {
                assert!((a - b).abs() < 2e-5 * largest, "{isa:?} {case:?}: {a} {b}");
            }
        }
    }
}
