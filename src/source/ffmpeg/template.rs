//! What a video sink carries over from the input besides pixels.

use std::fmt;
use std::path::PathBuf;

use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::context;
use ffmpeg_next::format::stream::{Disposition, Stream};
use ffmpeg_next::util::frame::side_data::Type as InFrame;
use ffmpeg_next::{Rational, Rescale, codec, decoder, frame, media, rescale};

use super::clock::Window;
use super::facts::without_stale_tags;
use crate::ffmpeg_ffi::{
    ColorTags, Metadata, chapter_metadata, disposition, is_left_out, programs, sample_rate,
    stream_metadata, video_parameters,
};

/// Everything a video sink needs to know about the input so that nothing is lost: pixel shape, frame
/// rate, rotation, colour tags, field order, tags, and the streams that are copied as they are.
#[derive(Clone)]
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
    /// log2 of the chroma subsampling of what was coded, which pictures made RGB no longer tell; `None` for RGB.
    pub(crate) coded_chroma_shift: Option<(u8, u8)>,
    /// For interlaced video, which field comes first; `None` for progressive. Single frames may differ.
    pub(crate) is_top_field_first: Option<bool>,
    /// Whether the first frame has closed captions.
    pub(crate) has_captions: bool,
    /// Tags of the video stream.
    pub(crate) video_metadata: Metadata,
    /// Tags of the container.
    pub(crate) container_metadata: Metadata,
    /// Brightness of the display it was made on and of its lightest pixels, for HDR.
    pub(crate) light: Vec<(side_data::Type, Vec<u8>)>,
    /// How the picture lies on a sphere, and how it holds the views of two eyes.
    pub(crate) view: Vec<(side_data::Type, Vec<u8>)>,
    /// Audio and subtitle streams, and attached files such as fonts.
    pub(crate) streams: Vec<CopiedStream>,
    /// Named parts, in order.
    pub(crate) chapters: Vec<Chapter>,
}

impl StreamTemplate {
    /// Without what is true of the coded picture only: how it lies on a sphere, and where it holds the views of two eyes.
    pub(crate) fn without_view(mut self) -> Self {
        self.view.clear();
        // Matroska's muxer takes it from a tag.
        self.video_metadata
            .retain(|(key, _)| key.to_bytes() != b"stereo_mode");
        self
    }
}

/// A named part of the video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chapter {
    /// In microseconds after the common start.
    pub(crate) start_micros: i64,
    pub(crate) end_micros: i64,
    pub(crate) title: String,
}

/// A stream that is copied packet by packet.
#[derive(Clone)]
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
            .field("chapters", &self.chapters)
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

/// The streams that are copied beside stream `video`.
pub(super) fn copied_streams(input: &context::Input, video: usize) -> Vec<CopiedStream> {
    let programs = programs(input);
    input
        .streams()
        .filter(|stream| is_copied(stream) && belongs_to(video, stream.index(), &programs))
        .map(|stream| CopiedStream {
            input_index: stream.index(),
            medium: stream.parameters().medium(),
            parameters: stream.parameters(),
            time_base: stream.time_base(),
            metadata: without_stale_tags(stream_metadata(&stream)),
            disposition: disposition(&stream),
        })
        .collect()
}

/// When the earliest of the video and the streams that are copied starts, in microseconds. As in FFmpeg's own start of a container, text that
/// begins more than a second before all else does not count.
pub(super) fn carried_start_micros(input: &context::Input, video: usize) -> Option<i64> {
    let programs = programs(input);
    let earliest = |is_text: bool| {
        input
            .streams()
            .filter(|stream| stream.index() == video || is_copied(stream))
            .filter(|stream| belongs_to(video, stream.index(), &programs))
            .filter(|stream| (stream.parameters().medium() == media::Type::Subtitle) == is_text)
            .filter(|stream| stream.start_time() != ffmpeg_next::ffi::AV_NOPTS_VALUE)
            .map(|stream| {
                let ticks = stream.start_time();
                ticks.rescale(stream.time_base(), rescale::TIME_BASE)
            })
            .min()
    };
    let start = earliest(false)?;
    let of_text = earliest(true).filter(|text| start.saturating_sub(*text) < 1_000_000);
    Some(of_text.map_or(start, |text| text.min(start)))
}

/// Whether FFmpeg knows more of a stream than its codec. Of one whose first packets come late, it has only seen the announcement.
fn is_recognised(stream: &Stream<'_>) -> bool {
    let parameters = stream.parameters();
    match parameters.medium() {
        media::Type::Audio => sample_rate(&parameters) > 0,
        media::Type::Video => video_parameters(&parameters).width > 0 || is_cover(stream),
        _ => true,
    }
}

/// Whether packets of a stream may still come that tell what it holds.
pub(super) fn is_awaited(stream: &Stream<'_>) -> bool {
    !is_recognised(stream) && decoder::find(stream.parameters().id()).is_some()
}

fn is_cover(stream: &Stream<'_>) -> bool {
    stream.disposition().contains(Disposition::ATTACHED_PIC)
}

/// Whether a stream is of a program of `video`, or of none at all.
pub(super) fn belongs_to(video: usize, stream: usize, programs: &[Vec<usize>]) -> bool {
    let is_in_program = |stream| programs.iter().any(|program| program.contains(&stream));
    let is_with_video =
        |program: &Vec<usize>| program.contains(&video) && program.contains(&stream);
    !is_in_program(video) || !is_in_program(stream) || programs.iter().any(is_with_video)
}

fn is_copied(stream: &Stream<'_>) -> bool {
    let is_copied_medium = matches!(
        stream.parameters().medium(),
        media::Type::Audio | media::Type::Subtitle | media::Type::Attachment
    );
    is_copied_medium && is_recognised(stream)
}

/// What a stream is called in messages.
pub(super) fn title(stream: &Stream<'_>) -> String {
    let parameters = stream.parameters();
    let kind = match parameters.medium() {
        _ if is_cover(stream) => "cover picture",
        media::Type::Video => "video stream",
        media::Type::Audio => "audio stream",
        media::Type::Subtitle => "subtitle stream",
        media::Type::Data => "data stream",
        _ => "stream",
    };
    format!("{kind} {} ({})", stream.index(), parameters.id().name())
}

/// A notice for each stream that is neither explained nor copied.
pub(super) fn left_out_streams(input: &context::Input, video: usize) -> Vec<String> {
    let programs = programs(input);
    let notice = |stream: Stream<'_>| {
        let is_of_video = belongs_to(video, stream.index(), &programs);
        let is_carried = stream.index() == video || (is_of_video && is_copied(&stream));
        // A time code is a tag too, which is kept, and muxers make its stream anew. The streams that it is of have the tag as well.
        let is_time_code = stream.parameters().medium() == media::Type::Data
            && stream_metadata(&stream)
                .iter()
                .any(|(key, _)| key.to_bytes() == b"timecode");
        if is_carried || is_left_out(&stream) || is_time_code {
            return None;
        }
        let reason = if !is_of_video {
            ": it is of another program"
        } else if !is_recognised(&stream) {
            ": it is empty, damaged, or begins too late to be recognised"
        } else {
            ""
        };
        Some(format!("{} is dropped{reason}", title(&stream)))
    };
    input.streams().filter_map(notice).collect()
}

/// The chapters that lie in the window, cut to it.
pub(super) fn chapters(input: &context::Input, window: &Window) -> Vec<Chapter> {
    let chapter = |chapter: ffmpeg_next::Chapter<'_>| {
        let micros = |ticks: i64| {
            let micros = ticks.rescale(chapter.time_base(), rescale::TIME_BASE);
            micros.saturating_sub(window.start_micros)
        };
        let end_limit = window
            .end_micros
            .map_or(i64::MAX, |end| end.saturating_sub(window.start_micros));
        let start_micros = micros(chapter.start()).max(0);
        let end_micros = micros(chapter.end()).min(end_limit);
        (start_micros < end_micros).then(|| Chapter {
            start_micros,
            end_micros,
            title: chapter_metadata(&chapter)
                .iter()
                .find(|(key, _)| key.to_bytes() == b"title")
                .map_or_else(String::new, |(_, title)| title.to_string_lossy().into()),
        })
    };
    input.chapters().filter_map(chapter).collect()
}

/// What the container, or else the first frame, says of an HDR video's brightness.
pub(super) fn light_facts(
    input: &context::Input,
    video: usize,
    frame: &frame::Video,
) -> Vec<(side_data::Type, Vec<u8>)> {
    let kinds = [
        (
            side_data::Type::MasteringDisplayMetadata,
            InFrame::MasteringDisplayMetadata,
        ),
        (
            side_data::Type::ContentLightLevel,
            InFrame::ContentLightLevel,
        ),
    ];
    side_facts(input, video, frame, kinds)
}

/// What the container, or else the first frame, says of a picture that is a sphere or has two views.
pub(super) fn view_facts(
    input: &context::Input,
    video: usize,
    frame: &frame::Video,
) -> Vec<(side_data::Type, Vec<u8>)> {
    let kinds = [
        (side_data::Type::DataSpherical, InFrame::Spherical),
        (side_data::Type::Stereo3d, InFrame::Stereo3D),
    ];
    side_facts(input, video, frame, kinds)
}

fn side_facts(
    input: &context::Input,
    video: usize,
    frame: &frame::Video,
    kinds: [(side_data::Type, InFrame); 2],
) -> Vec<(side_data::Type, Vec<u8>)> {
    kinds
        .into_iter()
        .filter_map(|(kind, in_frame)| {
            let of_stream = input.stream(video).and_then(|stream| {
                let found = stream.side_data().find(|data| data.kind() == kind)?;
                Some(found.data().to_vec())
            });
            let of_frame = || Some(frame.side_data(in_frame)?.data().to_vec());
            Some((kind, of_stream.or_else(of_frame)?))
        })
        .collect()
}
