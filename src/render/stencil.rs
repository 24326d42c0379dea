//! A small picture of coverages, laid over part of a planar picture.

use crate::frame::{Picture, PictureFormat, Samples};
use crate::picture::SampleSpace;

/// Colour of the bars: the orange that stands out from both jet and viridis.
const ACCENT_RGB: [f64; 3] = [1.0, 0.6, 0.1];

/// Shares of a pixel that three colours cover; the picture shows through the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Coverage {
    /// Share of black.
    pub(super) dark: f32,
    /// Share of the bars' colour.
    pub(super) accent: f32,
    /// Share of white.
    pub(super) light: f32,
}

impl Coverage {
    /// What is left of the colours under a layer of this opacity.
    pub(super) fn under(self, opacity: f32) -> Self {
        let keep = 1.0 - opacity.clamp(0.0, 1.0);
        Self {
            dark: self.dark * keep,
            accent: self.accent * keep,
            light: self.light * keep,
        }
    }
}

/// Coverages at the resolution of each plane, at a fixed place in pictures of a fixed format.
#[derive(Debug, Clone)]
pub(super) struct Stencil {
    planes: [PlaneStencil; 3],
}

/// The part of a stencil that belongs to one plane; row-major.
#[derive(Debug, Clone)]
struct PlaneStencil {
    left: usize,
    top: usize,
    width: usize,
    coverage: Vec<Coverage>,
}

impl Stencil {
    /// A stencil of `size` with its top left pixel at `origin`, all in coded pixels. A chroma sample takes the mean
    /// over the pixels of its block.
    pub(super) fn new(
        coverage: &[Coverage],
        size: (usize, usize),
        origin: (usize, usize),
        picture_size: (usize, usize),
        format: PictureFormat,
    ) -> Self {
        let plane = |index: usize| {
            let (shift_x, shift_y) = match index {
                0 => (0, 0),
                _ => format.chroma_shift,
            };
            let (left, top) = (origin.0 >> shift_x, origin.1 >> shift_y);
            let right = (origin.0 + size.0).div_ceil(1 << shift_x);
            let bottom = (origin.1 + size.1).div_ceil(1 << shift_y);
            let width = right - left;
            let mut sums = vec![Coverage::default(); width * (bottom - top)];
            for (index, pixel) in coverage.iter().enumerate() {
                let x = ((origin.0 + index % size.0) >> shift_x) - left;
                let y = ((origin.1 + index / size.0) >> shift_y) - top;
                let sum = &mut sums[y * width + x];
                sum.dark += pixel.dark;
                sum.accent += pixel.accent;
                sum.light += pixel.light;
            }
            // Blocks at the right and bottom edge of an odd picture hold fewer pixels.
            let block_length = |sample: usize, shift: u8, pixels: usize| {
                (pixels.saturating_sub(sample << shift)).clamp(1, 1 << shift)
            };
            for (index, sum) in sums.iter_mut().enumerate() {
                let columns = block_length(left + index % width, shift_x, picture_size.0);
                let rows = block_length(top + index / width, shift_y, picture_size.1);
                let share = 1.0 / (columns * rows) as f32;
                sum.dark *= share;
                sum.accent *= share;
                sum.light *= share;
            }
            PlaneStencil {
                left,
                top,
                width,
                coverage: sums,
            }
        };
        Self {
            planes: [plane(0), plane(1), plane(2)],
        }
    }

    /// Lays the stencil over a picture of the size and format that it was made for.
    pub(super) fn draw(&self, picture: &mut Picture) {
        let space = SampleSpace::new(picture.color, picture.format.bit_depth);
        let colors = [[0.0; 3], ACCENT_RGB, [1.0; 3]].map(|rgb| space.encode(rgb));
        for (index, (plane, stencil)) in picture.planes.iter_mut().zip(&self.planes).enumerate() {
            let [dark, accent, light] = colors.map(|codes| f32::from(codes[index]));
            let mix = |sample: f32, coverage: &Coverage| {
                let covered = coverage.dark + coverage.accent + coverage.light;
                sample * (1.0 - covered)
                    + dark * coverage.dark
                    + accent * coverage.accent
                    + light * coverage.light
            };
            for (row, coverage) in stencil.coverage.chunks(stencil.width.max(1)).enumerate() {
                let start = (stencil.top + row) * plane.width + stencil.left;
                let span = start..start + stencil.width;
                match &mut plane.samples {
                    Samples::U8(samples) => {
                        let samples = samples.get_mut(span).unwrap_or_default();
                        for (sample, coverage) in samples.iter_mut().zip(coverage) {
                            *sample = mix(f32::from(*sample), coverage).round() as u8;
                        }
                    }
                    Samples::U16(samples) => {
                        let samples = samples.get_mut(span).unwrap_or_default();
                        for (sample, coverage) in samples.iter_mut().zip(coverage) {
                            *sample = mix(f32::from(*sample), coverage).round() as u16;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorModel, ColorSpec, Transfer};

    #[test]
    fn chroma_takes_the_mean_of_its_block() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 8,
        };
        let color = ColorSpec {
            model: ColorModel::YuvBt709,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        // A 5x4 picture, one opaque white pixel at (1, 0) and one at (4, 0).
        let mut coverage = [Coverage::default(); 4];
        coverage[0].light = 1.0;
        coverage[3].light = 1.0;
        let stencil = Stencil::new(&coverage, (4, 1), (1, 0), (5, 4), format);
        let mut picture = Picture::filled(5, 4, format, color, [50, 28, 228]);
        stencil.draw(&mut picture);
        let Samples::U8(luma) = &picture.planes[0].samples else {
            panic!("8 bits are kept in u8");
        };
        assert_eq!(luma[..5], [50, 235, 50, 50, 235]);
        assert_eq!(
            picture.planes[1].samples,
            // A quarter of the way to neutral; the last block is one pixel wide: half of the way.
            Samples::U8(vec![53, 28, 78, 28, 28, 28])
        );
    }
}
