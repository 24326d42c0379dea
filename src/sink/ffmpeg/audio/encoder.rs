//! An audio encoder, opened in the shape it takes that is nearest to the input.

use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::{
    ChannelLayout, Error as FfmpegError, Packet, Rational, codec, encoder, format, frame,
};

use super::buffer::AudioShape;
use super::layout::{AAC_LAYOUTS, OPUS_LAYOUTS, closest_layout};

/// Bits per second and channel: AAC and Opus are transparent to most ears at this rate.
const BIT_RATE_PER_CHANNEL: usize = 64_000;

/// Opus has one rate inside; the encoder would resample others by itself, and worse.
const OPUS_RATE: u32 = 48_000;

/// Frames are as long as this for an encoder that takes any length.
const FALLBACK_FRAME_SAMPLES: usize = 1024;

/// The newest libavformat (59.30.100) whose Matroska muxer writes the delay of Opus but does not add it to the times,
/// as players that subtract it expect: audio would be early by 6.5 ms.
const LAST_VERSION_WITHOUT_OPUS_DELAY: u32 = (59 << 16) | (30 << 8) | 100;

/// The member of `choices` that is `wanted`, else the lowest above it, else the highest.
fn closest_rate(choices: &[u32], wanted: u32) -> u32 {
    let above = choices.iter().filter(|rate| **rate >= wanted).min();
    above
        .or_else(|| choices.iter().max())
        .copied()
        .unwrap_or(wanted)
}

/// An open encoder.
pub(super) struct AudioEncoder {
    encoder: encoder::audio::Encoder,
    /// Whether packets get the time of the first sample that is heard, not of the encoder's delay before it.
    hides_delay: bool,
    /// When the first sample is heard; `None` before the first frame.
    first_time: Option<i64>,
    /// What is added to packet times; `None` before the first packet.
    shift: Option<i64>,
}

impl AudioEncoder {
    /// Opens the encoder for audio of this rate and layout; what it does not take is replaced by the nearest it does.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn open(
        target: codec::Id,
        (rate, layout): (u32, ChannelLayout),
        needs_global_header: bool,
    ) -> Result<Self, String> {
        let (name, layouts) = match target {
            codec::Id::AAC => ("aac", &AAC_LAYOUTS[..]),
            codec::Id::OPUS => ("libopus", &OPUS_LAYOUTS[..]),
            other => return Err(format!("audio is not converted to {}", other.name())),
        };
        let missing = || format!("this FFmpeg has no encoder {name}");
        let found = encoder::find_by_name(name).ok_or_else(missing)?;
        let shapes = found.audio().map_err(|_| missing())?;
        let rates: Vec<u32> = shapes
            .rates()
            .into_iter()
            .flatten()
            .filter_map(|rate| u32::try_from(rate).ok())
            .collect();
        let rate = match target {
            codec::Id::OPUS => OPUS_RATE,
            _ => closest_rate(&rates, rate),
        };
        let layout = closest_layout(layouts, layout);
        let format = shapes
            .formats()
            .into_iter()
            .flatten()
            .find(is_float)
            .ok_or_else(|| format!("the encoder {name} takes no floating point samples"))?;

        let refused = |error| format!("the encoder {name} refuses: {error}");
        let mut audio = codec::Context::new_with_codec(found)
            .encoder()
            .audio()
            .map_err(refused)?;
        audio.set_rate(rate.cast_signed());
        audio.set_channel_layout(layout);
        audio.set_format(format);
        audio.set_time_base(Rational(1, rate.cast_signed()));
        audio.set_bit_rate(BIT_RATE_PER_CHANNEL * layout.channels().unsigned_abs() as usize);
        if needs_global_header {
            audio.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        Ok(Self {
            encoder: audio.open_as(found).map_err(refused)?,
            hides_delay: target == codec::Id::OPUS
                && format::version() <= LAST_VERSION_WITHOUT_OPUS_DELAY,
            first_time: None,
            shift: None,
        })
    }

    /// How frames must look.
    pub(super) fn shape(&self) -> AudioShape {
        AudioShape {
            format: self.encoder.format(),
            layout: self.encoder.channel_layout(),
            rate: self.encoder.rate(),
        }
    }

    /// How many samples a frame has; only the last may have fewer.
    pub(super) fn frame_samples(&self) -> usize {
        match self.encoder.frame_size() {
            0 => FALLBACK_FRAME_SAMPLES,
            samples => samples as usize,
        }
    }

    /// What the output stream says of its codec.
    pub(super) fn parameters(&self) -> codec::Parameters {
        codec::Parameters::from(&self.encoder)
    }

    /// Encodes a frame and appends what is finished.
    ///
    /// # Errors
    /// If the encoder fails.
    pub(super) fn encode(
        &mut self,
        frame: &frame::Audio,
        finished: &mut Vec<Packet>,
    ) -> Result<(), FfmpegError> {
        self.first_time = self.first_time.or(frame.pts());
        self.encoder.send_frame(frame)?;
        self.drain(finished)
    }

    /// Appends what is still on its way; nothing may follow.
    ///
    /// # Errors
    /// If the encoder fails.
    pub(super) fn finish(&mut self, finished: &mut Vec<Packet>) -> Result<(), FfmpegError> {
        self.encoder.send_eof()?;
        self.drain(finished)
    }

    fn drain(&mut self, finished: &mut Vec<Packet>) -> Result<(), FfmpegError> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(error) if is_drained(error) => return Ok(()),
                Err(error) => return Err(error),
            }
            let delay = match (self.first_time, packet.pts()) {
                (Some(heard), Some(pts)) if self.hides_delay => heard.saturating_sub(pts),
                _ => 0,
            };
            let shift = *self.shift.get_or_insert(delay);
            let later = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_add(shift));
            let (pts, dts) = (later(packet.pts()), later(packet.dts()));
            packet.set_pts(pts);
            packet.set_dts(dts);
            finished.push(packet);
        }
    }
}

/// Whether a decoder or encoder has nothing to give for now, or for good.
pub(super) fn is_drained(error: FfmpegError) -> bool {
    matches!(error, FfmpegError::Eof)
        || matches!(error, FfmpegError::Other { errno } if errno == ffmpeg_next::error::EAGAIN)
}

fn is_float(format: &Sample) -> bool {
    matches!(
        format,
        Sample::F32(sample::Type::Packed | sample::Type::Planar)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_kept_or_raised() {
        assert_eq!(closest_rate(&[48_000, 44_100, 8_000], 44_100), 44_100);
        assert_eq!(closest_rate(&[48_000, 44_100, 8_000], 11_000), 44_100);
        assert_eq!(closest_rate(&[48_000, 44_100, 8_000], 192_000), 48_000);
    }

    #[test]
    fn encoders_open_in_the_nearest_shape() {
        crate::ffmpeg_ffi::initialize().unwrap();
        let shape = |target, rate, layout| {
            AudioEncoder::open(target, (rate, layout), true)
                .map(|encoder| (encoder.shape().rate, encoder.shape().layout))
        };
        assert_eq!(
            shape(codec::Id::OPUS, 8_000, ChannelLayout::_5POINT1),
            Ok((48_000, ChannelLayout::_5POINT1_BACK))
        );
        assert_eq!(
            shape(codec::Id::AAC, 192_000, ChannelLayout::MONO),
            Ok((96_000, ChannelLayout::MONO))
        );
        assert!(shape(codec::Id::MP3, 48_000, ChannelLayout::MONO).is_err());
    }
}
