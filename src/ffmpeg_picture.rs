//! Between our pictures and FFmpeg's frames: copies, and pictures of other sizes and formats.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as FfmpegError, frame};

use crate::ffmpeg_ffi::{
    Scaler, allocate_frame, make_writable, pixel_layout, plane_row, plane_row_mut,
};
use crate::frame::{ColorModel, ColorSpec, Picture, PictureFormat, Plane, Samples};

/// Turns pictures into frames of another size and format, for screens: fast rather than exact.
pub(crate) struct Rescaler {
    /// In the picture's own format.
    native: Option<frame::Video>,
    scaled: Option<frame::Video>,
    scaler: Scaler,
}

impl Rescaler {
    pub(crate) fn new() -> Self {
        Self {
            native: None,
            scaled: None,
            scaler: Scaler::fast(),
        }
    }

    /// The picture as a frame of `width` x `height` pixels of this kind.
    pub(crate) fn run(
        &mut self,
        picture: &Picture,
        (width, height): (usize, usize),
        pixel: Pixel,
        color: ColorSpec,
    ) -> Result<&mut frame::Video, FfmpegError> {
        let own = native_pixel(picture.format, picture.color).ok_or(FfmpegError::InvalidData)?;
        let native = fitting(&mut self.native, own, (picture.width, picture.height))?;
        copy_into(picture, native)?;
        let scaled = fitting(&mut self.scaled, pixel, (width, height))?;
        self.scaler.run(native, picture.color, scaled, color)?;
        Ok(scaled)
    }
}

/// A frame of this format and size that may be written, kept in `kept`.
fn fitting(
    kept: &mut Option<frame::Video>,
    pixel: Pixel,
    (width, height): (usize, usize),
) -> Result<&mut frame::Video, FfmpegError> {
    let fits = |frame: &frame::Video| {
        let size = (frame.width() as usize, frame.height() as usize);
        frame.format() == pixel && size == (width, height)
    };
    let frame = match kept.take().filter(fits) {
        Some(frame) => frame,
        None => allocate_frame(pixel, width as u32, height as u32)?,
    };
    let frame = kept.insert(frame);
    make_writable(frame)?;
    Ok(frame)
}

/// A copy of one plane of a planar, little-endian frame, `bit_depth` bits per sample.
pub(crate) fn copy_plane(
    frame: &frame::Video,
    plane: usize,
    (width, height): (usize, usize),
    bit_depth: u8,
) -> Result<Plane, FfmpegError> {
    let row_bytes = width * if bit_depth > 8 { 2 } else { 1 };
    let rows = (0..height).map(|row| plane_row(frame, plane, row, row_bytes));
    let samples = if bit_depth == 8 {
        let mut samples = Vec::with_capacity(width * height);
        for row in rows {
            samples.extend_from_slice(row.ok_or(FfmpegError::InvalidData)?);
        }
        Samples::U8(samples)
    } else {
        // Decoders fill what is damaged with bytes of 0x80, which is more than 9 to 15 bits hold; x264 aborts the process then.
        let largest = u16::MAX >> (16 - bit_depth);
        let mut samples = Vec::with_capacity(width * height);
        for row in rows {
            let (pairs, _) = row.ok_or(FfmpegError::InvalidData)?.as_chunks::<2>();
            let values = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
            samples.extend(values.map(|sample| sample.min(largest)));
        }
        Samples::U16(samples)
    };
    Ok(Plane {
        width,
        height,
        samples,
    })
}

/// The opposite of [`copy_into`]: the picture that a frame holds in the planar format of this layout.
pub(crate) fn picture_of(
    frame: &frame::Video,
    format: PictureFormat,
    color: ColorSpec,
) -> Result<Picture, FfmpegError> {
    let layout = pixel_layout(frame.format()).ok_or(FfmpegError::InvalidData)?;
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let plane = |index: usize| -> Result<Plane, FfmpegError> {
        let component = layout.components.get(index);
        let component = component.ok_or(FfmpegError::InvalidData)?;
        let size = format.plane_size(index, width, height);
        copy_plane(frame, component.plane, size, format.bit_depth)
    };
    Ok(Picture {
        width,
        height,
        format,
        color,
        planes: [plane(0)?, plane(1)?, plane(2)?],
    })
}

/// FFmpeg's planar, little-endian format of this layout.
pub(crate) fn native_pixel(format: PictureFormat, color: ColorSpec) -> Option<Pixel> {
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
pub(crate) fn copy_into(picture: &Picture, frame: &mut frame::Video) -> Result<(), FfmpegError> {
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
    use crate::frame::Transfer;

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

    #[test]
    fn a_picture_survives_the_way_through_a_frame() {
        for (bit_depth, fill) in [(8, [10, 20, 30]), (10, [100, 200, 300])] {
            let format = PictureFormat {
                chroma_shift: (1, 1),
                bit_depth,
            };
            let color = ColorSpec {
                model: ColorModel::YuvBt709,
                is_full_range: false,
                transfer: Transfer::Sdr,
            };
            let picture = Picture::filled(6, 4, format, color, fill);
            let pixel = native_pixel(format, color).unwrap();
            let mut rescaler = Rescaler::new();
            let frame = rescaler.run(&picture, (6, 4), pixel, color).unwrap();
            assert_eq!(picture_of(frame, format, color).unwrap(), picture);
        }
    }
}
