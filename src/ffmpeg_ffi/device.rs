//! Opening devices so that reading from them never blocks for good.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::sync::Once;

use ffmpeg_next::format::context;
use ffmpeg_next::{Dictionary, Error, ffi, util::interrupt};

use super::check;

/// Opens a device of the kind that FFmpeg calls `format` and reads what it tells of itself. Reads return "again" where there is nothing yet.
/// While this works, `is_unwanted` is asked whether to give up.
pub(crate) fn open_device(
    format: &str,
    address: &Path,
    options: Dictionary<'_>,
    is_unwanted: impl FnMut() -> bool + Send + 'static,
) -> Result<context::Input, Error> {
    static DEVICES: Once = Once::new();
    DEVICES.call_once(ffmpeg_next::device::register_all);
    let invalid = |_| Error::InvalidData;
    let format = CString::new(format).map_err(invalid)?;
    let address = CString::new(address.as_os_str().as_bytes()).map_err(invalid)?;
    // SAFETY: the name is zero-terminated; the result is null or static.
    let format = unsafe { ffi::av_find_input_format(format.as_ptr()) };
    if format.is_null() {
        return Err(Error::DemuxerNotFound);
    }
    let interrupt = interrupt::new(Box::new(is_unwanted));
    // SAFETY: a new context, or null, which is checked. The closure outlives it: the guard is dropped after the context (both by `Input`), or
    // after `avformat_open_input` has freed it. Options are owned here, and what is left of them is taken back and freed.
    unsafe {
        let mut input = ffi::avformat_alloc_context();
        if input.is_null() {
            return Err(Error::Other {
                errno: ffmpeg_next::error::ENOMEM,
            });
        }
        (*input).interrupt_callback = interrupt.interrupt;
        // A camera's driver may wait for ever, and asks nobody.
        (*input).flags |= ffi::AVFMT_FLAG_NONBLOCK;
        let mut options = options.disown();
        let opened = ffi::avformat_open_input(&mut input, address.as_ptr(), format, &mut options);
        drop(Dictionary::own(options));
        check(opened)?;
        let input = context::Input::wrap_with_interrupt(input, interrupt.guard);
        check(ffi::avformat_find_stream_info(
            input.as_ptr().cast_mut(),
            ptr::null_mut(),
        ))?;
        Ok(input)
    }
}

/// Lets a decoder hand out each frame at once: it does not wait for frames that might have to be shown before.
pub(crate) fn set_low_delay(context: &mut ffmpeg_next::codec::Context) {
    // SAFETY: the context is valid, not open yet, and exclusively borrowed.
    unsafe { (*context.as_mut_ptr()).flags |= ffi::AV_CODEC_FLAG_LOW_DELAY as i32 }
}
