//! Pictures as the first layer of a batched network reads them.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

#[cfg(feature = "cuda")]
use crate::model::cuda::OnDevice;
use crate::model::{ModelInput, Precision};

/// The types in which a device computes.
pub trait Element: OnDevice + candle_core::WithDType {
    /// As on the command line.
    const PRECISION: Precision;

    /// The nearest value.
    fn rounded(value: f32) -> Self;

    /// The nearest value of each: several at a time where the machine can.
    fn all_rounded(values: Vec<f32>) -> Vec<Self>;
}

/// What a type needs so that its values can lie on the device.
#[cfg(not(feature = "cuda"))]
pub trait OnDevice: Send + Sync + 'static {}
#[cfg(not(feature = "cuda"))]
impl<T: Send + Sync + 'static> OnDevice for T {}

impl Element for f32 {
    const PRECISION: Precision = Precision::F32;

    fn rounded(value: f32) -> Self {
        value
    }

    fn all_rounded(values: Vec<f32>) -> Vec<Self> {
        values
    }
}

impl Element for f16 {
    const PRECISION: Precision = Precision::F16;

    fn rounded(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn all_rounded(values: Vec<f32>) -> Vec<Self> {
        let mut rounded = vec![Self::ZERO; values.len()];
        rounded.convert_from_f32_slice(&values);
        rounded
    }
}

impl Element for bf16 {
    const PRECISION: Precision = Precision::Bf16;

    fn rounded(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn all_rounded(values: Vec<f32>) -> Vec<Self> {
        let mut rounded = vec![Self::ZERO; values.len()];
        rounded.convert_from_f32_slice(&values);
        rounded
    }
}

/// The picture with its channels last, `[size, size, 3]`.
pub(in crate::model) fn channels_last<T: Element>(input: &ModelInput) -> Vec<T> {
    let pixels = input.size * input.size;
    let mut values = vec![0.0; 3 * pixels];
    for (channel, plane) in input.values.chunks_exact(pixels).enumerate() {
        for (pixel, value) in values.chunks_exact_mut(3).zip(plane) {
            pixel[channel] = *value;
        }
    }
    T::all_rounded(values)
}
