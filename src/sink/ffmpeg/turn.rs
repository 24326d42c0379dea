//! Turning pictures upright for containers that cannot tell players to.

use ffmpeg_next::chroma;

use crate::frame::{Orientation, Picture, Plane, Samples};
use crate::sink::PictureShape;
use crate::source::StreamTemplate;

/// How pictures are turned before they are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn(Orientation);

/// Whether the muxer keeps the matrix that says how players turn the picture. Matroska's keeps it only in some versions of FFmpeg, and few
/// players heed it there.
pub(super) fn keeps_rotation(muxer: &str) -> bool {
    matches!(muxer, "mp4" | "mov")
}

/// Whether a display matrix turns or shears at all.
pub(super) fn turns(matrix: &[i32; 9]) -> bool {
    matrix[1] != 0 || matrix[3] != 0 || matrix[0] < 0 || matrix[4] < 0
}

impl Turn {
    /// The turn that this muxer needs; `None` if players do it, or if there is nothing to turn.
    pub(super) fn for_muxer(muxer: &str, orientation: Orientation) -> Option<Self> {
        let is_needed = orientation != Orientation::default() && !keeps_rotation(muxer);
        is_needed.then_some(Self(orientation))
    }

    /// The shape of turned pictures.
    pub(super) fn shape(self, shape: PictureShape) -> PictureShape {
        let (width, height) = self.0.upright_size(shape.width, shape.height);
        PictureShape {
            width,
            height,
            ..shape
        }
    }

    /// What the input says, as it is true of turned pictures of `coded_height` rows before.
    pub(super) fn template(self, template: &StreamTemplate, coded_height: usize) -> StreamTemplate {
        let mut turned = template.clone();
        turned.display_matrix = None;
        // Chroma lies on another side of its pixels, for which there may be no name.
        turned.color.chroma_location = chroma::Location::Unspecified;
        turned.is_top_field_first = self.fields(template.is_top_field_first, coded_height);
        if self.0.swaps_axes() {
            turned.pixel_aspect = template.pixel_aspect.map(|aspect| aspect.invert());
        }
        turned
    }

    /// Which field of a turned picture comes first.
    pub(super) fn fields(
        self,
        is_top_field_first: Option<bool>,
        coded_height: usize,
    ) -> Option<bool> {
        match self.0.quarter_turns % 4 {
            0 => is_top_field_first,
            2 => is_top_field_first.map(|is_top| is_top == (coded_height % 2 == 1)),
            // Fields would be columns.
            _ => None,
        }
    }

    /// The upright picture.
    pub(super) fn picture(self, picture: &Picture) -> Picture {
        let (width, height) = self.0.upright_size(picture.width, picture.height);
        let plane = |index: usize| {
            let turned = self.plane(&picture.planes[index]);
            let wanted = picture.format.plane_size(index, width, height);
            if (turned.width, turned.height) == wanted {
                turned
            } else {
                resample(&turned, wanted)
            }
        };
        Picture {
            width,
            height,
            format: picture.format,
            color: picture.color,
            planes: [plane(0), plane(1), plane(2)],
        }
    }

    fn plane(self, plane: &Plane) -> Plane {
        let (width, height) = self.0.upright_size(plane.width, plane.height);
        let size = (plane.width, plane.height);
        let samples = match &plane.samples {
            Samples::U8(samples) => Samples::U8(self.0.to_upright(samples, size.0, size.1)),
            Samples::U16(samples) => Samples::U16(self.0.to_upright(samples, size.0, size.1)),
        };
        Plane {
            width,
            height,
            samples,
        }
    }
}

/// Chroma of 4:2:2 on its side has half the rows in place of half the columns: two columns are averaged, and rows stand twice.
fn resample(plane: &Plane, size: (usize, usize)) -> Plane {
    let samples = match &plane.samples {
        Samples::U8(samples) => Samples::U8(halve(samples, plane, size, |a, b| {
            (u16::from(a) + u16::from(b)).div_ceil(2) as u8
        })),
        Samples::U16(samples) => Samples::U16(halve(samples, plane, size, |a, b| {
            (u32::from(a) + u32::from(b)).div_ceil(2) as u16
        })),
    };
    Plane {
        width: size.0,
        height: size.1,
        samples,
    }
}

fn halve<T: Copy>(
    samples: &[T],
    plane: &Plane,
    (width, height): (usize, usize),
    average: impl Fn(T, T) -> T,
) -> Vec<T> {
    let last = plane.width - 1;
    let mut halved = Vec::with_capacity(width * height);
    for y in 0..height {
        let start = (y / 2).min(plane.height - 1) * plane.width;
        let row = &samples[start..start + plane.width];
        halved.extend(
            (0..width).map(|x| average(row[(2 * x).min(last)], row[(2 * x + 1).min(last)])),
        );
    }
    halved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorSpec, PictureFormat};

    const CLOCKWISE: Turn = Turn(Orientation {
        quarter_turns: 1,
        is_mirrored: false,
    });

    fn picture(chroma_shift: (u8, u8), luma: &[u8], chroma: &[u8]) -> Picture {
        let format = PictureFormat {
            chroma_shift,
            bit_depth: 8,
        };
        let mut picture = Picture::filled(4, 2, format, ColorSpec::RGB, [0; 3]);
        picture.planes[0].samples = Samples::U8(luma.to_vec());
        for plane in &mut picture.planes[1..] {
            plane.samples = Samples::U8(chroma.to_vec());
        }
        picture
    }

    #[test]
    fn planes_are_turned_each_in_its_own_size() {
        let turned = CLOCKWISE.picture(&picture((1, 1), b"abcdefgh", b"xy"));
        assert_eq!((turned.width, turned.height), (2, 4));
        assert_eq!(turned.planes[0].samples, Samples::U8(b"eafbgchd".to_vec()));
        assert_eq!((turned.planes[1].width, turned.planes[1].height), (1, 2));
        assert_eq!(turned.planes[2].samples, Samples::U8(b"xy".to_vec()));
    }

    #[test]
    fn chroma_with_half_the_columns_keeps_its_format_on_its_side() {
        let turned = CLOCKWISE.picture(&picture((1, 0), b"abcdefgh", &[10, 50, 20, 61]));
        let chroma = &turned.planes[1];
        assert_eq!((chroma.width, chroma.height), (1, 4));
        assert_eq!(chroma.samples, Samples::U8(vec![15, 15, 56, 56]));
    }

    #[test]
    fn fields_follow_the_turn() {
        let half = Turn(Orientation {
            quarter_turns: 2,
            is_mirrored: false,
        });
        assert_eq!(half.fields(Some(true), 480), Some(false));
        assert_eq!(half.fields(Some(true), 481), Some(true));
        assert_eq!(half.fields(None, 480), None);
        assert_eq!(CLOCKWISE.fields(Some(true), 480), None);
    }

    #[test]
    fn only_what_no_player_would_turn_is_turned() {
        assert!(Turn::for_muxer("mp4", CLOCKWISE.0).is_none());
        for muxer in ["matroska", "webm", "mpegts"] {
            assert!(Turn::for_muxer(muxer, CLOCKWISE.0).is_some());
            assert!(Turn::for_muxer(muxer, Orientation::default()).is_none());
        }
        assert!(!turns(&[65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]));
        assert!(turns(&[60000, 100, 0, -100, 60000, 0, 0, 0, 1 << 30]));
    }
}
