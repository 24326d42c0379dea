//! The only `unsafe` code around FFmpeg: small safe wrappers for what `ffmpeg-next` does not offer,
//! or offers in a way that foreign data can break (such as text that is not UTF-8).
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::slice;
use std::sync::Once;

use ffmpeg_next::format::{Pixel, context, stream};
use ffmpeg_next::{Error, Rational, chroma, codec, color, encoder, ffi, frame, log};

use crate::frame::{ColorModel, ColorSpec};

/// Entries of an FFmpeg dictionary, in any text encoding.
pub(crate) type Metadata = Vec<(CString, CString)>;

/// Prepares FFmpeg once per process and keeps it from printing: errors are returned, not logged.
pub(crate) fn initialize() -> Result<(), Error> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| log::set_level(log::Level::Quiet));
    ffmpeg_next::init()
}

// ---- pixels -----------------------------------------------------------------------------------

/// Where the samples of one colour component lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) plane: usize,
    pub(crate) step_bytes: usize,
    pub(crate) offset_bytes: usize,
    pub(crate) shift_bits: usize,
    pub(crate) depth_bits: u8,
}

/// What FFmpeg knows about a pixel format.
#[derive(Debug, Clone)]
pub(crate) struct PixelLayout {
    /// One to four; colour first, alpha last.
    pub(crate) components: Vec<Component>,
    pub(crate) chroma_shift: (u8, u8),
    pub(crate) is_rgb: bool,
    pub(crate) has_alpha: bool,
    pub(crate) is_big_endian: bool,
    /// Palettes, bit streams, Bayer patterns, floats, frames in GPU memory.
    pub(crate) is_exotic: bool,
    pub(crate) is_in_device_memory: bool,
}

/// The layout of `format`, or `None` for a format that FFmpeg does not describe.
pub(crate) fn pixel_layout(format: Pixel) -> Option<PixelLayout> {
    // SAFETY: the function accepts every value and returns null or a pointer to a static table.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(format.into()).as_ref() }?;
    let has = |flag: i32| descriptor.flags & flag as u64 != 0;
    let components = descriptor
        .comp
        .iter()
        .take(usize::from(descriptor.nb_components))
        .map(|component| Component {
            plane: component.plane as usize,
            step_bytes: component.step as usize,
            offset_bytes: component.offset as usize,
            shift_bits: component.shift as usize,
            depth_bits: component.depth as u8,
        })
        .collect();
    Some(PixelLayout {
        components,
        chroma_shift: (descriptor.log2_chroma_w, descriptor.log2_chroma_h),
        is_rgb: has(ffi::AV_PIX_FMT_FLAG_RGB) || has(ffi::AV_PIX_FMT_FLAG_PAL),
        has_alpha: has(ffi::AV_PIX_FMT_FLAG_ALPHA),
        is_big_endian: has(ffi::AV_PIX_FMT_FLAG_BE),
        is_exotic: has(ffi::AV_PIX_FMT_FLAG_PAL)
            || has(ffi::AV_PIX_FMT_FLAG_BITSTREAM)
            || has(ffi::AV_PIX_FMT_FLAG_BAYER)
            || has(ffi::AV_PIX_FMT_FLAG_FLOAT)
            || has(ffi::AV_PIX_FMT_FLAG_HWACCEL),
        is_in_device_memory: has(ffi::AV_PIX_FMT_FLAG_HWACCEL),
    })
}

/// The member of `choices` that loses least of `wanted`.
pub(crate) fn closest_format(choices: &[Pixel], wanted: Pixel) -> Option<Pixel> {
    let mut list: Vec<ffi::AVPixelFormat> = choices.iter().map(|&pixel| pixel.into()).collect();
    list.push(ffi::AVPixelFormat::AV_PIX_FMT_NONE);
    // SAFETY: the list ends with NONE, as the function requires; the loss pointer may be null.
    let best = unsafe {
        ffi::avcodec_find_best_pix_fmt_of_list(list.as_ptr(), wanted.into(), 0, ptr::null_mut())
    };
    (best != ffi::AVPixelFormat::AV_PIX_FMT_NONE).then(|| best.into())
}

/// A frame with its own memory.
pub(crate) fn allocate_frame(
    format: Pixel,
    width: u32,
    height: u32,
) -> Result<frame::Video, Error> {
    let mut frame = frame::Video::empty();
    // SAFETY: only the pointer is looked at.
    if unsafe { frame.as_ptr().is_null() } {
        return Err(Error::Other {
            errno: ffmpeg_next::error::ENOMEM,
        });
    }
    frame.set_format(format);
    frame.set_width(width);
    frame.set_height(height);
    // SAFETY: the frame is valid, holds no buffers yet, and has its format and size set.
    check(unsafe { ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0) })?;
    Ok(frame)
}

/// Makes sure that nobody else (such as an encoder that still reads) shares the frame's memory.
pub(crate) fn make_writable(frame: &mut frame::Video) -> Result<(), Error> {
    // SAFETY: the frame is valid and exclusively borrowed.
    check(unsafe { ffi::av_frame_make_writable(frame.as_mut_ptr()) })
}

/// `byte_count` bytes of one row of a plane; works for bottom-up frames (negative line size) too.
/// `None` if the frame has no such row or it is shorter.
pub(crate) fn plane_row(
    frame: &frame::Video,
    plane: usize,
    row: usize,
    byte_count: usize,
) -> Option<&[u8]> {
    let start = row_start(frame, plane, row, byte_count)?;
    // SAFETY: `row_start` checked that the visible part of the row has `byte_count` bytes; the
    // memory lives as long as the frame is borrowed.
    Some(unsafe { slice::from_raw_parts(start, byte_count) })
}

/// As [`plane_row`], for writing; `None` also if the frame's memory is shared.
pub(crate) fn plane_row_mut(
    frame: &mut frame::Video,
    plane: usize,
    row: usize,
    byte_count: usize,
) -> Option<&mut [u8]> {
    // SAFETY: the frame is valid; the call only counts references.
    if unsafe { ffi::av_frame_is_writable(frame.as_mut_ptr()) } == 0 {
        return None;
    }
    let start = row_start(frame, plane, row, byte_count)?;
    // SAFETY: as in `plane_row`; the frame is exclusively borrowed and its buffers have one owner.
    Some(unsafe { slice::from_raw_parts_mut(start, byte_count) })
}

fn row_start(frame: &frame::Video, plane: usize, row: usize, byte_count: usize) -> Option<*mut u8> {
    let layout = pixel_layout(frame.format())?;
    let vertical_shift = match plane {
        1 | 2 if !layout.is_rgb => layout.chroma_shift.1,
        _ => 0,
    };
    let rows = (frame.height() as usize).div_ceil(1 << vertical_shift);
    // SAFETY: the frame is valid; the function reads only its arguments.
    let (data, line_size, row_bytes) = unsafe {
        let raw = &*frame.as_ptr();
        let data = *raw.data.get(plane)?;
        let row_bytes = ffi::av_image_get_linesize(frame.format().into(), raw.width, plane as i32);
        (data, raw.linesize[plane], row_bytes)
    };
    let row_bytes = usize::try_from(row_bytes).ok()?;
    let fits = row < rows && byte_count <= row_bytes;
    if layout.is_in_device_memory || data.is_null() || !fits {
        return None;
    }
    // SAFETY: FFmpeg guarantees `rows` rows at `data + row * line_size`, each with `row_bytes` bytes.
    Some(unsafe { data.offset(row as isize * line_size as isize) })
}

/// Marks a frame as interlaced, or as progressive (`None`).
pub(crate) fn set_frame_field_order(frame: &mut frame::Video, is_top_field_first: Option<bool>) {
    // SAFETY: the frame is valid and exclusively borrowed; both are plain integers.
    unsafe {
        let raw = &mut *frame.as_mut_ptr();
        raw.interlaced_frame = i32::from(is_top_field_first.is_some());
        raw.top_field_first = i32::from(is_top_field_first == Some(true));
    }
}

/// Conversion between pixel formats and sizes that knows matrix and range of both ends.
pub(crate) struct Scaler {
    context: *mut ffi::SwsContext,
    key: Option<(ScaleEnd, ScaleEnd)>,
}

// SAFETY: a scaling context is not tied to a thread, and it is only reached through `&mut self`.
unsafe impl Send for Scaler {}

#[derive(Debug, Clone, Copy, PartialEq)]
struct ScaleEnd {
    format: Pixel,
    width: u32,
    height: u32,
    color: ColorSpec,
}

impl ScaleEnd {
    fn of(frame: &frame::Video, color: ColorSpec) -> Self {
        Self {
            format: frame.format(),
            width: frame.width(),
            height: frame.height(),
            color,
        }
    }

    /// swscale's name for the matrix; RGB has none, the other end's decides.
    fn matrix(self) -> Option<i32> {
        match self.color.model {
            ColorModel::Rgb => None,
            ColorModel::YuvBt601 => Some(ffi::SWS_CS_ITU601),
            ColorModel::YuvBt709 => Some(ffi::SWS_CS_ITU709),
            ColorModel::YuvBt2020 => Some(ffi::SWS_CS_BT2020),
        }
    }
}

impl Scaler {
    pub(crate) fn new() -> Self {
        Self {
            context: ptr::null_mut(),
            key: None,
        }
    }

    /// Fills `target` with the scaled and converted `source`; the conversion is set up again
    /// whenever an end changes.
    pub(crate) fn run(
        &mut self,
        source: &frame::Video,
        source_color: ColorSpec,
        target: &mut frame::Video,
        target_color: ColorSpec,
    ) -> Result<(), Error> {
        let from = ScaleEnd::of(source, source_color);
        let to = ScaleEnd::of(target, target_color);
        if self.key != Some((from, to)) {
            self.rebuild(from, to)?;
        }
        // SAFETY: both frames hold memory for the format and size the context was made for (that is
        // the key); the target is exclusively borrowed.
        let rows = unsafe {
            let (input, output) = (&*source.as_ptr(), &mut *target.as_mut_ptr());
            ffi::sws_scale(
                self.context,
                input.data.as_ptr() as *const *const u8,
                input.linesize.as_ptr(),
                0,
                input.height,
                output.data.as_ptr(),
                output.linesize.as_ptr(),
            )
        };
        check(rows)
    }

    fn rebuild(&mut self, from: ScaleEnd, to: ScaleEnd) -> Result<(), Error> {
        let flags = ffi::SWS_BICUBIC | ffi::SWS_ACCURATE_RND | ffi::SWS_FULL_CHR_H_INT;
        self.key = None;
        // SAFETY: freeing null is allowed; formats and sizes come from live frames, the optional
        // pointers may be null, and the coefficient tables are static.
        unsafe {
            ffi::sws_freeContext(self.context);
            self.context = ffi::sws_getContext(
                from.width as i32,
                from.height as i32,
                from.format.into(),
                to.width as i32,
                to.height as i32,
                to.format.into(),
                flags,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if self.context.is_null() {
                return Err(Error::InvalidData);
            }
            let fallback = ffi::SWS_CS_ITU601;
            let source_matrix = from.matrix().or(to.matrix()).unwrap_or(fallback);
            let target_matrix = to.matrix().or(from.matrix()).unwrap_or(fallback);
            // The return value only says that equal ends need no conversion; the ranges are kept.
            ffi::sws_setColorspaceDetails(
                self.context,
                ffi::sws_getCoefficients(source_matrix),
                i32::from(from.color.is_full_range),
                ffi::sws_getCoefficients(target_matrix),
                i32::from(to.color.is_full_range),
                0,
                1 << 16,
                1 << 16,
            );
        }
        self.key = Some((from, to));
        Ok(())
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: the context is null or was made by `sws_getContext` and is freed once.
        unsafe { ffi::sws_freeContext(self.context) }
    }
}

// ---- inputs -----------------------------------------------------------------------------------

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

/// # Safety
/// `dictionary` is null or a valid dictionary.
unsafe fn read_dictionary(dictionary: *const ffi::AVDictionary) -> Metadata {
    let mut entries = Vec::new();
    let mut entry: *const ffi::AVDictionaryEntry = ptr::null();
    loop {
        // SAFETY: by the caller's promise; the empty key with IGNORE_SUFFIX walks all entries, and
        // key and value of an entry are zero-terminated.
        unsafe {
            let flags = ffi::AV_DICT_IGNORE_SUFFIX;
            entry = ffi::av_dict_get(dictionary, c"".as_ptr(), entry, flags);
            let Some(found) = entry.as_ref() else {
                return entries;
            };
            entries.push((
                CStr::from_ptr(found.key).to_owned(),
                CStr::from_ptr(found.value).to_owned(),
            ));
        }
    }
}

// ---- outputs ----------------------------------------------------------------------------------

/// Opens a file for writing through FFmpeg's own file protocol, which a muxer can re-open (as the
/// fast-start option does). Takes any path: not UTF-8, with a colon or a percent sign.
pub(crate) fn open_output(muxer: &str, path: &Path) -> Result<context::Output, Error> {
    let url: Vec<u8> = [b"file:", path.as_os_str().as_bytes()].concat();
    let (Ok(url), Ok(muxer)) = (CString::new(url), CString::new(muxer)) else {
        return Err(Error::InvalidData);
    };
    let mut raw = ptr::null_mut();
    // SAFETY: all strings are zero-terminated and outlive the calls; on success `raw` is a valid
    // context, which is either freed here or owned by the returned value.
    unsafe {
        check(ffi::avformat_alloc_output_context2(
            &mut raw,
            ptr::null(),
            muxer.as_ptr(),
            url.as_ptr(),
        ))?;
        let opened = ffi::avio_open(&mut (*raw).pb, url.as_ptr(), ffi::AVIO_FLAG_WRITE);
        if let Err(error) = check(opened) {
            ffi::avformat_free_context(raw);
            return Err(error);
        }
        Ok(context::Output::wrap(raw))
    }
}

/// Whether the muxer takes the codec; `None` if it does not say.
pub(crate) fn accepts_codec(output: &context::Output, id: codec::Id) -> Option<bool> {
    // SAFETY: the context is valid and its format is static.
    let answer = unsafe {
        ffi::avformat_query_codec(
            (*output.as_ptr()).oformat,
            id.into(),
            ffi::FF_COMPLIANCE_NORMAL,
        )
    };
    (answer >= 0).then_some(answer == 1)
}

/// Writes what is buffered; reports errors of all writes so far, which closing would hide.
pub(crate) fn flush_output(output: &mut context::Output) -> Result<(), Error> {
    // SAFETY: the context is valid and exclusively borrowed; its I/O context is null or valid.
    unsafe {
        let io = (*output.as_mut_ptr()).pb;
        if io.is_null() {
            return Ok(());
        }
        ffi::avio_flush(io);
        check((*io).error)
    }
}

/// Sets a container's tags.
pub(crate) fn set_container_metadata(
    output: &mut context::Output,
    metadata: &Metadata,
) -> Result<(), Error> {
    // SAFETY: the context is valid and exclusively borrowed.
    unsafe { write_dictionary(&mut (*output.as_mut_ptr()).metadata, metadata) }
}

/// Sets a stream's tags.
pub(crate) fn set_stream_metadata(
    stream: &mut stream::StreamMut<'_>,
    metadata: &Metadata,
) -> Result<(), Error> {
    // SAFETY: the stream is valid and exclusively borrowed.
    unsafe { write_dictionary(&mut (*stream.as_mut_ptr()).metadata, metadata) }
}

/// # Safety
/// `dictionary` points to null or to a valid dictionary.
unsafe fn write_dictionary(
    dictionary: *mut *mut ffi::AVDictionary,
    metadata: &Metadata,
) -> Result<(), Error> {
    for (key, value) in metadata {
        // SAFETY: by the caller's promise; the strings are copied.
        check(unsafe { ffi::av_dict_set(dictionary, key.as_ptr(), value.as_ptr(), 0) })?;
    }
    Ok(())
}

/// What a copied stream is for (default, forced, ...).
pub(crate) fn disposition(stream: &stream::Stream<'_>) -> i32 {
    // SAFETY: the stream is valid as long as it is borrowed.
    unsafe { (*stream.as_ptr()).disposition }
}

/// Sets what a stream is for.
pub(crate) fn set_disposition(stream: &mut stream::StreamMut<'_>, disposition: i32) {
    // SAFETY: the stream is valid and exclusively borrowed.
    unsafe { (*stream.as_mut_ptr()).disposition = disposition }
}

/// Sets the four characters that name the codec in the container; 0 lets the muxer choose.
pub(crate) fn set_codec_tag(stream: &mut stream::StreamMut<'_>, tag: [u8; 4]) {
    // SAFETY: a stream always has codec parameters; it is exclusively borrowed.
    unsafe { (*(*stream.as_mut_ptr()).codecpar).codec_tag = u32::from_le_bytes(tag) }
}

/// Sets the shape of a stream's pixels.
pub(crate) fn set_pixel_aspect(stream: &mut stream::StreamMut<'_>, aspect: Rational) {
    // SAFETY: the stream is valid and exclusively borrowed.
    unsafe { (*stream.as_mut_ptr()).sample_aspect_ratio = aspect.into() }
}

/// Attaches the matrix that says how players turn the picture.
pub(crate) fn set_display_matrix(
    stream: &mut stream::StreamMut<'_>,
    matrix: &[i32; 9],
) -> Result<(), Error> {
    let bytes: Vec<u8> = matrix
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    // SAFETY: the stream is exclusively borrowed; the call returns null or `bytes.len()` bytes.
    unsafe {
        let target = ffi::av_stream_new_side_data(
            stream.as_mut_ptr(),
            ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX,
            bytes.len(),
        );
        if target.is_null() {
            return Err(Error::Other {
                errno: ffmpeg_next::error::ENOMEM,
            });
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
    }
    Ok(())
}

/// Sets what `ffmpeg-next` has no setter for: chroma position and field order.
pub(crate) fn set_encoder_details(
    encoder: &mut encoder::video::Video,
    chroma_location: chroma::Location,
    is_top_field_first: Option<bool>,
) {
    // SAFETY: the context is valid, not open yet, and exclusively borrowed.
    unsafe {
        let raw = &mut *encoder.as_mut_ptr();
        raw.chroma_sample_location = chroma_location.into();
        raw.field_order = match is_top_field_first {
            None => ffi::AVFieldOrder::AV_FIELD_PROGRESSIVE,
            Some(true) => ffi::AVFieldOrder::AV_FIELD_TT,
            Some(false) => ffi::AVFieldOrder::AV_FIELD_BB,
        };
    }
}

fn check(status: i32) -> Result<(), Error> {
    if status < 0 {
        Err(Error::from(status))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_outside_a_frame_are_refused() {
        let mut frame = allocate_frame(Pixel::YUV420P, 5, 3).unwrap();
        assert!(plane_row(&frame, 0, 2, 5).is_some());
        assert!(plane_row(&frame, 0, 3, 5).is_none(), "no fourth row");
        assert!(plane_row(&frame, 0, 0, 6).is_none(), "a row has five bytes");
        assert!(plane_row(&frame, 1, 1, 3).is_some(), "chroma rounds up");
        assert!(plane_row(&frame, 1, 2, 3).is_none());
        assert!(plane_row(&frame, 3, 0, 1).is_none(), "no fourth plane");
        assert!(plane_row(&frame, 99, 0, 1).is_none());
        assert!(plane_row_mut(&mut frame, 2, 1, 3).is_some());
    }

    #[test]
    fn the_scaler_uses_the_matrix_it_is_told() {
        let red = |model| {
            let mut rgb = allocate_frame(Pixel::GBRP, 16, 16).unwrap();
            for (plane, value) in [(0, 0), (1, 0), (2, 255)] {
                for row in 0..16 {
                    plane_row_mut(&mut rgb, plane, row, 16).unwrap().fill(value);
                }
            }
            let mut yuv = allocate_frame(Pixel::YUV444P, 16, 16).unwrap();
            let color = ColorSpec {
                model,
                is_full_range: false,
            };
            Scaler::new()
                .run(&rgb, ColorSpec::RGB, &mut yuv, color)
                .unwrap();
            i32::from(plane_row(&yuv, 0, 8, 16).unwrap()[8])
        };
        // Y' = 16 + 219 Kr
        assert!((red(ColorModel::YuvBt601) - 81).abs() <= 1);
        assert!((red(ColorModel::YuvBt709) - 63).abs() <= 1);
        assert!((red(ColorModel::YuvBt2020) - 74).abs() <= 1);
    }
}
