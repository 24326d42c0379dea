//! Between pictures and colours: what a sample means, and pictures made from and turned into RGB bytes.

use crate::frame::{ColorSpec, Picture, PictureFormat, Plane, Samples, Transfer};
use crate::tone_map::{self, ToneMap};

/// What the sample codes of a picture stand for: its colour model, range, transfer and bit depth.
///
/// Codes follow ITU-T H.273 (equations 20 to 37 for the ranges, 38 to 46 for the matrices): a full-range code of
/// n bits is `E * (2^n - 1)`, chroma around `2^(n-1)`; a limited one is `(219 E + 16) * 2^(n-8)` for Y', R, G, B and
/// `(224 E + 128) * 2^(n-8)` for Cb and Cr.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SampleSpace {
    color: ColorSpec,
    /// (Kr, Kb), or `None` for RGB.
    luma_weights: Option<(f64, f64)>,
    luma: Quantizer,
    chroma: Quantizer,
    max_code: f64,
}

/// `code = offset + scale * value`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quantizer {
    offset: f64,
    scale: f64,
}

impl Quantizer {
    fn code(self, value: f64, max_code: f64) -> u16 {
        (self.offset + self.scale * value)
            .round()
            .clamp(0.0, max_code) as u16
    }

    fn value(self, code: u16) -> f64 {
        (f64::from(code) - self.offset) / self.scale
    }
}

impl SampleSpace {
    /// The space of pictures with this colour and depth (in bits, 8 to 16).
    pub(crate) fn new(color: ColorSpec, bit_depth: u8) -> Self {
        let bit_depth = bit_depth.clamp(8, 16);
        let max_code = f64::from((1_u32 << bit_depth) - 1);
        let unit = f64::from(1_u32 << (bit_depth - 8));
        let (luma, chroma) = if color.is_full_range {
            ((0.0, max_code), (128.0 * unit, max_code))
        } else {
            ((16.0 * unit, 219.0 * unit), (128.0 * unit, 224.0 * unit))
        };
        let quantizer = |(offset, scale)| Quantizer { offset, scale };
        // The published weights have four decimals; f32 holds them with noise that f64 would carry on.
        let exact = |weight: f32| (f64::from(weight) * 1e4).round() / 1e4;
        Self {
            color,
            luma_weights: color
                .model
                .luma_weights()
                .map(|(kr, kb)| (exact(kr), exact(kb))),
            luma: quantizer(luma),
            chroma: quantizer(chroma),
            max_code,
        }
    }

    /// Sample codes of the three planes for an SDR colour given as R', G', B' in 0..=1. In an HDR picture white
    /// lies at 203 cd/m2, not at the largest code ([`tone_map::signal_of_sdr`]).
    pub(crate) fn encode(&self, rgb: [f64; 3]) -> [u16; 3] {
        let rgb = tone_map::signal_of_sdr(rgb, self.color);
        let Some((kr, kb)) = self.luma_weights else {
            return rgb.map(|value| self.luma.code(value, self.max_code));
        };
        let [red, green, blue] = rgb;
        let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
        [
            self.luma.code(luma, self.max_code),
            self.chroma
                .code((blue - luma) / (2.0 * (1.0 - kb)), self.max_code),
            self.chroma
                .code((red - luma) / (2.0 * (1.0 - kr)), self.max_code),
        ]
    }

    /// R', G', B' of sample codes, in the picture's own transfer: for SDR the inverse of [`encode`](Self::encode), for HDR what a
    /// [`ToneMap`] takes. Codes outside the nominal range may give values outside 0..=1.
    pub(crate) fn decode(&self, codes: [u16; 3]) -> [f64; 3] {
        let Some((kr, kb)) = self.luma_weights else {
            return codes.map(|code| self.luma.value(code));
        };
        let luma = self.luma.value(codes[0]);
        let blue = luma + 2.0 * (1.0 - kb) * self.chroma.value(codes[1]);
        let red = luma + 2.0 * (1.0 - kr) * self.chroma.value(codes[2]);
        let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
        [red, green, blue]
    }
}

impl Plane {
    /// The sample at `x`, `y`; positions beyond the edge read the edge, an empty plane reads 0.
    fn sample_clamped(&self, x: usize, y: usize) -> u16 {
        let x = x.min(self.width.saturating_sub(1));
        let y = y.min(self.height.saturating_sub(1));
        let index = y * self.width + x;
        match &self.samples {
            Samples::U8(samples) => samples.get(index).copied().map_or(0, u16::from),
            Samples::U16(samples) => samples.get(index).copied().unwrap_or(0),
        }
    }
}

impl Picture {
    /// A full-range planar RGB picture from interleaved `rgb` bytes (`3 * width * height`, row-major).
    /// Missing bytes read as black.
    pub fn from_rgb8(width: usize, height: usize, rgb: &[u8]) -> Self {
        let (pixels, _) = rgb.as_chunks::<3>();
        let plane = |channel: usize| {
            let mut samples: Vec<u8> = pixels.iter().map(|pixel| pixel[channel]).collect();
            samples.resize(width * height, 0);
            Plane {
                width,
                height,
                samples: Samples::U8(samples),
            }
        };
        Self {
            width,
            height,
            format: PictureFormat::FULL_8,
            color: ColorSpec::RGB,
            planes: [plane(0), plane(1), plane(2)],
        }
    }

    /// The bytes of a picture that is full-range RGB with 8 bits already; none of any other, or if a sample is missing.
    fn rgb8_as_it_is(&self) -> Option<Vec<u8>> {
        let [Samples::U8(red), Samples::U8(green), Samples::U8(blue)] =
            self.planes.each_ref().map(|plane| &plane.samples)
        else {
            return None;
        };
        let count = self.width * self.height;
        let is_whole = [red, green, blue]
            .iter()
            .all(|samples| samples.len() == count);
        if self.color != ColorSpec::RGB || self.format != PictureFormat::FULL_8 || !is_whole {
            return None;
        }
        let pixels = red.iter().zip(green).zip(blue);
        Some(
            pixels
                .flat_map(|((red, green), blue)| [*red, *green, *blue])
                .collect(),
        )
    }

    /// The picture as interleaved full-range RGB bytes (`3 * width * height`, row-major).
    ///
    /// Conversion is by the formulas of [`SampleSpace`] in f64; a subsampled chroma sample stands for its whole
    /// block; depths above 8 bits are rounded to the nearest byte. HDR pictures are tone-mapped to SDR: light up to 87 cd/m2
    /// stays as it is, brighter light is compressed so that 1000 cd/m2 becomes white.
    pub fn to_rgb8(&self) -> Vec<u8> {
        if let Some(rgb) = self.rgb8_as_it_is() {
            return rgb;
        }
        let space = SampleSpace::new(self.color, self.format.bit_depth);
        let tone_map = (self.color.transfer != Transfer::Sdr).then(|| ToneMap::new(self.color));
        let (shift_x, shift_y) = self.format.chroma_shift;
        let [luma, chroma_blue, chroma_red] = &self.planes;
        let mut rgb = Vec::with_capacity(3 * self.width * self.height);
        for y in 0..self.height {
            for x in 0..self.width {
                let (chroma_x, chroma_y) = (x >> shift_x, y >> shift_y);
                let codes = [
                    luma.sample_clamped(x, y),
                    chroma_blue.sample_clamped(chroma_x, chroma_y),
                    chroma_red.sample_clamped(chroma_x, chroma_y),
                ];
                let signal = space.decode(codes);
                let color = tone_map.as_ref().map_or(signal, |tone_map| {
                    tone_map
                        .apply(signal.map(|value| value as f32))
                        .map(f64::from)
                });
                // A float-to-int cast saturates, so out-of-gamut values are clipped.
                rgb.extend(color.map(|value| (value * 255.0).round() as u8));
            }
        }
        rgb
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ColorModel;

    fn space(model: ColorModel, is_full_range: bool, bit_depth: u8) -> SampleSpace {
        let color = ColorSpec {
            model,
            is_full_range,
            transfer: Transfer::Sdr,
        };
        SampleSpace::new(color, bit_depth)
    }

    #[test]
    fn published_codes_of_black_white_and_primaries() {
        let bt709 = space(ColorModel::YuvBt709, false, 8);
        assert_eq!(bt709.encode([0.0; 3]), [16, 128, 128]);
        assert_eq!(bt709.encode([1.0; 3]), [235, 128, 128]);
        assert_eq!(bt709.encode([1.0, 0.0, 0.0]), [63, 102, 240]);
        let bt601 = space(ColorModel::YuvBt601, false, 8);
        assert_eq!(bt601.encode([1.0, 0.0, 0.0]), [81, 90, 240]);
        assert_eq!(bt601.encode([0.0, 0.0, 1.0]), [41, 240, 110]);
        let jpeg = space(ColorModel::YuvBt601, true, 8);
        assert_eq!(jpeg.encode([0.0, 0.0, 1.0]), [29, 255, 107]);
        let ten_bit = space(ColorModel::YuvBt2020, false, 10);
        assert_eq!(ten_bit.encode([1.0; 3]), [940, 512, 512]);
        let sixteen = space(ColorModel::Rgb, true, 16);
        assert_eq!(sixteen.encode([1.0, 0.5, 0.0]), [65535, 32768, 0]);
    }

    #[test]
    fn decoding_inverts_encoding_in_every_space() {
        use ColorModel::{Rgb, YuvBt601, YuvBt709, YuvBt2020};
        for model in [Rgb, YuvBt601, YuvBt709, YuvBt2020] {
            for is_full_range in [false, true] {
                for bit_depth in [8, 10, 12, 16] {
                    let space = space(model, is_full_range, bit_depth);
                    let color = [0.8, 0.35, 0.2];
                    let tolerance = 2.0 / f64::from(1_u32 << bit_depth);
                    for (got, want) in space.decode(space.encode(color)).into_iter().zip(color) {
                        assert!((got - want).abs() <= tolerance, "{space:?}: {got} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn sdr_white_is_drawn_at_203_candelas_in_hdr() {
        for (transfer, white) in [(Transfer::Pq, 573), (Transfer::Hlg, 721)] {
            let hdr = |model, is_full_range, bit_depth| {
                let color = ColorSpec {
                    model,
                    is_full_range,
                    transfer,
                };
                SampleSpace::new(color, bit_depth)
            };
            for model in [ColorModel::YuvBt2020, ColorModel::YuvBt709] {
                let space = hdr(model, false, 10);
                assert_eq!(space.encode([1.0; 3]), [white, 512, 512]);
                assert_eq!(space.encode([0.0; 3]), [64, 512, 512]);
            }
            let [red, green, blue] = hdr(ColorModel::Rgb, true, 10).encode([1.0; 3]);
            assert!(red == green && green == blue && red < 800);
        }
    }

    #[test]
    fn hdr_pictures_become_sdr_bytes() {
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
            let codes = SampleSpace::new(color, 10).encode([150.0, 80.0, 40.0].map(|v| v / 255.0));
            let picture = Picture::filled(2, 2, format, color, codes);
            for (index, byte) in picture.to_rgb8().into_iter().enumerate() {
                let want: u8 = [150, 80, 40][index % 3];
                assert!(byte.abs_diff(want) <= 1, "{transfer:?}: {byte}, not {want}");
            }
        }
    }

    #[test]
    fn rgb_bytes_survive_the_way_through_planes() {
        let bytes: Vec<u8> = (0..5 * 3 * 3).map(|value| value * 5).collect();
        assert_eq!(Picture::from_rgb8(5, 3, &bytes).to_rgb8(), bytes);
    }

    #[test]
    fn a_chroma_sample_colours_its_whole_block() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 10,
        };
        let color = ColorSpec {
            model: ColorModel::YuvBt709,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        let red = SampleSpace::new(color, 10).encode([1.0, 0.0, 0.0]);
        let picture = Picture::filled(3, 3, format, color, red);
        assert_eq!(picture.to_rgb8(), [255, 0, 0].repeat(9));
    }
}
