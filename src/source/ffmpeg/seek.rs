//! Going to where a range starts, so that no frame of the range is lost.

use ffmpeg_next::Packet;
use ffmpeg_next::format::context;

use super::clock::Window;

/// How far before the start a key frame is looked for, in microseconds. Decoding order runs ahead of
/// presentation by up to half a second; containers without an index land anywhere.
const MARGINS_MICROS: [i64; 3] = [500_000, 5_000_000, 30_000_000];

/// Packets that are looked at to find a key frame.
const PROBE_PACKETS: usize = 5_000;

/// Where an input stands after a seek.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Where it was opened: the range starts near the beginning.
    Beginning,
    /// Before a key frame that comes before the range; what precedes that frame cannot be decoded.
    BeforeKeyFrame,
    /// Nobody knows: the input must be opened again.
    Lost,
}

/// Goes to a key frame of stream `video` that lies at least `lead_micros` before the window, in an input that starts at `earliest_micros`.
pub(super) fn seek_before(
    input: &mut context::Input,
    video: usize,
    window: &Window,
    earliest_micros: i64,
    lead_micros: i64,
) -> Position {
    let Some(time_base) = input.stream(video).map(|stream| stream.time_base()) else {
        return Position::Lost;
    };
    for (attempt, margin) in MARGINS_MICROS.into_iter().enumerate() {
        let target = window.start_micros.saturating_sub(margin + lead_micros);
        if target <= earliest_micros {
            return if attempt == 0 {
                Position::Beginning
            } else {
                Position::Lost
            };
        }
        if input.seek(target, ..target).is_err() {
            return Position::Lost;
        }
        if finds_key_frame(input, video, window.start_ticks(time_base)) {
            return match input.seek(target, ..target) {
                Ok(()) => Position::BeforeKeyFrame,
                Err(_) => Position::Lost,
            };
        }
    }
    Position::Lost
}

/// Whether the next key frame is shown no later than `start_ticks`.
fn finds_key_frame(input: &mut context::Input, video: usize, start_ticks: i64) -> bool {
    for _ in 0..PROBE_PACKETS {
        let mut packet = Packet::empty();
        if packet.read(input).is_err() {
            return false;
        }
        if packet.stream() != video {
            continue;
        }
        match packet.pts().or(packet.dts()) {
            Some(ticks) if packet.is_key() => return ticks <= start_ticks,
            Some(ticks) if ticks > start_ticks => return false,
            _ => {}
        }
    }
    false
}
