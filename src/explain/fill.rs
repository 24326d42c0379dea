//! What hidden parts of a picture are replaced with.

use super::superpixels::Superpixels;
use crate::model::ModelInput;

/// Standard deviation of the blur as a share of the picture's side: 10 pixels of 224.
const BLUR: f64 = 10.0 / 224.0;
/// Where the Gaussian is cut off, in standard deviations.
const BLUR_END: f64 = 4.0;

/// What a hidden part of the picture shows instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// The mean colour of the pictures that the network learned from: 0 in every channel.
    MeanColour,
    /// The same part of the picture, strongly blurred: a Gaussian of 10 pixels in a picture of 224.
    Blur,
}

impl Fill {
    /// The picture of which hidden parts are taken.
    pub(super) fn picture(self, input: &ModelInput) -> ModelInput {
        match self {
            Self::MeanColour => ModelInput {
                size: input.size,
                values: vec![0.0; input.values.len()],
            },
            Self::Blur => blurred(input),
        }
    }
}

/// Every superpixel in its own mean colour.
pub(super) fn mean_fill(input: &ModelInput, superpixels: &Superpixels) -> ModelInput {
    let mut counts = vec![0usize; superpixels.count];
    for label in &superpixels.labels {
        counts[*label] += 1;
    }
    let planes = input.values.chunks_exact(superpixels.labels.len());
    let values = planes.flat_map(|plane| {
        let mut sums = vec![0.0; superpixels.count];
        for (label, value) in superpixels.labels.iter().zip(plane) {
            sums[*label] += f64::from(*value);
        }
        let means: Vec<f32> = sums
            .iter()
            .zip(&counts)
            .map(|(sum, count)| (sum / *count as f64) as f32)
            .collect();
        superpixels.labels.iter().map(move |label| means[*label])
    });
    ModelInput {
        size: input.size,
        values: values.collect(),
    }
}

/// The input where a superpixel is on, `fill` where it is off.
pub(super) fn compose(
    input: &ModelInput,
    fill: &ModelInput,
    superpixels: &Superpixels,
    is_on: &[bool],
) -> ModelInput {
    let values = input.values.iter().zip(&fill.values);
    // The labels once for each channel.
    let values = values.zip(superpixels.labels.iter().cycle());
    ModelInput {
        size: input.size,
        values: values
            .map(|((own, other), label)| if is_on[*label] { *own } else { *other })
            .collect(),
    }
}

/// A Gaussian blur of [`BLUR`]; beyond its edges the picture goes on with the colours of its outermost pixels.
fn blurred(input: &ModelInput) -> ModelInput {
    let kernel = gaussian(BLUR * input.size as f64);
    let planes = input.values.chunks_exact(input.size * input.size);
    let values = planes.flat_map(|plane| {
        let rows = blur_rows_and_transpose(plane, input.size, &kernel);
        blur_rows_and_transpose(&rows, input.size, &kernel)
    });
    ModelInput {
        size: input.size,
        values: values.collect(),
    }
}

/// An odd number of weights that add up to 1.
fn gaussian(deviation: f64) -> Vec<f64> {
    let reach = (BLUR_END * deviation).ceil() as i32;
    let weights: Vec<f64> = (-reach..=reach)
        .map(|offset| (-0.5 * (f64::from(offset) / deviation).powi(2)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn blur_rows_and_transpose(plane: &[f32], size: usize, kernel: &[f64]) -> Vec<f32> {
    let reach = kernel.len() / 2;
    let mut transposed = vec![0.0; plane.len()];
    for (row, line) in plane.chunks_exact(size).enumerate() {
        let padded: Vec<f64> = (0..size + 2 * reach)
            .map(|index| f64::from(line[index.saturating_sub(reach).min(size - 1)]))
            .collect();
        for (column, window) in padded.windows(kernel.len()).enumerate() {
            let sum: f64 = window.iter().zip(kernel).map(|(a, b)| a * b).sum();
            transposed[column * size + row] = sum as f32;
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves() -> (ModelInput, Superpixels) {
        let input = ModelInput {
            size: 2,
            values: (0..12u8).map(f32::from).collect(),
        };
        let superpixels = Superpixels {
            labels: vec![0, 1, 0, 1],
            count: 2,
        };
        (input, superpixels)
    }

    #[test]
    fn every_superpixel_has_its_mean_in_every_channel() {
        let (input, superpixels) = halves();
        let fill = mean_fill(&input, &superpixels);
        let expected = [1., 2., 1., 2., 5., 6., 5., 6., 9., 10., 9., 10.];
        assert_eq!(fill.values, expected);
    }

    #[test]
    fn superpixels_that_are_off_show_the_fill() {
        let (input, superpixels) = halves();
        let fill = Fill::MeanColour.picture(&input);
        let shown = compose(&input, &fill, &superpixels, &[false, true]);
        let expected = [0., 1., 0., 3., 0., 5., 0., 7., 0., 9., 0., 11.];
        assert_eq!(shown.values, expected);
        assert_eq!(compose(&input, &fill, &superpixels, &[true, true]), input);
    }

    #[test]
    fn a_blur_spreads_a_point_by_its_deviation_in_both_directions() {
        let size = 112;
        let mut values = vec![0.0; 3 * size * size];
        values[60 * size + 50] = 1.0;
        let blurred = Fill::Blur.picture(&ModelInput { size, values });
        let plane = &blurred.values[..size * size];
        let moment = |of: fn(f64, f64) -> f64| -> f64 {
            let pixels = plane.iter().enumerate();
            pixels
                .map(|(pixel, value)| {
                    f64::from(*value) * of((pixel % size) as f64, (pixel / size) as f64)
                })
                .sum()
        };
        assert!((moment(|_, _| 1.0) - 1.0).abs() < 1e-5);
        assert!((moment(|column, _| column) - 50.0).abs() < 1e-3);
        assert!((moment(|_, row| row) - 60.0).abs() < 1e-3);
        // 5 pixels, less the little that lies beyond the cut.
        let variance = moment(|column, _| (column - 50.0).powi(2));
        assert!((variance - 25.0).abs() < 0.1, "{variance}");
        assert!(
            blurred.values[size * size..]
                .iter()
                .all(|value| *value == 0.0)
        );
    }

    #[test]
    fn a_blur_leaves_a_flat_picture_as_it_is() {
        let input = ModelInput {
            size: 8,
            values: vec![3.0; 192],
        };
        for value in Fill::Blur.picture(&input).values {
            assert!((value - 3.0).abs() < 1e-6);
        }
    }
}
