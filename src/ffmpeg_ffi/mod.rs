//! The only `unsafe` code around FFmpeg: small safe wrappers for what `ffmpeg-next` does not offer,
//! or offers in a way that foreign data can break (such as text that is not UTF-8).
#![allow(unsafe_code)]

mod color;
mod device;
mod input;
mod output;
mod pixels;
mod scaler;
mod subtitle;

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Once;

use ffmpeg_next::{Error, ffi, log};

pub(crate) use color::ColorTags;
pub(crate) use device::*;
pub(crate) use input::*;
pub(crate) use output::*;
pub(crate) use pixels::*;
pub(crate) use scaler::Scaler;
pub(crate) use subtitle::*;

/// Entries of an FFmpeg dictionary, in any text encoding.
pub(crate) type Metadata = Vec<(CString, CString)>;

/// Prepares FFmpeg once per process and keeps it from printing: errors are returned, not logged.
pub(crate) fn initialize() -> Result<(), Error> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| log::set_level(log::Level::Quiet));
    ffmpeg_next::init()
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

fn check(status: i32) -> Result<(), Error> {
    if status < 0 {
        Err(Error::from(status))
    } else {
        Ok(())
    }
}
