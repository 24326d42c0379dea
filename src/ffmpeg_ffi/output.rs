//! What `ffmpeg-next` has no setter for on outputs.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::{context, stream};
use ffmpeg_next::{Error, Rational, chroma, codec, encoder, ffi};

use super::{Metadata, check, write_dictionary};

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

/// Whether an encoder has an option of this name.
pub(crate) fn has_option(encoder: ffmpeg_next::Codec, name: &CStr) -> bool {
    // SAFETY: the codec is static; the search of a class in place of an object reads the class only, through the pointer to it.
    unsafe {
        let mut class = (*encoder.as_ptr()).priv_class;
        if class.is_null() {
            return false;
        }
        let found = ffi::av_opt_find(
            ptr::addr_of_mut!(class).cast(),
            name.as_ptr(),
            ptr::null(),
            0,
            ffi::AV_OPT_SEARCH_FAKE_OBJ,
        );
        !found.is_null()
    }
}

/// Lets the muxer convert packets to its own form, such as AAC from MPEG-TS. In fragments it switches this off when it writes the header,
/// though with a delayed index nothing stands against it.
pub(crate) fn allow_packet_conversion(output: &mut context::Output) {
    // SAFETY: the context is valid and exclusively borrowed.
    unsafe { (*output.as_mut_ptr()).flags |= ffi::AVFMT_FLAG_AUTO_BSF }
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
    set_side_data(stream, side_data::Type::DisplayMatrix, &bytes)
}

/// Attaches facts about a whole stream, in the layout that FFmpeg has for their kind.
pub(crate) fn set_side_data(
    stream: &mut stream::StreamMut<'_>,
    kind: side_data::Type,
    bytes: &[u8],
) -> Result<(), Error> {
    // SAFETY: the stream is exclusively borrowed; the call returns null or `bytes.len()` bytes.
    unsafe {
        let target = ffi::av_stream_new_side_data(stream.as_mut_ptr(), kind.into(), bytes.len());
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
