//! The heatmap over the picture: upsampled, coloured and blended plane by plane, in place.
//!
//! Each plane is drawn at its own resolution. Per row, two map rows are mixed into one; between two cells of that
//! row the evidence is a straight line, so it is filled in as short linear ramps of palette indices; a table then
//! holds for each index what a sample is multiplied with and what is added to it.

use super::ColorMap;
use super::palette::Palette;
use super::ramps::{Axis, Ramps};
use crate::frame::{ColorSpec, Picture, PictureFormat, RectInFrame, Samples};
use crate::heatmap::NormalizedHeatmap;

/// Fraction bits of the blend: 16-bit samples times a weight of at most 1 still fit a `u32`.
const FRACTION_BITS: u32 = 16;
const ONE: u32 = 1 << FRACTION_BITS;

/// Blends heatmaps into pictures of one format. Holds tables and scratch rows, so that drawing allocates nothing
/// that grows with the picture.
#[derive(Debug, Clone)]
pub struct Overlay {
    chroma_shift: (u8, u8),
    blends: [BlendTable; 3],
    is_invisible: bool,
    ramps: Ramps,
    map_row: Vec<f32>,
    indices: Vec<u8>,
}

impl Overlay {
    /// An overlay for pictures with this colour and format. `alpha` is the weight of the heatmap's colour in 0..=1;
    /// evidence below `threshold` (0..=1) leaves the picture untouched.
    pub fn new(
        color: ColorSpec,
        format: PictureFormat,
        colormap: ColorMap,
        alpha: f32,
        threshold: f32,
    ) -> Self {
        let alpha = (f64::from(alpha.clamp(0.0, 1.0)) * f64::from(ONE)).round() as u32;
        let palette = Palette::new(colormap, color, format.bit_depth);
        Self {
            chroma_shift: format.chroma_shift,
            blends: palette
                .planes
                .map(|codes| BlendTable::new(&codes, alpha, threshold)),
            is_invisible: alpha == 0,
            ramps: Ramps::default(),
            map_row: Vec::new(),
            indices: Vec::new(),
        }
    }

    /// Draws `map`, which has the picture's coded orientation, over the part of the picture that
    /// `map_in_frame` (coded pixels) covers. Pixels whose centre lies outside it stay as they are.
    ///
    /// Samples between cell centres are bilinear; beyond the outermost centres the edge cells go on.
    pub fn draw(
        &mut self,
        picture: &mut Picture,
        map: &NormalizedHeatmap,
        map_in_frame: RectInFrame,
    ) {
        let is_complete = map.values.len() >= map.width * map.height;
        if self.is_invisible || map.width == 0 || map.height == 0 || !is_complete {
            return;
        }
        for (index, plane) in picture.planes.iter_mut().enumerate() {
            let (shift_x, shift_y) = if index == 0 {
                (0, 0)
            } else {
                self.chroma_shift
            };
            let columns = Axis::new(
                (map_in_frame.x0, map_in_frame.x1),
                shift_x,
                plane.width,
                map.width,
            );
            let rows = Axis::new(
                (map_in_frame.y0, map_in_frame.y1),
                shift_y,
                plane.height,
                map.height,
            );
            self.ramps.fill(&columns);
            self.indices.resize(columns.covered.len(), 0);
            let table = &self.blends[index];
            for y in rows.covered.clone() {
                mix_map_rows(map, rows.cell_position(y), &mut self.map_row);
                self.ramps.draw(&self.map_row, &mut self.indices);
                let start = y * plane.width + columns.covered.start;
                let span = start..start + columns.covered.len();
                match &mut plane.samples {
                    Samples::U8(samples) => blend(samples.get_mut(span), &self.indices, table),
                    Samples::U16(samples) => blend(samples.get_mut(span), &self.indices, table),
                }
            }
        }
    }
}

/// The map's row at `position` (in cells, 0 at the first row's centre), scaled to palette indices 0..=255.
fn mix_map_rows(map: &NormalizedHeatmap, position: f32, mixed: &mut Vec<f32>) {
    let last = map.height - 1;
    let position = position.clamp(0.0, last as f32);
    let upper = position as usize;
    let lower = (upper + 1).min(last);
    let weight = position - upper as f32;
    let row = |index: usize| &map.values[index * map.width..][..map.width];
    mixed.clear();
    mixed.extend(row(upper).iter().zip(row(lower)).map(|(above, below)| {
        let value = above + (below - above) * weight;
        let value = if value.is_nan() { 0.0 } else { value };
        255.0 * value.clamp(0.0, 1.0)
    }));
}

/// Blending by table: `(sample * keep + add) >> 16`, where `add` holds colour, weight and rounding.
#[derive(Debug, Clone)]
struct BlendTable([BlendEntry; 256]);

#[derive(Debug, Clone, Copy)]
struct BlendEntry {
    keep: u32,
    add: u32,
}

impl BlendTable {
    fn new(codes: &[u16; 256], alpha: u32, threshold: f32) -> Self {
        Self(std::array::from_fn(|index| {
            let is_drawn = index as f32 / 255.0 >= threshold;
            let weight = if is_drawn { alpha } else { 0 };
            BlendEntry {
                keep: ONE - weight,
                add: u32::from(codes[index]) * weight + ONE / 2,
            }
        }))
    }
}

/// A sample type of a plane.
trait Sample: Copy {
    fn widen(self) -> u32;
    /// The blend of two codes is a code, so nothing is cut off.
    fn narrow(value: u32) -> Self;
}

impl Sample for u8 {
    fn widen(self) -> u32 {
        u32::from(self)
    }
    fn narrow(value: u32) -> Self {
        value as Self
    }
}

impl Sample for u16 {
    fn widen(self) -> u32 {
        u32::from(self)
    }
    fn narrow(value: u32) -> Self {
        value as Self
    }
}

fn blend<S: Sample>(samples: Option<&mut [S]>, indices: &[u8], table: &BlendTable) {
    let Some(samples) = samples else {
        return;
    };
    for (sample, index) in samples.iter_mut().zip(indices) {
        let entry = table.0[usize::from(*index)];
        *sample = S::narrow((sample.widen() * entry.keep + entry.add) >> FRACTION_BITS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorModel, Transfer};
    use proptest::prelude::*;

    /// The overlay by its definition, in f64 and pixel by pixel. Gives, for every plane, the values that are
    /// right: two where the evidence lies so near the middle of two palette indices that f32 may choose either.
    fn reference(
        picture: &Picture,
        map: &NormalizedHeatmap,
        rect: RectInFrame,
        palette: &Palette,
        alpha: f64,
        threshold: f32,
    ) -> [Vec<Vec<f64>>; 3] {
        std::array::from_fn(|plane_index| {
            let plane = &picture.planes[plane_index];
            let (shift_x, shift_y) = match plane_index {
                0 => (0, 0),
                _ => picture.format.chroma_shift,
            };
            let mut right = Vec::new();
            for y in 0..plane.height {
                for x in 0..plane.width {
                    let source = f64::from(sample(picture, plane_index, y * plane.width + x));
                    let center_x = (x as f64 + 0.5) * f64::from(1 << shift_x);
                    let center_y = (y as f64 + 0.5) * f64::from(1 << shift_y);
                    let is_covered = (rect.x0..rect.x1).contains(&center_x)
                        && (rect.y0..rect.y1).contains(&center_y);
                    if !is_covered {
                        right.push(vec![source]);
                        continue;
                    }
                    let value = 255.0
                        * bilinear(
                            map,
                            (center_x - rect.x0) / (rect.x1 - rect.x0),
                            (center_y - rect.y0) / (rect.y1 - rect.y0),
                        );
                    let indices = [(value - 2e-3).round(), (value + 2e-3).round()];
                    right.push(
                        indices
                            .map(|index| {
                                let index = index.clamp(0.0, 255.0) as usize;
                                let code = f64::from(palette.planes[plane_index][index]);
                                if index as f32 / 255.0 < threshold {
                                    source
                                } else {
                                    source * (1.0 - alpha) + code * alpha
                                }
                            })
                            .to_vec(),
                    );
                }
            }
            right
        })
    }

    /// Half-pixel centres and clamped edges; `u`, `v` are fractions of the map.
    fn bilinear(map: &NormalizedHeatmap, u: f64, v: f64) -> f64 {
        let x = (u * map.width as f64 - 0.5).clamp(0.0, map.width as f64 - 1.0);
        let y = (v * map.height as f64 - 0.5).clamp(0.0, map.height as f64 - 1.0);
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(map.width - 1), (top + 1).min(map.height - 1));
        let at = |x: usize, y: usize| f64::from(map.values[y * map.width + x]);
        let (fx, fy) = (x - left as f64, y - top as f64);
        let upper = at(left, top) * (1.0 - fx) + at(right, top) * fx;
        let lower = at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx;
        upper * (1.0 - fy) + lower * fy
    }

    fn sample(picture: &Picture, plane: usize, index: usize) -> u16 {
        match &picture.planes[plane].samples {
            Samples::U8(samples) => samples[index].into(),
            Samples::U16(samples) => samples[index],
        }
    }

    /// A picture of pseudo-random codes of the whole depth.
    fn noise(width: usize, height: usize, format: PictureFormat, color: ColorSpec) -> Picture {
        let mut picture = Picture::filled(width, height, format, color, [0; 3]);
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16 >> (16 - format.bit_depth)
        };
        for plane in &mut picture.planes {
            match &mut plane.samples {
                Samples::U8(samples) => samples.fill_with(|| next() as u8),
                Samples::U16(samples) => samples.fill_with(&mut next),
            }
        }
        picture
    }

    fn whole(picture: &Picture) -> RectInFrame {
        RectInFrame {
            x0: 0.0,
            y0: 0.0,
            x1: picture.width as f64,
            y1: picture.height as f64,
        }
    }

    fn map(width: usize, height: usize, values: &[f32]) -> NormalizedHeatmap {
        NormalizedHeatmap {
            width,
            height,
            values: values.to_vec(),
        }
    }

    fn formats() -> impl Strategy<Value = (PictureFormat, ColorSpec)> {
        let shifts = prop::sample::select(vec![(0, 0), (1, 0), (1, 1), (2, 0), (0, 1)]);
        let depths = prop::sample::select(vec![8, 10, 12, 16]);
        let models = prop::sample::select(vec![
            ColorModel::Rgb,
            ColorModel::YuvBt601,
            ColorModel::YuvBt709,
            ColorModel::YuvBt2020,
        ]);
        (shifts, depths, models, any::<bool>()).prop_map(
            |(shift, bit_depth, model, is_full_range)| {
                let format = PictureFormat {
                    chroma_shift: if model == ColorModel::Rgb {
                        (0, 0)
                    } else {
                        shift
                    },
                    bit_depth,
                };
                (
                    format,
                    ColorSpec {
                        model,
                        is_full_range,
                        transfer: Transfer::Sdr,
                    },
                )
            },
        )
    }

    fn grids() -> impl Strategy<Value = NormalizedHeatmap> {
        (1_usize..12, 1_usize..12).prop_flat_map(|(width, height)| {
            prop::collection::vec(0.0_f32..=1.0, width * height)
                .prop_map(move |values| map(width, height, &values))
        })
    }

    proptest! {
        #[test]
        fn the_fast_path_matches_the_definition_within_one_code(
            (format, color) in formats(),
            (width, height) in (1_usize..70, 1_usize..40),
            map in grids(),
            (x0, y0, x1, y1) in (-30.0_f64..40.0, -30.0_f64..30.0, -10.0_f64..110.0, -10.0_f64..70.0),
            covers_whole in any::<bool>(),
            alpha in 0.0_f32..=1.0,
            threshold in prop::sample::select(vec![0.0_f32, 0.3, 0.5]),
        ) {
            let source = noise(width, height, format, color);
            let rect = if covers_whole { whole(&source) } else { RectInFrame { x0, y0, x1, y1 } };
            let mut drawn = source.clone();
            Overlay::new(color, format, ColorMap::Jet, alpha, threshold).draw(&mut drawn, &map, rect);
            let palette = Palette::new(ColorMap::Jet, color, format.bit_depth);
            let right = reference(&source, &map, rect, &palette, f64::from(alpha), threshold);
            for (plane, values) in right.iter().enumerate() {
                for (index, accepted) in values.iter().enumerate() {
                    let got = f64::from(sample(&drawn, plane, index));
                    let is_near = accepted.iter().any(|want| (got - want).abs() <= 1.0);
                    prop_assert!(is_near, "plane {plane}, sample {index}: {got}, want {accepted:?}");
                }
            }
        }

        #[test]
        fn alpha_zero_or_a_high_threshold_leaves_every_byte(
            (format, color) in formats(),
            map in grids(),
            alpha in 0.0_f32..=1.0,
        ) {
            let source = noise(37, 21, format, color);
            for (alpha, threshold) in [(0.0, 0.0), (alpha, 1.1)] {
                let mut drawn = source.clone();
                Overlay::new(color, format, ColorMap::Turbo, alpha, threshold)
                    .draw(&mut drawn, &map, whole(&source));
                prop_assert!(drawn == source);
            }
        }
    }

    #[test]
    fn a_strange_map_or_rectangle_draws_nothing_or_clips_but_never_panics() {
        let source = noise(9, 5, PictureFormat::FULL_8, ColorSpec::RGB);
        let mut overlay = Overlay::new(source.color, source.format, ColorMap::Jet, 1.0, 0.0);
        let one_cell = map(1, 1, &[1.0]);
        let rect = |x0, x1| RectInFrame {
            x0,
            x1,
            y0: 0.0,
            y1: 5.0,
        };
        for rect in [
            rect(3.0, 3.0),
            rect(7.0, 2.0),
            rect(f64::NAN, 4.0),
            rect(0.0, f64::NAN),
            rect(20.0, 30.0),
            rect(-9.0, -1.0),
        ] {
            let mut drawn = source.clone();
            overlay.draw(&mut drawn, &one_cell, rect);
            assert_eq!(drawn, source, "{rect:?}");
        }
        let mut drawn = source.clone();
        overlay.draw(&mut drawn, &map(3, 3, &[1.0]), whole(&source));
        overlay.draw(&mut drawn, &map(0, 0, &[]), whole(&source));
        assert_eq!(drawn, source);
        overlay.draw(&mut drawn, &map(1, 1, &[f32::NAN]), whole(&source));
        let weakest = [0, 0, 127].repeat(9 * 5);
        assert_eq!(
            drawn.to_rgb8(),
            weakest,
            "not a number counts as no evidence"
        );
        overlay.draw(
            &mut drawn,
            &one_cell,
            rect(f64::NEG_INFINITY, f64::INFINITY),
        );
    }

    #[test]
    fn only_pixels_with_their_centre_in_the_rectangle_are_drawn() {
        let mut picture = Picture::filled(6, 1, PictureFormat::FULL_8, ColorSpec::RGB, [9; 3]);
        let rect = RectInFrame {
            x0: 1.6,
            x1: 4.4,
            y0: 0.0,
            y1: 1.0,
        };
        Overlay::new(picture.color, picture.format, ColorMap::Gray, 1.0, 0.0).draw(
            &mut picture,
            &map(1, 1, &[1.0]),
            rect,
        );
        assert_eq!(
            picture.planes[0].samples,
            Samples::U8(vec![9, 9, 255, 255, 9, 9])
        );
    }
}
