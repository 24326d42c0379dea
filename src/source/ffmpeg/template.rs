//! What a video sink carries over from the input besides pixels.

use std::fmt;
use std::path::PathBuf;

use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::context;
use ffmpeg_next::{Rational, chroma, codec, color, frame, media};

use crate::ffmpeg_ffi::{
    Metadata, VideoParameters, disposition, stream_metadata, video_parameters,
};
use crate::frame::Orientation;

/// Everything a video sink needs to know about the input so that nothing is lost: pixel shape, frame
/// rate, rotation, colour tags, field order, tags, and the streams that are copied as they are.
pub struct StreamTemplate {
    /// The input's path, so that a sink can refuse to overwrite it.
    pub(crate) input_path: Option<PathBuf>,
    /// Width of a pixel divided by its height.
    pub(crate) pixel_aspect: Option<Rational>,
    /// Frames per second, on average.
    pub(crate) frame_rate: Option<Rational>,
    /// How players turn the coded picture.
    pub(crate) display_matrix: Option<[i32; 9]>,
    /// Colour tags.
    pub(crate) color: ColorTags,
    /// For interlaced video, which field comes first; `None` for progressive.
    pub(crate) is_top_field_first: Option<bool>,
    /// Tags of the video stream.
    pub(crate) video_metadata: Metadata,
    /// Tags of the container.
    pub(crate) container_metadata: Metadata,
    /// Audio and subtitle streams.
    pub(crate) streams: Vec<CopiedStream>,
}

/// Colour tags as the input has them; unspecified ones stay so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ColorTags {
    pub(crate) space: color::Space,
    pub(crate) range: color::Range,
    pub(crate) primaries: color::Primaries,
    pub(crate) transfer: color::TransferCharacteristic,
    pub(crate) chroma_location: chroma::Location,
}

impl ColorTags {
    /// A frame's own tags, and the container's where it has none.
    pub(super) fn of(frame: &frame::Video, parameters: &VideoParameters) -> Self {
        let space = frame.color_space();
        let range = frame.color_range();
        let primaries = frame.color_primaries();
        let transfer = frame.color_transfer_characteristic();
        let chroma_location = frame.chroma_location();
        Self {
            space: if space == color::Space::Unspecified {
                parameters.space
            } else {
                space
            },
            range: if range == color::Range::Unspecified {
                parameters.range
            } else {
                range
            },
            primaries: if primaries == color::Primaries::Unspecified {
                parameters.primaries
            } else {
                primaries
            },
            transfer: if transfer == color::TransferCharacteristic::Unspecified {
                parameters.transfer
            } else {
                transfer
            },
            chroma_location: if chroma_location == chroma::Location::Unspecified {
                parameters.chroma_location
            } else {
                chroma_location
            },
        }
    }
}

/// A stream that is copied packet by packet.
pub struct CopiedStream {
    /// Index in the input: what a passthrough packet's `stream()` says.
    pub(crate) input_index: usize,
    pub(crate) medium: media::Type,
    pub(crate) parameters: codec::Parameters,
    /// Unit of the packets' times.
    pub(crate) time_base: Rational,
    pub(crate) metadata: Metadata,
    pub(crate) disposition: i32,
}

impl fmt::Debug for StreamTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTemplate")
            .field("pixel_aspect", &self.pixel_aspect)
            .field("frame_rate", &self.frame_rate)
            .field("display_matrix", &self.display_matrix)
            .field("color", &self.color)
            .field("is_top_field_first", &self.is_top_field_first)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CopiedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopiedStream")
            .field("input_index", &self.input_index)
            .field("medium", &self.medium)
            .field("codec", &self.parameters.id())
            .field("time_base", &self.time_base)
            .finish_non_exhaustive()
    }
}

/// What the container says of the video stream.
pub(super) struct StreamFacts {
    pub(super) parameters: codec::Parameters,
    pub(super) video: VideoParameters,
    pub(super) time_base: Rational,
    pub(super) metadata: Metadata,
    pub(super) display_matrix: Option<[i32; 9]>,
    pub(super) frame_count: Option<u64>,
    pub(super) duration_secs: Option<f64>,
}

impl StreamFacts {
    /// `None` if there is no such stream.
    pub(super) fn read(input: &context::Input, index: usize) -> Option<Self> {
        let stream = input.stream(index)?;
        let parameters = stream.parameters();
        let time_base = stream.time_base();
        let display_matrix = stream
            .side_data()
            .find(|data| data.kind() == side_data::Type::DisplayMatrix)
            .and_then(|data| parse_display_matrix(data.data()));
        let container_secs = input.duration() as f64 / f64::from(ffmpeg_next::ffi::AV_TIME_BASE);
        let stream_secs = stream.duration() as f64 * f64::from(time_base);
        Some(Self {
            video: video_parameters(&parameters),
            parameters,
            time_base,
            metadata: without_stale_tags(stream_metadata(&stream)),
            display_matrix,
            frame_count: u64::try_from(stream.frames())
                .ok()
                .filter(|count| *count > 0),
            duration_secs: [stream_secs, container_secs]
                .into_iter()
                .find(|secs| *secs > 0.0),
        })
    }

    /// The four characters that name the codec in the container.
    pub(super) fn codec_tag(&self) -> Option<String> {
        let bytes = self.video.codec_tag.to_le_bytes();
        (self.video.codec_tag != 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The audio and subtitle streams.
pub(super) fn copied_streams(input: &context::Input) -> Vec<CopiedStream> {
    input
        .streams()
        .filter_map(|stream| {
            let parameters = stream.parameters();
            let medium = parameters.medium();
            matches!(medium, media::Type::Audio | media::Type::Subtitle).then(|| CopiedStream {
                input_index: stream.index(),
                medium,
                parameters,
                time_base: stream.time_base(),
                metadata: without_stale_tags(stream_metadata(&stream)),
                disposition: disposition(&stream),
            })
        })
        .collect()
}

/// Tags that describe the old file or encoder and would be wrong in the new one.
const STALE_TAGS: [&str; 11] = [
    "encoder",
    "rotate",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "_statistics_tags",
    "_statistics_writing_app",
];

/// `metadata` without the tags that are true of the old file only. Matroska adds a language to
/// a tag's name (`BPS-eng`).
pub(super) fn without_stale_tags(metadata: Metadata) -> Metadata {
    let is_stale = |key: &str| {
        let key = key.to_ascii_lowercase();
        let name = key.split('-').next().unwrap_or_default();
        STALE_TAGS.contains(&name) || name == "_statistics_writing_date_utc"
    };
    metadata
        .into_iter()
        .filter(|(key, _)| !is_stale(&key.to_string_lossy()))
        .collect()
}

/// Reads a display matrix from the bytes of FFmpeg's side data.
pub(super) fn parse_display_matrix(bytes: &[u8]) -> Option<[i32; 9]> {
    let mut matrix = [0; 9];
    let (values, _) = bytes.as_chunks::<4>();
    if values.len() < matrix.len() {
        return None;
    }
    for (value, bytes) in matrix.iter_mut().zip(values) {
        *value = i32::from_ne_bytes(*bytes);
    }
    Some(matrix)
}

/// The orientation that a display matrix asks for; `None` if it is no quarter turn.
///
/// By ISO 14496-12 a point (x, y) of the coded picture, y down, is shown at
/// (a x + c y, b x + d y), where the matrix is `[a b u; c d v; x y w]`.
pub(super) fn orientation(matrix: &[i32; 9]) -> Option<Orientation> {
    let linear = [matrix[0], matrix[3], matrix[1], matrix[4]].map(f64::from);
    let largest = linear
        .iter()
        .fold(0.0, |max: f64, value| max.max(value.abs()));
    if largest == 0.0 {
        return None;
    }
    // A matrix may scale too; an entry this small against the largest counts as 0.
    const NEGLIGIBLE: f64 = 0.02;
    let signs = linear.map(|value| {
        if value.abs() < NEGLIGIBLE * largest {
            0
        } else if value > 0.0 {
            1
        } else {
            -1
        }
    });
    let (quarter_turns, is_mirrored) = match signs {
        [1, 0, 0, 1] => (0, false),
        [0, -1, 1, 0] => (1, false),
        [-1, 0, 0, -1] => (2, false),
        [0, 1, -1, 0] => (3, false),
        [-1, 0, 0, 1] => (0, true),
        [0, -1, -1, 0] => (1, true),
        [1, 0, 0, -1] => (2, true),
        [0, 1, 1, 0] => (3, true),
        _ => return None,
    };
    Some(Orientation {
        quarter_turns,
        is_mirrored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 1 << 16;

    #[test]
    fn the_matrix_moves_points_as_the_orientation_does() {
        for quarter_turns in 0..4 {
            for is_mirrored in [false, true] {
                let wanted = Orientation {
                    quarter_turns,
                    is_mirrored,
                };
                // Where do the coded unit steps right and down go in the upright picture?
                let position = |coded: (usize, usize)| {
                    let (width, height) = wanted.upright_size(3, 3);
                    (0..height)
                        .flat_map(|y| (0..width).map(move |x| (x, y)))
                        .find(|&(x, y)| wanted.coded_position(x, y, 3, 3) == coded)
                        .map(|(x, y)| (x as i32, y as i32))
                        .unwrap()
                };
                let (x0, y0) = position((1, 1));
                let right = position((2, 1));
                let down = position((1, 2));
                let (a, b) = (right.0 - x0, right.1 - y0);
                let (c, d) = (down.0 - x0, down.1 - y0);
                let matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 7, 7, 1 << 30];
                assert_eq!(orientation(&matrix), Some(wanted));
            }
        }
    }

    #[test]
    fn other_angles_and_empty_matrices_have_no_orientation() {
        let diagonal = [ONE, ONE, 0, -ONE, ONE, 0, 0, 0, 1 << 30];
        assert_eq!(orientation(&diagonal), None);
        assert_eq!(orientation(&[0; 9]), None);
    }

    #[test]
    fn stale_tags_go_and_the_others_stay() {
        let entry = |key: &std::ffi::CStr| (key.to_owned(), c"x".to_owned());
        let kept = without_stale_tags(vec![
            entry(c"title"),
            entry(c"ENCODER"),
            entry(c"BPS-eng"),
            entry(c"rotate"),
        ]);
        assert_eq!(kept, [entry(c"title")]);
    }

    #[test]
    fn short_side_data_is_no_matrix() {
        assert_eq!(parse_display_matrix(&[0; 35]), None);
        assert!(parse_display_matrix(&[0; 36]).is_some());
    }
}
