//! Text subtitles in a codec that the container refuses: decode to ASS, FFmpeg's common form, and encode again.

use ffmpeg_next::{
    Error as FfmpegError, Packet, Rational, Rescale, codec, decoder, encoder, packet,
};

use crate::ffmpeg_ffi::{
    SubtitleEvent, copy_subtitle_header, decode_subtitle, encode_subtitle, is_text_subtitle,
};
use crate::source::CopiedStream;

/// The unit of MP4's subtitles. The muxer compares their end with the times of other streams without converting units; only a fine unit keeps it
/// from ending them early.
const MICROSECONDS: Rational = Rational(1, 1_000_000);
/// Unit of times inside a subtitle.
const MILLISECONDS: Rational = Rational(1, 1000);

/// Re-encodes one subtitle stream.
pub(super) struct SubtitleConverter {
    decoder: decoder::Subtitle,
    encoder: encoder::subtitle::Encoder,
    /// Unit of times that come in, and of those that come out.
    input_time_base: Rational,
    time_base: Rational,
    /// Where events must not overlap, the last one waits for the start of the next.
    held: Option<Packet>,
    holds: bool,
    damaged: u64,
}

impl SubtitleConverter {
    /// Opens decoder and encoder.
    ///
    /// # Errors
    /// Why the stream cannot be converted, such as that its subtitles are pictures.
    pub(super) fn new(input: &CopiedStream, target: codec::Id) -> Result<Self, String> {
        let id = input.parameters.id();
        if !is_text_subtitle(id) {
            return Err(format!("{} subtitles are pictures, not text", id.name()));
        }
        // Closed captions come out late and without an end: their times would be wrong.
        if id == codec::Id::EIA_608 || decoder::find(id).is_none() {
            return Err(format!("{} subtitles cannot be decoded", id.name()));
        }
        let found = encoder::find(target)
            .ok_or_else(|| format!("this FFmpeg has no encoder for {}", target.name()))?;
        let refused = |error| format!("cannot open the {} decoder: {error}", id.name());
        let context = codec::Context::from_parameters(input.parameters.clone()).map_err(refused)?;
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(input.time_base);
        let decoder = decoder.subtitle().map_err(refused)?;

        let refused = |error| format!("the {} encoder refuses: {error}", target.name());
        let mut encoder = codec::Context::new_with_codec(found)
            .encoder()
            .subtitle()
            .map_err(refused)?;
        let holds = target == codec::Id::MOV_TEXT;
        let time_base = if holds { MICROSECONDS } else { input.time_base };
        encoder.set_time_base(time_base);
        copy_subtitle_header(&decoder, &mut encoder).map_err(refused)?;
        Ok(Self {
            decoder,
            encoder: encoder.open_as(found).map_err(refused)?,
            input_time_base: input.time_base,
            time_base,
            held: None,
            holds,
            damaged: 0,
        })
    }

    /// What the output stream says of its codec.
    pub(super) fn parameters(&self) -> codec::Parameters {
        codec::Parameters::from(&self.encoder)
    }

    /// Unit of the times of packets that come out.
    pub(super) fn time_base(&self) -> Rational {
        self.time_base
    }

    /// Packets that could not be decoded.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Converts a packet, whose times are counted from the common start, and returns what is finished: in MP4 the event before, cut at
    /// the start of this one.
    ///
    /// # Errors
    /// If the encoder fails. Damaged input is counted, not an error.
    pub(super) fn convert(&mut self, packet: &Packet) -> Result<Option<Packet>, FfmpegError> {
        let Some(pts) = packet.pts().or(packet.dts()).filter(|_| packet.size() > 0) else {
            return Ok(None);
        };
        let Ok(decoded) = decode_subtitle(&mut self.decoder, packet) else {
            self.damaged += 1;
            return Ok(None);
        };
        let Some(mut event) = decoded else {
            return Ok(None);
        };
        let (start, duration) = self.times(packet, &event);
        event.rebase();
        let data = encode_subtitle(&mut self.encoder, &event)?;
        if data.is_empty() {
            return Ok(None);
        }
        let rescale = |ticks: i64| ticks.rescale(self.input_time_base, self.time_base);
        let pts = rescale(pts.saturating_add(start));
        let converted = event_packet(&data, pts, rescale(duration));
        if !self.holds {
            return Ok(Some(converted));
        }
        let Some(mut before) = self.held.take() else {
            self.held = Some(converted);
            return Ok(None);
        };
        let before_pts = before.pts().unwrap_or(pts);
        if pts <= before_pts {
            self.held = Some(together(&before, &converted));
            return Ok(None);
        }
        before.set_duration(before.duration().min(pts - before_pts));
        self.held = Some(converted);
        Ok(Some(before))
    }

    /// Returns the event that is still held; nothing may follow.
    pub(super) fn finish(&mut self) -> Option<Packet> {
        self.held.take()
    }

    /// When an event begins after its packet's time, and how long it is shown; 0 if nobody says.
    fn times(&self, packet: &Packet, event: &SubtitleEvent) -> (i64, i64) {
        let ticks = |millis: u32| i64::from(millis).rescale(MILLISECONDS, self.input_time_base);
        let start = ticks(event.start_millis());
        let end = match packet.duration() {
            duration if duration > 0 => duration,
            _ => event.end_millis().map_or(start, ticks),
        };
        (start, end.saturating_sub(start).max(0))
    }
}

fn event_packet(data: &[u8], pts: i64, duration: i64) -> Packet {
    let mut packet = Packet::copy(data);
    packet.set_pts(Some(pts));
    packet.set_dts(Some(pts));
    packet.set_duration(duration);
    packet.set_flags(packet::Flags::KEY);
    packet
}

/// Two events of MP4 text that begin together as one of two lines; styles are lost. A sample is the length of its text in two bytes, the text, and boxes
/// (3GPP TS 26.245, 5.17).
fn together(first: &Packet, second: &Packet) -> Packet {
    let text = |packet: &Packet| -> Vec<u8> {
        let Some((length, rest)) = packet.data().and_then(|data| data.split_first_chunk::<2>())
        else {
            return Vec::new();
        };
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        rest[..length].to_vec()
    };
    let mut lines = text(first);
    lines.push(b'\n');
    lines.extend(text(second));
    lines.truncate(usize::from(u16::MAX));
    let length = lines.len() as u16;
    let data = [&length.to_be_bytes()[..], &lines].concat();
    let pts = first.pts().unwrap_or(0);
    event_packet(&data, pts, first.duration().max(second.duration()))
}
