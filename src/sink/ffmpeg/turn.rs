//! Turning pictures upright for containers that cannot tell players to.

use ffmpeg_next::chroma;

use crate::frame::Orientation;
use crate::sink::PictureShape;
use crate::source::StreamTemplate;

/// How pictures are turned before they are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn(pub(super) Orientation);

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
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKWISE: Turn = Turn(Orientation {
        quarter_turns: 1,
        is_mirrored: false,
    });

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
