//! Audio in a codec that the container refuses: decode, resample, encode again, in step with the video.

mod buffer;
mod clock;
mod encoder;
mod layout;

use ffmpeg_next::software::resampling;
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec, decoder, frame};

use self::buffer::{AudioShape, SampleBuffer};
use self::clock::AudioClock;
use self::encoder::{AudioEncoder, is_drained};
use self::layout::usual_layout;
use crate::source::CopiedStream;

/// A decoder that fails so often in a row gets the next packet.
const MAXIMUM_FAILURES_IN_A_ROW: u32 = 16;

/// Samples that the resampler may deliver above its own estimate.
const RESAMPLER_SLACK: usize = 64;

/// Nothing is recorded so slowly; resampled, a few damaged bytes could fill memory.
const LOWEST_RATE: u32 = 1_000;

/// Re-encodes one audio stream.
pub(super) struct AudioTranscoder {
    decoder: decoder::Audio,
    encoder: AudioEncoder,
    shape: AudioShape,
    /// Made for the frames that come in; `None` before the first and after a jump in time.
    resampler: Option<resampling::Context>,
    /// `None` before the first frame.
    buffer: Option<SampleBuffer>,
    clock: AudioClock,
    damaged: u64,
}

impl AudioTranscoder {
    /// Opens decoder and encoder; `target` is AAC or Opus.
    ///
    /// # Errors
    /// Why the stream cannot be converted.
    pub(super) fn new(
        input: &CopiedStream,
        target: codec::Id,
        needs_global_header: bool,
    ) -> Result<Self, String> {
        let id = input.parameters.id();
        if decoder::find(id).is_none() {
            return Err(format!("this FFmpeg has no decoder for {}", id.name()));
        }
        let refused = |error| format!("cannot open the {} decoder: {error}", id.name());
        let context = codec::Context::from_parameters(input.parameters.clone()).map_err(refused)?;
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(input.time_base);
        let decoder = decoder.audio().map_err(refused)?;
        let (rate, channels) = (decoder.rate(), decoder.channels());
        let layout = usual_layout(decoder.channel_layout(), channels)
            .filter(|_| rate >= LOWEST_RATE)
            .ok_or_else(|| format!("{channels} channels at {rate} Hz are not supported"))?;
        let encoder = AudioEncoder::open(target, (rate, layout), needs_global_header)?;
        let shape = encoder.shape();
        Ok(Self {
            decoder,
            encoder,
            shape,
            resampler: None,
            buffer: None,
            clock: AudioClock::new(input.time_base, shape.rate),
            damaged: 0,
        })
    }

    /// What the output stream says of its codec.
    pub(super) fn parameters(&self) -> codec::Parameters {
        self.encoder.parameters()
    }

    /// Unit of the times of packets that come out.
    pub(super) fn time_base(&self) -> Rational {
        self.clock.time_base()
    }

    /// Packets or frames that could not be decoded.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Decodes a packet, whose times are counted from the common start, and returns what the encoder has finished.
    ///
    /// # Errors
    /// If the encoder fails. Damaged input is counted, not an error.
    pub(super) fn transcode(&mut self, packet: &Packet) -> Result<Vec<Packet>, FfmpegError> {
        let mut finished = Vec::new();
        // A packet without data would tell the decoder that the stream is over.
        if packet.size() > 0 {
            if self.decoder.send_packet(packet).is_err() {
                self.count_damage();
            }
            self.receive(&mut finished)?;
        }
        Ok(finished)
    }

    /// Encodes what is still on its way; nothing may follow.
    ///
    /// # Errors
    /// If the encoder fails.
    pub(super) fn finish(&mut self) -> Result<Vec<Packet>, FfmpegError> {
        let mut finished = Vec::new();
        if self.decoder.send_eof().is_ok() {
            self.receive(&mut finished)?;
        }
        self.drain_resampler(&mut finished)?;
        if let Some(buffer) = &mut self.buffer
            && buffer.len() > 0
        {
            let rest = buffer.take(buffer.len())?;
            self.encoder.encode(&rest, &mut finished)?;
        }
        self.encoder.finish(&mut finished)?;
        Ok(finished)
    }

    fn count_damage(&mut self) {
        self.damaged += 1;
        self.clock.expect_hole();
    }

    /// Takes all frames that the decoder has.
    fn receive(&mut self, finished: &mut Vec<Packet>) -> Result<(), FfmpegError> {
        let mut failures_in_a_row = 0;
        while failures_in_a_row < MAXIMUM_FAILURES_IN_A_ROW {
            let mut decoded = frame::Audio::empty();
            match self.decoder.receive_frame(&mut decoded) {
                Ok(()) => {
                    failures_in_a_row = 0;
                    self.take_frame(decoded, finished)?;
                }
                Err(error) if is_drained(error) => return Ok(()),
                Err(_) => {
                    failures_in_a_row += 1;
                    self.count_damage();
                }
            }
        }
        Ok(())
    }

    fn take_frame(
        &mut self,
        mut decoded: frame::Audio,
        finished: &mut Vec<Packet>,
    ) -> Result<(), FfmpegError> {
        let layout = usual_layout(decoded.channel_layout(), decoded.channels());
        let is_usable = decoded.rate() >= LOWEST_RATE && decoded.samples() > 0;
        let Some(layout) = layout.filter(|_| is_usable) else {
            self.count_damage();
            return Ok(());
        };
        decoded.set_channel_layout(layout);
        let definition = resampling::context::Definition {
            format: decoded.format(),
            channel_layout: layout,
            rate: decoded.rate(),
        };
        let has_changed = |resampler: &resampling::Context| *resampler.input() != definition;
        if self.resampler.as_ref().is_some_and(has_changed) {
            self.drain_resampler(finished)?;
        }
        self.place(decoded.timestamp(), finished)?;
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            empty => {
                let made = resampling::Context::get(
                    definition.format,
                    layout,
                    definition.rate,
                    self.shape.format,
                    self.shape.layout,
                    self.shape.rate,
                );
                match made {
                    Ok(made) => empty.insert(made),
                    Err(_) => {
                        self.count_damage();
                        return Ok(());
                    }
                }
            }
        };
        let expected = (decoded.samples() as u64 * u64::from(self.shape.rate))
            .div_ceil(u64::from(definition.rate)) as usize;
        let mut resampled = self
            .shape
            .frame(expected + delay(resampler) + RESAMPLER_SLACK)?;
        if resampler.run(&decoded, &mut resampled).is_err() {
            self.resampler = None;
            self.count_damage();
            return Ok(());
        }
        self.store(&resampled, finished)
    }

    /// Moves to a frame's timestamp if the samples so far do not lead there.
    fn place(
        &mut self,
        timestamp: Option<i64>,
        finished: &mut Vec<Packet>,
    ) -> Result<(), FfmpegError> {
        let held = self.resampler.as_ref().map_or(0, delay);
        if let Some(time) = self.clock.correction(timestamp, held) {
            self.drain_resampler(finished)?;
            self.clock.jump(time);
        }
        Ok(())
    }

    /// Takes the samples that the resampler holds; the next frame gets a new one.
    fn drain_resampler(&mut self, finished: &mut Vec<Packet>) -> Result<(), FfmpegError> {
        let Some(mut resampler) = self.resampler.take() else {
            return Ok(());
        };
        let mut rest = self.shape.frame(delay(&resampler) + RESAMPLER_SLACK)?;
        match resampler.flush(&mut rest) {
            Ok(_) => self.store(&rest, finished),
            // At most a millisecond is lost, and the next frame closes the hole.
            Err(_) => Ok(()),
        }
    }

    /// Queues samples at their time and encodes all whole frames.
    fn store(
        &mut self,
        samples: &frame::Audio,
        finished: &mut Vec<Packet>,
    ) -> Result<(), FfmpegError> {
        let time = self.clock.advance(samples.samples());
        let end = self.buffer.as_ref().map_or(time, SampleBuffer::end);
        if time.saturating_sub(end) > self.clock.longest_silence() {
            self.pad_and_encode(finished)?;
            self.buffer = None;
        }
        let empty = || SampleBuffer::new(self.shape, time);
        self.buffer.get_or_insert_with(empty).push(time, samples);
        self.encode_whole_frames(finished)
    }

    /// Encodes the queue, filled up with silence: only the stream's last frame may be short.
    fn pad_and_encode(&mut self, finished: &mut Vec<Packet>) -> Result<(), FfmpegError> {
        if let Some(buffer) = &mut self.buffer {
            let held = buffer.len();
            buffer.push_silence(held.next_multiple_of(self.encoder.frame_samples()) - held);
        }
        self.encode_whole_frames(finished)
    }

    fn encode_whole_frames(&mut self, finished: &mut Vec<Packet>) -> Result<(), FfmpegError> {
        let samples = self.encoder.frame_samples();
        while let Some(buffer) = &mut self.buffer
            && buffer.len() >= samples
        {
            let frame = buffer.take(samples)?;
            self.encoder.encode(&frame, finished)?;
        }
        Ok(())
    }
}

/// Samples inside the resampler, at the rate that comes out.
fn delay(resampler: &resampling::Context) -> usize {
    let samples = resampler.delay().map_or(0, |delay| delay.output);
    usize::try_from(samples).unwrap_or(0)
}
