//! Counting what goes into the decoder and what comes out: libavcodec hides most damage behind success.

use std::collections::HashMap;

use ffmpeg_next::codec::Id;
use ffmpeg_next::format::context;
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, Rescale, frame, rescale};

use super::facts::{StreamFacts, has_format};
use crate::ffmpeg_ffi::{duration_is_from_header, index_entries, is_discarded};
use crate::source::Damage;

/// Frames by which the last one may miss the end that the container names: rounding, an unknown duration.
const TOLERANCE_FRAMES: f64 = 1.5;
const LEAST_TOLERANCE_SECS: f64 = 0.1;
/// As above where only the whole container names its end, which muxers take less seriously.
const CONTAINER_TOLERANCE_SECS: f64 = 0.5;

/// The parser may hand a mark to the packet before the one that was marked.
const MARKED_BEFORE_JUMP: usize = 2;

/// Counts of one stream, from the first packet to the last frame.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Packets and frames that are marked as damaged, and errors of the decoder.
    pub(super) errors: u64,
    /// Whether the last packets of each stream are marked as damaged; not yet among the errors.
    marked: HashMap<usize, [bool; MARKED_BEFORE_JUMP]>,
    /// Why reading ended, if not at the end.
    pub(super) read_error: Option<FfmpegError>,
    /// Video packets that were read.
    packets: u64,
    /// Packets that the decoder took and whose frames somebody is to see. Those shown before the first key frame are not among them: where a video was
    /// cut, they refer to what is gone, and decoders may leave them out.
    fed: u64,
    /// When the first packet is shown, if it is a key frame.
    first_time: Option<i64>,
    /// Whether a packet without a time may still belong before it.
    may_lead: bool,
    /// Errors that the decoder gave in place of a frame.
    failures: u64,
    frames: u64,
    has_fields: bool,
    /// The latest end of a video packet and of any packet, in microseconds of the container's clock.
    video_end_micros: i64,
    end_micros: i64,
}

impl Tally {
    /// A packet was read.
    ///
    /// Where a transport stream's clock `jumps`, another one was joined to it, and a packet just before is marked as damaged only because the
    /// counters of the two do not match.
    pub(super) fn read(
        &mut self,
        packet: &Packet,
        time_base: Rational,
        is_video: bool,
        jumps: bool,
    ) {
        let marked = self.marked.entry(packet.stream()).or_default();
        if jumps {
            *marked = Default::default();
        }
        self.errors += u64::from(marked[0]);
        marked.rotate_left(1);
        marked[MARKED_BEFORE_JUMP - 1] = packet.is_corrupt();
        self.packets += u64::from(is_video);
        if let Some(ticks) = packet.pts().or(packet.dts()) {
            let end = ticks.saturating_add(packet.duration());
            let end_micros = end.rescale(time_base, rescale::TIME_BASE);
            self.end_micros = self.end_micros.max(end_micros);
            if is_video {
                self.video_end_micros = self.video_end_micros.max(end_micros);
            }
        }
    }

    /// The decoder took a packet, or did not.
    pub(super) fn sent(&mut self, packet: &Packet, is_taken: bool) {
        if is_taken {
            let is_first = self.first_time.is_none();
            let first_time = *self.first_time.get_or_insert(match packet.pts() {
                Some(pts) if packet.is_key() => pts,
                _ => i64::MIN,
            });
            // Matroska has no times before zero.
            let is_timeless = packet.pts().is_none() && first_time != i64::MIN;
            let is_leading = match packet.pts() {
                Some(pts) => pts < first_time,
                None => is_timeless && self.may_lead,
            };
            self.may_lead = is_first || (self.may_lead && is_timeless);
            self.fed += u64::from(!is_discarded(packet) && !is_leading);
        } else {
            self.errors += 1;
        }
    }

    /// The decoder gave a frame.
    pub(super) fn received(&mut self, frame: &frame::Video) {
        self.frames += 1;
        self.has_fields |= frame.is_interlaced();
    }

    /// The decoder gave an error.
    pub(super) fn failed(&mut self) {
        self.errors += 1;
        self.failures += 1;
    }

    /// Damage so far, without marks that a jump of the clock may still explain.
    pub(super) fn damage_so_far(&self) -> Damage {
        self.damage(0)
    }

    /// Damage after reading has ended, though not at the end of the input.
    pub(super) fn damage_at_end(&self) -> Damage {
        let marks = self.marked.values().flatten();
        self.damage(marks.filter(|is_marked| **is_marked).count() as u64)
    }

    fn damage(&self, marks: u64) -> Damage {
        Damage {
            errors: self.errors + marks,
            read_error: self.read_error.map(|error| error.to_string()),
            ..Damage::default()
        }
    }

    /// Damage after everything was read, which began `from_beginning` or after a seek.
    pub(super) fn judge(&self, promise: &Promise, from_beginning: bool) -> Damage {
        let mut damage = self.damage_at_end();
        if from_beginning && promise.has_frame_per_packet && !self.has_fields {
            damage.lost_frames = self.fed.saturating_sub(self.frames + self.failures);
        }
        if let (Some(packets), true) = (promise.packets, from_beginning) {
            damage.lost_frames += packets.saturating_sub(self.packets);
        }
        let (end_micros, promised_secs, tolerance_secs) = match promise.end {
            End::Unknown => return damage,
            End::Video {
                secs,
                tolerance_secs,
            } => (self.video_end_micros, secs, tolerance_secs),
            End::Container { secs } => (self.end_micros, secs, CONTAINER_TOLERANCE_SECS),
        };
        let end_secs = end_micros as f64 / 1e6;
        if end_secs + tolerance_secs < promised_secs {
            damage.ends_early = Some((end_secs, promised_secs));
        }
        damage
    }
}

/// What the container says of its content.
#[derive(Debug)]
pub(super) struct Promise {
    /// Video packets in its index.
    packets: Option<u64>,
    /// Whether each packet is a frame that is shown. VP8 has hidden ones, MPEG-4 packs two into one.
    has_frame_per_packet: bool,
    end: End,
}

/// Where the content ends, in seconds of the container's clock.
#[derive(Debug)]
enum End {
    Unknown,
    Video { secs: f64, tolerance_secs: f64 },
    Container { secs: f64 },
}

impl Promise {
    /// `hears_all`: whether the packets of every stream are read, so that the longest one is known.
    pub(super) fn of(
        input: &context::Input,
        facts: &StreamFacts,
        (video, hears_all): (usize, bool),
        frame_rate: Option<Rational>,
    ) -> Self {
        let has_frame_per_packet = matches!(
            facts.parameters.id(),
            Id::H264
                | Id::HEVC
                | Id::VP9
                | Id::AV1
                | Id::MPEG1VIDEO
                | Id::MPEG2VIDEO
                | Id::MJPEG
                | Id::PRORES
                | Id::FFV1
                | Id::HUFFYUV
                | Id::DNXHD
        );
        let is_mov = has_format(input, "mov");
        let container_secs = input.duration() as f64 / f64::from(ffmpeg_next::ffi::AV_TIME_BASE);
        let end = match (facts.tagged_end_secs, frame_rate) {
            // Edit lists make a track's duration there another thing than what is shown of it.
            _ if is_mov => End::Unknown,
            (Some(secs), Some(rate)) => End::Video {
                secs,
                tolerance_secs: (TOLERANCE_FRAMES / f64::from(rate)).max(LEAST_TOLERANCE_SECS),
            },
            _ if hears_all && container_secs > 0.0 && duration_is_from_header(input) => {
                End::Container {
                    secs: container_secs,
                }
            }
            _ => End::Unknown,
        };
        Self {
            packets: is_mov.then(|| index_entries(input, video)).flatten(),
            has_frame_per_packet,
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg_next::packet::Flags;

    const PROMISE: Promise = Promise {
        packets: None,
        has_frame_per_packet: true,
        end: End::Unknown,
    };

    fn read(count: u64) -> Tally {
        Tally {
            packets: count,
            fed: count,
            frames: count,
            video_end_micros: count as i64 * 40_000,
            end_micros: count as i64 * 40_000,
            ..Tally::default()
        }
    }

    #[test]
    fn packets_without_a_frame_are_lost_frames() {
        let tally = Tally {
            frames: 8,
            failures: 1,
            errors: 1,
            ..read(10)
        };
        let damage = tally.judge(&PROMISE, true);
        assert_eq!((damage.errors, damage.lost_frames), (1, 1));
        // Two fields can be one frame; after a seek some frames lack what they refer to.
        let fields = Tally {
            has_fields: true,
            ..tally
        };
        assert_eq!(fields.judge(&PROMISE, true).lost_frames, 0);
        assert!(read(10).judge(&PROMISE, true).is_none());
        let sought = Tally {
            frames: 8,
            ..read(10)
        };
        assert!(sought.judge(&PROMISE, false).is_none());
    }

    #[test]
    fn pictures_before_the_first_key_frame_may_be_left_out() {
        let fed = |times: &[Option<i64>]| {
            let mut tally = Tally::default();
            for (number, pts) in times.iter().enumerate() {
                let mut packet = Packet::empty();
                packet.set_pts(*pts);
                if number == 0 {
                    packet.set_flags(Flags::KEY);
                }
                tally.sent(&packet, true);
            }
            tally.fed
        };
        assert_eq!(fed(&[Some(8), Some(4), Some(6), Some(12), Some(10)]), 3);
        assert_eq!(fed(&[Some(0), None, None, Some(1), None]), 3);
        assert_eq!(
            fed(&[None, None, None]),
            3,
            "an elementary stream has no times"
        );
    }

    #[test]
    fn marks_just_before_a_jump_of_the_clock_are_no_damage() {
        let mut packet = Packet::empty();
        let mut read = |tally: &mut Tally, is_marked, jumps| {
            let flags = if is_marked {
                Flags::CORRUPT
            } else {
                Flags::empty()
            };
            packet.set_flags(flags);
            tally.read(&packet, rescale::TIME_BASE, true, jumps);
        };
        let mut joined = Tally::default();
        for (is_marked, jumps) in [(false, false), (true, false), (false, false), (false, true)] {
            read(&mut joined, is_marked, jumps);
            assert!(joined.damage_so_far().is_none());
        }
        assert!(joined.damage_at_end().is_none());
        let mut lost = Tally::default();
        read(&mut lost, true, false);
        assert_eq!(lost.damage_at_end().errors, 1);
        read(&mut lost, false, false);
        read(&mut lost, false, false);
        assert_eq!(lost.damage_so_far().errors, 1);
        assert_eq!(lost.damage_at_end().errors, 1);
    }

    #[test]
    fn what_the_index_or_the_duration_promise_is_missed() {
        let index = Promise {
            packets: Some(50),
            ..PROMISE
        };
        assert_eq!(read(30).judge(&index, true).lost_frames, 20);
        let ends = |end| read(30).judge(&Promise { end, ..PROMISE }, true).ends_early;
        let video = |secs| End::Video {
            secs,
            tolerance_secs: 0.06,
        };
        assert_eq!(ends(video(1.24)), None);
        assert_eq!(ends(video(2.0)), Some((1.2, 2.0)));
        assert_eq!(ends(End::Container { secs: 1.6 }), None);
        assert_eq!(ends(End::Container { secs: 2.0 }), Some((1.2, 2.0)));
    }
}
