//! Packets of the streams that are copied, collected between two frames of the video.

use ffmpeg_next::{Packet, Rational, media};

use super::clock::Window;
use super::soundness::AudioCheck;
use super::template::CopiedStream;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of packets between two video frames. Containers interleave every second or so, but a video that is shorter than its audio leaves all
/// the rest to its last frame: this is 16 hours of AAC, or an hour and a half of uncompressed stereo.
const MAXIMUM_PENDING_BYTES: usize = 1 << 30;
/// How far behind a range's end packets are searched that lie inside it.
const MAXIMUM_INTERLEAVE_SECS: f64 = 2.0;

/// Unit and range of a copied stream's packets.
struct CopiedTimes {
    input_index: usize,
    time_base: Rational,
    /// None for subtitles and attached files.
    check: Option<AudioCheck>,
    start_ticks: i64,
    end_ticks: Option<i64>,
    /// Whether a packet behind the range has come.
    has_ended: bool,
}

/// The copied streams of an input.
pub(super) struct Passthrough {
    streams: Vec<CopiedTimes>,
    trims_start: bool,
    packets: Vec<Packet>,
    pending_bytes: usize,
    /// Packets of audio that cannot be decoded.
    pub(super) bad_packets: u64,
}

impl Passthrough {
    pub(super) fn new(streams: &[CopiedStream], window: &Window) -> Self {
        let times = |stream: &CopiedStream| CopiedTimes {
            input_index: stream.input_index,
            time_base: stream.time_base,
            check: (stream.medium == media::Type::Audio)
                .then(|| AudioCheck::new(stream.parameters.clone())),
            start_ticks: window.start_ticks(stream.time_base),
            end_ticks: window.end_ticks(stream.time_base),
            has_ended: false,
        };
        Self {
            streams: streams.iter().map(times).collect(),
            trims_start: window.trims_start,
            packets: Vec::new(),
            pending_bytes: 0,
            bad_packets: 0,
        }
    }

    /// Unit of a copied stream's times, and whether its packets come only now and then.
    pub(super) fn clock_of(&self, index: usize) -> Option<(Rational, bool)> {
        let mut streams = self.streams.iter();
        let times = streams.find(|times| times.input_index == index)?;
        Some((times.time_base, times.check.is_none()))
    }

    /// Keeps a packet of a copied stream if it lies in the range, its times counted from the common start.
    ///
    /// # Errors
    /// If more is kept than memory should hold; `name` is the input.
    pub(super) fn keep(&mut self, mut packet: Packet, name: &str) -> Result<()> {
        let index = packet.stream();
        let mut streams = self.streams.iter_mut();
        let Some(times) = streams.find(|times| times.input_index == index) else {
            return Ok(());
        };
        if !times.place(&mut packet, self.trims_start) {
            return Ok(());
        }
        if let Some(check) = &mut times.check
            && !check.is_sound(&packet)
        {
            self.bad_packets += 1;
            return Ok(());
        }
        self.pending_bytes += packet.size();
        if self.pending_bytes > MAXIMUM_PENDING_BYTES {
            let message = format!(
                "cannot read {name}: more than {MAXIMUM_PENDING_BYTES} bytes of audio without a video frame"
            );
            return Err(Error::new(ErrorKind::Input, message));
        }
        self.packets.push(packet);
        Ok(())
    }

    /// What was kept since the last call.
    pub(super) fn take(&mut self) -> Vec<Packet> {
        self.pending_bytes = 0;
        std::mem::take(&mut self.packets)
    }

    /// Whether packets inside the range may still come.
    pub(super) fn awaits_more(&self) -> bool {
        self.streams.iter().any(|times| !times.has_ended)
    }

    /// Whether a packet of the video lies so far behind the range that nothing inside it can follow.
    pub(super) fn end_long_before(&self, packet: &Packet, time_base: Rational) -> bool {
        let end_secs = |times: &CopiedTimes| {
            let end = times.end_ticks?.saturating_add(times.start_ticks);
            Some(end as f64 * f64::from(times.time_base))
        };
        let end_secs = self.streams.iter().filter_map(end_secs).fold(0.0, f64::max);
        packet.dts().is_some_and(|dts| {
            dts as f64 * f64::from(time_base) > end_secs + MAXIMUM_INTERLEAVE_SECS
        })
    }
}

impl CopiedTimes {
    /// Counts the packet's times from the common start; whether it lies in the range.
    fn place(&mut self, packet: &mut Packet, trims_start: bool) -> bool {
        let shift = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_sub(self.start_ticks));
        let (pts, dts) = (shift(packet.pts()), shift(packet.dts()));
        packet.set_pts(pts);
        packet.set_dts(dts);
        let end = self.end_ticks.unwrap_or(i64::MAX);
        self.has_ended |= dts.or(pts).is_some_and(|ticks| ticks >= end);
        let Some(ticks) = pts.or(dts) else {
            return true;
        };
        let is_subtitle = self.check.is_none();
        let shown_until = ticks.saturating_add(packet.duration());
        let is_before = trims_start && ticks < 0;
        // A line that is on the screen when the range begins is part of it.
        let reaches_in = is_subtitle && shown_until > 0;
        if (is_before && !reaches_in) || ticks >= end {
            return false;
        }
        if is_before {
            packet.set_pts(Some(0));
            packet.set_dts(Some(0));
            packet.set_duration(shown_until.min(end));
        } else if is_subtitle && shown_until > end {
            packet.set_duration(end - ticks);
        }
        true
    }
}
