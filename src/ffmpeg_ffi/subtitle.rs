//! Text subtitles: what `ffmpeg-next` leaks (decoded events) or loses (the length of encoded ones).

use std::ptr;

use ffmpeg_next::{Error, Packet, Subtitle, codec, decoder, encoder, ffi};

use super::check;

/// The most that one encoded event may take; a page of text has a few thousand bytes.
const MAXIMUM_EVENT_BYTES: usize = 1 << 20;

/// A decoded event, its text in FFmpeg's form of ASS.
pub(crate) struct SubtitleEvent(Subtitle);

impl SubtitleEvent {
    /// When it begins after its packet's time.
    pub(crate) fn start_millis(&self) -> u32 {
        self.0.start()
    }

    /// When it ends after its packet's time; `None` if that is not known.
    pub(crate) fn end_millis(&self) -> Option<u32> {
        Some(self.0.end()).filter(|millis| !matches!(millis, 0 | &u32::MAX))
    }

    /// Lets the event begin at its own time, as encoders want it.
    pub(crate) fn rebase(&mut self) {
        self.0.set_end(self.0.end().saturating_sub(self.0.start()));
        self.0.set_start(0);
    }
}

impl Drop for SubtitleEvent {
    fn drop(&mut self) {
        // SAFETY: the subtitle was zeroed and then filled by a decoder at most once; it is freed once.
        unsafe { ffi::avsubtitle_free(self.0.as_mut_ptr()) }
    }
}

/// Whether subtitles of this codec are text, not pictures.
pub(crate) fn is_text_subtitle(id: codec::Id) -> bool {
    // SAFETY: the function accepts every value and returns null or a pointer to a static table.
    let descriptor = unsafe { ffi::avcodec_descriptor_get(id.into()).as_ref() };
    descriptor.is_some_and(|descriptor| descriptor.props & ffi::AV_CODEC_PROP_TEXT_SUB != 0)
}

/// Decodes a packet; `None` if it holds no event.
pub(crate) fn decode_subtitle(
    decoder: &mut decoder::Subtitle,
    packet: &Packet,
) -> Result<Option<SubtitleEvent>, Error> {
    // Made first, so that what a failed call leaves is freed too.
    let mut event = SubtitleEvent(Subtitle::new());
    let is_complete = decoder.decode(packet, &mut event.0)?;
    let has_text = event.0.rects().next().is_some();
    Ok(Some(event).filter(|_| is_complete && has_text))
}

/// Encodes an event that begins at its own time.
pub(crate) fn encode_subtitle(
    encoder: &mut encoder::subtitle::Encoder,
    event: &SubtitleEvent,
) -> Result<Vec<u8>, Error> {
    let mut data = vec![0; MAXIMUM_EVENT_BYTES];
    // SAFETY: the encoder is open and exclusively borrowed, the event was filled by a decoder, and
    // at most `data.len()` bytes are written.
    let written = unsafe {
        ffi::avcodec_encode_subtitle(
            encoder.as_mut_ptr(),
            data.as_mut_ptr(),
            data.len() as i32,
            event.0.as_ptr(),
        )
    };
    check(written)?;
    data.truncate(written.unsigned_abs() as usize);
    Ok(data)
}

/// Hands the styles that the decoder found to an encoder that is not open yet; encoders want at least a default.
pub(crate) fn copy_subtitle_header(
    decoder: &decoder::Subtitle,
    encoder: &mut encoder::subtitle::Subtitle,
) -> Result<(), Error> {
    // SAFETY: both contexts are valid and the encoder's is exclusively borrowed and has no header
    // yet; the header has `subtitle_header_size` bytes. The copy has one more, a zero as encoders
    // expect, comes from FFmpeg's allocator, and is freed with the encoder.
    unsafe {
        let source = &*decoder.as_ptr();
        let Ok(size) = usize::try_from(source.subtitle_header_size) else {
            return Err(Error::InvalidData);
        };
        if source.subtitle_header.is_null() {
            return Ok(());
        }
        let copy = ffi::av_mallocz(size + 1).cast::<u8>();
        if copy.is_null() {
            return Err(Error::Other {
                errno: ffmpeg_next::error::ENOMEM,
            });
        }
        ptr::copy_nonoverlapping(source.subtitle_header, copy, size);
        let target = &mut *encoder.as_mut_ptr();
        target.subtitle_header = copy;
        target.subtitle_header_size = source.subtitle_header_size;
    }
    Ok(())
}
