//! Samples between resampler and encoder, on one timeline without holes.

use std::collections::VecDeque;

use ffmpeg_next::format::Sample;
use ffmpeg_next::{ChannelLayout, Error as FfmpegError, frame};

/// Louder samples than this, full scale being 1, are noise from damaged input; encoders fail on the loudest.
const LOUDEST: f32 = 16.0;

/// How audio looks that an encoder takes; the samples are 32-bit floats.
#[derive(Clone, Copy)]
pub(super) struct AudioShape {
    pub(super) format: Sample,
    pub(super) layout: ChannelLayout,
    pub(super) rate: u32,
}

impl AudioShape {
    /// A frame with memory for this many samples.
    pub(super) fn frame(&self, samples: usize) -> Result<frame::Audio, FfmpegError> {
        let mut frame = frame::Audio::new(self.format, samples, self.layout);
        if frame.planes() == 0 {
            return Err(FfmpegError::Other {
                errno: ffmpeg_next::error::ENOMEM,
            });
        }
        frame.set_rate(self.rate);
        Ok(frame)
    }

    fn planes(&self) -> usize {
        if self.format.is_planar() {
            self.channels()
        } else {
            1
        }
    }

    fn channels(&self) -> usize {
        self.layout.channels().unsigned_abs() as usize
    }
}

/// A queue of samples. Times count samples at the encoder's rate.
pub(super) struct SampleBuffer {
    shape: AudioShape,
    /// One queue per plane.
    planes: Vec<VecDeque<f32>>,
    /// Values of one plane that make up a sample: the channels if they are interleaved, else 1.
    values_per_sample: usize,
    /// When the first sample in the queue is heard.
    start: i64,
}

impl SampleBuffer {
    /// An empty queue whose first sample will be heard at `start`.
    pub(super) fn new(shape: AudioShape, start: i64) -> Self {
        let planes = shape.planes();
        Self {
            shape,
            planes: vec![VecDeque::new(); planes],
            values_per_sample: shape.channels() / planes.max(1),
            start,
        }
    }

    /// Samples in the queue.
    pub(super) fn len(&self) -> usize {
        let values = self.planes.first().map_or(0, VecDeque::len);
        values / self.values_per_sample.max(1)
    }

    /// When the sample after the last one is heard.
    pub(super) fn end(&self) -> i64 {
        self.start.saturating_add(self.len() as i64)
    }

    /// Appends silence.
    pub(super) fn push_silence(&mut self, samples: usize) {
        for plane in &mut self.planes {
            plane.resize(plane.len() + samples * self.values_per_sample, 0.0);
        }
    }

    /// Appends the samples of `frame`, the first of which is heard at `time`: what is in the queue already (by its
    /// time) is left out, and a hole is filled with silence.
    pub(super) fn push(&mut self, time: i64, frame: &frame::Audio) {
        let hole = time.saturating_sub(self.end());
        let overlap = hole
            .saturating_neg()
            .clamp(0, frame.samples() as i64)
            .unsigned_abs() as usize;
        self.push_silence(hole.max(0).unsigned_abs() as usize);
        for (index, plane) in self.planes.iter_mut().enumerate() {
            let values = &frame.plane::<f32>(index)[overlap * self.values_per_sample..];
            plane.extend(values.iter().map(|value| sane(*value)));
        }
    }

    /// Removes the first `samples`, at most what there is, as a frame with its time.
    pub(super) fn take(&mut self, samples: usize) -> Result<frame::Audio, FfmpegError> {
        let samples = samples.min(self.len());
        let mut frame = self.shape.frame(samples)?;
        frame.set_pts(Some(self.start));
        for (index, plane) in self.planes.iter_mut().enumerate() {
            let values = plane.drain(..samples * self.values_per_sample);
            for (target, value) in frame.plane_mut::<f32>(index).iter_mut().zip(values) {
                *target = value;
            }
        }
        self.start = self.start.saturating_add(samples as i64);
        Ok(frame)
    }
}

/// A sample that an encoder can take.
fn sane(value: f32) -> f32 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(-LOUDEST, LOUDEST)
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::sample;

    use super::*;

    fn stereo(kind: sample::Type) -> AudioShape {
        AudioShape {
            format: Sample::F32(kind),
            layout: ChannelLayout::STEREO,
            rate: 48_000,
        }
    }

    fn ones(shape: AudioShape, samples: usize) -> frame::Audio {
        let mut frame = shape.frame(samples).unwrap();
        for plane in 0..frame.planes() {
            frame.plane_mut::<f32>(plane).fill(1.0);
        }
        frame
    }

    #[test]
    fn holes_become_silence_and_overlaps_go() {
        for kind in [sample::Type::Packed, sample::Type::Planar] {
            let shape = stereo(kind);
            let mut buffer = SampleBuffer::new(shape, -3);
            buffer.push(-3, &ones(shape, 4));
            buffer.push(3, &ones(shape, 4));
            buffer.push(5, &ones(shape, 4));
            buffer.push(0, &ones(shape, 4));
            assert_eq!((buffer.len(), buffer.end()), (12, 9));
            let first = buffer.take(5).unwrap();
            assert_eq!((first.pts(), first.samples()), (Some(-3), 5));
            let rest = buffer.take(99).unwrap();
            assert_eq!((rest.pts(), rest.samples()), (Some(2), 7));
            let values = rest.plane::<f32>(0);
            let per_sample = values.len() / 7;
            assert!(values[..per_sample].iter().all(|value| *value == 0.0));
            assert!(values[per_sample..].iter().all(|value| *value == 1.0));
            assert_eq!(buffer.len(), 0);
        }
    }

    #[test]
    fn values_that_encoders_refuse_are_replaced() {
        let shape = stereo(sample::Type::Planar);
        let mut frame = ones(shape, 3);
        frame.plane_mut::<f32>(1)[..2].copy_from_slice(&[f32::NAN, f32::NEG_INFINITY]);
        let mut buffer = SampleBuffer::new(shape, 0);
        buffer.push(0, &frame);
        assert_eq!(
            buffer.take(3).unwrap().plane::<f32>(1),
            [0.0, -LOUDEST, 1.0]
        );
    }
}
