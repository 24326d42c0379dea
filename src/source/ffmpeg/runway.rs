//! Going to the start of a range without a seek: packets are read, but only those from the last key frame on are decoded.

use std::collections::VecDeque;

use ffmpeg_next::Packet;

/// Most bytes that are kept while no key frame comes; then decoding begins anyway.
const MAXIMUM_BYTES: usize = 64 << 20;

/// Packets of the video since the last key frame before the range.
pub(super) struct Runway {
    packets: VecDeque<Packet>,
    bytes: usize,
    start_ticks: i64,
    /// Whether the range has been reached, so that packets are to be decoded.
    is_over: bool,
}

impl Runway {
    /// For a range that begins at `start_ticks` of the stream's own clock.
    pub(super) fn new(start_ticks: i64) -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
            start_ticks,
            is_over: false,
        }
    }

    /// Takes the stream's next packet.
    pub(super) fn push(&mut self, packet: Packet) {
        let time = packet.pts().or(packet.dts());
        if packet.is_key() && time.is_some_and(|ticks| ticks <= self.start_ticks) {
            self.packets.clear();
            self.bytes = 0;
        }
        self.bytes += packet.size();
        // Decoding order runs ahead of presentation: only the decoding time tells that all before the start has come.
        let time = packet.dts().or(packet.pts());
        self.is_over |=
            time.is_none_or(|ticks| ticks >= self.start_ticks) || self.bytes > MAXIMUM_BYTES;
        self.packets.push_back(packet);
    }

    /// No more packets come.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// The next packet to decode.
    pub(super) fn pop(&mut self) -> Option<Packet> {
        if !self.is_over {
            return None;
        }
        self.packets.pop_front()
    }

    /// Whether all was handed on, so that packets need no longer come through here.
    pub(super) fn is_empty(&self) -> bool {
        self.is_over && self.packets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg_next::packet::Flags;

    fn packet(ticks: i64, is_key: bool) -> Packet {
        let mut packet = Packet::new(10);
        packet.set_pts(Some(ticks));
        packet.set_dts(Some(ticks));
        if is_key {
            packet.set_flags(Flags::KEY);
        }
        packet
    }

    #[test]
    fn decoding_begins_at_the_last_key_frame_before_the_start() {
        let mut runway = Runway::new(7);
        for ticks in 0..7 {
            runway.push(packet(ticks, ticks % 3 == 0));
            assert!(runway.pop().is_none());
        }
        runway.push(packet(7, false));
        let mut times = Vec::new();
        while let Some(packet) = runway.pop() {
            times.extend(packet.pts());
        }
        assert_eq!(times, [6, 7]);
        assert!(runway.is_empty());
    }

    #[test]
    fn without_times_or_key_frames_nothing_is_left_out() {
        let mut runway = Runway::new(100);
        runway.push(packet(0, false));
        runway.push(packet(1, false));
        runway.end();
        assert_eq!(runway.pop().and_then(|packet| packet.pts()), Some(0));
        let mut timeless = Runway::new(100);
        timeless.push(Packet::new(10));
        assert!(timeless.pop().is_some());
    }
}
