//! The label: text lines with bars, drawn crisply at the picture's resolution, upright whatever the coded orientation.
//!
//! The lines are rasterised once into a [`Stencil`] and the result is kept until they change.

use super::canvas::Canvas;
use super::glyphs::{GlyphCache, Weight};
use super::stencil::Stencil;
use crate::error::Result;
use crate::frame::{Orientation, Picture, PictureFormat};

/// Text height (descender to ascender) as a share of the upright picture's height.
const TEXT_SHARE: f32 = 0.032;
/// Below this letters run together: an em of 11 pixels.
const MINIMUM_TEXT_PIXELS: f32 = 13.0;

/// One line of a label.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabelLine {
    /// The text; a longer one than the picture has room for ends in an ellipsis.
    pub text: String,
    /// Length of the bar under the text, in 0..=1; no bar if `None`.
    pub fraction: Option<f32>,
}

/// Draws labels into pictures whose upright height is known.
#[derive(Debug, Clone)]
pub struct LabelPainter {
    glyphs: GlyphCache,
    metrics: Metrics,
    cached: Option<Cached>,
}

/// The stencil of the last label, and everything it depends on.
#[derive(Debug, Clone)]
struct Cached {
    lines: Vec<LabelLine>,
    size: (usize, usize),
    format: PictureFormat,
    orientation: Orientation,
    stencil: Option<Stencil>,
}

/// Lengths in pixels.
#[derive(Debug, Clone, Copy)]
struct Metrics {
    /// From the picture's edge to the box.
    margin: usize,
    /// From the box's edge to its content.
    padding: usize,
    /// From the top of a line to its baseline.
    ascent: usize,
    /// Height of the text of a line.
    text_height: usize,
    /// Between a text and its bar.
    bar_gap: usize,
    bar_height: usize,
    /// Between two lines.
    gap: usize,
}

impl LabelPainter {
    /// A painter for pictures that are `upright_height` pixels high when they stand upright.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the built-in font cannot be read.
    pub fn new(upright_height: usize) -> Result<Self> {
        let pixels = (upright_height as f32 * TEXT_SHARE)
            .round()
            .max(MINIMUM_TEXT_PIXELS);
        let glyphs = GlyphCache::new(pixels)?;
        let share = |share: f32| (pixels * share).round() as usize;
        let ascent = glyphs.ascent().round() as usize;
        Ok(Self {
            metrics: Metrics {
                margin: share(0.5),
                padding: share(0.5),
                ascent,
                text_height: ascent + glyphs.descent().ceil() as usize,
                bar_gap: share(0.06).max(1),
                bar_height: share(0.14).max(2),
                gap: share(0.3),
            },
            glyphs,
            cached: None,
        })
    }

    /// Draws `lines` at the upright top left of a picture coded in `orientation`; the first line is bold.
    /// Lines that do not fit below each other are left out, and so is the label if not one fits.
    pub fn draw(&mut self, picture: &mut Picture, orientation: Orientation, lines: &[LabelLine]) {
        if lines.is_empty() {
            return;
        }
        let size = (picture.width, picture.height);
        let is_current = self.cached.as_ref().is_some_and(|cached| {
            cached.lines == lines
                && cached.size == size
                && cached.format == picture.format
                && cached.orientation == orientation
        });
        if !is_current {
            let (upright_width, upright_height) = orientation.upright_size(size.0, size.1);
            let canvas = self.rasterise(lines, upright_width, upright_height);
            self.cached = Some(Cached {
                lines: lines.to_vec(),
                size,
                format: picture.format,
                orientation,
                stencil: canvas
                    .map(|canvas| canvas.into_stencil(size, picture.format, orientation)),
            });
        }
        if let Some(stencil) = self
            .cached
            .as_ref()
            .and_then(|cached| cached.stencil.as_ref())
        {
            stencil.draw(picture);
        }
    }

    /// The label on its box, or `None` if the picture is too small for one line.
    fn rasterise(
        &mut self,
        lines: &[LabelLine],
        upright_width: usize,
        upright_height: usize,
    ) -> Option<Canvas> {
        let metrics = self.metrics;
        let outside = 2 * (metrics.margin + metrics.padding);
        let room_width = upright_width.checked_sub(outside)?;
        let room_height = upright_height.checked_sub(outside)?;
        let weight = |index: usize| match index {
            0 => Weight::Bold,
            _ => Weight::Regular,
        };

        let mut content_height = 0;
        let mut content_width: usize = 0;
        let mut placed = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let gap = if index == 0 { 0 } else { metrics.gap };
            let top = content_height + gap;
            let bottom = top + metrics.line_height(line);
            if bottom > room_height {
                break;
            }
            let text = self.glyphs.fitting(&line.text, weight(index), room_width);
            if text.is_empty() && !line.text.is_empty() {
                break;
            }
            content_width = content_width.max(self.glyphs.width(&text, weight(index)));
            content_height = bottom;
            placed.push((top, text, line.fraction));
        }
        if placed.is_empty() || content_width == 0 {
            return None;
        }

        let mut canvas = Canvas::dark_box(
            content_width + 2 * metrics.padding,
            content_height + 2 * metrics.padding,
            metrics.margin,
        );
        for (index, (top, text, fraction)) in placed.iter().enumerate() {
            let top = top + metrics.padding;
            let baseline = top + metrics.ascent;
            self.glyphs.place(text, weight(index), |x, y, coverage| {
                canvas.add_light(
                    x + metrics.padding as i32,
                    y + baseline as i32,
                    f32::from(coverage) / 255.0,
                );
            });
            if let Some(fraction) = fraction {
                canvas.draw_bar(
                    metrics.padding,
                    top + metrics.text_height + metrics.bar_gap,
                    (content_width, metrics.bar_height),
                    *fraction,
                );
            }
        }
        Some(canvas)
    }
}

impl Metrics {
    fn line_height(&self, line: &LabelLine) -> usize {
        let bar = if line.fraction.is_some() {
            self.bar_gap + self.bar_height
        } else {
            0
        };
        self.text_height + bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorModel, ColorSpec, Transfer};

    fn lines() -> Vec<LabelLine> {
        [("Egyptian_cat 88.8%", 0.888), ("tabby 5.1%", 0.051)]
            .map(|(text, fraction)| LabelLine {
                text: text.to_owned(),
                fraction: Some(fraction),
            })
            .to_vec()
    }

    fn gray(width: usize, height: usize, format: PictureFormat, color: ColorSpec) -> Picture {
        let neutral = 1 << (format.bit_depth - 1);
        Picture::filled(width, height, format, color, [neutral; 3])
    }

    fn rgb(width: usize, height: usize) -> Picture {
        gray(width, height, PictureFormat::FULL_8, ColorSpec::RGB)
    }

    fn labelled(mut picture: Picture, orientation: Orientation, lines: &[LabelLine]) -> Picture {
        let (_, upright_height) = orientation.upright_size(picture.width, picture.height);
        LabelPainter::new(upright_height)
            .unwrap()
            .draw(&mut picture, orientation, lines);
        picture
    }

    fn upright_rgb(picture: &Picture, orientation: Orientation) -> Vec<[u8; 3]> {
        let pixels: Vec<[u8; 3]> = picture.to_rgb8().as_chunks::<3>().0.to_vec();
        orientation.to_upright(&pixels, picture.width, picture.height)
    }

    #[test]
    fn the_label_is_white_on_dark_inside_the_margin() {
        let picture = labelled(rgb(400, 300), Orientation::default(), &lines());
        let pixels = upright_rgb(&picture, Orientation::default());
        let at = |x: usize, y: usize| pixels[y * 400 + x];
        assert!((0..300).all(|y| at(0, y) == [128; 3]), "the margin stays");
        assert!((200..300).all(|y| (0..400).all(|x| at(x, y) == [128; 3])));
        assert_eq!(at(9, 25), [49; 3], "128 times 1 - 0.62");
        let white = pixels.iter().filter(|pixel| pixel[0] > 240).count();
        assert!(white > 100, "{white} white pixels");
    }

    #[test]
    fn bars_grow_with_the_fraction() {
        let accent_pixels = |fraction| {
            let line = LabelLine {
                text: "cat".to_owned(),
                fraction,
            };
            let picture = labelled(rgb(400, 300), Orientation::default(), &[line]);
            let pixels = upright_rgb(&picture, Orientation::default());
            pixels
                .iter()
                .filter(|[r, _, b]| r.abs_diff(*b) > 100)
                .count()
        };
        assert_eq!(accent_pixels(None), 0);
        let (half, full) = (accent_pixels(Some(0.5)), accent_pixels(Some(1.0)));
        assert!(half > 10 && full.abs_diff(2 * half) <= 4, "{half} {full}");
        assert_eq!(accent_pixels(Some(7.0)), full);
        assert_eq!(accent_pixels(Some(f32::NAN)), 0);
    }

    #[test]
    fn every_orientation_shows_the_same_label_upright() {
        let want = upright_rgb(
            &labelled(rgb(320, 240), Orientation::default(), &lines()),
            Orientation::default(),
        );
        for quarter_turns in 0..4 {
            for is_mirrored in [false, true] {
                let orientation = Orientation {
                    quarter_turns,
                    is_mirrored,
                };
                let (width, height) = orientation.upright_size(320, 240);
                let picture = labelled(rgb(width, height), orientation, &lines());
                assert!(
                    upright_rgb(&picture, orientation) == want,
                    "{orientation:?}"
                );
            }
        }
    }

    #[test]
    fn white_and_box_keep_to_the_range_and_depth_of_the_picture() {
        let color = ColorSpec {
            model: ColorModel::YuvBt709,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 10,
        };
        let line = LabelLine {
            text: "cat".to_owned(),
            fraction: None,
        };
        let picture = labelled(
            gray(401, 301, format, color),
            Orientation::default(),
            &[line],
        );
        let crate::frame::Samples::U16(luma) = &picture.planes[0].samples else {
            panic!("10 bits are kept in u16");
        };
        assert!(luma.iter().all(|code| (64..=940).contains(code)));
        assert!(luma.iter().any(|code| *code > 900), "white text");
        let gray = gray(401, 301, format, color);
        assert_eq!(picture.planes[1], gray.planes[1], "neutral stays neutral");
        assert_eq!(picture.planes[2], gray.planes[2]);
    }

    #[test]
    fn tiny_pictures_are_left_alone_and_narrow_ones_shorten_the_text() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 8,
        };
        for (width, height) in [
            (0, 0),
            (1, 1),
            (16, 16),
            (1, 1000),
            (1000, 1),
            (60, 29),
            (31, 33),
        ] {
            for quarter_turns in 0..4 {
                let orientation = Orientation {
                    quarter_turns,
                    is_mirrored: false,
                };
                labelled(
                    gray(width, height, format, ColorSpec::RGB),
                    orientation,
                    &lines(),
                );
            }
        }
        assert_eq!(
            labelled(rgb(16, 16), Orientation::default(), &lines()),
            rgb(16, 16)
        );
        let narrow = labelled(rgb(80, 200), Orientation::default(), &lines());
        assert_ne!(narrow, rgb(80, 200));
        let pixels = upright_rgb(&narrow, Orientation::default());
        assert!((0..200).all(|y| pixels[y * 80 + 79] == [128; 3]));
    }

    #[test]
    fn changed_lines_replace_the_cached_ones() {
        let mut painter = LabelPainter::new(300).unwrap();
        let orientation = Orientation::default();
        let draw = |painter: &mut LabelPainter, lines: &[LabelLine]| {
            let mut picture = rgb(400, 300);
            painter.draw(&mut picture, orientation, lines);
            picture
        };
        let first = draw(&mut painter, &lines());
        assert_eq!(draw(&mut painter, &lines()), first);
        assert_ne!(draw(&mut painter, &lines()[1..]), first);
        assert_eq!(draw(&mut painter, &lines()), first);
        assert_eq!(draw(&mut painter, &[]), rgb(400, 300));
    }
}
