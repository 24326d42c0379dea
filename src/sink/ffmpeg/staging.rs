//! From a [`Picture`] to the frame an encoder takes: a copy, padded to even size, converted where it must be.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as FfmpegError, frame};

use crate::ffmpeg_ffi::{Scaler, allocate_frame, closest_format, make_writable, pixel_layout};
use crate::ffmpeg_picture::{copy_into, native_pixel};
use crate::frame::{ColorModel, ColorSpec, Picture, Transfer};
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
