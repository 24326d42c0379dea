//! What becomes of audio and subtitles whose codec the container refuses.

use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec, media};

use super::audio::AudioTranscoder;
use super::subtitle::SubtitleConverter;
use crate::source::CopiedStream;

/// Audio codecs that MPEG-TS has a number for; its muxer writes any other as private data that nobody reads.
const MPEGTS_AUDIO: [codec::Id; 11] = [
    codec::Id::MP1,
    codec::Id::MP2,
    codec::Id::MP3,
    codec::Id::AAC,
    codec::Id::AAC_LATM,
    codec::Id::AC3,
    codec::Id::EAC3,
    codec::Id::DTS,
    codec::Id::TRUEHD,
    codec::Id::OPUS,
    codec::Id::S302M,
];

/// Whether packets of this codec can be copied. `answer` is what the muxer says, `None` if it does not.
pub(super) fn is_copied(
    muxer: &str,
    medium: media::Type,
    id: codec::Id,
    answer: Option<bool>,
) -> bool {
    match (muxer, medium) {
        (_, media::Type::Attachment) => muxer == "matroska",
        // FFmpeg writes Vorbis by a number of its own that other players do not know, and TrueHD only from certain packets on.
        ("mp4" | "mov", media::Type::Audio)
            if matches!(id, codec::Id::VORBIS | codec::Id::TRUEHD) =>
        {
            false
        }
        // It says that it takes them, but not in QuickTime's own flavour.
        ("mov", media::Type::Audio) if matches!(id, codec::Id::FLAC | codec::Id::OPUS) => false,
        ("mpegts", media::Type::Audio) => MPEGTS_AUDIO.contains(&id),
        // It is not asked, but text becomes noise.
        ("mpegts", _) => id == codec::Id::DVB_SUBTITLE,
        _ => answer.unwrap_or(medium == media::Type::Audio),
    }
}

/// Whether the muxer writes video of this codec so that it can be read again. `answer` is what the muxer says, `None` if it does not.
pub(super) fn takes_video(muxer: &str, id: codec::Id, answer: Option<bool>) -> bool {
    use codec::Id::{AV1, H264, HEVC, MPEG1VIDEO, MPEG2VIDEO, MPEG4, VP8, VP9};
    match muxer {
        // It says yes, but only in MP4.
        "mov" if matches!(id, VP8 | VP9 | AV1) => false,
        "mpegts" => matches!(id, H264 | HEVC | MPEG1VIDEO | MPEG2VIDEO | MPEG4),
        _ => answer.unwrap_or(true),
    }
}

/// The codec to which `id` is converted for a container that refuses it; `None` if there is none.
pub(super) fn substitute(muxer: &str, medium: media::Type, id: codec::Id) -> Option<codec::Id> {
    let substitute = match (medium, muxer) {
        (media::Type::Audio, "mp4" | "mov" | "mpegts") => codec::Id::AAC,
        // Matroska says how many samples of Opus come before the first; of AAC it does not.
        (media::Type::Audio, "webm" | "matroska") => codec::Id::OPUS,
        (media::Type::Subtitle, "mp4" | "mov") => codec::Id::MOV_TEXT,
        (media::Type::Subtitle, "webm") => codec::Id::WEBVTT,
        (media::Type::Subtitle, "matroska") => codec::Id::SUBRIP,
        _ => return None,
    };
    (substitute != id).then_some(substitute)
}

/// A stream that is re-encoded.
pub(super) enum Conversion {
    Audio(Box<AudioTranscoder>),
    Subtitle(Box<SubtitleConverter>),
}

impl Conversion {
    /// Opens decoder and encoder.
    ///
    /// # Errors
    /// Why the stream cannot be converted.
    pub(super) fn open(
        input: &CopiedStream,
        target: codec::Id,
        needs_global_header: bool,
    ) -> Result<Self, String> {
        match input.medium {
            media::Type::Audio => AudioTranscoder::new(input, target, needs_global_header)
                .map(|transcoder| Self::Audio(Box::new(transcoder))),
            media::Type::Subtitle => SubtitleConverter::new(input, target)
                .map(|converter| Self::Subtitle(Box::new(converter))),
            _ => Err("it is neither audio nor subtitles".to_owned()),
        }
    }

    /// What the output stream says of its codec.
    pub(super) fn parameters(&self) -> codec::Parameters {
        match self {
            Self::Audio(transcoder) => transcoder.parameters(),
            Self::Subtitle(converter) => converter.parameters(),
        }
    }

    /// Unit of the times of packets that come out.
    pub(super) fn time_base(&self) -> Rational {
        match self {
            Self::Audio(transcoder) => transcoder.time_base(),
            Self::Subtitle(converter) => converter.time_base(),
        }
    }

    /// Packets or frames that could not be decoded.
    pub(super) fn damaged(&self) -> u64 {
        match self {
            Self::Audio(transcoder) => transcoder.damaged(),
            Self::Subtitle(converter) => converter.damaged(),
        }
    }

    /// Takes a packet of the input, its times counted from the common start; returns what is finished.
    ///
    /// # Errors
    /// If the encoder fails.
    pub(super) fn push(&mut self, packet: &Packet) -> Result<Vec<Packet>, FfmpegError> {
        match self {
            Self::Audio(transcoder) => transcoder.transcode(packet),
            Self::Subtitle(converter) => Ok(converter.convert(packet)?.into_iter().collect()),
        }
    }

    /// Returns what is still on its way; nothing may follow.
    ///
    /// # Errors
    /// If the encoder fails.
    pub(super) fn finish(&mut self) -> Result<Vec<Packet>, FfmpegError> {
        match self {
            Self::Audio(transcoder) => transcoder.finish(),
            Self::Subtitle(converter) => Ok(converter.finish().into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_container_has_a_substitute_for_audio() {
        let for_vorbis = |muxer| substitute(muxer, media::Type::Audio, codec::Id::VORBIS);
        for muxer in ["mp4", "mov", "mpegts"] {
            assert_eq!(for_vorbis(muxer), Some(codec::Id::AAC));
        }
        assert_eq!(for_vorbis("webm"), Some(codec::Id::OPUS));
        assert_eq!(for_vorbis("matroska"), Some(codec::Id::OPUS));
        assert_eq!(for_vorbis("avi"), None);
    }

    #[test]
    fn nothing_is_converted_to_itself() {
        assert_eq!(substitute("mp4", media::Type::Audio, codec::Id::AAC), None);
        assert_eq!(
            substitute("webm", media::Type::Subtitle, codec::Id::WEBVTT),
            None
        );
    }

    #[test]
    fn only_what_players_read_is_copied() {
        let is_copied_audio = |muxer, id, answer| is_copied(muxer, media::Type::Audio, id, answer);
        assert!(is_copied_audio("mpegts", codec::Id::MP2, None));
        assert!(!is_copied_audio("mpegts", codec::Id::VORBIS, None));
        assert!(is_copied_audio("webm", codec::Id::VORBIS, Some(true)));
        assert!(!is_copied_audio("webm", codec::Id::AAC, Some(false)));
        assert!(!is_copied_audio("mp4", codec::Id::VORBIS, Some(true)));
        assert!(!is_copied_audio("mov", codec::Id::FLAC, Some(true)));
        assert!(is_copied_audio("mp4", codec::Id::FLAC, Some(true)));
        assert!(!takes_video("mov", codec::Id::VP9, Some(true)));
        assert!(!takes_video("mpegts", codec::Id::PRORES, None));
        assert!(takes_video("matroska", codec::Id::PRORES, Some(true)));
        let text = (media::Type::Subtitle, codec::Id::SUBRIP);
        assert!(!is_copied("mpegts", text.0, text.1, None));
    }
}
