//! From a frame to the model's input, and the way back: where a heatmap lies in the frame.

mod policy;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::frame::{
    ColorSpec, FrameShape, Orientation, Picture, Plane, RectInFrame, Samples, Transfer,
};
use crate::model::{ModelInput, ModelSpec, Normalization};
use crate::tone_map::ToneMap;

use self::policy::Geometry;
pub use self::policy::ResizePolicy;

/// Resizes, converts and normalises frames. Holds scratch memory: one per worker.
pub struct Preprocessor {
    policy: ResizePolicy,
    normalization: Normalization,
    size: usize,
    pixel_aspect: f64,
    resizer: Resizer,
    /// Made for the first HDR frame.
    tone_map: Option<ToneMap>,
}

impl Preprocessor {
    /// A preprocessor for one model.
    pub fn new(policy: ResizePolicy, spec: &ModelSpec) -> Self {
        Self::to_size(policy, spec.input_size, spec.normalization)
    }

    /// A preprocessor for any model whose input is a square of `size` pixels.
    pub fn to_size(policy: ResizePolicy, size: usize, normalization: Normalization) -> Self {
        Self {
            policy,
            normalization,
            size,
            pixel_aspect: 1.0,
            resizer: Resizer::new(),
            tone_map: None,
        }
    }

    /// For frames whose pixels are no squares: width of a pixel divided by its height.
    #[must_use]
    pub fn with_pixel_aspect(self, pixel_aspect: f64) -> Self {
        Self {
            pixel_aspect,
            ..self
        }
    }

    /// The model's input for a coded frame, upright.
    ///
    /// Each plane is resized by itself with an antialiased bilinear filter (as PIL's `BILINEAR` does), and only the small result is
    /// converted to RGB: both steps are linear, so this equals converting first, at a fraction of the cost.
    /// An HDR frame (PQ or HLG) is then tone-mapped to SDR, which is what networks are trained on: light up to 87 cd/m2 stays as it is,
    /// brighter light is compressed so that 1000 cd/m2 becomes white.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if the picture is empty or its planes do not fit its size.
    pub fn run(&mut self, picture: &Picture, orientation: Orientation) -> Result<ModelInput> {
        let size = self.size;
        let frame = FrameShape {
            width: picture.width,
            height: picture.height,
            pixel_aspect: self.pixel_aspect,
        };
        let Geometry {
            source,
            inner: [left, top, width, height],
        } = self.policy.geometry(frame, size);
        let mut planes = Vec::with_capacity(3);
        for (index, plane) in picture.planes.iter().enumerate() {
            let (shift_x, shift_y) = if index == 0 {
                (0, 0)
            } else {
                picture.format.chroma_shift
            };
            let (scale_x, scale_y) = (f64::from(1 << shift_x), f64::from(1 << shift_y));
            let crop = RectInFrame {
                x0: source.x0 / scale_x,
                y0: source.y0 / scale_y,
                x1: source.x1 / scale_x,
                y1: source.y1 / scale_y,
            };
            planes.push(self.resize(plane, picture.format.bit_depth, crop, width, height)?);
        }
        let mut rgb = to_rgb(picture, &planes);
        if picture.color.transfer != Transfer::Sdr {
            self.map_tones(picture.color, &mut rgb);
        }

        let mut values = Vec::with_capacity(3 * size * size);
        for channel in 0..3 {
            let (mean, deviation) = (
                self.normalization.mean[channel],
                self.normalization.deviation[channel],
            );
            let samples = &rgb[self.normalization.channel_order[channel]];
            let mut square = vec![0.0f32; size * size]; // 0 is the mean colour
            for (row, line) in samples.chunks_exact(width).enumerate() {
                let start = (top + row) * size + left;
                for (value, sample) in square[start..start + width].iter_mut().zip(line) {
                    *value = (sample - mean) / deviation;
                }
            }
            if orientation == Orientation::default() {
                values.extend_from_slice(&square);
            } else {
                values.extend(orientation.to_upright(&square, size, size));
            }
        }
        Ok(ModelInput { size, values })
    }

    /// The upright picture as interleaved R, G, B bytes, resized to `width` x `height` pixels (upright, too), all of it, with the filter and
    /// the tone mapping of [`run`](Self::run). Returns `3 * width * height` bytes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    #[cfg(feature = "audit")]
    pub(crate) fn small_rgb(
        &mut self,
        picture: &Picture,
        orientation: Orientation,
        (width, height): (usize, usize),
    ) -> Result<Vec<u8>> {
        let (coded_width, coded_height) = orientation.upright_size(width, height);
        let mut planes = Vec::with_capacity(3);
        for plane in &picture.planes {
            let whole = RectInFrame {
                x0: 0.0,
                y0: 0.0,
                x1: plane.width as f64,
                y1: plane.height as f64,
            };
            let depth = picture.format.bit_depth;
            planes.push(self.resize(plane, depth, whole, coded_width, coded_height)?);
        }
        let mut rgb = to_rgb(picture, &planes);
        if picture.color.transfer != Transfer::Sdr {
            self.map_tones(picture.color, &mut rgb);
        }
        let [red, green, blue] = rgb;
        let pixels: Vec<[u8; 3]> = red
            .into_iter()
            .zip(green)
            .zip(blue)
            // Not `round()`, which is a call of libm per value without SSE 4.1.
            .map(|((red, green), blue)| [red, green, blue].map(|value| (value + 0.5) as u8))
            .collect();
        Ok(orientation
            .to_upright(&pixels, coded_width, coded_height)
            .concat())
    }

    /// Turns HDR signals of this colour, in 0..=255, into SDR ones.
    fn map_tones(&mut self, color: ColorSpec, [red, green, blue]: &mut [Vec<f32>; 3]) {
        let current = self.tone_map.take().filter(|map| map.color() == color);
        let tone_map = current.unwrap_or_else(|| ToneMap::new(color));
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let mapped = tone_map.apply([*red, *green, *blue].map(|value| value / 255.0));
            [*red, *green, *blue] = mapped.map(|value| value * 255.0);
        }
        self.tone_map = Some(tone_map);
    }

    /// One plane's part `crop`, as `width` x `height` samples in 0..=255 (deeper samples as fractions).
    fn resize(
        &mut self,
        plane: &Plane,
        bit_depth: u8,
        crop: RectInFrame,
        width: usize,
        height: usize,
    ) -> Result<Vec<f32>> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Compute,
                format!(
                    "cannot resize a {}x{} plane: {error}",
                    plane.width, plane.height
                ),
            )
            .at_stage(Stage::Preprocess)
        };
        if self.policy == ResizePolicy::Nearest {
            let picked = nearest(plane, crop, width, height);
            let unit = f32::from(1u16 << (bit_depth - 8));
            let samples = picked.map(|samples| samples.into_iter().map(|sample| sample / unit));
            return samples
                .map(Iterator::collect)
                .ok_or_else(|| failed(&"it is empty or too short"));
        }
        let (bytes, pixel_type): (&[u8], _) = match &plane.samples {
            Samples::U8(samples) => (samples, PixelType::U8),
            Samples::U16(samples) => (bytemuck::cast_slice(samples), PixelType::U16),
        };
        let to_u32 = |length: usize| u32::try_from(length).map_err(|error| failed(&error));
        let source = ImageRef::new(
            to_u32(plane.width)?,
            to_u32(plane.height)?,
            bytes,
            pixel_type,
        )
        .map_err(|error| failed(&error))?;
        let mut target = Image::new(to_u32(width)?, to_u32(height)?, pixel_type);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(crop.x0, crop.y0, crop.x1 - crop.x0, crop.y1 - crop.y0)
            .use_alpha(false);
        self.resizer
            .resize(&source, &mut target, &options)
            .map_err(|error| failed(&error))?;
        Ok(match plane.samples {
            Samples::U8(_) => target
                .buffer()
                .iter()
                .map(|sample| f32::from(*sample))
                .collect(),
            Samples::U16(_) => {
                let unit = f32::from(1u16 << (bit_depth - 8));
                let pairs = target.buffer().as_chunks::<2>().0;
                pairs
                    .iter()
                    .map(|pair| f32::from(u16::from_ne_bytes(*pair)) / unit)
                    .collect()
            }
        })
    }
}

/// The samples that PIL's `NEAREST` picks: positions are summed up in f64, which differs from multiplying where a position falls on
/// an edge between two samples. None if a sample is missing.
fn nearest(plane: &Plane, crop: RectInFrame, width: usize, height: usize) -> Option<Vec<f32>> {
    let positions = |start: f64, end: f64, count: usize, limit: usize| -> Vec<usize> {
        let step = (end - start) / count as f64;
        let mut position = start + step * 0.5;
        (0..count)
            .map(|_| {
                let index = (position as usize).min(limit.saturating_sub(1));
                position += step;
                index
            })
            .collect()
    };
    let columns = positions(crop.x0, crop.x1, width, plane.width);
    let rows = positions(crop.y0, crop.y1, height, plane.height);
    let sample = |index: usize| match &plane.samples {
        Samples::U8(samples) => samples.get(index).map(|sample| f32::from(*sample)),
        Samples::U16(samples) => samples.get(index).map(|sample| f32::from(*sample)),
    };
    rows.iter()
        .flat_map(|row| columns.iter().map(move |column| row * plane.width + column))
        .map(sample)
        .collect()
}

/// Planes in 8-bit units to RGB in 0..=255.
fn to_rgb(picture: &Picture, planes: &[Vec<f32>]) -> [Vec<f32>; 3] {
    let Some((kr, kb)) = picture.color.model.luma_weights() else {
        return [planes[0].clone(), planes[1].clone(), planes[2].clone()];
    };
    let (luma_offset, luma_scale, chroma_scale) = if picture.color.is_full_range {
        (0.0, 1.0, 1.0)
    } else {
        (16.0, 255.0 / 219.0, 255.0 / 224.0)
    };
    let kg = 1.0 - kr - kb;
    let mut rgb = [const { Vec::new() }; 3];
    for ((y, cb), cr) in planes[0].iter().zip(&planes[1]).zip(&planes[2]) {
        let y = (y - luma_offset) * luma_scale;
        let (cb, cr) = ((cb - 128.0) * chroma_scale, (cr - 128.0) * chroma_scale);
        let red = y + 2.0 * (1.0 - kr) * cr;
        let blue = y + 2.0 * (1.0 - kb) * cb;
        let green = (y - kr * red - kb * blue) / kg;
        for (channel, value) in rgb.iter_mut().zip([red, green, blue]) {
            channel.push(value.clamp(0.0, 255.0));
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorModel, PictureFormat};
    use crate::picture::SampleSpace;

    const SIZE: usize = 224;

    fn preprocessor(policy: ResizePolicy) -> Preprocessor {
        Preprocessor {
            policy,
            normalization: Normalization::CAFFE,
            size: SIZE,
            pixel_aspect: 1.0,
            resizer: Resizer::new(),
            tone_map: None,
        }
    }

    fn rgb_picture(width: usize, height: usize, at: impl Fn(usize, usize) -> [u8; 3]) -> Picture {
        let plane = |channel: usize| Plane {
            width,
            height,
            samples: Samples::U8(
                (0..width * height)
                    .map(|i| at(i % width, i / width)[channel])
                    .collect(),
            ),
        };
        Picture {
            width,
            height,
            format: PictureFormat::FULL_8,
            color: ColorSpec::RGB,
            planes: [plane(0), plane(1), plane(2)],
        }
    }

    #[test]
    fn caffe_normalisation_swaps_to_bgr_and_subtracts_the_mean() {
        let picture = rgb_picture(SIZE, SIZE, |_, _| [10, 20, 30]);
        let input = preprocessor(ResizePolicy::Stretch)
            .run(&picture, Orientation::default())
            .unwrap();
        let plane = SIZE * SIZE;
        for (channel, expected) in [30.0 - 103.939, 20.0 - 116.779, 10.0 - 123.68]
            .iter()
            .enumerate()
        {
            assert_eq!(input.values[channel * plane + 777], *expected);
        }
    }

    #[test]
    fn limited_range_yuv_of_every_matrix_becomes_the_same_rgb() {
        // Pure red and mid grey, encoded by the standard's formula, must come back.
        for model in [
            ColorModel::YuvBt601,
            ColorModel::YuvBt709,
            ColorModel::YuvBt2020,
        ] {
            let (kr, kb) = model.luma_weights().unwrap();
            for (is_full_range, depth) in [(false, 8u8), (true, 8), (false, 10)] {
                let unit = f32::from(1u16 << (depth - 8));
                let (offset, luma, chroma) = if is_full_range {
                    (0.0, 255.0, 255.0)
                } else {
                    (16.0, 219.0, 224.0)
                };
                let codes = [
                    offset + luma * kr,
                    128.0 - chroma * kr / (2.0 * (1.0 - kb)),
                    128.0 + chroma * 0.5,
                ]
                .map(|code| ((code * unit).round() as u16).min((256.0 * unit) as u16 - 1));
                let format = PictureFormat {
                    chroma_shift: (1, 1),
                    bit_depth: depth,
                };
                let picture = Picture::filled(
                    64,
                    48,
                    format,
                    ColorSpec {
                        model,
                        is_full_range,
                        transfer: Transfer::Sdr,
                    },
                    codes,
                );
                let input = preprocessor(ResizePolicy::Stretch)
                    .run(&picture, Orientation::default())
                    .unwrap();
                let rgb = [2, 1, 0].map(|channel: usize| {
                    input.values[channel * SIZE * SIZE] + Normalization::CAFFE.mean[channel]
                });
                for (value, expected) in rgb.iter().zip([255.0, 0.0, 0.0]) {
                    assert!(
                        (value - expected).abs() < 2.0,
                        "{model:?} {is_full_range} {depth}: {rgb:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_hdr_frame_reaches_the_model_as_sdr() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 10,
        };
        let rgb = [150.0, 80.0, 40.0];
        let mut preprocessor = preprocessor(ResizePolicy::Stretch);
        for transfer in [Transfer::Sdr, Transfer::Pq, Transfer::Hlg] {
            let color = ColorSpec {
                model: ColorModel::YuvBt2020,
                is_full_range: false,
                transfer,
            };
            let codes = SampleSpace::new(color, 10).encode(rgb.map(|value| value / 255.0));
            let picture = Picture::filled(64, 48, format, color, codes);
            let input = preprocessor.run(&picture, Orientation::default()).unwrap();
            for (channel, want) in [40.0, 80.0, 150.0].iter().enumerate() {
                let mean = Normalization::CAFFE.mean[channel];
                let got = input.values[channel * SIZE * SIZE + 777] + mean;
                assert!((got - want).abs() < 0.8, "{transfer:?}: {got}, not {want}");
            }
            assert_eq!(
                preprocessor.tone_map.is_some(),
                transfer != Transfer::Sdr,
                "SDR frames need no tables"
            );
        }
    }

    #[test]
    fn a_rotated_frame_reaches_the_model_upright() {
        // Coded: left half bright. Turned clockwise: top half bright.
        let picture = rgb_picture(64, 32, |x, _| if x < 32 { [200; 3] } else { [0; 3] });
        let turn = Orientation {
            quarter_turns: 1,
            is_mirrored: false,
        };
        let input = preprocessor(ResizePolicy::Stretch)
            .run(&picture, turn)
            .unwrap();
        let at = |x: usize, y: usize| input.values[y * SIZE + x];
        assert!(at(10, 10) > 50.0 && at(210, 10) > 50.0);
        assert!(at(10, 210) < -50.0 && at(210, 210) < -50.0);
    }

    #[test]
    fn letterbox_fills_with_the_mean_colour_and_maps_back() {
        let picture = rgb_picture(200, 100, |_, _| [255; 3]);
        let input = preprocessor(ResizePolicy::Letterbox)
            .run(&picture, Orientation::default())
            .unwrap();
        let at = |x: usize, y: usize| input.values[y * SIZE + x];
        assert_eq!(at(100, 10), 0.0);
        assert_eq!(at(100, 112), 255.0 - 103.939);
        let rect = ResizePolicy::Letterbox.map_in_frame(FrameShape::square_pixels(200, 100), SIZE);
        assert_eq!(
            rect,
            RectInFrame {
                x0: 0.0,
                y0: -50.0,
                x1: 200.0,
                y1: 150.0
            }
        );
    }

    #[test]
    fn crop_sees_the_centre_and_maps_back_to_it() {
        let picture = rgb_picture(300, 100, |x, _| {
            if (100..200).contains(&x) {
                [255; 3]
            } else {
                [0; 3]
            }
        });
        let input = preprocessor(ResizePolicy::Crop)
            .run(&picture, Orientation::default())
            .unwrap();
        // The filter may reach one source pixel beyond the square, 224 / 100 pixels of the input.
        for row in input.values[..SIZE * SIZE].chunks_exact(SIZE) {
            assert!(
                row[3..SIZE - 3]
                    .iter()
                    .all(|value| *value == 255.0 - 103.939)
            );
        }
        let rect = ResizePolicy::Crop.map_in_frame(FrameShape::square_pixels(300, 100), SIZE);
        assert_eq!(
            rect,
            RectInFrame {
                x0: 100.0,
                y0: 0.0,
                x1: 200.0,
                y1: 100.0
            }
        );
    }

    #[test]
    fn squares_are_square_as_they_are_shown() {
        // 720x576 pixels that are shown as 1024x576.
        let frame = FrameShape {
            width: 720,
            height: 576,
            pixel_aspect: 64.0 / 45.0,
        };
        let crop = ResizePolicy::Crop.map_in_frame(frame, SIZE);
        assert_eq!((crop.y0, crop.y1), (0.0, 576.0));
        assert!((crop.x1 - crop.x0 - 405.0).abs() < 1e-9, "{crop:?}");
        let letterbox = ResizePolicy::Letterbox.map_in_frame(frame, SIZE);
        assert_eq!((letterbox.x0, letterbox.x1), (0.0, 720.0));
        assert!((letterbox.y1 - letterbox.y0 - 1024.0).abs() < 3.0);
        // The model sees the middle 405 columns, whatever lies beside them.
        let picture = rgb_picture(720, 576, |x, _| {
            if (158..562).contains(&x) {
                [255; 3]
            } else {
                [0; 3]
            }
        });
        let mut preprocessor = preprocessor(ResizePolicy::Crop).with_pixel_aspect(64.0 / 45.0);
        let input = preprocessor.run(&picture, Orientation::default()).unwrap();
        for row in input.values[..SIZE * SIZE].chunks_exact(SIZE) {
            let middle = &row[3..SIZE - 3];
            assert!(middle.iter().all(|value| *value == 255.0 - 103.939));
        }
        let turn = Orientation {
            quarter_turns: 1,
            is_mirrored: false,
        };
        let upright = frame.upright(turn);
        assert_eq!((upright.width, upright.height), (576, 720));
        assert!((upright.pixel_aspect - 45.0 / 64.0).abs() < 1e-12);
    }

    #[test]
    fn extreme_shapes_do_not_fail() {
        for policy in [
            ResizePolicy::Stretch,
            ResizePolicy::Crop,
            ResizePolicy::Letterbox,
        ] {
            for (width, height) in [(1, 1), (1, 1000), (1000, 1), (3, 2)] {
                let format = PictureFormat {
                    chroma_shift: (1, 1),
                    bit_depth: 8,
                };
                let color = ColorSpec {
                    model: ColorModel::YuvBt709,
                    is_full_range: false,
                    transfer: Transfer::Sdr,
                };
                let picture = Picture::filled(width, height, format, color, [100, 128, 128]);
                assert!(
                    preprocessor(policy)
                        .run(&picture, Orientation::default())
                        .is_ok(),
                    "{policy:?} {width}x{height}"
                );
            }
        }
    }
}
