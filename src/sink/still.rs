//! One frame into an image file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use super::{FrameSink, PartialFile, PictureShape, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::source::SourceEnd;

/// High enough that the encoder's own errors stay invisible beside the overlay.
const JPEG_QUALITY: u8 = 95;

/// Writes exactly one frame as 8-bit RGB in the format that the file's extension names.
#[derive(Debug)]
pub struct StillSink {
    path: PathBuf,
    format: ImageFormat,
    file: PartialFile,
    has_frame: bool,
}

impl StillSink {
    /// Prepares to write `path`: .png, .jpg, .jpeg, .bmp, .webp, .tif or .tiff. `input` is the file that must not be
    /// overwritten.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if the extension is another one, the format cannot hold a picture of this shape,
    /// or the file cannot be created.
    pub fn create(
        path: &Path,
        overwrite: bool,
        input: Option<&Path>,
        shape: PictureShape,
    ) -> Result<Self> {
        let format = format_of(path)?;
        let PictureShape { width, height, .. } = shape;
        if let Some(limit) = side_limit(format)
            && width.max(height) > limit
        {
            let message = format!(
                "cannot write {}: the picture has {width}x{height} pixels, the format holds at most {limit} a side",
                path.display()
            );
            return Err(Error::new(ErrorKind::Output, message));
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            file: PartialFile::create(path, overwrite, input)?,
            has_frame: false,
        })
    }

    fn failed(&self, cause: impl std::fmt::Display) -> Error {
        let message = format!("cannot write {}", self.path.display());
        Error::caused_by(ErrorKind::Output, message, cause.to_string())
    }
}

impl FrameSink for StillSink {
    fn write(&mut self, frame: Frame) -> Result<()> {
        if self.has_frame {
            return Err(self
                .failed("a still image holds one frame")
                .at_frame(frame.index));
        }
        let picture = &frame.picture;
        let size = |length: usize| u32::try_from(length).map_err(|error| self.failed(error));
        let (width, height) = (size(picture.width)?, size(picture.height)?);
        let rgb = picture.to_rgb8();
        let file = File::create(self.file.path()).map_err(|error| self.failed(error))?;
        let mut file = BufWriter::new(file);
        let color = ExtendedColorType::Rgb8;
        let encoded = if self.format == ImageFormat::Jpeg {
            JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY)
                .encode(&rgb, width, height, color)
        } else {
            image::write_buffer_with_format(&mut file, &rgb, width, height, color, self.format)
        };
        encoded.map_err(|error| self.failed(error))?;
        file.flush().map_err(|error| self.failed(error))?;
        self.has_frame = true;
        Ok(())
    }

    fn finish(self: Box<Self>, _end: SourceEnd) -> Result<Written> {
        if !self.has_frame {
            return Err(self.failed("no frame came"));
        }
        self.file.commit()?;
        Ok(Written {
            frames: 1,
            ..Written::default()
        })
    }
}

fn format_of(path: &Path) -> Result<ImageFormat> {
    use ImageFormat::{Bmp, Jpeg, Png, Tiff, WebP};
    match ImageFormat::from_path(path) {
        Ok(format @ (Bmp | Jpeg | Png | Tiff | WebP)) => Ok(format),
        _ => {
            let message = format!(
                "cannot write {}: a still image ends in .png, .jpg, .bmp, .webp or .tiff",
                path.display()
            );
            Err(Error::new(ErrorKind::Output, message))
        }
    }
}

/// Longest side that a format can hold, in pixels, if a picture could have a longer one.
fn side_limit(format: ImageFormat) -> Option<usize> {
    match format {
        ImageFormat::Jpeg => Some(65_535),
        ImageFormat::WebP => Some(16_383),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorModel, ColorSpec, FrameIndex, Picture, PictureFormat, Pts, Transfer};

    fn frame(index: u64, picture: Picture) -> Frame {
        Frame {
            index: FrameIndex(index),
            pts: Pts(0),
            duration: 1,
            picture,
            #[cfg(feature = "video")]
            passthrough: Vec::new(),
        }
    }

    fn shape(picture: &Picture) -> PictureShape {
        PictureShape {
            width: picture.width,
            height: picture.height,
            format: picture.format,
            color: picture.color,
        }
    }

    fn sink(path: &Path, picture: &Picture) -> Box<StillSink> {
        Box::new(StillSink::create(path, false, None, shape(picture)).unwrap())
    }

    fn rgb() -> Picture {
        let bytes: Vec<u8> = (0..30 * 20 * 3).map(|index| (index / 9) as u8).collect();
        Picture::from_rgb8(30, 20, &bytes)
    }

    #[test]
    fn every_format_holds_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        for (extension, tolerance) in [
            ("png", 0),
            ("bmp", 0),
            ("webp", 0),
            ("tiff", 0),
            ("tif", 0),
            ("jpg", 24),
            ("JPEG", 24),
        ] {
            let path = folder.path().join(format!("out.{extension}"));
            let mut sink = sink(&path, &rgb());
            sink.write(frame(0, rgb())).unwrap();
            assert!(!path.exists(), "no name before it is finished");
            assert_eq!(sink.finish(SourceEnd::default()).unwrap().frames, 1);
            let read = image::ImageReader::open(&path).unwrap().decode().unwrap();
            assert_eq!((read.width(), read.height()), (30, 20));
            for (got, want) in read.into_rgb8().iter().zip(rgb().to_rgb8()) {
                assert!(got.abs_diff(want) <= tolerance, "{extension}: {got} {want}");
            }
        }
    }

    #[test]
    fn frames_of_videos_are_converted_to_rgb() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 8,
        };
        let color = ColorSpec {
            model: ColorModel::YuvBt709,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        // Pure red in BT.709.
        let picture = Picture::filled(5, 3, format, color, [63, 102, 240]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("red.png");
        let mut sink = sink(&path, &picture);
        sink.write(frame(0, picture)).unwrap();
        sink.finish(SourceEnd::default()).unwrap();
        let read = image::open(&path).unwrap().into_rgb8();
        for pixel in read.pixels() {
            let [red, green, blue] = pixel.0;
            assert!(red >= 254 && green <= 1 && blue <= 1, "{pixel:?}");
        }
    }

    #[test]
    fn a_second_frame_or_none_at_all_is_an_error_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.png");
        let mut twice = sink(&path, &rgb());
        twice.write(frame(0, rgb())).unwrap();
        let error = twice.write(frame(1, rgb())).unwrap_err();
        assert!(error.one_line().contains("a still image holds one frame"));
        drop(twice);
        let never = sink(&path, &rgb());
        assert!(never.finish(SourceEnd::default()).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn unknown_extensions_and_sizes_a_format_cannot_hold_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let wide = PictureShape {
            width: 70_000,
            ..shape(&rgb())
        };
        for (name, shape) in [
            ("a.gif", shape(&rgb())),
            ("b", shape(&rgb())),
            ("c.jpg", wide),
            ("d.webp", wide),
        ] {
            let error =
                StillSink::create(&folder.path().join(name), true, None, shape).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Output);
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(StillSink::create(&folder.path().join("e.png"), true, None, wide).is_ok());
    }
}
