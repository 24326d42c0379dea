//! Demuxing and decoding: one frame after another, other streams' packets collected on the way.

use std::thread;
use std::time::{Duration, Instant};

use ffmpeg_next::codec::{self, threading};
use ffmpeg_next::decoder::Check;
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, decoder, format, frame};

use super::MAXIMUM_PIXELS;
use super::clock::{FrameClock, Placement, Window};
use super::continuity::Continuity;
use super::deinterlace::Deinterlacer;
use super::facts::{StreamFacts, has_format};
use super::late::LateStreams;
use super::open::DEVICE_PAUSE;
use super::passthrough::Passthrough;
use super::runway::Runway;
use super::tally::{Promise, Tally};
use super::template::CopiedStream;
use crate::error::Result;
use crate::ffmpeg_ffi::{discard_stream, is_read_whole, limit_pixels, may_jump, set_low_delay};
use crate::pipeline::CancelToken;
use crate::source::Damage;

/// Decoder threads. The workers keep every core busy already; with a GPU and 16 cores, four threads bring a tenth more speed at 1080p, but of a truncated file
/// FFmpeg then loses frames that it could decode.
const DECODER_THREADS: usize = 1;
/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Packets, and frames of them.
    Reading,
    /// The frames that the decoder still holds.
    Draining,
    /// Nothing: all was read.
    Done,
    /// Nothing: the range has ended, or the decoder.
    Left,
}

/// What a reader is told besides the input.
pub(super) struct ReaderOptions {
    pub(super) window: Window,
    pub(super) frame_rate: Option<Rational>,
    pub(super) deinterlace: bool,
    /// Whether the input stands behind a seek, so that packets before the first key frame cannot be decoded.
    pub(super) awaits_key_frame: bool,
    /// Whether frames are wanted the moment they are there.
    pub(super) is_live: bool,
    /// How long a device may have nothing.
    pub(super) patience: Duration,
}

/// Reads one video stream.
pub(super) struct Reader {
    pub(super) input: format::context::Input,
    /// The frame that [`next_frame`](Self::next_frame) has just placed.
    pub(super) decoded: frame::Video,
    tally: Tally,
    promise: Promise,
    from_beginning: bool,
    awaits_key_frame: bool,
    /// Where the range begins later, but nothing was skipped by a seek.
    runway: Option<Runway>,
    decoder: decoder::Video,
    deinterlacer: Option<Deinterlacer>,
    video: usize,
    time_base: Rational,
    clock: FrameClock,
    /// None where no clock may jump.
    continuity: Option<Continuity>,
    others: Passthrough,
    /// None where other streams are not wanted.
    late: Option<LateStreams>,
    state: State,
    patience: Duration,
    cancel: CancelToken,
}

impl Reader {
    /// Opens the decoder. On failure says why.
    pub(super) fn new(
        mut input: format::context::Input,
        video: usize,
        facts: &StreamFacts,
        streams: &[CopiedStream],
        options: ReaderOptions,
        cancel: &CancelToken,
    ) -> Result<Self, String> {
        let decoder = open_decoder(facts, options.is_live)?;
        let ReaderOptions {
            window,
            frame_rate,
            deinterlace,
            awaits_key_frame,
            patience,
            ..
        } = options;
        let late = (!options.is_live).then(|| LateStreams::new(&input, video));
        let is_read =
            |index| index == video || streams.iter().any(|stream| stream.input_index == index);
        let is_awaited = |index| late.as_ref().is_some_and(|late| late.awaits(index));
        let indices = 0..input.streams().len();
        let hears_all = indices.clone().all(is_read);
        for index in indices.filter(|index| !is_read(*index) && !is_awaited(*index)) {
            discard_stream(&mut input, index);
        }
        let keeps_pauses = has_format(&input, "ogg");
        Ok(Self {
            decoded: frame::Video::empty(),
            tally: Tally::default(),
            promise: Promise::of(&input, facts, (video, hears_all), frame_rate),
            from_beginning: !window.trims_start,
            awaits_key_frame,
            runway: window
                .trims_start
                .then(|| Runway::new(window.start_ticks(facts.time_base))),
            decoder,
            deinterlacer: deinterlace.then(Deinterlacer::new),
            video,
            time_base: facts.time_base,
            clock: FrameClock::new(&window, facts.time_base, frame_rate),
            continuity: may_jump(&input).then(|| Continuity::new(keeps_pauses)),
            others: Passthrough::new(streams, &window),
            late,
            state: State::Reading,
            patience,
            cancel: cancel.clone(),
            input,
        })
    }

    /// Decodes the next frame in the range into [`decoded`](Self::decoded); its time and duration in ticks. `None` at the
    /// end, or when cancelled.
    pub(super) fn next_frame(&mut self, name: &str) -> Result<Option<(i64, i64)>> {
        while !matches!(self.state, State::Done | State::Left) && !self.cancel.is_cancelled() {
            match self.receive() {
                Ok(()) => {
                    let is_damaged = self.decoded.is_corrupt() || self.decoded.has_decode_errors();
                    match self.clock.place(self.decoded.timestamp()) {
                        // Right after a seek some lack what they refer to; nobody sees them.
                        Placement::Before => {}
                        Placement::At(pts) => {
                            self.tally.errors += u64::from(is_damaged);
                            return Ok(Some((pts, self.duration())));
                        }
                        Placement::Behind => {
                            self.collect_rest(name)?;
                            self.state = State::Left;
                        }
                    }
                }
                Err(error) if is_again(error) && self.state == State::Reading => self.feed(name)?,
                Err(FfmpegError::Eof) => self.state = State::Done,
                Err(_) => {
                    self.tally.failed();
                    match self.state {
                        State::Reading => self.feed(name)?,
                        // A decoder that fails while it is drained may do so for ever.
                        _ => self.state = State::Left,
                    }
                }
            }
        }
        Ok(None)
    }

    /// The decoder's next frame, deinterlaced if that was asked for.
    fn receive(&mut self) -> Result<(), FfmpegError> {
        loop {
            if let Some(deinterlacer) = &mut self.deinterlacer
                && deinterlacer.pull(&mut self.decoded)?
            {
                return Ok(());
            }
            let received = self.decoder.receive_frame(&mut self.decoded);
            if received.is_ok() {
                self.tally.received(&self.decoded);
            }
            let Some(deinterlacer) = &mut self.deinterlacer else {
                return received;
            };
            match received {
                Ok(()) => deinterlacer.push(&self.decoded)?,
                Err(FfmpegError::Eof) => {
                    if !deinterlacer.flush()? {
                        return Err(FfmpegError::Eof);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What was wrong with the input, as far as it was read.
    pub(super) fn damage(&self) -> Damage {
        let mut damage = match self.state {
            State::Done if !self.cancel.is_cancelled() => {
                self.tally.judge(&self.promise, self.from_beginning)
            }
            State::Done | State::Left => self.tally.damage_at_end(),
            State::Reading | State::Draining => self.tally.damage_so_far(),
        };
        damage.bad_packets = self.others.bad_packets;
        damage.unread_streams = self
            .late
            .as_ref()
            .map_or(Vec::new(), |late| late.lost.clone());
        damage
    }

    /// How often the input's clock jumped.
    pub(super) fn clock_jumps(&self) -> u64 {
        self.continuity.as_ref().map_or(0, |known| known.jumps)
    }

    /// What the user should be told of streams that began later.
    pub(super) fn late_notices(&self) -> Vec<String> {
        self.late
            .as_ref()
            .map_or(Vec::new(), |late| late.notices.clone())
    }

    /// Packets of other streams read since the last call.
    pub(super) fn take_passthrough(&mut self) -> Vec<Packet> {
        self.others.take()
    }

    fn duration(&self) -> i64 {
        match self.decoded.packet().duration {
            duration if duration > 0 => duration,
            _ => self.clock.step_ticks(),
        }
    }

    /// Gives the decoder one more packet, or tells it that there are no more.
    fn feed(&mut self, name: &str) -> Result<()> {
        while let Some(packet) = self.next_video_packet(name)? {
            if self.awaits_key_frame && !packet.is_key() {
                continue;
            }
            self.awaits_key_frame = false;
            // To a decoder, an empty packet is the end of the stream.
            if packet.size() > 0 {
                let is_taken = self.decoder.send_packet(&packet).is_ok();
                self.tally.sent(&packet, is_taken);
                return Ok(());
            }
        }
        if self.decoder.send_eof().is_err() {
            self.state = State::Done;
        } else {
            self.state = State::Draining;
        }
        Ok(())
    }

    /// The next packet to decode; those of other streams on the way are kept.
    fn next_video_packet(&mut self, name: &str) -> Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.runway.as_mut().and_then(Runway::pop) {
                return Ok(Some(packet));
            }
            self.runway.take_if(|runway| runway.is_empty());
            match (self.read_packet(), &mut self.runway) {
                (Some(packet), _) if packet.stream() != self.video => {
                    self.others.keep(packet, name)?
                }
                (Some(packet), Some(runway)) => runway.push(packet),
                (None, Some(runway)) => runway.end(),
                (packet, None) => return Ok(packet),
            }
        }
    }

    /// The next packet of any stream; `None` at the end, when cancelled, or when reading fails for good.
    fn read_packet(&mut self) -> Option<Packet> {
        let start = Instant::now();
        loop {
            // A packet is never reused: reading into one does not free what it held.
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {
                    self.follow_clock(&mut packet);
                    return Some(packet);
                }
                // A device that has nothing yet; files and streams wait themselves.
                Err(error)
                    if is_again(error)
                        && !self.cancel.is_cancelled()
                        && start.elapsed() < self.patience =>
                {
                    thread::sleep(DEVICE_PAUSE);
                }
                Err(FfmpegError::Eof | FfmpegError::Exit) => return None,
                Err(error) => {
                    self.tally.read_error = (!is_read_whole(&self.input)).then_some(error);
                    return None;
                }
            }
        }
    }

    /// Notes a packet that was read, its times made continuous.
    fn follow_clock(&mut self, packet: &mut Packet) {
        let index = packet.stream();
        let is_video = index == self.video;
        let (time_base, is_sparse) = match self.others.clock_of(index) {
            _ if is_video => (self.time_base, false),
            Some(known) => known,
            None => {
                if let Some(late) = &mut self.late {
                    late.meet(&self.input, index);
                }
                return;
            }
        };
        let jumps = self
            .continuity
            .as_mut()
            .is_some_and(|continuity| continuity.apply(packet, time_base, is_sparse));
        self.tally.read(packet, time_base, is_video, jumps);
    }

    /// After the last frame of a range: packets of other streams that lie in it but come later in the container.
    fn collect_rest(&mut self, name: &str) -> Result<()> {
        while self.others.awaits_more() {
            let Some(packet) = self.read_packet() else {
                break;
            };
            if packet.stream() != self.video {
                self.others.keep(packet, name)?;
            } else if self.others.end_long_before(&packet, self.time_base) {
                break;
            }
        }
        Ok(())
    }
}

/// The decoder for a stream whose alpha lies beside its pictures: FFmpeg's own leave it out.
pub(super) fn alpha_decoder(facts: &StreamFacts) -> Option<ffmpeg_next::Codec> {
    let name = match facts.parameters.id() {
        codec::Id::VP8 => "libvpx",
        codec::Id::VP9 => "libvpx-vp9",
        _ => return None,
    };
    decoder::find_by_name(name).filter(|_| facts.has_alpha_beside)
}

fn is_again(error: FfmpegError) -> bool {
    matches!(error, FfmpegError::Other { errno } if errno == ffmpeg_next::error::EAGAIN)
}

fn open_decoder(facts: &StreamFacts, is_live: bool) -> Result<decoder::Video, String> {
    let id = facts.parameters.id();
    if decoder::find(id).is_none() {
        return Err(match facts.codec_tag() {
            Some(tag) if id == codec::Id::None => format!("this FFmpeg knows no codec {tag:?}"),
            _ => format!("this FFmpeg has no decoder for {}", id.name()),
        });
    }
    let mut context = codec::Context::from_parameters(facts.parameters.clone())
        .map_err(|error| error.to_string())?;
    limit_pixels(&mut context, MAXIMUM_PIXELS);
    if is_live {
        set_low_delay(&mut context);
    }
    context.set_threading(threading::Config {
        kind: threading::Type::Frame,
        count: DECODER_THREADS,
        ..threading::Config::default()
    });
    let mut decoder = context.decoder();
    decoder.check(Check::CRC | Check::BITSTREAM | Check::BUFFER);
    decoder.set_packet_time_base(facts.time_base);
    let opened = match alpha_decoder(facts) {
        Some(codec) => decoder.open_as(codec).and_then(decoder::Opened::video),
        None => decoder.video(),
    };
    opened.map_err(|error| format!("cannot open the {} decoder: {error}", id.name()))
}
