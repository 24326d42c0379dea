//! What is measured on the luma of one picture: brightness, sharpness, a small copy, and a hash that look-alikes share.

mod hash;
mod sharpness;
mod small;

pub use hash::perceptual_hash;
pub use sharpness::sharpness;
pub use small::small;

/// Full-range 8-bit luma of an upright picture, row-major. One without pixels is black, blurred, and has no hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gray {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` grey levels, 0 to 255.
    pub values: Vec<u8>,
}

impl Gray {
    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.values
            .chunks_exact(self.width.max(1))
            .take(self.height)
    }

    fn is_empty(&self) -> bool {
        self.width == 0 || self.height == 0 || self.values.len() < self.width * self.height
    }
}

/// 99th percentile of the luma, 0 to 1: how bright the brightest parts are. `CleanVision` (0.3.8) calls a picture dark below 0.32, but takes the
/// percentile of `sqrt(0.241 R^2 + 0.691 G^2 + 0.068 B^2)`, which equals the luma for greys and is higher for saturated colours. As there,
/// the percentile lies between the two nearest values if it falls between them.
pub fn brightness(gray: &Gray) -> f64 {
    // Four tables, as equal neighbours would wait for each other in one.
    let mut tables = [[0_u64; 256]; 4];
    let mut quads = gray.values.chunks_exact(4);
    for quad in &mut quads {
        for (table, value) in tables.iter_mut().zip(quad) {
            table[usize::from(*value)] += 1;
        }
    }
    for value in quads.remainder() {
        tables[0][usize::from(*value)] += 1;
    }
    let count = gray.values.len().saturating_sub(1) as f64;
    let place = 0.99 * count;
    let level_at = |rank: f64| {
        let mut seen = 0;
        let level = (0..256).find(|level| {
            seen += tables.iter().map(|table| table[*level]).sum::<u64>();
            seen as f64 > rank
        });
        level.unwrap_or(0) as f64
    };
    let (low, high) = (level_at(place.floor()), level_at(place.ceil()));
    (low + (high - low) * place.fract()) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn picture(
        width: usize,
        height: usize,
        level: impl Fn(usize, usize) -> f64,
    ) -> Gray {
        let pixels = (0..width * height).map(|pixel| level(pixel % width, pixel / width));
        let values = pixels
            .map(|level| level.round().clamp(0.0, 255.0) as u8)
            .collect();
        Gray {
            width,
            height,
            values,
        }
    }

    #[test]
    fn brightness_is_the_99th_percentile() {
        let ramp = picture(100, 10, |x, _| x as f64);
        // Values of rank 989 and 990 of 0 to 999 are 98 and 99, and the percentile is 989.01.
        assert!((brightness(&ramp) - 98.01 / 255.0).abs() < 1e-12);
        assert_eq!(brightness(&picture(7, 3, |_, _| 255.0)), 1.0);
        let stars = picture(100, 100, |x, y| if y == 0 && x < 90 { 255.0 } else { 10.0 });
        assert_eq!(brightness(&stars), 10.0 / 255.0);
    }
}
