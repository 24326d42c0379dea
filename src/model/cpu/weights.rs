//! Weights in the order in which kernels read them.

use super::image::Buffer;
use super::kernels::{BLOCK, Element, Isa, Tiling, panel_channels, winograd_weight};

/// Weights as the file has them: `[output][input][size][size]`.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    pub(super) output: usize,
    pub(super) input: usize,
    pub(super) size: usize,
    pub(super) values: Vec<f32>,
}

impl Weights {
    #[inline(always)]
    fn taps(&self) -> usize {
        self.size * self.size
    }

    #[inline(always)]
    fn at(&self, output: usize, input: usize, tap: usize) -> f32 {
        self.values[(output * self.input + input) * self.taps() + tap]
    }

    /// The weights of the convolution that takes a gradient with respect to the output to one with respect to the input, for
    /// outputs that are multiplied by `scale`.
    pub(super) fn transposed(&self, scale: &[f32]) -> Self {
        let taps = self.taps();
        let mut values = vec![0.0; self.values.len()];
        for (output, scale) in scale.iter().enumerate() {
            for input in 0..self.input {
                for tap in 0..taps {
                    values[(input * self.output + output) * taps + taps - 1 - tap] =
                        self.at(output, input, tap) * scale;
                }
            }
        }
        Self {
            output: self.input,
            input: self.output,
            size: self.size,
            values,
        }
    }

    /// Each output channel multiplied by the power of two that brings its largest weight up or down to `largest`; the factor is taken
    /// out of `scales`, by which the channels are multiplied later.
    pub(super) fn brought_to(&self, largest: f32, scales: &mut [f32]) -> Self {
        let mut values = self.values.clone();
        let channels = values.chunks_exact_mut(self.input * self.taps());
        for (channel, scale) in channels.zip(scales) {
            let own = channel
                .iter()
                .fold(0.0f32, |own, value| own.max(value.abs()));
            let factor = (largest / own).log2().floor().exp2();
            // A channel of zeros stays.
            if factor.is_normal() {
                for value in channel {
                    *value *= factor;
                }
                *scale /= factor;
            }
        }
        Self { values, ..*self }
    }

    /// For a direct convolution: `[panels][input blocks][taps][words of a block][channels of a panel]` words.
    pub(super) fn packed<E: Element>(&self, isa: Isa) -> Buffer<E> {
        let channels = panel_channels::<E>(isa);
        let mut packed = Buffer::zeros(self.values.len());
        let (elements, mut at): (&mut [E], _) = (&mut packed, 0);
        for first_output in (0..self.output).step_by(channels) {
            for first_input in (0..self.input).step_by(BLOCK) {
                for tap in 0..self.taps() {
                    for word in (first_input..first_input + BLOCK).step_by(E::PER_WORD) {
                        for output in first_output..first_output + channels {
                            for input in word..word + E::PER_WORD {
                                elements[at] = E::from_f32(self.at(output, input, tap));
                                at += 1;
                            }
                        }
                    }
                }
            }
        }
        packed
    }

    /// For a first layer, whose pixels lie side by side, channel by channel: `[panels][rows][words of a row][channels of a panel]`.
    pub(super) fn packed_for_pixels(&self, isa: Isa) -> Buffer<f32> {
        let channels = panel_channels::<f32>(isa);
        let row = self.size * self.input;
        let mut packed = Buffer::zeros(self.values.len());
        let (elements, mut at): (&mut [f32], _) = (&mut packed, 0);
        for first_output in (0..self.output).step_by(channels) {
            for y in 0..self.size {
                for index in 0..row {
                    let (x, input) = (index / self.input, index % self.input);
                    let tap = y * self.size + x;
                    for output in first_output..first_output + channels {
                        elements[at] = self.at(output, input, tap);
                        at += 1;
                    }
                }
            }
        }
        packed
    }

    /// For Winograd: each frequency packed as a 1x1 convolution.
    pub(super) fn packed_for_winograd<E: Element>(&self, isa: Isa, tiling: Tiling) -> Buffer<E> {
        let channels = panel_channels::<E>(isa);
        let per_frequency = self.output * self.input;
        let mut packed = Buffer::zeros(tiling.frequencies() * per_frequency);
        let elements: &mut [E] = &mut packed;
        let mut transformed = vec![0.0; tiling.frequencies()];
        for output in 0..self.output {
            let panel = output / channels * channels * self.input + output % channels;
            for input in 0..self.input {
                let first = (output * self.input + input) * self.taps();
                let mut weight = [0.0; 9];
                weight.copy_from_slice(&self.values[first..first + 9]);
                winograd_weight(tiling, weight, &mut transformed);
                let mut at = panel + input * channels;
                for value in &transformed {
                    elements[at] = E::from_f32(*value);
                    at += per_frequency;
                }
            }
        }
        packed
    }
}
