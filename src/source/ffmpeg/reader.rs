//! Demuxing and decoding: one frame after another, other streams' packets collected on the way.

use ffmpeg_next::codec::{self, threading};
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, decoder, format, frame};

use super::clock::{FrameClock, Placement, Window};
use super::template::{CopiedStream, StreamFacts};
use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg_ffi::discard_stream;
use crate::pipeline::CancelToken;

/// Decoder threads. The workers keep every core busy already; more threads would only hold more frames.
const DECODER_THREADS: usize = 1;
/// Most bytes of other streams' packets between two video frames. Containers interleave every second or so, but a video that is
/// shorter than its audio leaves all the rest to its last frame: this is four hours of AAC.
const MAXIMUM_PENDING_BYTES: usize = 256 << 20;
/// How far behind a range's end other streams are searched for packets inside it.
const MAXIMUM_INTERLEAVE_SECS: f64 = 2.0;

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Packets, and frames of them.
    Reading,
    /// The frames that the decoder still holds.
    Draining,
    /// Nothing.
    Done,
}

/// Unit and range of a copied stream's packets.
struct CopiedTimes {
    input_index: usize,
    time_base: Rational,
    start_ticks: i64,
    end_ticks: Option<i64>,
}

/// Reads one video stream.
pub(super) struct Reader {
    pub(super) input: format::context::Input,
    /// The frame that [`next_frame`](Self::next_frame) has just placed.
    pub(super) decoded: frame::Video,
    pub(super) decode_errors: u64,
    /// After a seek, packets before the first key frame cannot be decoded.
    pub(super) awaits_key_frame: bool,
    decoder: decoder::Video,
    video: usize,
    clock: FrameClock,
    copied: Vec<CopiedTimes>,
    trims_start: bool,
    passthrough: Vec<Packet>,
    pending_bytes: usize,
    state: State,
    cancel: CancelToken,
}

impl Reader {
    /// Opens the decoder. On failure says why.
    pub(super) fn new(
        mut input: format::context::Input,
        video: usize,
        facts: &StreamFacts,
        streams: &[CopiedStream],
        window: Window,
        frame_rate: Option<Rational>,
        cancel: &CancelToken,
    ) -> Result<Self, String> {
        let decoder = open_decoder(facts)?;
        for index in 0..input.streams().len() {
            if index != video && streams.iter().all(|stream| stream.input_index != index) {
                discard_stream(&mut input, index);
            }
        }
        let copied = streams
            .iter()
            .map(|stream| CopiedTimes {
                input_index: stream.input_index,
                time_base: stream.time_base,
                start_ticks: window.start_ticks(stream.time_base),
                end_ticks: window.end_ticks(stream.time_base),
            })
            .collect();
        Ok(Self {
            input,
            decoded: frame::Video::empty(),
            decode_errors: 0,
            awaits_key_frame: false,
            decoder,
            video,
            clock: FrameClock::new(&window, facts.time_base, frame_rate),
            copied,
            trims_start: window.trims_start,
            passthrough: Vec::new(),
            pending_bytes: 0,
            state: State::Reading,
            cancel: cancel.clone(),
        })
    }

    /// Decodes the next frame in the range into [`decoded`](Self::decoded); its time and duration in ticks. `None` at the
    /// end, or when cancelled.
    pub(super) fn next_frame(&mut self, name: &str) -> Result<Option<(i64, i64)>> {
        while self.state != State::Done && !self.cancel.is_cancelled() {
            match self.decoder.receive_frame(&mut self.decoded) {
                Ok(()) => {
                    let is_damaged = self.decoded.is_corrupt() || self.decoded.has_decode_errors();
                    match self.clock.place(self.decoded.timestamp()) {
                        // Right after a seek some lack what they refer to; nobody sees them.
                        Placement::Before => {}
                        Placement::At(pts) => {
                            self.decode_errors += u64::from(is_damaged);
                            return Ok(Some((pts, self.duration())));
                        }
                        Placement::Behind => {
                            self.collect_rest(name)?;
                            self.state = State::Done;
                        }
                    }
                }
                Err(error) if is_again(error) && self.state == State::Reading => self.feed(name)?,
                Err(FfmpegError::Eof) => self.state = State::Done,
                Err(_) => {
                    self.decode_errors += 1;
                    match self.state {
                        State::Reading => self.feed(name)?,
                        // A decoder that fails while it is drained may do so for ever.
                        _ => self.state = State::Done,
                    }
                }
            }
        }
        Ok(None)
    }

    /// Packets of other streams read since the last call.
    pub(super) fn take_passthrough(&mut self) -> Vec<Packet> {
        self.pending_bytes = 0;
        std::mem::take(&mut self.passthrough)
    }

    fn duration(&self) -> i64 {
        match self.decoded.packet().duration {
            duration if duration > 0 => duration,
            _ => self.clock.step_ticks(),
        }
    }

    /// Gives the decoder one more packet, or tells it that there are no more.
    fn feed(&mut self, name: &str) -> Result<()> {
        while let Some(packet) = self.read_packet() {
            if packet.stream() != self.video {
                self.keep(packet, name)?;
                continue;
            }
            if self.awaits_key_frame && !packet.is_key() {
                continue;
            }
            self.awaits_key_frame = false;
            if self.decoder.send_packet(&packet).is_err() {
                self.decode_errors += 1;
            }
            return Ok(());
        }
        if self.decoder.send_eof().is_err() {
            self.state = State::Done;
        } else {
            self.state = State::Draining;
        }
        Ok(())
    }

    /// The next packet of any stream; `None` at the end, when cancelled, or when reading fails for good.
    fn read_packet(&mut self) -> Option<Packet> {
        loop {
            // A packet is never reused: reading into one does not free what it held.
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {
                    self.decode_errors += u64::from(packet.is_corrupt());
                    return Some(packet);
                }
                Err(error) if is_again(error) && !self.cancel.is_cancelled() => {}
                Err(FfmpegError::Eof | FfmpegError::Exit) => return None,
                Err(_) => {
                    self.decode_errors += 1;
                    return None;
                }
            }
        }
    }

    /// Keeps a packet of a copied stream if it lies in the range, its times counted from the common start.
    fn keep(&mut self, mut packet: Packet, name: &str) -> Result<()> {
        let Some(times) = self
            .copied
            .iter()
            .find(|times| times.input_index == packet.stream())
        else {
            return Ok(());
        };
        let shift = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_sub(times.start_ticks));
        let (pts, dts) = (shift(packet.pts()), shift(packet.dts()));
        packet.set_pts(pts);
        packet.set_dts(dts);
        if let Some(ticks) = pts.or(dts) {
            let is_before = self.trims_start && ticks < 0;
            if is_before || times.end_ticks.is_some_and(|end| ticks >= end) {
                return Ok(());
            }
        }
        self.pending_bytes += packet.size();
        if self.pending_bytes > MAXIMUM_PENDING_BYTES {
            let message = format!(
                "cannot read {name}: more than {MAXIMUM_PENDING_BYTES} bytes of audio without a video frame"
            );
            return Err(Error::new(ErrorKind::Input, message));
        }
        self.passthrough.push(packet);
        Ok(())
    }

    /// After the last frame of a range: packets of other streams that lie in it but come later in the container.
    fn collect_rest(&mut self, name: &str) -> Result<()> {
        let mut is_inside = vec![true; self.copied.len()];
        while is_inside.contains(&true) {
            let Some(packet) = self.read_packet() else {
                return Ok(());
            };
            let position = self
                .copied
                .iter()
                .position(|times| times.input_index == packet.stream());
            let Some((index, times)) = position.map(|index| (index, &self.copied[index])) else {
                if self.is_far_behind(&packet) {
                    return Ok(());
                }
                continue;
            };
            let ticks = packet
                .dts()
                .or(packet.pts())
                .unwrap_or(0)
                .saturating_sub(times.start_ticks);
            if times.end_ticks.is_some_and(|end| ticks >= end) {
                is_inside[index] = false;
            }
            self.keep(packet, name)?;
        }
        Ok(())
    }

    /// Whether a video packet lies so far behind the range that nothing inside it can follow.
    fn is_far_behind(&self, packet: &Packet) -> bool {
        let Some(time_base) = self
            .input
            .stream(packet.stream())
            .map(|stream| stream.time_base())
        else {
            return false;
        };
        let end_secs = self
            .copied
            .iter()
            .filter_map(|times| {
                Some(
                    times.end_ticks?.saturating_add(times.start_ticks) as f64
                        * f64::from(times.time_base),
                )
            })
            .fold(0.0, f64::max);
        packet.dts().is_some_and(|dts| {
            dts as f64 * f64::from(time_base) > end_secs + MAXIMUM_INTERLEAVE_SECS
        })
    }
}

fn is_again(error: FfmpegError) -> bool {
    matches!(error, FfmpegError::Other { errno } if errno == ffmpeg_next::error::EAGAIN)
}

fn open_decoder(facts: &StreamFacts) -> Result<decoder::Video, String> {
    let id = facts.parameters.id();
    if decoder::find(id).is_none() {
        return Err(match facts.codec_tag() {
            Some(tag) if id == codec::Id::None => format!("this FFmpeg knows no codec {tag:?}"),
            _ => format!("this FFmpeg has no decoder for {}", id.name()),
        });
    }
    let mut context = codec::Context::from_parameters(facts.parameters.clone())
        .map_err(|error| error.to_string())?;
    context.set_threading(threading::Config {
        kind: threading::Type::Frame,
        count: DECODER_THREADS,
        ..threading::Config::default()
    });
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(facts.time_base);
    decoder
        .video()
        .map_err(|error| format!("cannot open the {} decoder: {error}", id.name()))
}
