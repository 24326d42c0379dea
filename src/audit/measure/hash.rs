//! A hash that pictures share which look alike.

use std::array;
use std::f64::consts::PI;
use std::sync::LazyLock;

use super::Gray;
use super::small::{LEVEL_BITS, SIDE, cells};

/// Frequencies in each direction: 1 to 8.
const FREQUENCIES: usize = 8;
/// log2 of the number that stands for a cosine of 1.
const COSINE_BITS: u32 = 14;
/// One grey level in a coefficient of the orthonormal transform, whose factor is `sqrt(2 / 32)`, a quarter, in each direction.
const ONE_LEVEL: i64 = 1 << (LEVEL_BITS + 2 * COSINE_BITS + 4);

/// Cosines of the discrete cosine transform of type II, by frequency from 1. As whole numbers, so that every machine gets the same hash.
static COSINES: LazyLock<[[i64; SIDE]; FREQUENCIES]> = LazyLock::new(|| {
    let scale = f64::from(1 << COSINE_BITS);
    array::from_fn(|row| {
        array::from_fn(|place| {
            let angle = PI * (2 * place + 1) as f64 * (row + 1) as f64 / (2 * SIDE) as f64;
            (angle.cos() * scale).round() as i64
        })
    })
});

/// Perceptual hash (pHash; Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"): which of the coefficients of
/// the cosine transform of the [`small`](super::small()) picture, at frequencies 1 to 8 in both directions, are above their median.
/// Pictures that look alike differ in few bits of 64, others in about 32. As 32 bits are set in nearly every hash, distances are even.
///
/// Without frequency 0 in either direction, black bars, a plain margin or a vignette change little, which else make unlike pictures alike.
///
/// `None` if the picture has no structure to compare: half of the coefficients are within one grey level of their median. The hash of a
/// plain area or a smooth gradient is that of its rounding errors; such pictures of 640x480 stay below 0.7 even with noise of 10 grey
/// levels, photos are above 4.
pub fn perceptual_hash(gray: &Gray) -> Option<u64> {
    let cells = cells(gray);
    let mut coefficients = [0; FREQUENCIES * FREQUENCIES];
    let rows: [[i64; FREQUENCIES]; SIDE] = array::from_fn(|y| {
        COSINES
            .each_ref()
            .map(|cosines| product(cosines, &cells[y * SIDE..]))
    });
    for across in 0..FREQUENCIES {
        let column = rows.map(|row| row[across]);
        for (down, cosines) in COSINES.iter().enumerate() {
            coefficients[down * FREQUENCIES + across] = product(cosines, &column);
        }
    }
    let median = median(coefficients);
    if self::median(coefficients.map(|value| (value - median).abs())) < ONE_LEVEL {
        return None;
    }
    let bits = coefficients.iter().map(|value| u64::from(*value > median));
    Some(bits.fold(0, |hash, bit| hash << 1 | bit))
}

fn product(cosines: &[i64; SIDE], values: &[i64]) -> i64 {
    cosines.iter().zip(values).map(|(a, b)| a * b).sum()
}

/// The mean of the two middle values.
fn median(mut values: [i64; FREQUENCIES * FREQUENCIES]) -> i64 {
    values.sort_unstable();
    let middle = values.len() / 2;
    (values[middle - 1] + values[middle]).div_euclid(2)
}

#[cfg(test)]
mod tests {
    use super::super::tests::picture;
    use super::*;
    use crate::random::Random;

    /// Eight overlapping waves, the same scene at any size.
    fn scene(width: usize, height: usize, seed: u64) -> Gray {
        let mut random = Random::new(seed, 0);
        let waves: [[f64; 4]; 8] = array::from_fn(|_| array::from_fn(|_| random.fraction()));
        picture(width, height, |x, y| {
            let (x, y) = (
                (x as f64 + 0.5) / width as f64,
                (y as f64 + 0.5) / height as f64,
            );
            let wave = |[a, b, c, d]: [f64; 4]| {
                (9.0 * (a * x + b * y) * (0.5 + c) + 6.0 * d).sin() * (7.0 * (d * x - c * y)).cos()
            };
            128.0 + 40.0 * waves.iter().map(|one| wave(*one)).sum::<f64>()
        })
    }

    fn distance(one: &Gray, other: &Gray) -> u32 {
        (perceptual_hash(one).unwrap() ^ perceptual_hash(other).unwrap()).count_ones()
    }

    #[test]
    fn the_hash_survives_size_brightness_noise_and_a_crop() {
        for seed in 0..6 {
            let (original, half) = (scene(640, 480, seed), scene(320, 240, seed));
            assert!(distance(&original, &half) <= 2, "{seed}");
            let darker = picture(640, 480, |x, y| {
                f64::from(original.values[y * 640 + x]) * 0.9
            });
            assert!(distance(&original, &darker) <= 2, "{seed}");
            let cropped = picture(628, 470, |x, y| {
                f64::from(original.values[(y + 5) * 640 + x + 6])
            });
            assert!(distance(&original, &cropped) <= 10, "{seed}");
            let other = scene(640, 480, seed + 100);
            assert!(
                distance(&original, &other) >= 12,
                "{seed}: {}",
                distance(&original, &other)
            );
        }
    }

    #[test]
    fn pictures_without_structure_have_no_hash() {
        let mut random = Random::new(5, 0);
        let noise: Vec<f64> = (0..320 * 240).map(|_| 5.0 * random.normal()).collect();
        let plain = picture(320, 240, |x, y| 120.0 + noise[y * 320 + x]);
        let sky = picture(320, 240, |x, y| {
            (x + y) as f64 / 560.0 * 200.0 + noise[y * 320 + x]
        });
        let empty = Gray {
            width: 0,
            height: 0,
            values: Vec::new(),
        };
        for gray in [plain, sky, picture(9, 9, |_, _| 0.0), empty] {
            assert_eq!(perceptual_hash(&gray), None);
        }
    }

    /// Should this fail after a change, hashes in old reports could not be compared with new ones.
    #[test]
    fn the_hash_is_the_same_for_ever() {
        let mut random = Random::new(3, 0);
        let blocks: [usize; 100] = array::from_fn(|_| random.below(256));
        let gray = picture(90, 70, |x, y| blocks[y / 7 * 10 + x / 9] as f64);
        assert_eq!(
            format!("{:016x}", perceptual_hash(&gray).unwrap()),
            "c697c4bd2a6f9421"
        );
    }
}
