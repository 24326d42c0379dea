//! What storage in 16 bits does to numbers.

use super::*;

/// Whole numbers above 2048 are not all in f16, whose sums therefore must be short.
#[test]
fn sums_of_f16_are_short() {
    const INPUT: usize = 4096;
    let weights = Weights {
        output: 32,
        input: INPUT,
        size: 1,
        values: vec![1.0; 32 * INPUT],
    };
    let mut input = Image::<f16>::new(INPUT, 3);
    for row in input.rows_mut() {
        row.fill(f16::ONE);
    }
    for isa in Isa::available() {
        let convolution = Convolution::<f16>::new(isa, &weights, None, Method::Direct);
        let mut output = Image::new(32, 3);
        convolution.run(&input, &mut output, &Then::NOTHING, &mut Scratch::default());
        for channel in 0..32 {
            assert_eq!(pixel(&output, channel, 1, 1), INPUT as f64, "{isa:?}");
        }
    }
}

/// Batch normalisation makes a network the same whatever the scale of its weights.
#[test]
fn weights_of_any_scale_fit_into_f16() {
    let mut numbers = Numbers(9);
    let values = numbers.take(32 * 32);
    let input = filled::<f16>(Image::new(32, 4), &mut numbers);
    for isa in Isa::available() {
        let output = |scale: f32| {
            let weights = Weights {
                output: 32,
                input: 32,
                size: 1,
                values: values.iter().map(|value| value * scale).collect(),
            };
            let norm = BatchNorm {
                scale: vec![1.0 / scale; 32],
                shift: vec![0.0; 32],
            };
            let convolution = Convolution::<f16>::new(isa, &weights, Some(norm), Method::Direct);
            let mut output = Image::new(32, 4);
            convolution.run(&input, &mut output, &Then::NOTHING, &mut Scratch::default());
            output
        };
        let plain = output(1.0);
        for exponent in [-30, -12, 20] {
            let scaled = output((exponent as f32).exp2());
            assert_eq!(&*plain.data, &*scaled.data, "{isa:?} 2^{exponent}");
        }
    }
}

#[test]
fn results_are_rounded_to_nearest_even() {
    check_rounding::<bf16>();
    check_rounding::<f16>();
}

/// The sum of one product is exact, so that only the last rounding shows.
fn check_rounding<E: Element>() {
    let mut numbers = Numbers(5);
    let mut identity = vec![0.0; 32 * 32];
    for channel in 0..32 {
        identity[channel * 33] = 1.0;
    }
    let weights = Weights {
        output: 32,
        input: 32,
        size: 1,
        values: identity,
    };
    let norm = BatchNorm {
        scale: numbers.take(32),
        shift: numbers.take(32),
    };
    let input = filled::<E>(Image::new(32, 6), &mut numbers);
    for isa in Isa::available() {
        let convolution = Convolution::<E>::new(isa, &weights, Some(norm.clone()), Method::Direct);
        let mut output = Image::new(32, 6);
        convolution.run(&input, &mut output, &Then::NOTHING, &mut Scratch::default());
        for channel in 0..32 {
            let (scale, shift) = (norm.scale[channel], norm.shift[channel]);
            for cell in 0..36 {
                let x = pixel(&input, channel, cell / 6, cell % 6) as f32;
                let expected = [x.mul_add(scale, shift), x * scale + shift].map(rounded::<E>);
                let ours = pixel(&output, channel, cell / 6, cell % 6);
                assert!(expected.contains(&ours), "{isa:?}: {ours} {expected:?}");
            }
        }
    }
}
