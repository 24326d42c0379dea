//! From a [`Picture`] to the frame an encoder takes: a copy, padded to even size, converted where it must be.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as FfmpegError, frame};

use crate::ffmpeg_ffi::{
    Scaler, allocate_frame, closest_format, make_writable, pixel_layout, plane_row_mut,
};
use crate::frame::{ColorModel, ColorSpec, Picture, PictureFormat, Plane, Samples, Transfer};
use crate::sink::PictureShape;

/// Reused frames between pictures and the encoder.
pub(super) struct Staging {
    /// In the picture's own format.
    native: frame::Video,
    native_color: ColorSpec,
    /// In the encoder's format, if that is another.
    converted: Option<(frame::Video, Scaler)>,
    encoder_color: ColorSpec,
}

impl Staging {
    /// Chooses the encoder's pixel format: the picture's own if the encoder takes it, else the closest. RGB becomes 4:2:0, which plays
    /// everywhere, unless it was made of video with the subsampling `coded_chroma_shift`; its depth stays.
    /// The fields of interlaced video each need rows for whole chroma samples.
    pub(super) fn new(
        shape: PictureShape,
        encoder: ffmpeg_next::Codec,
        is_interlaced: bool,
        coded_chroma_shift: Option<(u8, u8)>,
    ) -> Result<Self, String> {
        let native_pixel = native_pixel(shape.format, shape.color)
            .ok_or_else(|| format!("no pixel format for {:?}", shape.format))?;
        let wanted = if shape.color.model == ColorModel::Rgb {
            let is_deep = shape.format.bit_depth > 8;
            match (coded_chroma_shift, is_deep) {
                (Some((0, _)), false) => Pixel::YUV444P,
                (Some((0, _)), true) => Pixel::YUV444P10LE,
                (Some((1, 0)), false) => Pixel::YUV422P,
                (Some((1, 0)), true) => Pixel::YUV422P10LE,
                (_, false) => Pixel::YUV420P,
                (_, true) => Pixel::YUV420P10LE,
            }
        } else {
            native_pixel
        };
        let supported: Vec<Pixel> = encoder
            .video()
            .ok()
            .and_then(|video| video.formats().map(Iterator::collect))
            .unwrap_or_default();
        let encoder_pixel = if supported.is_empty() || supported.contains(&wanted) {
            wanted
        } else {
            closest_format(&supported, wanted)
                .ok_or("the encoder takes none of our pixel formats")?
        };
        let (shift_x, shift_y) = pixel_layout(encoder_pixel)
            .map(|layout| layout.chroma_shift)
            .ok_or("unknown pixel format")?;
        let align = |length: usize, shift: u8| length.next_multiple_of(1 << shift) as u32;
        let field_shift = shift_y + u8::from(is_interlaced);
        let (width, height) = (
            align(shape.width, shift_x),
            align(shape.height, field_shift),
        );
        let allocate =
            |pixel| allocate_frame(pixel, width, height).map_err(|error| error.to_string());

        let encoder_color = match shape.color.model {
            ColorModel::Rgb => ColorSpec {
                model: if shape.color.transfer != Transfer::Sdr {
                    ColorModel::YuvBt2020
                } else if shape.height >= 720 {
                    ColorModel::YuvBt709
                } else {
                    ColorModel::YuvBt601
                },
                is_full_range: false,
                transfer: shape.color.transfer,
            },
            _ => shape.color,
        };
        let converted = (encoder_pixel != native_pixel)
            .then(|| Ok::<_, String>((allocate(encoder_pixel)?, Scaler::new())))
            .transpose()?;
        Ok(Self {
            native: allocate(native_pixel)?,
            native_color: shape.color,
            converted,
            encoder_color,
        })
    }

    /// A frame like those the encoder will get.
    pub(super) fn sample(&self) -> &frame::Video {
        self.converted
            .as_ref()
            .map_or(&self.native, |(frame, _)| frame)
    }

    /// Whether the pictures are RGB, so that nobody before has chosen a matrix.
    pub(super) fn is_converted_from_rgb(&self) -> bool {
        self.native_color.model == ColorModel::Rgb
    }

    /// Meaning of the encoder's samples.
    pub(super) fn encoder_color(&self) -> ColorSpec {
        self.encoder_color
    }

    /// Copies the picture into the encoder's frame.
    pub(super) fn fill(&mut self, picture: &Picture) -> Result<&mut frame::Video, FfmpegError> {
        make_writable(&mut self.native)?;
        copy_into(picture, &mut self.native)?;
        match &mut self.converted {
            None => Ok(&mut self.native),
            Some((converted, scaler)) => {
                make_writable(converted)?;
                scaler.run(
                    &self.native,
                    self.native_color,
                    converted,
                    self.encoder_color,
                )?;
                Ok(converted)
            }
        }
    }
}

/// FFmpeg's planar, little-endian format of this layout.
fn native_pixel(format: PictureFormat, color: ColorSpec) -> Option<Pixel> {
    let depth = match format.bit_depth {
        8 => String::new(),
        depth => format!("{depth}le"),
    };
    let family = match (color.model, format.chroma_shift) {
        (ColorModel::Rgb, _) => "gbrp".to_owned(),
        (_, (1, 1)) => "yuv420p".to_owned(),
        (_, (1, 0)) => "yuv422p".to_owned(),
        (_, (0, 0)) => "yuv444p".to_owned(),
        _ => return None,
    };
    (family + &depth)
        .parse()
        .ok()
        .filter(|pixel| *pixel != Pixel::None)
}

/// Copies all planes; a frame that is larger gets the last column and row repeated.
fn copy_into(picture: &Picture, frame: &mut frame::Video) -> Result<(), FfmpegError> {
    let layout = pixel_layout(frame.format()).ok_or(FfmpegError::InvalidData)?;
    let (frame_width, frame_height) = (frame.width() as usize, frame.height() as usize);
    for (index, plane) in picture.planes.iter().enumerate() {
        let target = layout
            .components
            .get(index)
            .ok_or(FfmpegError::InvalidData)?
            .plane;
        let (width, height) = picture.format.plane_size(index, frame_width, frame_height);
        for row in 0..height {
            let bytes = width * layout.components[index].step_bytes;
            let line = plane_row_mut(frame, target, row, bytes).ok_or(FfmpegError::InvalidData)?;
            copy_row(plane, row.min(plane.height - 1), line);
        }
    }
    Ok(())
}

fn copy_row(plane: &Plane, row: usize, line: &mut [u8]) {
    let range = row * plane.width..(row + 1) * plane.width;
    match &plane.samples {
        Samples::U8(samples) => {
            let (start, rest) = line.split_at_mut(plane.width.min(line.len()));
            start.copy_from_slice(&samples[range.clone()][..start.len()]);
            rest.fill(samples[range.end - 1]);
        }
        Samples::U16(samples) => {
            let row = &samples[range];
            let repeated = row.iter().chain(std::iter::repeat(&row[row.len() - 1]));
            for (pair, sample) in line.as_chunks_mut::<2>().0.iter_mut().zip(repeated) {
                *pair = sample.to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg_ffi::plane_row;

    #[test]
    fn odd_pictures_are_padded_by_their_edge() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 8,
        };
        let color = ColorSpec {
            model: ColorModel::YuvBt601,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        let mut picture = Picture::filled(3, 3, format, color, [0, 9, 9]);
        picture.planes[0].samples = Samples::U8(vec![1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let mut frame = allocate_frame(Pixel::YUV420P, 4, 4).unwrap();
        copy_into(&picture, &mut frame).unwrap();
        assert_eq!(plane_row(&frame, 0, 0, 4).unwrap(), [1, 2, 3, 3]);
        assert_eq!(plane_row(&frame, 0, 3, 4).unwrap(), [7, 8, 9, 9]);
        assert_eq!(plane_row(&frame, 1, 1, 2).unwrap(), [9, 9]);
    }

    #[test]
    fn rgb_planes_find_their_place() {
        let picture = Picture::filled(2, 2, PictureFormat::FULL_8, ColorSpec::RGB, [10, 20, 30]);
        let mut frame = allocate_frame(Pixel::GBRP, 2, 2).unwrap();
        copy_into(&picture, &mut frame).unwrap();
        let plane = |index| plane_row(&frame, index, 0, 1).unwrap()[0];
        assert_eq!(
            (plane(0), plane(1), plane(2)),
            (20, 30, 10),
            "stored as green, blue, red"
        );
    }

    #[test]
    fn every_depth_has_a_native_format() {
        let color = ColorSpec {
            model: ColorModel::YuvBt709,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        for (depth, expected) in [
            (8, Pixel::YUV422P),
            (10, Pixel::YUV422P10LE),
            (12, Pixel::YUV422P12LE),
        ] {
            let format = PictureFormat {
                chroma_shift: (1, 0),
                bit_depth: depth,
            };
            assert_eq!(native_pixel(format, color), Some(expected));
        }
    }
}
