//! A still image as a stream of one frame.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use image::metadata::Orientation as ExifOrientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{FrameSource, SourceEnd, SourceInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, FrameIndex, Orientation, Picture, Pts, TimeBase};

/// Largest file that is read, in bytes; an uncompressed image of the largest size still fits.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Largest decoded image, in bytes: 178 megapixels of 8-bit RGB. More is a mistake or an attack.
const MAX_DECODED_BYTES: u64 = 1 << 29;

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff"];

/// Whether the name ends like that of a still image. GIF is not among them: it is read as a video.
pub fn is_still_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
    })
}

/// Whether a file is to be read as a still image: by its name, unless it begins like a video.
pub fn is_still_image(path: &Path) -> bool {
    is_still_image_name(path) && !begins_like_a_video(path)
}

/// Whether a regular file begins with the signature of MP4, Matroska, AVI, Ogg, FLV or a program stream, or is an animated PNG.
fn begins_like_a_video(path: &Path) -> bool {
    // A pipe may have no writer yet, and what is read from it would be missing later.
    path.is_file() && File::open(path).and_then(is_video).unwrap_or(false)
}

fn is_video(mut file: File) -> io::Result<bool> {
    let mut head = [0; 12];
    file.read_exact(&mut head)?;
    Ok(&head[4..8] == b"ftyp"
        || head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])
        || (head.starts_with(b"RIFF") && &head[8..] == b"AVI ")
        || head.starts_with(b"OggS")
        || head.starts_with(b"FLV")
        || head.starts_with(&[0, 0, 1, 0xBA])
        || (head.starts_with(PNG_SIGNATURE) && is_animated_png(file)?))
}

/// Whether a chunk before the pixels says that there are several pictures.
fn is_animated_png(mut file: File) -> io::Result<bool> {
    file.seek(SeekFrom::Start(PNG_SIGNATURE.len() as u64))?;
    loop {
        // Length, kind, and for an animation the number of pictures.
        let mut chunk = [0; 12];
        file.read_exact(&mut chunk)?;
        let [l0, l1, l2, l3, kind @ .., n0, n1, n2, n3] = chunk;
        match &kind {
            b"acTL" => return Ok(u32::from_be_bytes([n0, n1, n2, n3]) > 1),
            b"IDAT" | b"IEND" => return Ok(false),
            // The checksum follows, which is as long as the number.
            _ => file.seek(SeekFrom::Current(i64::from(u32::from_be_bytes([
                l0, l1, l2, l3,
            ]))))?,
        };
    }
}

/// Whether the header of a WebP says that there are several pictures.
fn is_animated_webp(bytes: &[u8]) -> bool {
    const ANIMATION: u8 = 2;
    bytes.starts_with(b"RIFF")
        && bytes.get(8..16) == Some(b"WEBPVP8X")
        && bytes.get(20).is_some_and(|flags| flags & ANIMATION != 0)
}

/// One frame, decoded when the source is opened: upright, full-range RGB with 8 bits, without alpha.
#[derive(Debug)]
pub struct StillSource {
    info: SourceInfo,
    picture: Option<Picture>,
}

impl StillSource {
    /// Reads and decodes the image. The format is told from the content, the EXIF orientation is applied,
    /// transparent pixels are laid over black.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if the file cannot be read, is no image, is damaged or too large.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = read_image_file(path)?;
        Self::from_bytes(&bytes, path)
    }

    /// Decodes the image in `bytes`, the contents of the file at `path`, as [`open`](Self::open) does.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if they are no image, or one that is damaged or too large.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut notices = Vec::new();
        let image = decode(bytes).map_err(|cause| cannot_read(path, cause))?;
        let image = flatten(image, &mut notices);
        if is_animated_webp(bytes) {
            notices.push("only the first picture of the animation is read".to_owned());
        }
        let (width, height) = (image.width() as usize, image.height() as usize);
        let picture = Picture::from_rgb8(width, height, image.as_raw());
        Ok(Self {
            info: SourceInfo {
                width,
                height,
                format: picture.format,
                color: picture.color,
                pixel_aspect: 1.0,
                orientation: Orientation::default(),
                time_base: TimeBase {
                    numerator: 1,
                    denominator: 25,
                },
                estimated_frames: Some(1),
                is_endless: false,
                clock_start_micros: None,
                notices,
                #[cfg(feature = "video")]
                template: None,
            },
            picture: Some(picture),
        })
    }
}

impl FrameSource for StillSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        Ok(self.picture.take().map(|picture| Frame {
            index: FrameIndex(0),
            pts: Pts(0),
            duration: 1,
            picture,
            #[cfg(feature = "video")]
            passthrough: Vec::new(),
        }))
    }

    fn finish(&mut self) -> SourceEnd {
        SourceEnd::default()
    }
}

/// The contents of a file of a size that an image may have.
///
/// # Errors
/// [`ErrorKind::Input`] if it cannot be read, is empty or too large.
pub(crate) fn read_image_file(path: &Path) -> Result<Vec<u8>> {
    read_file(path).map_err(|cause| cannot_read(path, cause))
}

fn cannot_read(path: &Path, cause: String) -> Error {
    let message = format!("cannot read image {}", path.display());
    Error::caused_by(ErrorKind::Input, message, cause)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "the file is larger than {} MiB",
            MAX_FILE_BYTES >> 20
        ));
    }
    Ok(bytes)
}

// Causes are plain text: the messages of `image` already contain those of the errors beneath.
fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let text = |error: image::ImageError| error.to_string();
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let Some(format) = reader.format() else {
        return Err("not a PNG, JPEG, BMP, WebP or TIFF image".to_owned());
    };
    // The JPEG decoder fills what is missing with grey and says nothing.
    if format == ImageFormat::Jpeg && !reaches_end_of_jpeg(bytes) {
        return Err("the JPEG data ends too early".to_owned());
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(text)?;
    let (width, height) = decoder.dimensions();
    // Grey is decoded to one byte, but becomes RGB.
    let rgb_bytes = 3 * u64::from(width) * u64::from(height);
    let needed_bytes = decoder.total_bytes().max(rgb_bytes);
    if needed_bytes > MAX_DECODED_BYTES {
        return Err(format!(
            "{width}x{height} pixels need {} MiB, more than the {} MiB allowed",
            needed_bytes >> 20,
            MAX_DECODED_BYTES >> 20,
        ));
    }
    // Damaged metadata is no reason to refuse the pixels.
    let orientation = decoder
        .orientation()
        .unwrap_or(ExifOrientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(text)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Lays transparent pixels over black and reduces to 8 bits.
fn flatten(image: DynamicImage, notices: &mut Vec<String>) -> image::RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    if image.pixels().any(|pixel| pixel.0[3] < 255) {
        notices.push("transparent pixels are laid over black".to_owned());
    }
    image::RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        let weighted = |value: u8| ((u32::from(value) * u32::from(alpha) + 127) / 255) as u8;
        image::Rgb([red, green, blue].map(weighted))
    })
}

/// Walks the markers of a JPEG file (ITU-T T.81, annex B) and tells whether they lead to "end of image".
fn reaches_end_of_jpeg(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xD9;
    let mut position = 0;
    while let Some(found) = bytes.get(position..).and_then(|rest| {
        rest.windows(2)
            .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF))
    }) {
        let marker = bytes[position + found + 1];
        position += found + 2;
        match marker {
            END_OF_IMAGE => return true,
            // Start of image, restart and TEM stand alone.
            0x01 | 0xD0..=0xD8 => {}
            _ => match bytes.get(position..position + 2) {
                Some(length) => position += usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ImageEncoder, Rgb, RgbImage, Rgba};
    use std::path::PathBuf;

    fn saved(name: &str, image: impl Into<DynamicImage>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        image.into().save(&path).unwrap();
        (folder, path)
    }

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn only_picture(path: &Path) -> Picture {
        let mut source = StillSource::open(path).unwrap();
        let frame = source.next_frame().unwrap().unwrap();
        assert!(source.next_frame().unwrap().is_none());
        frame.picture
    }

    fn refusal(name: &str, bytes: &[u8]) -> String {
        let (_folder, path) = written(name, bytes);
        let error = StillSource::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let line = error.one_line();
        assert!(line.contains(name), "{line}");
        line
    }

    fn scene() -> RgbImage {
        RgbImage::from_fn(24, 16, |x, y| Rgb([(x * 10) as u8, (y * 15) as u8, 128]))
    }

    fn jpeg_with_orientation(orientation: u8) -> Vec<u8> {
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(exif).unwrap();
        encoder.encode_image(&scene()).unwrap();
        bytes
    }

    #[test]
    fn lossless_formats_come_back_exactly_at_any_size() {
        for name in ["a.png", "a.bmp", "a.webp", "a.tiff", "A.TIF"] {
            for (width, height) in [(24, 16), (1, 1), (1, 1000)] {
                let image = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 9]));
                let (_folder, path) = saved(name, image.clone());
                let picture = only_picture(&path);
                assert_eq!(
                    (picture.width, picture.height),
                    (width as usize, height as usize)
                );
                assert_eq!(&picture.to_rgb8(), image.as_raw(), "{name}");
            }
        }
    }

    #[test]
    fn sixteen_bits_are_reduced_to_eight() {
        let image = image::ImageBuffer::from_pixel(2, 1, Rgb([65535_u16, 257 * 100, 0]));
        let (_folder, path) = saved("deep.png", image);
        assert_eq!(only_picture(&path).to_rgb8(), [255, 100, 0, 255, 100, 0]);
    }

    #[test]
    fn alpha_is_laid_over_black_and_said() {
        let image = image::RgbaImage::from_pixel(1, 1, Rgba([200, 100, 50, 128]));
        let (_folder, path) = saved("clear.png", image);
        assert_eq!(only_picture(&path).to_rgb8(), [100, 50, 25]);
        assert_eq!(StillSource::open(&path).unwrap().info().notices.len(), 1);
        let opaque = image::RgbaImage::from_pixel(1, 1, Rgba([200, 100, 50, 255]));
        let (_folder, path) = saved("opaque.png", opaque);
        assert!(StillSource::open(&path).unwrap().info().notices.is_empty());
    }

    #[test]
    fn exif_orientation_is_applied() {
        let (_folder, path) = written("plain.jpg", &jpeg_with_orientation(1));
        let plain = only_picture(&path);
        let (_folder, path) = written("turned.jpg", &jpeg_with_orientation(6));
        let turned = only_picture(&path);
        assert_eq!((turned.width, turned.height), (16, 24));
        let clockwise = Orientation {
            quarter_turns: 1,
            is_mirrored: false,
        };
        let pixels = plain.to_rgb8();
        let want = clockwise.to_upright(pixels.as_chunks::<3>().0, 24, 16);
        assert_eq!(turned.to_rgb8(), want.as_flattened());
    }

    #[test]
    fn damaged_files_are_refused_in_one_line() {
        assert!(refusal("empty.png", b"").ends_with("the file is empty"));
        assert!(refusal("noise.jpg", b"no image at all").contains("not a PNG"));
        let mut encoded = Cursor::new(Vec::new());
        for format in [
            ImageFormat::Png,
            ImageFormat::Bmp,
            ImageFormat::WebP,
            ImageFormat::Tiff,
        ] {
            encoded.get_mut().clear();
            encoded.set_position(0);
            scene().write_to(&mut encoded, format).unwrap();
            let bytes = encoded.get_ref();
            refusal("cut.img", &bytes[..bytes.len() / 2]);
        }
        let jpeg = jpeg_with_orientation(1);
        assert!(refusal("cut.jpg", &jpeg[..jpeg.len() - 40]).contains("ends too early"));
        refusal("head.jpg", &jpeg[..30]);
    }

    #[test]
    fn folders_and_missing_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none.png")] {
            let line = StillSource::open(&path).unwrap_err().one_line();
            assert!(line.contains(&path.display().to_string()), "{line}");
        }
    }

    #[test]
    fn a_huge_image_is_refused_before_it_is_decoded() {
        // The header of a bitmap of 30,000 x 30,000 pixels, without the pixels.
        let mut bytes = b"BM".to_vec();
        bytes.extend([0; 8]);
        for field in [54_u32, 40, 30_000, 30_000] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend([1, 0, 24, 0]);
        bytes.extend([0; 24]);
        let line = refusal("huge.bmp", &bytes);
        assert!(line.contains("30000x30000 pixels need 2574 MiB"), "{line}");
    }

    #[test]
    fn grey_pixels_count_as_the_rgb_they_become() {
        let mut bytes = b"BM".to_vec();
        bytes.extend([0; 8]);
        for field in [54 + 1024_u32, 40, 20_000, 20_000] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend([1, 0, 8, 0]);
        bytes.extend([0; 24]);
        for level in 0..=255 {
            bytes.extend([level, level, level, 0]);
        }
        let line = refusal("grey.bmp", &bytes);
        assert!(line.contains("20000x20000 pixels need 1144 MiB"), "{line}");
    }

    #[test]
    fn a_png_is_animated_if_it_says_so_before_its_pixels() {
        let chunk = |kind: &[u8], body: &[u8]| {
            let length = (body.len() as u32).to_be_bytes();
            [&length[..], kind, body, &[0; 4]].concat()
        };
        let is_video = |pictures: u8| {
            let chunks = [
                chunk(b"IHDR", &[0; 13]),
                chunk(b"acTL", &[0, 0, 0, pictures, 0, 0, 0, 0]),
            ];
            let (_folder, path) = written("a.png", &[PNG_SIGNATURE, &chunks.concat()].concat());
            !is_still_image(&path)
        };
        assert!(is_video(2));
        assert!(!is_video(1));
        let (_folder, path) = saved("plain.png", scene());
        assert!(is_still_image(&path));
        let head = [PNG_SIGNATURE, &chunk(b"IHDR", &[0; 13])].concat();
        let (_folder, path) = written("cut.png", &head);
        assert!(is_still_image(&path));
    }

    #[test]
    fn extensions_tell_images_from_videos() {
        for name in [
            "a.png", "b.JPG", "c.x.jpeg", "d.bmp", "e.webp", "f.tif", "g.tiff",
        ] {
            assert!(is_still_image(Path::new(name)), "{name}");
        }
        for name in ["a.gif", "b.mp4", "png", "-", "c.png.mp4"] {
            assert!(!is_still_image(Path::new(name)), "{name}");
        }
    }
}
