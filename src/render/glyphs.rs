//! Letters as coverage bitmaps at one pixel size, each rasterised once.

use std::collections::HashMap;

use ab_glyph::{Font, FontRef, PxScaleFont, ScaleFont};

use crate::error::{Error, ErrorKind, Result};

const ELLIPSIS: char = '…';

/// Which face of the font.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// DejaVu Sans at one size.
#[derive(Debug, Clone)]
pub(super) struct GlyphCache {
    regular: PxScaleFont<FontRef<'static>>,
    bold: PxScaleFont<FontRef<'static>>,
    bitmaps: HashMap<(char, Weight), Bitmap>,
}

/// Coverage (0..=255) of one glyph whose pen stands at a whole pixel.
#[derive(Debug, Clone, Default)]
struct Bitmap {
    left: i32,
    /// Relative to the baseline; negative is above.
    top: i32,
    width: usize,
    coverage: Vec<u8>,
}

impl GlyphCache {
    /// Letters `pixels` high, from descender to ascender.
    pub(super) fn new(pixels: f32) -> Result<Self> {
        let face = |bytes| {
            FontRef::try_from_slice(bytes)
                .map(|font| font.into_scaled(pixels))
                .map_err(|error| {
                    Error::caused_by(ErrorKind::Internal, "cannot read the built-in font", error)
                })
        };
        Ok(Self {
            regular: face(dejavu::sans::regular())?,
            bold: face(dejavu::sans::bold())?,
            bitmaps: HashMap::new(),
        })
    }

    /// Height above the baseline, in pixels.
    pub(super) fn ascent(&self) -> f32 {
        self.regular.ascent()
    }

    /// Depth below the baseline, in pixels.
    pub(super) fn descent(&self) -> f32 {
        -self.regular.descent()
    }

    /// Width of a line, in pixels.
    pub(super) fn width(&self, text: &str, weight: Weight) -> usize {
        let width: f32 = text
            .chars()
            .map(|letter| self.advance(letter, weight))
            .sum();
        width.ceil() as usize
    }

    /// The text, or as much of it as fits into `room` pixels with an ellipsis; empty if not one letter does.
    pub(super) fn fitting(&self, text: &str, weight: Weight, room: usize) -> String {
        let text: String = text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        if self.width(&text, weight) <= room {
            return text;
        }
        let mut width = self.advance(ELLIPSIS, weight);
        let mut shortened = String::new();
        for letter in text.chars() {
            width += self.advance(letter, weight);
            if width.ceil() as usize > room {
                break;
            }
            shortened.push(letter);
        }
        if !shortened.is_empty() {
            shortened.truncate(shortened.trim_end().len());
            shortened.push(ELLIPSIS);
        }
        shortened
    }

    /// Calls `paint(x, y, coverage)` for the pixels of a line; the pen starts at (0, 0) on the baseline.
    pub(super) fn place(
        &mut self,
        text: &str,
        weight: Weight,
        mut paint: impl FnMut(i32, i32, u8),
    ) {
        let mut pen = 0.0;
        for letter in text.chars() {
            let origin = f32::round(pen) as i32;
            pen += self.advance(letter, weight);
            let bitmap = self.bitmap(letter, weight);
            let rows = bitmap.coverage.chunks(bitmap.width.max(1));
            for (y, row) in (bitmap.top..).zip(rows) {
                for (x, coverage) in (origin + bitmap.left..).zip(row) {
                    paint(x, y, *coverage);
                }
            }
        }
    }

    fn advance(&self, letter: char, weight: Weight) -> f32 {
        let font = self.font(weight);
        font.h_advance(font.glyph_id(letter))
    }

    fn font(&self, weight: Weight) -> &PxScaleFont<FontRef<'static>> {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    fn bitmap(&mut self, letter: char, weight: Weight) -> &Bitmap {
        if !self.bitmaps.contains_key(&(letter, weight)) {
            let bitmap = rasterise(self.font(weight), letter);
            self.bitmaps.insert((letter, weight), bitmap);
        }
        &self.bitmaps[&(letter, weight)]
    }
}

fn rasterise(font: &PxScaleFont<FontRef<'static>>, letter: char) -> Bitmap {
    let Some(outline) = font.outline_glyph(font.scaled_glyph(letter)) else {
        return Bitmap::default();
    };
    let bounds = outline.px_bounds();
    let (width, height) = (bounds.width() as usize, bounds.height() as usize);
    let mut coverage = vec![0; width * height];
    outline.draw(|x, y, share| {
        if let Some(pixel) = coverage.get_mut(y as usize * width + x as usize) {
            *pixel = (share * 255.0).round() as u8;
        }
    });
    Bitmap {
        left: bounds.min.x as i32,
        top: bounds.min.y as i32,
        width,
        coverage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_end_in_an_ellipsis_and_fit() {
        let glyphs = GlyphCache::new(20.0).unwrap();
        let text = "black-and-tan coonhound";
        let whole = glyphs.width(text, Weight::Bold);
        assert_eq!(glyphs.fitting(text, Weight::Bold, whole), text);
        for room in 0..whole {
            let fitted = glyphs.fitting(text, Weight::Bold, room);
            assert!(fitted.is_empty() || fitted.ends_with(ELLIPSIS));
            assert!(glyphs.width(&fitted, Weight::Bold) <= room);
        }
        let half = glyphs.fitting(text, Weight::Bold, whole / 2);
        assert!(half.len() > text.len() / 4, "{half}");
    }

    #[test]
    fn letters_stand_on_the_baseline() {
        let mut glyphs = GlyphCache::new(40.0).unwrap();
        let mut rows = Vec::new();
        glyphs.place("E", Weight::Regular, |_, y, coverage| {
            if coverage > 128 {
                rows.push(y);
            }
        });
        assert_eq!(rows.iter().max(), Some(&-1));
        assert!(rows.iter().min().unwrap() < &-20);
    }

    #[test]
    fn control_characters_become_blanks() {
        let glyphs = GlyphCache::new(20.0).unwrap();
        assert_eq!(glyphs.fitting("a\nb", Weight::Regular, 500), "a b");
    }
}
