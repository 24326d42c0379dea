//! Frames and what is known of their pixel formats.

use std::ptr;
use std::slice;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::util::frame::side_data;
use ffmpeg_next::{Error, ffi, frame};

use super::check;

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

/// Marks a frame as interlaced, or as progressive (`None`). Encoders of interlaced streams ask every frame for an order: a progressive one has
/// the stream's.
pub(crate) fn set_frame_field_order(
    frame: &mut frame::Video,
    is_top_field_first: Option<bool>,
    of_stream: Option<bool>,
) {
    let is_top_first = is_top_field_first.or(of_stream) == Some(true);
    // SAFETY: the frame is valid and exclusively borrowed; both are plain integers.
    unsafe {
        let raw = frame.as_mut_ptr();
        (*raw).interlaced_frame = i32::from(is_top_field_first.is_some());
        (*raw).top_field_first = i32::from(is_top_first);
    }
}

/// A frame's closed captions.
pub(crate) fn captions(frame: &frame::Video) -> Option<Vec<u8>> {
    let data = frame.side_data(side_data::Type::A53CC)?;
    Some(data.data().to_vec()).filter(|bytes| !bytes.is_empty())
}

/// Sets a frame's closed captions in place of those it had.
pub(crate) fn set_captions(frame: &mut frame::Video, bytes: Option<&[u8]>) -> Result<(), Error> {
    let kind = side_data::Type::A53CC;
    frame.remove_side_data(kind);
    let Some(bytes) = bytes else {
        return Ok(());
    };
    // SAFETY: the frame is valid and exclusively borrowed; the call returns null or side data of `bytes.len()` bytes.
    unsafe {
        let target = ffi::av_frame_new_side_data(frame.as_mut_ptr(), kind.into(), bytes.len());
        if target.is_null() {
            return Err(Error::Other {
                errno: ffmpeg_next::error::ENOMEM,
            });
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), (*target).data, bytes.len());
    }
    Ok(())
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
}
