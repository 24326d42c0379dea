//! Whether packets of a copied audio stream can be decoded: what is malformed would stop players.

use ffmpeg_next::{Error as FfmpegError, Packet, codec, decoder, frame};

/// Decodes the audio and keeps only the verdict: a thousandth of the work on the video.
pub(super) struct AudioCheck {
    /// None if this FFmpeg cannot decode it, which says nothing about the packets.
    decoder: Option<decoder::Audio>,
    frame: frame::Audio,
    /// A decoder that has never decoded anything may not know this kind of stream.
    has_decoded: bool,
}

impl AudioCheck {
    pub(super) fn new(parameters: codec::Parameters) -> Self {
        let decoder = codec::Context::from_parameters(parameters)
            .and_then(|context| context.decoder().audio())
            .ok();
        Self {
            decoder,
            frame: frame::Audio::empty(),
            has_decoded: false,
        }
    }

    /// Whether the stream's next packet can be decoded, as far as one can tell.
    pub(super) fn is_sound(&mut self, packet: &Packet) -> bool {
        let Some(decoder) = &mut self.decoder else {
            return true;
        };
        let mut is_sound = decoder.send_packet(packet) != Err(FfmpegError::InvalidData);
        loop {
            match decoder.receive_frame(&mut self.frame) {
                Ok(()) => self.has_decoded = true,
                Err(FfmpegError::InvalidData) => is_sound = false,
                Err(_) => break,
            }
        }
        is_sound || !self.has_decoded
    }
}
