//! What `ffmpeg-next` keeps hidden of inputs.

use std::ptr;

use ffmpeg_next::format::{context, stream};
use ffmpeg_next::{Chapter, Packet, Rational, codec, ffi, frame, packet::Ref as _};

use super::{ColorTags, Metadata, read_dictionary};

/// The raw fields of a video stream's codec parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoParameters {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) codec_tag: u32,
    pub(crate) color: ColorTags,
    /// For interlaced video, which field is shown first; `None` for progressive, or if the container does not say.
    pub(crate) is_top_field_first: Option<bool>,
}

/// Reads what `ffmpeg-next` keeps hidden in codec parameters.
pub(crate) fn video_parameters(parameters: &codec::Parameters) -> VideoParameters {
    // SAFETY: the pointer is valid as long as the parameters are borrowed.
    // The order of fields is read as a number, of which some may mean nothing.
    let (width, height, codec_tag, fields) = unsafe {
        let raw = parameters.as_ptr();
        let fields = ptr::addr_of!((*raw).field_order).cast::<u32>().read();
        ((*raw).width, (*raw).height, (*raw).codec_tag, fields)
    };
    let is_one_of =
        |orders: [ffi::AVFieldOrder; 2]| orders.map(|order| order as u32).contains(&fields);
    // The second letter is the field that is shown first.
    let is_top_first = is_one_of([
        ffi::AVFieldOrder::AV_FIELD_TT,
        ffi::AVFieldOrder::AV_FIELD_BT,
    ]);
    let is_bottom_first = is_one_of([
        ffi::AVFieldOrder::AV_FIELD_BB,
        ffi::AVFieldOrder::AV_FIELD_TB,
    ]);
    VideoParameters {
        width,
        height,
        codec_tag,
        color: ColorTags::of_parameters(parameters),
        is_top_field_first: (is_top_first || is_bottom_first).then_some(is_top_first),
    }
}

/// The codec's own header, which containers keep beside the packets; empty if there is none.
pub(crate) fn codec_header(parameters: &codec::Parameters) -> &[u8] {
    // SAFETY: the pointer is valid as long as the parameters are borrowed, and so are its `extradata_size` bytes unless it is null.
    unsafe {
        let raw = &*parameters.as_ptr();
        match usize::try_from(raw.extradata_size) {
            Ok(length) if !raw.extradata.is_null() => {
                std::slice::from_raw_parts(raw.extradata, length)
            }
            _ => &[],
        }
    }
}

/// Samples per second of an audio stream; 0 if no packet of it has told.
pub(crate) fn sample_rate(parameters: &codec::Parameters) -> i32 {
    // SAFETY: the pointer is valid as long as the parameters are borrowed.
    unsafe { (*parameters.as_ptr()).sample_rate }
}

/// When the earliest stream starts, in microseconds.
pub(crate) fn container_start_micros(input: &context::Input) -> Option<i64> {
    // SAFETY: the context is valid as long as it is borrowed.
    let start = unsafe { (*input.as_ptr()).start_time };
    (start != ffi::AV_NOPTS_VALUE).then_some(start)
}

/// Makes a decoder refuse larger frames before it takes memory for them.
pub(crate) fn limit_pixels(context: &mut codec::Context, most: u64) {
    // SAFETY: the context is valid, not open yet, and exclusively borrowed.
    unsafe { (*context.as_mut_ptr()).max_pixels = i64::try_from(most).unwrap_or(i64::MAX) }
}

/// Whether all bytes of the input were read without an error: some demuxers call that an error.
pub(crate) fn is_read_whole(input: &context::Input) -> bool {
    // SAFETY: the context is valid as long as it is borrowed; its I/O context is null or valid.
    unsafe {
        let io = (*input.as_ptr()).pb.as_ref();
        io.is_some_and(|io| io.eof_reached != 0 && matches!(io.error, 0 | ffi::AVERROR_EOF))
    }
}

/// Whether the container's duration is what its header says, not an estimate from bit rate or timestamps.
pub(crate) fn duration_is_from_header(input: &context::Input) -> bool {
    // SAFETY: the context is valid as long as it is borrowed.
    let method = unsafe { (*input.as_ptr()).duration_estimation_method };
    method == ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_STREAM
}

/// Whether somebody says how many bytes the input has, as of files, also those on a server.
pub(crate) fn has_size(input: &context::Input) -> bool {
    // SAFETY: the context is valid as long as it is borrowed; its I/O context is null or valid, and asking for the size moves nothing.
    unsafe {
        let io = (*input.as_ptr()).pb;
        !io.is_null() && ffi::avio_size(io) > 0
    }
}

/// Whether the clock of this container's streams may jump.
pub(crate) fn may_jump(input: &context::Input) -> bool {
    // SAFETY: the context is valid as long as it is borrowed; the format of an opened input is set and static.
    let flags = unsafe { (*(*input.as_ptr()).iformat).flags };
    flags & ffi::AVFMT_TS_DISCONT != 0
}

/// How many packets the container's index has for a stream; `None` without an index.
pub(crate) fn index_entries(input: &context::Input, index: usize) -> Option<u64> {
    let stream = input.stream(index)?;
    // SAFETY: the stream is valid as long as the context is borrowed.
    let count = unsafe { ffi::avformat_index_get_entries_count(stream.as_ptr()) };
    u64::try_from(count).ok().filter(|count| *count > 0)
}

/// Whether a packet's frames are only references for others, as before the start of an edit list.
pub(crate) fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the packet is valid as long as it is borrowed.
    let flags = unsafe { (*packet.as_ptr()).flags };
    flags & ffi::AV_PKT_FLAG_DISCARD != 0
}

/// Whether the demuxer itself leaves out a stream, such as the text of chapters.
pub(crate) fn is_left_out(stream: &stream::Stream<'_>) -> bool {
    // SAFETY: the stream is valid as long as it is borrowed.
    unsafe { (*stream.as_ptr()).discard == ffi::AVDiscard::AVDISCARD_ALL }
}

/// FFmpeg's best guess of a stream's frame rate.
pub(crate) fn guessed_frame_rate(input: &mut context::Input, index: usize) -> Option<Rational> {
    let stream = stream_pointer(input, index)?;
    // SAFETY: context and stream belong together and are exclusively borrowed; the frame may be null.
    let rate = unsafe { ffi::av_guess_frame_rate(input.as_mut_ptr(), stream, ptr::null_mut()) };
    (rate.num > 0 && rate.den > 0).then(|| rate.into())
}

/// Shape of a pixel, from the container or `frame`.
pub(crate) fn guessed_pixel_aspect(
    input: &mut context::Input,
    index: usize,
    frame: &mut frame::Video,
) -> Option<Rational> {
    let stream = stream_pointer(input, index)?;
    // SAFETY: context, stream and frame are valid and exclusively borrowed.
    let aspect = unsafe {
        ffi::av_guess_sample_aspect_ratio(input.as_mut_ptr(), stream, frame.as_mut_ptr())
    };
    (aspect.num > 0 && aspect.den > 0).then(|| aspect.into())
}

/// The streams of each program, as transport streams and playlists with variants have them.
pub(crate) fn programs(input: &context::Input) -> Vec<Vec<usize>> {
    // SAFETY: the context is valid as long as it is borrowed; it lists `nb_programs` valid programs, each with `nb_stream_indexes` numbers.
    unsafe {
        let raw = input.as_ptr();
        (0..(*raw).nb_programs as usize)
            .map(|index| {
                let program = *(*raw).programs.add(index);
                (0..(*program).nb_stream_indexes as usize)
                    .map(|index| *(*program).stream_index.add(index) as usize)
                    .collect()
            })
            .collect()
    }
}

/// Tells the demuxer not to deliver packets of a stream.
pub(crate) fn discard_stream(input: &mut context::Input, index: usize) {
    if let Some(stream) = stream_pointer(input, index) {
        // SAFETY: the pointer is valid and exclusively borrowed.
        unsafe { (*stream).discard = ffi::AVDiscard::AVDISCARD_ALL }
    }
}

fn stream_pointer(input: &mut context::Input, index: usize) -> Option<*mut ffi::AVStream> {
    let mut stream = input.stream_mut(index)?;
    // SAFETY: the context lists this stream; only the pointer is read.
    Some(unsafe { stream.as_mut_ptr() })
}

/// A stream's tags.
pub(crate) fn stream_metadata(stream: &stream::Stream<'_>) -> Metadata {
    // SAFETY: the stream is valid as long as it is borrowed.
    unsafe { read_dictionary((*stream.as_ptr()).metadata) }
}

/// A chapter's tags.
pub(crate) fn chapter_metadata(chapter: &Chapter<'_>) -> Metadata {
    // SAFETY: the chapter is valid as long as it is borrowed.
    unsafe { read_dictionary((*chapter.as_ptr()).metadata) }
}

/// A container's tags.
pub(crate) fn container_metadata(input: &context::Input) -> Metadata {
    // SAFETY: the context is valid as long as it is borrowed.
    unsafe { read_dictionary((*input.as_ptr()).metadata) }
}
