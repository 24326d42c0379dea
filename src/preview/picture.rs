//! Pictures as viewers need them: upright, with square pixels, of a size that fits.

use std::io::Cursor;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as FfmpegError, frame};
use image::{ImageFormat, RgbImage};

use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg_ffi::plane_row;
use crate::ffmpeg_picture::{Rescaler, native_pixel, picture_of};
use crate::frame::{ColorModel, ColorSpec, Orientation, Picture, Transfer};
use crate::pipeline::live::Shown;

/// Full range with the matrix of JPEG files.
pub(super) const JPEG_COLOR: ColorSpec = ColorSpec {
    model: ColorModel::YuvBt601,
    is_full_range: true,
    transfer: Transfer::Sdr,
};

/// Width and height at which the upright picture has square pixels and its own number of rows.
pub(super) fn upright_size(shown: &Shown) -> (usize, usize) {
    let (picture, aspect) = (&shown.picture, shown.pixel_aspect);
    let width = ((picture.width as f64 * aspect).round() as usize).max(1);
    shown.orientation.upright_size(width, picture.height)
}

#[cfg(any(feature = "window", feature = "http"))]
/// The largest size of the shape of `size` that fits into `room`; never empty.
pub(super) fn fit(size: (usize, usize), room: (usize, usize)) -> (usize, usize) {
    let (width, height) = (size.0.max(1) as f64, size.1.max(1) as f64);
    let scale = (room.0 as f64 / width).min(room.1 as f64 / height);
    let length = |length: f64| ((length * scale).round() as usize).max(1);
    (length(width), length(height))
}

/// Makes small packed RGB of pictures.
pub(super) struct Painter {
    rescaler: Rescaler,
    /// Makes HDR pictures small before their tones are mapped, which takes long.
    hdr_rescaler: Rescaler,
}

impl Painter {
    pub(super) fn new() -> Self {
        Self {
            rescaler: Rescaler::new(),
            hdr_rescaler: Rescaler::new(),
        }
    }

    /// The upright picture with `size` pixels, as 0RGB words in rows.
    pub(super) fn words(
        &mut self,
        shown: &Shown,
        size: (usize, usize),
    ) -> std::result::Result<Vec<u32>, FfmpegError> {
        let (width, height) = shown.orientation.upright_size(size.0, size.1);
        let frame = self.frame(shown, (width, height), Pixel::BGRA)?;
        let mut words = Vec::with_capacity(width * height);
        for row in 0..height {
            let row = plane_row(frame, 0, row, 4 * width).ok_or(FfmpegError::InvalidData)?;
            let (pixels, _) = row.as_chunks::<4>();
            words.extend(
                pixels
                    .iter()
                    .map(|pixel| u32::from_le_bytes(*pixel) & 0x00ff_ffff),
            );
        }
        if shown.orientation == Orientation::default() {
            return Ok(words);
        }
        Ok(shown.orientation.to_upright(&words, width, height))
    }

    /// The same as red, green and blue bytes.
    pub(super) fn rgb(
        &mut self,
        shown: &Shown,
        size: (usize, usize),
    ) -> std::result::Result<Vec<u8>, FfmpegError> {
        let words = self.words(shown, size)?;
        let bytes = words.iter().flat_map(|word| {
            let [_, red, green, blue] = word.to_be_bytes();
            [red, green, blue]
        });
        Ok(bytes.collect())
    }

    /// The picture as coded, with `size` pixels, as an FFmpeg frame in SDR.
    pub(super) fn frame(
        &mut self,
        shown: &Shown,
        size: (usize, usize),
        pixel: Pixel,
    ) -> std::result::Result<&mut frame::Video, FfmpegError> {
        let color = match pixel {
            Pixel::YUVJ420P => JPEG_COLOR,
            _ => ColorSpec::RGB,
        };
        let picture = &*shown.picture;
        if picture.color.transfer == Transfer::Sdr {
            return self.rescaler.run(picture, size, pixel, color);
        }
        let small = self.tone_mapped(picture, size)?;
        self.rescaler.run(&small, size, pixel, color)
    }

    /// An HDR picture in SDR, with `size` pixels.
    fn tone_mapped(
        &mut self,
        picture: &Picture,
        size: (usize, usize),
    ) -> std::result::Result<Picture, FfmpegError> {
        let (format, color) = (picture.format, picture.color);
        let pixel = native_pixel(format, color).ok_or(FfmpegError::InvalidData)?;
        let frame = self.hdr_rescaler.run(picture, size, pixel, color)?;
        let small = picture_of(frame, format, color)?;
        Ok(Picture::from_rgb8(size.0, size.1, &small.to_rgb8()))
    }
}

/// What is shown as a PNG file, upright, at full size.
///
/// # Errors
/// [`ErrorKind::Output`] if it cannot be encoded.
pub fn snapshot(shown: &Shown) -> Result<Vec<u8>> {
    let failed = |cause: String| {
        Error::new(
            ErrorKind::Output,
            format!("cannot make a snapshot: {cause}"),
        )
    };
    let (width, height) = upright_size(shown);
    let bytes = Painter::new()
        .rgb(shown, (width, height))
        .map_err(|error| failed(error.to_string()))?;
    let image = RgbImage::from_raw(width as u32, height as u32, bytes)
        .ok_or_else(|| failed("its size does not fit".to_owned()))?;
    let mut png = Cursor::new(Vec::new());
    image
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| failed(error.to_string()))?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PictureFormat;
    use crate::picture::SampleSpace;

    #[test]
    fn hdr_is_shown_as_sdr() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 10,
        };
        for transfer in [Transfer::Pq, Transfer::Hlg] {
            let color = ColorSpec {
                model: ColorModel::YuvBt2020,
                is_full_range: false,
                transfer,
            };
            let wanted = [150, 80, 40];
            let codes =
                SampleSpace::new(color, 10).encode(wanted.map(|byte| f64::from(byte) / 255.0));
            let picture = Picture::filled(64, 48, format, color, codes);
            let shown = Shown::new(0, picture, Orientation::default(), 1.0);
            let png = image::load_from_memory(&snapshot(&shown).unwrap()).unwrap();
            let small = Painter::new().rgb(&shown, (31, 23)).unwrap();
            for pixel in png
                .to_rgb8()
                .pixels()
                .map(|pixel| pixel.0)
                .chain(small.as_chunks().0.iter().copied())
            {
                let is_near = |(byte, wanted): (u8, u8)| byte.abs_diff(wanted) <= 2;
                assert!(
                    pixel.into_iter().zip(wanted).all(is_near),
                    "{transfer:?}: {pixel:?}"
                );
            }
        }
    }

    #[cfg(any(feature = "window", feature = "http"))]
    #[test]
    fn pictures_fit_into_the_room_and_keep_their_shape() {
        assert_eq!(fit((1280, 720), (640, 640)), (640, 360));
        assert_eq!(fit((720, 1280), (640, 640)), (360, 640));
        assert_eq!(fit((10, 10), (0, 5)), (1, 1));
        assert_eq!(fit((0, 0), (5, 5)), (5, 5));
    }
}
