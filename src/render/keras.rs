//! The picture of the Keras walk-through (`--recipe keras`), step by step as numpy, matplotlib, Pillow and Keras compute it. Unlike
//! [`Overlay`](super::Overlay), it interpolates colours, adds them, and stretches the sum to full range.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::colormap::jet;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::frame::Picture;
use crate::heatmap::NormalizedHeatmap;

/// Weight of the colours that are added.
const WEIGHT: f32 = 0.4;

/// `array_to_img(resize(array_to_img(jet[uint8(255 * map)])) * 0.4 + picture)`, as an RGB picture.
///
/// # Errors
/// [`ErrorKind::Compute`] if the picture is empty or larger than can be resized.
pub(super) fn overlay(picture: &Picture, map: &NormalizedHeatmap) -> Result<Picture> {
    let colors = map.values.iter().flat_map(|value| {
        // As numpy casts: towards zero.
        let index = (255.0 * value) as u8;
        jet(usize::from(index)).map(|intensity| intensity as f32)
    });
    let small = array_to_img(&colors.collect::<Vec<f32>>());
    let size = (picture.width, picture.height);
    let colors = bicubic(&small, (map.width, map.height), size)?;
    let sums: Vec<f32> = picture
        .to_rgb8()
        .into_iter()
        .zip(colors)
        .map(|(pixel, color)| f32::from(color) * WEIGHT + f32::from(pixel))
        .collect();
    Ok(Picture::from_rgb8(size.0, size.1, &array_to_img(&sums)))
}

/// Keras' conversion to an image: the smallest value becomes 0, the largest 255, what is between is cut to whole numbers.
fn array_to_img(values: &[f32]) -> Vec<u8> {
    let smallest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let shifted = values.iter().map(|value| value - smallest);
    let largest = shifted.clone().fold(0.0, f32::max);
    let largest = if largest == 0.0 { 1.0 } else { largest };
    shifted
        .map(|value| (value / largest * 255.0) as u8)
        .collect()
}

/// Pillow's `resize` with its default filter: Catmull-Rom splines in 8-bit fixed point, which `fast_image_resize` computes alike; but Pillow
/// goes along rows first, which matters where overshoots are cut off.
fn bicubic(rgb: &[u8], from: (usize, usize), to: (usize, usize)) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("cannot resize a heatmap to {}x{}: {error}", to.0, to.1);
        Error::new(ErrorKind::Compute, message).at_stage(Stage::Render)
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .use_alpha(false);
    let to_u32 = |length: usize| u32::try_from(length).map_err(|error| failed(&error));
    let (from_width, from_height) = (to_u32(from.0)?, to_u32(from.1)?);
    let (width, height) = (to_u32(to.0)?, to_u32(to.1)?);
    let source = ImageRef::new(from_width, from_height, rgb, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    let mut wide = Image::new(width, from_height, PixelType::U8x3);
    let mut whole = Image::new(width, height, PixelType::U8x3);
    let mut resizer = Resizer::new();
    resizer
        .resize(&source, &mut wide, &options)
        .and_then(|()| resizer.resize(&wide, &mut whole, &options))
        .map_err(|error| failed(&error))?;
    Ok(whole.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_an_array_becomes_that_of_an_image() {
        assert_eq!(array_to_img(&[-1.0, 0.0, 1.0]), [0, 127, 255]);
        assert_eq!(array_to_img(&[3.0, 3.0]), [0, 0]);
    }

    #[test]
    fn a_flat_map_only_tints_and_stretches() {
        let picture = Picture::from_rgb8(2, 1, &[0, 0, 0, 100, 100, 100]);
        let map = NormalizedHeatmap {
            width: 1,
            height: 1,
            values: vec![1.0],
        };
        // Jet ends in half red; `array_to_img` stretches that to full red: 102, 0, 0 are added.
        let drawn = overlay(&picture, &map).unwrap();
        let expected =
            [102.0, 0.0, 0.0, 202.0, 100.0, 100.0].map(|sum| (sum / 202.0 * 255.0) as u8);
        assert_eq!(drawn.to_rgb8(), expected);
    }
}
