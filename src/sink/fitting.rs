//! A sink that takes pictures of any shape: those of live sources change with their layout, and after a reconnection.

use super::{FrameSink, PictureShape, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg_picture::{Rescaler, native_pixel, picture_of};
use crate::frame::{Frame, Picture, Samples};
use crate::picture::SampleSpace;
use crate::source::SourceEnd;

/// Scales pictures of another shape than the first one's into its middle, on black, before it passes them on.
pub struct FittingSink<S> {
    sink: S,
    shape: PictureShape,
    rescaler: Rescaler,
}

impl<S: FrameSink> FittingSink<S> {
    /// Passes pictures of this shape on to `sink`.
    pub fn new(sink: S, shape: PictureShape) -> Self {
        Self {
            sink,
            shape,
            rescaler: Rescaler::new(),
        }
    }

    fn fitted(&mut self, picture: &Picture) -> Result<Picture> {
        let PictureShape {
            width,
            height,
            format,
            color,
        } = self.shape;
        let failed = |cause: &dyn std::fmt::Display| {
            let message = format!("cannot fit a picture into the recording: {cause}");
            Error::new(ErrorKind::Output, message)
        };
        let pixel = native_pixel(format, color).ok_or_else(|| failed(&"unknown format"))?;
        let (x_step, y_step) = (
            1_usize << format.chroma_shift.0,
            1_usize << format.chroma_shift.1,
        );
        let scale =
            (width as f64 / picture.width as f64).min(height as f64 / picture.height as f64);
        // Whole chroma samples, so that colours stay with their pixels.
        let length = |length: usize, room: usize, step: usize| {
            let scaled = (length as f64 * scale).round() as usize;
            (scaled / step * step).clamp(step.min(room), room)
        };
        let inner = (
            length(picture.width, width, x_step),
            length(picture.height, height, y_step),
        );
        let frame = self
            .rescaler
            .run(picture, inner, pixel, color)
            .map_err(|error| failed(&error))?;
        let scaled = picture_of(frame, format, color).map_err(|error| failed(&error))?;
        if inner == (width, height) {
            return Ok(scaled);
        }
        let black = SampleSpace::new(color, format.bit_depth).encode([0.0; 3]);
        let mut whole = Picture::filled(width, height, format, color, black);
        let left = (width - inner.0) / 2 / x_step * x_step;
        let top = (height - inner.1) / 2 / y_step * y_step;
        for (index, (from, to)) in scaled.planes.iter().zip(&mut whole.planes).enumerate() {
            let (x_shift, y_shift) = match index {
                0 => (0, 0),
                _ => format.chroma_shift,
            };
            let (left, top) = (left >> x_shift, top >> y_shift);
            for row in 0..from.height {
                let target =
                    (top + row) * to.width + left..(top + row) * to.width + left + from.width;
                let source = row * from.width..(row + 1) * from.width;
                match (&from.samples, &mut to.samples) {
                    (Samples::U8(from), Samples::U8(to)) => {
                        to[target].copy_from_slice(&from[source]);
                    }
                    (Samples::U16(from), Samples::U16(to)) => {
                        to[target].copy_from_slice(&from[source]);
                    }
                    // Both have the format's depth.
                    _ => {}
                }
            }
        }
        Ok(whole)
    }
}

impl<S: FrameSink> FrameSink for FittingSink<S> {
    fn write(&mut self, mut frame: Frame) -> Result<()> {
        let picture = &frame.picture;
        let shape = PictureShape {
            width: picture.width,
            height: picture.height,
            format: picture.format,
            color: picture.color,
        };
        if shape != self.shape {
            frame.picture = self.fitted(picture)?;
        }
        self.sink.write(frame)
    }

    fn finish(self: Box<Self>, end: SourceEnd) -> Result<Written> {
        Box::new(self.sink).finish(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorModel, ColorSpec, FrameIndex, PictureFormat, Pts, Transfer};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Picture>>>);

    impl FrameSink for Kept {
        fn write(&mut self, frame: Frame) -> Result<()> {
            self.0.lock().unwrap().push(frame.picture);
            Ok(())
        }

        fn finish(self: Box<Self>, _end: SourceEnd) -> Result<Written> {
            Ok(Written::default())
        }
    }

    #[test]
    fn other_pictures_lie_in_the_middle_of_the_first_ones_shape() {
        let shape = PictureShape {
            width: 40,
            height: 20,
            format: PictureFormat {
                chroma_shift: (1, 1),
                bit_depth: 8,
            },
            color: ColorSpec {
                model: ColorModel::YuvBt601,
                is_full_range: false,
                transfer: Transfer::Sdr,
            },
        };
        let kept = Kept::default();
        let mut sink = FittingSink::new(kept.clone(), shape);
        let same = Picture::filled(40, 20, shape.format, shape.color, [60, 100, 150]);
        let red = Picture::filled(30, 30, PictureFormat::FULL_8, ColorSpec::RGB, [255, 0, 0]);
        for picture in [same.clone(), red] {
            let frame = Frame {
                index: FrameIndex(0),
                pts: Pts(0),
                duration: 0,
                picture,
                passthrough: Vec::new(),
            };
            sink.write(frame).unwrap();
        }
        let kept = kept.0.lock().unwrap();
        assert_eq!(kept[0], same);
        let bytes = kept[1].to_rgb8();
        let pixel = |x: usize, y: usize| [0, 1, 2].map(|channel| bytes[3 * (y * 40 + x) + channel]);
        assert_eq!((kept[1].width, kept[1].height), (40, 20));
        assert_eq!((pixel(2, 10), pixel(38, 10)), ([0; 3], [0; 3]), "bars");
        let [red, green, blue] = pixel(20, 10);
        assert!(red > 245 && green < 10 && blue < 10, "{red} {green} {blue}");
    }
}
