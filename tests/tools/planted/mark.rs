//! The artefact: a tag of coloured stripes near the upper right corner, as an archive may stamp on its photos.

use image::{Rgb, RgbImage};

use super::pictures::{HEIGHT, WIDTH};
use super::truth::Region;

/// Side in pixels. This and the place are multiples of the side of JPEG's blocks, so that no other block changes.
const SIDE: u32 = 48;
const LEFT: u32 = WIDTH - SIDE - 8;
const TOP: u32 = 8;
/// Width of a stripe in pixels.
const STRIPE: u32 = 8;
const COLORS: [Rgb<u8>; 2] = [Rgb([240, 0, 200]), Rgb([20, 230, 60])];

/// Draws it.
pub(crate) fn draw(picture: &mut RgbImage) {
    for y in 0..SIDE {
        for x in 0..SIDE {
            let stripe = (x + y) / STRIPE;
            picture.put_pixel(LEFT + x, TOP + y, COLORS[stripe as usize % COLORS.len()]);
        }
    }
}

/// Where it is.
pub(crate) fn region() -> Region {
    let across = |x: u32| f64::from(x) / f64::from(WIDTH);
    let down = |y: u32| f64::from(y) / f64::from(HEIGHT);
    Region {
        x0: across(LEFT),
        y0: down(TOP),
        x1: across(LEFT + SIDE),
        y1: down(TOP + SIDE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pictures::encode;
    use super::*;

    #[test]
    fn a_stored_picture_changes_inside_the_region_only() {
        let plain = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let mut marked = plain.clone();
        draw(&mut marked);
        let stored = |picture: &RgbImage| {
            let bytes = encode(picture, 80).unwrap();
            image::load_from_memory(&bytes).unwrap().to_rgb8()
        };
        let (plain, marked) = (stored(&plain), stored(&marked));
        let region = region();
        let is_inside = |x: u32, y: u32| {
            let (x, y) = (
                (f64::from(x) + 0.5) / f64::from(WIDTH),
                (f64::from(y) + 0.5) / f64::from(HEIGHT),
            );
            (region.x0..region.x1).contains(&x) && (region.y0..region.y1).contains(&y)
        };
        let mut changed = 0;
        for (x, y, pixel) in plain.enumerate_pixels() {
            if marked.get_pixel(x, y) != pixel {
                assert!(is_inside(x, y), "({x}, {y})");
                changed += 1;
            }
        }
        assert!(changed > SIDE * SIDE * 9 / 10, "{changed}");
    }
}
