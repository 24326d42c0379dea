//! From a decoder's frame to a [`Picture`]: a copy where the layout fits, swscale where it does not.
//!
//! The copy is the point: a decoder goes on reading its frames as references, so nobody may draw
//! into them.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as FfmpegError, color, frame};

use crate::ffmpeg_ffi::{
    ColorTags, Component, PixelLayout, Scaler, VideoParameters, allocate_frame, pixel_layout,
};
use crate::ffmpeg_picture::copy_plane;
use crate::frame::{ColorModel, ColorSpec, Picture, PictureFormat, Plane, Samples, Transfer};

/// Above this height, untagged video is BT.709, as players assume.
const HIGH_DEFINITION_HEIGHT: u32 = 720;

/// Makes pictures of one size, format and colour out of whatever the decoder delivers.
pub(super) struct Converter {
    target: Target,
    scaler: Scaler,
    /// Reused output of the scaler.
    scaled: Option<frame::Video>,
}

/// The shape of all pictures of a stream, set by its first frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) format: PictureFormat,
    pub(super) color: ColorSpec,
    pixel: Pixel,
    /// Whether colours are multiplied by alpha.
    pub(super) has_alpha: bool,
}

impl Target {
    /// The natural target for frames like `first`; `None` for formats nobody can read.
    pub(super) fn for_frame(first: &frame::Video, parameters: &VideoParameters) -> Option<Self> {
        let layout = pixel_layout(first.format())?;
        if layout.is_in_device_memory {
            return None;
        }
        let bit_depth = layout
            .components
            .iter()
            .map(|component| component.depth_bits)
            .max()?;
        let source_color = color_of(first, parameters, &layout);
        let (pixel, format) = if layout.has_alpha {
            alpha_target(bit_depth)
        } else if is_native(&layout) {
            let format = PictureFormat {
                chroma_shift: layout.chroma_shift,
                bit_depth,
            };
            (first.format(), format)
        } else {
            converted_target(&layout, bit_depth)
        };
        let color = if pixel_layout(pixel)?.is_rgb {
            ColorSpec {
                transfer: source_color.transfer,
                ..ColorSpec::RGB
            }
        } else {
            source_color
        };
        Some(Self {
            width: first.width() as usize,
            height: first.height() as usize,
            format,
            color,
            pixel,
            has_alpha: layout.has_alpha,
        })
    }
}

/// Whether planes can be copied as they are: three planes of 8 to 16 bits in the low bits of
/// little-endian samples, subsampled in a way that the other stages know.
fn is_native(layout: &PixelLayout) -> bool {
    let depth_bits = match layout.components.first() {
        Some(component) => component.depth_bits,
        None => return false,
    };
    let is_plain = |component: &Component| {
        component.depth_bits == depth_bits
            && component.step_bytes == bytes_per_sample(depth_bits)
            && component.offset_bytes == 0
            && component.shift_bits == 0
    };
    layout.components.len() == 3
        && !layout.has_alpha
        && !layout.is_exotic
        && (depth_bits == 8 || !layout.is_big_endian)
        && (8..=16).contains(&depth_bits)
        && matches!(layout.chroma_shift, (0, 0) | (1, 0) | (1, 1))
        && layout.components.iter().all(is_plain)
}

fn bytes_per_sample(depth_bits: u8) -> usize {
    if depth_bits > 8 { 2 } else { 1 }
}

/// Alpha is multiplied into RGB, the only model in which that is right.
fn alpha_target(bit_depth: u8) -> (Pixel, PictureFormat) {
    let (pixel, bit_depth) = if bit_depth > 8 {
        (Pixel::GBRAP10LE, 10)
    } else {
        (Pixel::GBRAP, 8)
    };
    let format = PictureFormat {
        bit_depth,
        ..PictureFormat::FULL_8
    };
    (pixel, format)
}

fn converted_target(layout: &PixelLayout, bit_depth: u8) -> (Pixel, PictureFormat) {
    let is_gray = layout.components.len() < 3 && !layout.is_rgb;
    let chroma_shift = match layout.chroma_shift {
        _ if is_gray => (1, 1),
        _ if layout.is_rgb => (0, 0),
        (0, _) => (0, 0),
        (1, 0) => (1, 0),
        _ => (1, 1),
    };
    let bit_depth = if bit_depth > 8 { 10 } else { 8 };
    let pixel = match (layout.is_rgb, chroma_shift, bit_depth) {
        (true, _, 8) => Pixel::GBRP,
        (true, _, _) => Pixel::GBRP10LE,
        (_, (0, 0), 8) => Pixel::YUV444P,
        (_, (0, 0), _) => Pixel::YUV444P10LE,
        (_, (1, 0), 8) => Pixel::YUV422P,
        (_, (1, 0), _) => Pixel::YUV422P10LE,
        (_, _, 8) => Pixel::YUV420P,
        _ => Pixel::YUV420P10LE,
    };
    let format = PictureFormat {
        chroma_shift,
        bit_depth,
    };
    (pixel, format)
}

/// Model, range and transfer of a frame: its own tags, else the container's, else what players assume.
fn color_of(frame: &frame::Video, parameters: &VideoParameters, layout: &PixelLayout) -> ColorSpec {
    // VP9 and MPEG-2 decoders lose the range tag; the container may still have it.
    let tags = ColorTags::of_frame(frame).or(parameters.color);
    let transfer = match tags.transfer {
        color::TransferCharacteristic::SMPTE2084 => Transfer::Pq,
        color::TransferCharacteristic::ARIB_STD_B67 => Transfer::Hlg,
        _ => Transfer::Sdr,
    };
    if layout.is_rgb {
        return ColorSpec {
            transfer,
            ..ColorSpec::RGB
        };
    }
    let model = match tags.space {
        color::Space::BT709 | color::Space::SMPTE240M => ColorModel::YuvBt709,
        color::Space::BT470BG | color::Space::SMPTE170M | color::Space::FCC => ColorModel::YuvBt601,
        color::Space::BT2020NCL | color::Space::BT2020CL => ColorModel::YuvBt2020,
        _ if frame.height() >= HIGH_DEFINITION_HEIGHT => ColorModel::YuvBt709,
        _ => ColorModel::YuvBt601,
    };
    let is_jpeg_format = matches!(
        frame.format(),
        Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P | Pixel::YUVJ411P
    );
    let is_untagged_gray = layout.components.len() < 3 && tags.range == color::Range::Unspecified;
    ColorSpec {
        model,
        is_full_range: tags.range == color::Range::JPEG || is_jpeg_format || is_untagged_gray,
        transfer,
    }
}

impl Converter {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            scaler: Scaler::new(),
            scaled: None,
        }
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }

    /// The frame's pixels in the stream's shape. The second value says whether any of them is
    /// transparent.
    pub(super) fn convert(
        &mut self,
        frame: &frame::Video,
        parameters: &VideoParameters,
    ) -> Result<(Picture, bool), FfmpegError> {
        let target = self.target;
        let layout = pixel_layout(frame.format()).ok_or(FfmpegError::InvalidData)?;
        // swscale knows nothing of transfers: codes of another one than the first frame's are kept as they are.
        let source_color = ColorSpec {
            transfer: target.color.transfer,
            ..color_of(frame, parameters, &layout)
        };
        let fits = frame.format() == target.pixel
            && (frame.width() as usize, frame.height() as usize) == (target.width, target.height)
            && source_color == target.color;
        if fits {
            return copy_picture(frame, &target);
        }
        let mut scaled = match self.scaled.take() {
            Some(scaled) => scaled,
            None => allocate_frame(target.pixel, target.width as u32, target.height as u32)?,
        };
        self.scaler
            .run(frame, source_color, &mut scaled, target.color)?;
        let picture = copy_picture(&scaled, &target);
        self.scaled = Some(scaled);
        picture
    }
}

fn copy_picture(frame: &frame::Video, target: &Target) -> Result<(Picture, bool), FfmpegError> {
    let layout = pixel_layout(frame.format()).ok_or(FfmpegError::InvalidData)?;
    let component = |index: usize| layout.components.get(index).ok_or(FfmpegError::InvalidData);
    let copy = |index: usize| -> Result<Plane, FfmpegError> {
        let (width, height) = target.format.plane_size(index, target.width, target.height);
        let plane = component(index)?.plane;
        copy_plane(frame, plane, (width, height), target.format.bit_depth)
    };
    let mut planes = [copy(0)?, copy(1)?, copy(2)?];
    let mut is_transparent = false;
    if target.has_alpha {
        let alpha_plane = component(3)?.plane;
        let alpha = copy_plane(
            frame,
            alpha_plane,
            (target.width, target.height),
            target.format.bit_depth,
        )?;
        let opaque = (1_u32 << target.format.bit_depth) - 1;
        is_transparent = has_sample_below(&alpha.samples, opaque);
        if is_transparent {
            for plane in &mut planes {
                multiply(&mut plane.samples, &alpha.samples, opaque);
            }
        }
    }
    let picture = Picture {
        width: target.width,
        height: target.height,
        format: target.format,
        color: target.color,
        planes,
    };
    Ok((picture, is_transparent))
}

fn has_sample_below(samples: &Samples, limit: u32) -> bool {
    match samples {
        Samples::U8(samples) => samples.iter().any(|&sample| u32::from(sample) < limit),
        Samples::U16(samples) => samples.iter().any(|&sample| u32::from(sample) < limit),
    }
}

/// Composites over black: colour times alpha, rounded.
fn multiply(color: &mut Samples, alpha: &Samples, opaque: u32) {
    let blend = |color: u32, alpha: u32| (color * alpha + opaque / 2) / opaque;
    match (color, alpha) {
        (Samples::U8(color), Samples::U8(alpha)) => {
            for (color, &alpha) in color.iter_mut().zip(alpha) {
                *color = blend(u32::from(*color), u32::from(alpha)) as u8;
            }
        }
        (Samples::U16(color), Samples::U16(alpha)) => {
            for (color, &alpha) in color.iter_mut().zip(alpha) {
                *color = blend(u32::from(*color), u32::from(alpha)) as u16;
            }
        }
        // Both planes were copied at the same depth.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg_ffi::plane_row_mut;

    const UNTAGGED: VideoParameters = VideoParameters {
        width: 0,
        height: 0,
        codec_tag: 0,
        color: ColorTags::UNSPECIFIED,
        is_top_field_first: None,
    };

    fn target(pixel: Pixel, width: u32, height: u32) -> Target {
        let frame = allocate_frame(pixel, width, height).unwrap();
        Target::for_frame(&frame, &UNTAGGED).unwrap()
    }

    #[test]
    fn planar_formats_are_kept_and_others_go_to_the_nearest() {
        let expected = [
            (Pixel::YUV420P, Pixel::YUV420P),
            (Pixel::YUVJ422P, Pixel::YUVJ422P),
            (Pixel::YUV444P12LE, Pixel::YUV444P12LE),
            (Pixel::GBRP, Pixel::GBRP),
            (Pixel::GRAY8, Pixel::YUV420P),
            (Pixel::NV12, Pixel::YUV420P),
            (Pixel::P010LE, Pixel::YUV420P10LE),
            (Pixel::YUV410P, Pixel::YUV420P),
            (Pixel::YUV411P, Pixel::YUV420P),
            (Pixel::YUYV422, Pixel::YUV422P),
            (Pixel::YUV440P, Pixel::YUV444P),
            (Pixel::YUV420P10BE, Pixel::YUV420P10LE),
            (Pixel::RGB24, Pixel::GBRP),
            (Pixel::PAL8, Pixel::GBRAP),
            (Pixel::YUVA444P10LE, Pixel::GBRAP10LE),
        ];
        for (source, wanted) in expected {
            assert_eq!(target(source, 32, 16).pixel, wanted, "{source:?}");
        }
    }

    #[test]
    fn untagged_video_is_bt709_from_720_lines() {
        assert_eq!(
            target(Pixel::YUV420P, 64, 719).color.model,
            ColorModel::YuvBt601
        );
        assert_eq!(
            target(Pixel::YUV420P, 64, 720).color.model,
            ColorModel::YuvBt709
        );
        assert!(target(Pixel::YUVJ420P, 64, 64).color.is_full_range);
        assert!(!target(Pixel::YUV420P, 64, 64).color.is_full_range);
    }

    #[test]
    fn the_parameters_tags_stand_in_for_the_frames() {
        let frame = allocate_frame(Pixel::YUV420P, 64, 64).unwrap();
        let parameters = VideoParameters {
            color: ColorTags {
                space: color::Space::BT2020NCL,
                range: color::Range::JPEG,
                ..ColorTags::UNSPECIFIED
            },
            ..UNTAGGED
        };
        let color = Target::for_frame(&frame, &parameters).unwrap().color;
        assert_eq!(color.model, ColorModel::YuvBt2020);
        assert!(color.is_full_range);
    }

    #[test]
    fn the_transfer_is_read_and_kept_by_rgb_and_alpha() {
        use color::TransferCharacteristic::{ARIB_STD_B67, BT709, SMPTE2084};
        let transfer = |pixel, of_frame, of_container| {
            let mut frame = allocate_frame(pixel, 64, 64).unwrap();
            if let Some(tag) = of_frame {
                frame.set_color_transfer_characteristic(tag);
            }
            let parameters = VideoParameters {
                color: ColorTags {
                    transfer: of_container,
                    ..ColorTags::UNSPECIFIED
                },
                ..UNTAGGED
            };
            let target = Target::for_frame(&frame, &parameters).unwrap();
            target.color.transfer
        };
        for pixel in [Pixel::YUV420P10LE, Pixel::GBRP10LE, Pixel::YUVA444P10LE] {
            assert_eq!(
                transfer(pixel, None, UNTAGGED.color.transfer),
                Transfer::Sdr
            );
            assert_eq!(transfer(pixel, None, SMPTE2084), Transfer::Pq);
            assert_eq!(transfer(pixel, Some(ARIB_STD_B67), BT709), Transfer::Hlg);
            assert_eq!(transfer(pixel, Some(BT709), SMPTE2084), Transfer::Sdr);
        }
    }

    #[test]
    fn a_new_transfer_keeps_the_codes() {
        let mut frame = allocate_frame(Pixel::YUV420P10LE, 2, 2).unwrap();
        for plane in 0..3 {
            for row in 0..if plane == 0 { 2 } else { 1 } {
                let width = if plane == 0 { 4 } else { 2 };
                let bytes = plane_row_mut(&mut frame, plane, row, width).unwrap();
                bytes.as_chunks_mut::<2>().0.fill(573_u16.to_le_bytes());
            }
        }
        frame.set_color_transfer_characteristic(color::TransferCharacteristic::SMPTE2084);
        let mut converter = Converter::new(Target::for_frame(&frame, &UNTAGGED).unwrap());
        frame.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        let (picture, _) = converter.convert(&frame, &UNTAGGED).unwrap();
        assert_eq!(picture.color.transfer, Transfer::Pq);
        assert_eq!(picture.planes[0].samples, Samples::U16(vec![573; 4]));
    }

    #[test]
    fn rows_are_packed_and_rgb_planes_reordered() {
        let mut frame = allocate_frame(Pixel::GBRP, 3, 2).unwrap();
        for (plane, value) in [(0, 10), (1, 20), (2, 30)] {
            for row in 0..2 {
                let bytes = plane_row_mut(&mut frame, plane, row, 3).unwrap();
                bytes.copy_from_slice(&[value, value + 1, value + 2 + row as u8]);
            }
        }
        let target = Target::for_frame(&frame, &UNTAGGED).unwrap();
        let (picture, _) = Converter::new(target).convert(&frame, &UNTAGGED).unwrap();
        let planes = picture.planes.map(|plane| plane.samples);
        assert_eq!(planes[0], Samples::U8(vec![30, 31, 32, 30, 31, 33]), "red");
        assert_eq!(
            planes[1],
            Samples::U8(vec![10, 11, 12, 10, 11, 13]),
            "green"
        );
        assert_eq!(planes[2], Samples::U8(vec![20, 21, 22, 20, 21, 23]), "blue");
    }

    #[test]
    fn samples_stay_within_their_depth() {
        let mut frame = allocate_frame(Pixel::YUV444P10LE, 2, 1).unwrap();
        for plane in 0..3 {
            plane_row_mut(&mut frame, plane, 0, 4)
                .unwrap()
                .copy_from_slice(&[0x80, 0x80, 0xff, 0x03]);
        }
        let target = Target::for_frame(&frame, &UNTAGGED).unwrap();
        let (picture, _) = Converter::new(target).convert(&frame, &UNTAGGED).unwrap();
        assert_eq!(picture.planes[0].samples, Samples::U16(vec![1023, 1023]));
    }

    #[test]
    fn a_new_size_is_scaled_to_the_first() {
        let first = allocate_frame(Pixel::YUV420P, 64, 48).unwrap();
        let mut converter = Converter::new(Target::for_frame(&first, &UNTAGGED).unwrap());
        let mut second = allocate_frame(Pixel::YUV422P, 32, 32).unwrap();
        for (plane, value) in [(0, 200), (1, 90), (2, 160)] {
            for row in 0..32 {
                let width = if plane == 0 { 32 } else { 16 };
                plane_row_mut(&mut second, plane, row, width)
                    .unwrap()
                    .fill(value);
            }
        }
        let (picture, _) = converter.convert(&second, &UNTAGGED).unwrap();
        assert_eq!((picture.width, picture.height), (64, 48));
        assert_eq!(picture.planes[0].samples, Samples::U8(vec![200; 64 * 48]));
        assert_eq!(picture.planes[2].samples, Samples::U8(vec![160; 32 * 24]));
    }

    #[test]
    fn transparency_is_composited_over_black() {
        let mut frame = allocate_frame(Pixel::RGBA, 2, 1).unwrap();
        plane_row_mut(&mut frame, 0, 0, 8)
            .unwrap()
            .copy_from_slice(&[200, 100, 50, 255, 200, 100, 50, 128]);
        let target = Target::for_frame(&frame, &UNTAGGED).unwrap();
        let (picture, is_transparent) = Converter::new(target).convert(&frame, &UNTAGGED).unwrap();
        assert!(is_transparent);
        // 200 * 128 / 255 = 100.4, and so on; swscale, which separates the planes, may be off by one.
        for (plane, expected) in picture.planes.iter().zip([[200, 100], [100, 50], [50, 25]]) {
            let Samples::U8(samples) = &plane.samples else {
                panic!("8 bits stay 8 bits");
            };
            assert_eq!(samples[0], expected[0], "opaque pixels stay as they are");
            assert!(
                samples[1].abs_diff(expected[1]) <= 1,
                "{samples:?} {expected:?}"
            );
        }
    }
}
