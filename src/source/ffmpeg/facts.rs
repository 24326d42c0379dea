//! What the container says of the video stream.

use ffmpeg_next::Rational;
use ffmpeg_next::codec;
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::context;

use super::rotation::parse_display_matrix;
use crate::ffmpeg_ffi::{Metadata, VideoParameters, stream_metadata, video_parameters};

/// What the container says of the video stream.
pub(super) struct StreamFacts {
    pub(super) parameters: codec::Parameters,
    pub(super) video: VideoParameters,
    pub(super) time_base: Rational,
    pub(super) metadata: Metadata,
    /// Whether packets carry a second picture, with the alpha of the first one (VP8 and VP9 in WebM).
    pub(super) has_alpha_beside: bool,
    pub(super) display_matrix: Option<[i32; 9]>,
    /// When the stream ends on the container's clock, by its own tag.
    pub(super) tagged_end_secs: Option<f64>,
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
        let metadata = stream_metadata(&stream);
        let tagged_end_secs = metadata
            .iter()
            .find(|(key, _)| key.to_bytes() == b"DURATION")
            .and_then(|(_, value)| parse_clock(value.to_str().ok()?));
        let has_alpha_beside = metadata.iter().any(|(key, value)| {
            key.to_bytes().eq_ignore_ascii_case(b"alpha_mode") && value.to_bytes() == b"1"
        });
        Some(Self {
            video: video_parameters(&parameters),
            parameters,
            time_base,
            metadata: without_stale_tags(metadata),
            has_alpha_beside,
            tagged_end_secs,
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

/// Whether `name` is among FFmpeg's names of the container's format.
pub(super) fn has_format(input: &context::Input, name: &str) -> bool {
    let format = input.format();
    format.name().split(',').any(|known| known == name)
}

/// Reads `HH:MM:SS.fraction`, as Matroska's tags have it.
fn parse_clock(text: &str) -> Option<f64> {
    let mut parts = text.split(':').map(str::parse::<f64>);
    let (Some(Ok(hours)), Some(Ok(minutes)), Some(Ok(secs)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let total = (hours * 60.0 + minutes) * 60.0 + secs;
    (total.is_finite() && total > 0.0).then_some(total)
}

/// Tags that describe the old file or encoder and would be wrong in the new one.
const STALE_TAGS: [&str; 12] = [
    // Alpha is laid over black.
    "alpha_mode",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_read() {
        assert_eq!(parse_clock("00:01:02.500000000"), Some(62.5));
        for text in ["", "1:2", "00:00:00.0", "a:b:c", "1:2:3:4", "00:00:inf"] {
            assert_eq!(parse_clock(text), None, "{text}");
        }
    }

    #[test]
    fn stale_tags_go_and_the_others_stay() {
        let entry = |key: &std::ffi::CStr| (key.to_owned(), c"x".to_owned());
        let kept = without_stale_tags(vec![
            entry(c"title"),
            entry(c"ENCODER"),
            entry(c"BPS-eng"),
            entry(c"rotate"),
            entry(c"alpha_mode"),
        ]);
        assert_eq!(kept, [entry(c"title")]);
    }
}
