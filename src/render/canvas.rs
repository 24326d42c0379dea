//! The upright drawing of a label: box, text and bars.

use super::stencil::{Coverage, Stencil};
use crate::frame::{Orientation, PictureFormat};

/// How dark the box is: enough for white text on a white picture.
const BOX_OPACITY: f32 = 0.62;
/// How light the unfilled part of a bar is.
const TRACK_OPACITY: f32 = 0.22;

/// The label as it looks upright, before it is fitted to a picture.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    margin: usize,
    pixels: Vec<Coverage>,
}

impl Canvas {
    /// A translucent black box with rounded corners, to be placed `margin` pixels from the picture's edges.
    pub(super) fn dark_box(width: usize, height: usize, margin: usize) -> Self {
        let radius = margin as f32 * 0.6;
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let dark = BOX_OPACITY * rounded_coverage((x, y), (width, height), radius);
                pixels.push(Coverage {
                    dark,
                    ..Coverage::default()
                });
            }
        }
        Self {
            width,
            height,
            margin,
            pixels,
        }
    }

    /// Lays white over the pixel with this opacity.
    pub(super) fn add_light(&mut self, x: i32, y: i32, opacity: f32) {
        if let Some(pixel) = self.pixel(x, y) {
            *pixel = pixel.under(opacity);
            pixel.light += opacity;
        }
    }

    /// A bar of this size (width, height), filled from the left up to `fraction`.
    pub(super) fn draw_bar(
        &mut self,
        left: usize,
        top: usize,
        (width, height): (usize, usize),
        fraction: f32,
    ) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction };
        let filled = width as f32 * fraction.clamp(0.0, 1.0);
        for y in top..top + height {
            for x in 0..width {
                let accent = (filled - x as f32).clamp(0.0, 1.0);
                let track = TRACK_OPACITY * (1.0 - accent);
                if let Some(pixel) = self.pixel((left + x) as i32, y as i32) {
                    *pixel = pixel.under(accent + track);
                    pixel.accent += accent;
                    pixel.light += track;
                }
            }
        }
    }

    fn pixel(&mut self, x: i32, y: i32) -> Option<&mut Coverage> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        if x >= self.width {
            return None;
        }
        self.pixels.get_mut(y * self.width + x)
    }

    /// The canvas at its place in pictures coded with this size, format and orientation.
    pub(super) fn into_stencil(
        self,
        picture_size: (usize, usize),
        format: PictureFormat,
        orientation: Orientation,
    ) -> Stencil {
        let (picture_width, picture_height) = picture_size;
        let coded = orientation.to_coded(&self.pixels, self.width, self.height);
        let (width, height) = orientation.upright_size(self.width, self.height);
        // Two opposite corners of the box, as coded.
        let corner =
            |x: usize, y: usize| orientation.coded_position(x, y, picture_width, picture_height);
        let first = corner(self.margin, self.margin);
        let last = corner(self.margin + self.width - 1, self.margin + self.height - 1);
        let origin = (first.0.min(last.0), first.1.min(last.1));
        Stencil::new(&coded, (width, height), origin, picture_size, format)
    }
}

/// How much of the pixel lies inside a rounded rectangle: 1 but near the corners.
fn rounded_coverage((x, y): (usize, usize), (width, height): (usize, usize), radius: f32) -> f32 {
    let beyond = |position: usize, length: usize| {
        let center = position as f32 + 0.5;
        let inset = center.min(length as f32 - center);
        (radius - inset).max(0.0)
    };
    let distance = beyond(x, width).hypot(beyond(y, height));
    (radius - distance + 0.5).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_never_cover_more_than_the_whole_pixel() {
        let mut canvas = Canvas::dark_box(30, 20, 10);
        for _ in 0..3 {
            canvas.add_light(5, 5, 0.7);
            canvas.draw_bar(2, 4, (20, 6), 0.37);
        }
        for pixel in &canvas.pixels {
            let covered = pixel.dark + pixel.accent + pixel.light;
            assert!((0.0..=1.0 + 1e-6).contains(&covered), "{pixel:?}");
        }
    }

    #[test]
    fn corners_are_round_and_the_rest_is_full() {
        let canvas = Canvas::dark_box(30, 20, 10);
        assert_eq!(canvas.pixels[0].dark, 0.0);
        assert_eq!(canvas.pixels[15].dark, BOX_OPACITY);
        assert_eq!(canvas.pixels[10 * 30 + 15].dark, BOX_OPACITY);
    }
}
