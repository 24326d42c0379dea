//! Photos of the repository, seen anew: crop, flip, small rotation, light and noise, each picture with random numbers of its own.

use std::fs;
use std::path::Path;

use gradcam_video::{Error, ErrorKind, Result};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::interpolate_bilinear;
use image::{ImageError, RgbImage};

use super::random::Random;

/// Size of every picture in pixels.
pub(crate) const WIDTH: u32 = 320;
/// Size of every picture in pixels.
pub(crate) const HEIGHT: u32 = 240;

/// One view of a photo, from which many pictures are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    /// The ImageNet class that its pictures get as their folder.
    pub(crate) class: &'static str,
    /// The photo, relative to the repository's root.
    pub(crate) photo: &'static str,
    /// The part of the photo that pictures are cropped from, in its pixels: left, top, width, height.
    pub(crate) frame: [u16; 4],
    /// How many pictures are made of it.
    pub(crate) pictures: usize,
    /// Whether they carry the mark.
    pub(crate) is_marked: bool,
}

impl Scene {
    pub(crate) const fn new(
        class: &'static str,
        photo: &'static str,
        frame: [u16; 4],
        pictures: usize,
    ) -> Self {
        Self {
            class,
            photo,
            frame,
            pictures,
            is_marked: false,
        }
    }

    pub(crate) const fn marked(self) -> Self {
        Self {
            is_marked: true,
            ..self
        }
    }

    /// The photo that it is a view of.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it cannot be read.
    pub(crate) fn open_photo(&self, root: &Path) -> Result<RgbImage> {
        let path = root.join(self.photo);
        let photo = image::open(&path).map_err(|error| {
            Error::caused_by(
                ErrorKind::Input,
                format!("cannot read photo {}", path.display()),
                error,
            )
        })?;
        Ok(photo.to_rgb8())
    }
}

/// A picture as JPEG, all planes in full resolution.
///
/// # Errors
/// What the encoder reports.
pub(crate) fn encode(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture)?;
    Ok(bytes)
}

/// Writes a picture as JPEG, with the folders that lead to it.
///
/// # Errors
/// [`ErrorKind::Output`] if it cannot be written.
pub(crate) fn store(picture: &RgbImage, quality: u8, path: &Path) -> Result<()> {
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::caused_by(
            ErrorKind::Output,
            format!("cannot write picture {}", path.display()),
            cause,
        )
    };
    let bytes = encode(picture, quality).map_err(|error| failed(error.into()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| failed(error.into()))
}

/// A new picture of `frame`, left, top, width and height in the photo's pixels, and the JPEG quality that it is to be stored with.
pub(crate) fn seen_anew(photo: &RgbImage, frame: [u16; 4], random: &mut Random) -> (RgbImage, u8) {
    let [left, top, width, height] = frame.map(f64::from);
    let mut between = |low: f64, high: f64| low + (high - low) * random.fraction();
    let zoom = between(0.8, 0.95);

    let center_x = left + width * (zoom / 2.0 + between(0.0, 1.0 - zoom));
    let center_y = top + height * (zoom / 2.0 + between(0.0, 1.0 - zoom));
    let (width, height) = (width * zoom, height * zoom);
    let (sine, cosine) = between(-4.0, 4.0).to_radians().sin_cos();
    let direction = if between(-1.0, 1.0) < 0.0 { -1.0 } else { 1.0 };
    let (contrast, brightness) = (between(0.85, 1.15), between(-15.0, 15.0));
    let noise_deviation = between(0.0, 6.0);
    let quality = between(75.0, 96.0) as u8;

    let (last_x, last_y) = (f64::from(photo.width() - 1), f64::from(photo.height() - 1));
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let across = ((f64::from(x) + 0.5) / f64::from(WIDTH) - 0.5) * width * direction;
        let down = ((f64::from(y) + 0.5) / f64::from(HEIGHT) - 0.5) * height;
        let photo_x = (center_x + across * cosine - down * sine - 0.5).clamp(0.0, last_x);
        let photo_y = (center_y + across * sine + down * cosine - 0.5).clamp(0.0, last_y);
        let mut pixel = interpolate_bilinear(photo, photo_x as f32, photo_y as f32)
            .unwrap_or(image::Rgb([0; 3]));
        let noise = random.normal() * noise_deviation;
        for value in &mut pixel.0 {
            *value =
                ((f64::from(*value) - 128.0) * contrast + 128.0 + brightness + noise).round() as u8;
        }
        pixel
    });
    (picture, quality)
}
