//! What `ffmpeg-next` keeps hidden of inputs.

use std::ptr;

use ffmpeg_next::format::{context, stream};
use ffmpeg_next::{Rational, chroma, codec, color, ffi, frame};

use super::{Metadata, read_dictionary};

/// The raw fields of a video stream's codec parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoParameters {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) codec_tag: u32,
    pub(crate) space: color::Space,
    pub(crate) range: color::Range,
    pub(crate) primaries: color::Primaries,
    pub(crate) transfer: color::TransferCharacteristic,
    pub(crate) chroma_location: chroma::Location,
}

/// Reads what `ffmpeg-next` keeps hidden in codec parameters.
pub(crate) fn video_parameters(parameters: &codec::Parameters) -> VideoParameters {
    // SAFETY: the pointer is valid as long as the parameters are borrowed.
    let raw = unsafe { &*parameters.as_ptr() };
    VideoParameters {
        width: raw.width,
        height: raw.height,
        codec_tag: raw.codec_tag,
        space: raw.color_space.into(),
        range: raw.color_range.into(),
        primaries: raw.color_primaries.into(),
        transfer: raw.color_trc.into(),
        chroma_location: raw.chroma_location.into(),
    }
}

/// When the earliest stream starts, in microseconds.
pub(crate) fn container_start_micros(input: &context::Input) -> Option<i64> {
    // SAFETY: the context is valid as long as it is borrowed.
    let start = unsafe { (*input.as_ptr()).start_time };
    (start != ffi::AV_NOPTS_VALUE).then_some(start)
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

/// A container's tags.
pub(crate) fn container_metadata(input: &context::Input) -> Metadata {
    // SAFETY: the context is valid as long as it is borrowed.
    unsafe { read_dictionary((*input.as_ptr()).metadata) }
}
