//! Streams that are carried over beside the video, copied or converted: audio, subtitles, attached files.

use std::collections::HashMap;

use ffmpeg_next::format::{self, context};
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec, encoder, media};

use super::conversion::{Conversion, is_copied, substitute};
use crate::ffmpeg_ffi::{
    accepts_codec, codec_header, set_codec_tag, set_disposition, set_stream_metadata,
};
use crate::source::{CopiedStream, StreamTemplate};

/// Where packets of a copied stream go.
struct CopiedOutput {
    output_index: usize,
    /// Unit of the packets' times, after the conversion if there is one.
    time_base: Rational,
    /// For a stream whose codec the container does not take.
    conversion: Option<Conversion>,
    /// Decoding time of the last packet, in the output's unit: muxers refuse what does not advance.
    last: Option<i64>,
}

/// The copied streams of an output.
pub(super) struct Copied {
    outputs: HashMap<usize, CopiedOutput>,
    is_strict: bool,
    /// Malformed packets that were left out, and those that a conversion could not decode.
    pub(super) bad_packets: u64,
}

impl Copied {
    pub(super) fn none(is_strict: bool) -> Self {
        Self {
            outputs: HashMap::new(),
            is_strict,
            bad_packets: 0,
        }
    }

    /// Adds a stream to the output for each one that is carried over. The second value names what the container does
    /// not take, and what becomes of it.
    pub(super) fn add(
        output: &mut context::Output,
        template: &StreamTemplate,
        muxer: &str,
        (keep_audio, is_strict): (bool, bool),
    ) -> Result<(Self, Vec<String>), FfmpegError> {
        let (mut copied, mut notices) = (Self::none(is_strict), Vec::new());
        for input in &template.streams {
            if input.medium == media::Type::Audio && !keep_audio {
                continue;
            }
            let conversion = match conversion_for(output, input, muxer) {
                Ok(None) => None,
                Ok(Some((conversion, notice))) => {
                    notices.push(notice);
                    Some(conversion)
                }
                Err(notice) => {
                    notices.push(notice);
                    continue;
                }
            };
            let mut stream = output.add_stream(encoder::find(codec::Id::None))?;
            let (parameters, time_base) = match &conversion {
                Some(conversion) => (conversion.parameters(), conversion.time_base()),
                None => (input.parameters.clone(), input.time_base),
            };
            stream.set_parameters(parameters);
            stream.set_time_base(time_base);
            set_codec_tag(&mut stream, [0; 4]);
            set_stream_metadata(&mut stream, &input.metadata)?;
            set_disposition(&mut stream, input.disposition);
            let entry = CopiedOutput {
                output_index: stream.index(),
                time_base,
                conversion,
                last: None,
            };
            copied.outputs.insert(input.input_index, entry);
        }
        Ok((copied, notices))
    }

    /// Writes packets whose times are counted from the common start, in their stream's unit.
    pub(super) fn write(
        &mut self,
        packets: Vec<Packet>,
        output: &mut context::Output,
    ) -> Result<(), FfmpegError> {
        for packet in packets {
            if let Some(copied) = self.outputs.get_mut(&packet.stream()) {
                self.bad_packets += copied.write(packet, self.is_strict, output)?;
            }
        }
        Ok(())
    }

    /// Writes what the conversions still hold; nothing may follow.
    pub(super) fn finish(&mut self, output: &mut context::Output) -> Result<(), FfmpegError> {
        for copied in self.outputs.values_mut() {
            self.bad_packets += copied.finish(self.is_strict, output)?;
        }
        Ok(())
    }
}

impl CopiedOutput {
    /// Writes what becomes of a packet; returns how many were bad.
    fn write(
        &mut self,
        packet: Packet,
        is_strict: bool,
        output: &mut context::Output,
    ) -> Result<u64, FfmpegError> {
        let Some(conversion) = &mut self.conversion else {
            return self.mux(vec![packet], is_strict, output);
        };
        let before = conversion.damaged();
        let converted = conversion.push(&packet)?;
        let damaged = conversion.damaged() - before;
        self.mux_converted(converted, damaged, is_strict, output)
    }

    fn finish(
        &mut self,
        is_strict: bool,
        output: &mut context::Output,
    ) -> Result<u64, FfmpegError> {
        let Some(conversion) = &mut self.conversion else {
            return Ok(0);
        };
        let before = conversion.damaged();
        let converted = conversion.finish()?;
        let damaged = conversion.damaged() - before;
        self.mux_converted(converted, damaged, is_strict, output)
    }

    fn mux_converted(
        &mut self,
        packets: Vec<Packet>,
        damaged: u64,
        is_strict: bool,
        output: &mut context::Output,
    ) -> Result<u64, FfmpegError> {
        if is_strict && damaged > 0 {
            return Err(FfmpegError::InvalidData);
        }
        Ok(damaged + self.mux(packets, is_strict, output)?)
    }

    fn mux(
        &mut self,
        packets: Vec<Packet>,
        is_strict: bool,
        output: &mut context::Output,
    ) -> Result<u64, FfmpegError> {
        let unit = output
            .stream(self.output_index)
            .map(|stream| stream.time_base());
        let unit = unit.ok_or(FfmpegError::StreamNotFound)?;
        let mut bad_packets = 0;
        for mut packet in packets {
            packet.rescale_ts(self.time_base, unit);
            advance(&mut packet, &mut self.last);
            packet.set_position(-1);
            packet.set_stream(self.output_index);
            match packet.write_interleaved(output) {
                Err(FfmpegError::InvalidData) if !is_strict => bad_packets += 1,
                result => result?,
            }
        }
        Ok(bad_packets)
    }
}

/// Moves a packet that is decoded no later than the one before.
fn advance(packet: &mut Packet, last: &mut Option<i64>) {
    let Some(dts) = packet.dts().or(packet.pts()) else {
        return;
    };
    let next = last.map_or(i64::MIN, |last| last.saturating_add(1));
    if dts < next {
        packet.set_dts(Some(next));
        packet.set_pts(packet.pts().map(|pts| pts.max(next)));
    }
    *last = Some(dts.max(next));
}

/// The conversion that a stream needs and its notice; `None` if it can be copied.
///
/// # Errors
/// The notice that the stream is dropped, with the reason.
fn conversion_for(
    output: &context::Output,
    input: &CopiedStream,
    muxer: &str,
) -> Result<Option<(Conversion, String)>, String> {
    let id = input.parameters.id();
    let subject = format!(
        "{} {} ({})",
        kind(input.medium),
        input.input_index,
        id.name()
    );
    if is_copied(muxer, input.medium, id, accepts_codec(output, id)) {
        return if is_header_whole(muxer, id, codec_header(&input.parameters)) {
            Ok(None)
        } else {
            Err(format!("{subject} is dropped: its header is damaged"))
        };
    }
    let Some(target) = substitute(muxer, input.medium, id) else {
        return Err(format!("{subject} is dropped: {muxer} does not take it"));
    };
    let flags = output.format().flags();
    let needs_global_header = flags.contains(format::Flags::GLOBAL_HEADER);
    match Conversion::open(input, target, needs_global_header) {
        Ok(conversion) => {
            let name = target.name();
            let notice = format!("{subject} is converted to {name}: {muxer} does not take it");
            Ok(Some((conversion, notice)))
        }
        Err(cause) => Err(format!(
            "{subject} is dropped: {muxer} does not take it, and {cause}"
        )),
    }
}

/// Whether the muxer can describe the stream. FFmpeg finds out when it writes header or index, and in fragments it may not even say so.
fn is_header_whole(muxer: &str, id: codec::Id, header: &[u8]) -> bool {
    /// Length of FLAC's STREAMINFO block.
    const STREAM_INFO: usize = 34;
    match (id, muxer) {
        // RFC 7845, 5.1: the channel mapping follows if its family is not 0.
        (codec::Id::OPUS, "mp4" | "mov") => header
            .get(18)
            .is_some_and(|family| *family == 0 || header.len() >= 21 + usize::from(header[9])),
        (codec::Id::FLAC, "mp4" | "mov") => header.len() == STREAM_INFO,
        (codec::Id::FLAC, _) => header.len() >= STREAM_INFO,
        _ => true,
    }
}

fn kind(medium: media::Type) -> &'static str {
    match medium {
        media::Type::Audio => "audio stream",
        media::Type::Subtitle => "subtitle stream",
        _ => "attached file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_do_not_advance_are_moved() {
        let mut last = None;
        let times = [5, 6, 6, 4, 9].map(|dts| {
            let mut packet = Packet::empty();
            packet.set_dts(Some(dts));
            packet.set_pts(Some(dts));
            advance(&mut packet, &mut last);
            (packet.dts(), packet.pts())
        });
        assert_eq!(times, [5, 6, 7, 8, 9].map(|dts| (Some(dts), Some(dts))));
    }

    #[test]
    fn damaged_headers_are_told_before_anything_is_written() {
        let is_whole = |muxer, id, length| {
            let mut header = vec![0; length];
            if let Some(family) = header.get_mut(18) {
                *family = 1;
                header[9] = 2;
            }
            is_header_whole(muxer, id, &header)
        };
        assert!(is_whole("mp4", codec::Id::FLAC, 34));
        assert!(!is_whole("mp4", codec::Id::FLAC, 33));
        assert!(!is_whole("matroska", codec::Id::FLAC, 0));
        assert!(is_whole("matroska", codec::Id::FLAC, 42));
        assert!(is_whole("mp4", codec::Id::OPUS, 23));
        assert!(!is_whole("mp4", codec::Id::OPUS, 22));
        assert!(!is_whole("mp4", codec::Id::OPUS, 0));
        assert!(is_whole("mp4", codec::Id::AAC, 0));
    }
}
