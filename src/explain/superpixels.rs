//! Superpixels: SLIC (Achanta et al., 2012, "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods").

use crate::model::{ModelInput, Normalization};

/// How much distance counts against colour: a way as long as a superpixel is wide weighs as much as this difference in CIELAB.
const COMPACTNESS: f64 = 10.0;
/// Rounds of assigning pixels and moving centres.
const ROUNDS: usize = 10;
/// Pieces smaller than this share of a grid cell go to a neighbour (as in scikit-image).
const LEAST_SHARE: f64 = 0.5;

/// A picture cut into connected pieces of similar colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superpixels {
    /// For each pixel, row-major, the piece that it is in: all of `0..count`.
    pub(super) labels: Vec<usize>,
    /// How many pieces there are.
    pub(super) count: usize,
}

impl Superpixels {
    /// About `number` superpixels: k-means over place and CIELAB colour, begun on a square grid, each centre looking one step around.
    ///
    /// Centres begin at the middle of their cells as in scikit-image; the paper moves them by a pixel to where the gradient is smallest.
    pub(super) fn of(input: &ModelInput, normalization: &Normalization, number: usize) -> Self {
        let size = input.size;
        let side = ((number as f64).sqrt().round() as usize).clamp(1, size);
        let colours = lab_colours(input, normalization);
        let step = size as f64 / side as f64;
        let labels = clustered(&colours, size, side);
        let mut pieces = Self::connected(&labels, size);
        loop {
            let merged = pieces.without_small_ones(&colours, size, LEAST_SHARE * step * step);
            if merged.count == pieces.count {
                return pieces;
            }
            pieces = merged;
        }
    }

    /// A value per superpixel as a value per pixel.
    pub(super) fn spread(&self, values: &[f64]) -> Vec<f64> {
        self.labels.iter().map(|label| values[*label]).collect()
    }

    /// The connected pieces of equal labels, numbered in reading order.
    fn connected(labels: &[usize], size: usize) -> Self {
        const NONE: usize = usize::MAX;
        let mut pieces = vec![NONE; labels.len()];
        let mut count = 0;
        let mut open = Vec::new();
        for start in 0..labels.len() {
            if pieces[start] != NONE {
                continue;
            }
            pieces[start] = count;
            open.push(start);
            while let Some(pixel) = open.pop() {
                for neighbour in neighbours(pixel, size) {
                    if pieces[neighbour] == NONE && labels[neighbour] == labels[pixel] {
                        pieces[neighbour] = count;
                        open.push(neighbour);
                    }
                }
            }
            count += 1;
        }
        Self {
            labels: pieces,
            count,
        }
    }

    /// Joins every piece of fewer than `least` pixels to the neighbour that is most like it.
    fn without_small_ones(&self, colours: &[[f64; 3]], size: usize, least: f64) -> Self {
        let mut means = vec![Mean::default(); self.count];
        for (label, colour) in self.labels.iter().zip(colours) {
            means[*label].add(*colour, 0.0, 0.0);
        }
        let mut nearest = vec![None; self.count];
        for (pixel, label) in self.labels.iter().enumerate() {
            if means[*label].count >= least {
                continue;
            }
            for other in neighbours(pixel, size).map(|neighbour| self.labels[neighbour]) {
                let distance = squared_distance(means[*label].colour(), means[other].colour());
                if other != *label && nearest[*label].is_none_or(|(least, _)| distance < least) {
                    nearest[*label] = Some((distance, other));
                }
            }
        }
        let mut parents: Vec<usize> = (0..self.count).collect();
        for (label, neighbour) in nearest.into_iter().enumerate() {
            if let Some((_, neighbour)) = neighbour {
                let (own, other) = (root(&mut parents, label), root(&mut parents, neighbour));
                parents[own] = other;
            }
        }
        let labels: Vec<usize> = self
            .labels
            .iter()
            .map(|label| root(&mut parents, *label))
            .collect();
        Self::connected(&labels, size)
    }
}

/// The representative of the set that `member` is in.
fn root(parents: &mut [usize], mut member: usize) -> usize {
    while parents[member] != member {
        parents[member] = parents[parents[member]];
        member = parents[member];
    }
    member
}

/// The pixels to the left and right, above and below.
fn neighbours(pixel: usize, size: usize) -> impl Iterator<Item = usize> {
    let (row, column) = (pixel / size, pixel % size);
    let around = [
        (column > 0).then(|| pixel - 1),
        (column + 1 < size).then_some(pixel + 1),
        (row > 0).then(|| pixel - size),
        (row + 1 < size).then_some(pixel + size),
    ];
    around.into_iter().flatten()
}

/// The mean colour and place of some pixels.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    count: f64,
    /// L, a, b, column, row.
    sums: [f64; 5],
}

impl Mean {
    fn add(&mut self, colour: [f64; 3], column: f64, row: f64) {
        let [l, a, b] = colour;
        self.count += 1.0;
        for (sum, value) in self.sums.iter_mut().zip([l, a, b, column, row]) {
            *sum += value;
        }
    }

    fn colour(&self) -> [f64; 3] {
        let [l, a, b, ..] = self.sums;
        [l, a, b].map(|sum| sum / self.count)
    }

    fn column(&self) -> f64 {
        self.sums[3] / self.count
    }

    fn row(&self) -> f64 {
        self.sums[4] / self.count
    }
}

/// SLIC's k-means from `side * side` centres: the centre of every pixel. Those of one centre need not be connected.
fn clustered(colours: &[[f64; 3]], size: usize, side: usize) -> Vec<usize> {
    let step = size as f64 / side as f64;
    let mut centres: Vec<Mean> = (0..side * side)
        .map(|index| {
            let place = |cell: usize| (cell as f64 + 0.5) * step - 0.5;
            let (column, row) = (place(index % side), place(index / side));
            let pixel = row.round() as usize * size + column.round() as usize;
            let mut centre = Mean::default();
            centre.add(colours[pixel], column, row);
            centre
        })
        .collect();
    let window = |middle: f64| {
        let end = (middle + step).floor() as usize + 1;
        (middle - step).ceil().max(0.0) as usize..end.min(size)
    };
    let mut labels = vec![0; colours.len()];
    for _ in 0..ROUNDS {
        let mut distances = vec![f64::INFINITY; colours.len()];
        for (label, centre) in centres.iter().enumerate() {
            let (colour, middle_column, middle_row) =
                (centre.colour(), centre.column(), centre.row());
            for row in window(middle_row) {
                let across = (row as f64 - middle_row).powi(2);
                for column in window(middle_column) {
                    let pixel = row * size + column;
                    let way = across + (column as f64 - middle_column).powi(2);
                    let distance = squared_distance(colours[pixel], colour)
                        + way * (COMPACTNESS / step).powi(2);
                    if distance < distances[pixel] {
                        distances[pixel] = distance;
                        labels[pixel] = label;
                    }
                }
            }
        }
        let mut means = vec![Mean::default(); centres.len()];
        for (pixel, label) in labels.iter().enumerate() {
            let (column, row) = ((pixel % size) as f64, (pixel / size) as f64);
            means[*label].add(colours[pixel], column, row);
        }
        for (centre, mean) in centres.iter_mut().zip(means) {
            // A centre that lost all its pixels stays where it is.
            if mean.count > 0.0 {
                *centre = mean;
            }
        }
    }
    labels
}

fn squared_distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The CIELAB colour of every pixel of a network's input.
fn lab_colours(input: &ModelInput, normalization: &Normalization) -> Vec<[f64; 3]> {
    let pixels = input.size * input.size;
    (0..pixels)
        .map(|pixel| {
            let mut rgb = [0.0; 3];
            for (channel, colour) in normalization.channel_order.into_iter().enumerate() {
                let value = input.values[channel * pixels + pixel];
                let level = value * normalization.deviation[channel] + normalization.mean[channel];
                rgb[colour] = f64::from(level / 255.0).clamp(0.0, 1.0);
            }
            lab(rgb)
        })
        .collect()
}

/// sRGB in [0, 1] to CIELAB under D65.
fn lab(rgb: [f64; 3]) -> [f64; 3] {
    let [red, green, blue] = rgb.map(|level| {
        if level <= 0.040_45 {
            level / 12.92
        } else {
            ((level + 0.055) / 1.055).powf(2.4)
        }
    });
    let x = 0.412_453 * red + 0.357_580 * green + 0.180_423 * blue;
    let y = 0.212_671 * red + 0.715_160 * green + 0.072_169 * blue;
    let z = 0.019_334 * red + 0.119_193 * green + 0.950_227 * blue;
    let [x, y, z] = [x / 0.950_456, y, z / 1.088_754].map(|share: f64| {
        if share > 0.008_856 {
            share.cbrt()
        } else {
            7.787 * share + 16.0 / 116.0
        }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture of this colour (R, G, B) at each (column, row), as this network reads it.
    fn picture(
        size: usize,
        normalization: &Normalization,
        colour: impl Fn(usize, usize) -> [f32; 3],
    ) -> ModelInput {
        let channels = normalization.channel_order.into_iter().enumerate();
        let values = channels.flat_map(|(channel, wanted)| {
            let colour = &colour;
            (0..size * size).map(move |pixel| {
                let level = colour(pixel % size, pixel / size)[wanted];
                (level - normalization.mean[channel]) / normalization.deviation[channel]
            })
        });
        ModelInput {
            size,
            values: values.collect(),
        }
    }

    fn assert_is_partition(superpixels: &Superpixels, size: usize) {
        let mut is_used = vec![false; superpixels.count];
        for label in &superpixels.labels {
            is_used[*label] = true;
        }
        assert!(is_used.iter().all(|is_used| *is_used));
        let pieces = Superpixels::connected(&superpixels.labels, size);
        assert_eq!(pieces.count, superpixels.count, "a superpixel falls apart");
    }

    #[test]
    fn known_colours_in_cielab() {
        let known = [
            ([1.0, 1.0, 1.0], [100.0, 0.0, 0.0]),
            ([1.0, 0.0, 0.0], [53.24, 80.09, 67.20]),
            ([0.0, 0.0, 1.0], [32.30, 79.19, -107.86]),
        ];
        for (rgb, expected) in known {
            let distance = squared_distance(lab(rgb), expected).sqrt();
            assert!(distance < 0.05, "{rgb:?}: {:?}", lab(rgb));
        }
    }

    /// The colours are far apart only if the channels are put back in order.
    #[test]
    fn inputs_of_all_networks_have_their_colours_back() {
        for normalization in [Normalization::CAFFE, Normalization::TORCH] {
            let input = picture(2, &normalization, |_, _| [255.0, 0.0, 0.0]);
            let distance = squared_distance(
                lab_colours(&input, &normalization)[3],
                [53.24, 80.09, 67.20],
            );
            assert!(distance.sqrt() < 0.05);
        }
    }

    #[test]
    fn no_superpixel_crosses_the_border_of_two_colours() {
        let size = 224;
        let quadrant =
            |column: usize, row: usize| usize::from(column >= 112) + 2 * usize::from(row >= 112);
        let colours = [
            [250.0, 20.0, 20.0],
            [20.0, 200.0, 40.0],
            [30.0, 40.0, 220.0],
            [230.0, 220.0, 60.0],
        ];
        let input = picture(size, &Normalization::CAFFE, |column, row| {
            colours[quadrant(column, row)]
        });
        let superpixels = Superpixels::of(&input, &Normalization::CAFFE, 50);
        assert!(
            (35..=70).contains(&superpixels.count),
            "{}",
            superpixels.count
        );
        assert_is_partition(&superpixels, size);
        let mut quadrants = vec![None; superpixels.count];
        for (pixel, label) in superpixels.labels.iter().enumerate() {
            let own = quadrant(pixel % size, pixel / size);
            assert_eq!(*quadrants[*label].get_or_insert(own), own, "pixel {pixel}");
        }
    }

    #[test]
    fn noise_is_cut_into_connected_pieces_of_some_size() {
        let size = 96;
        let input = picture(size, &Normalization::TORCH, |column, row| {
            let mix = (column * 7919 + row * 104_729 + column * row * 31) as f32;
            [mix * 0.37 % 256.0, mix * 0.71 % 256.0, mix * 0.13 % 256.0]
        });
        let superpixels = Superpixels::of(&input, &Normalization::TORCH, 16);
        assert_is_partition(&superpixels, size);
        let mut sizes = vec![0; superpixels.count];
        for label in &superpixels.labels {
            sizes[*label] += 1;
        }
        assert!(
            sizes.iter().all(|pixels| *pixels >= 24 * 24 / 2),
            "{sizes:?}"
        );
    }

    #[test]
    fn odd_numbers_and_sizes_work() {
        for (size, number) in [(32, 1), (32, 0), (4, 1000), (1, 50)] {
            let input = picture(size, &Normalization::TORCH, |column, _| [column as f32; 3]);
            let superpixels = Superpixels::of(&input, &Normalization::TORCH, number);
            assert_is_partition(&superpixels, size);
        }
    }

    #[test]
    fn values_of_superpixels_are_spread_over_their_pixels() {
        let superpixels = Superpixels {
            labels: vec![0, 1, 1, 0],
            count: 2,
        };
        assert_eq!(superpixels.spread(&[-1.0, 2.0]), [-1.0, 2.0, 2.0, -1.0]);
    }
}
