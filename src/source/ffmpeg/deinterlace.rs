//! Interlaced frames become progressive ones, through FFmpeg's `bwdif`: one for one, at the same times.

use ffmpeg_next::filter::{Graph, find};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as FfmpegError, Rational, Rescale, frame};

/// Frames that are marked as progressive pass as they are.
const FILTER: &str = "bwdif=mode=send_frame:parity=auto:deint=interlaced";
/// What the filter is told; the real unit does not matter.
const UNIT: Rational = Rational(1, 1_000_000);
const INPUT: &str = "in";
const OUTPUT: &str = "out";

/// Holds a frame or two, since a field is compared with its neighbours in time.
pub(super) struct Deinterlacer {
    graph: Option<(Shape, Graph)>,
    /// The graph before a change of shape, whose last frames are still to come.
    finished: Option<Graph>,
    is_flushed: bool,
}

type Shape = (Pixel, u32, u32);

impl Deinterlacer {
    pub(super) fn new() -> Self {
        Self {
            graph: None,
            finished: None,
            is_flushed: false,
        }
    }

    /// Takes the next frame in order of presentation.
    pub(super) fn push(&mut self, frame: &frame::Video) -> Result<(), FfmpegError> {
        let shape = (frame.format(), frame.width(), frame.height());
        if self.graph.as_ref().is_none_or(|(known, _)| *known != shape) {
            if let Some((_, mut graph)) = self.graph.take() {
                flush(&mut graph)?;
                self.finished = Some(graph);
            }
            self.graph = Some((shape, build(shape)?));
        }
        let (_, graph) = self.graph.as_mut().ok_or(FfmpegError::Bug)?;
        let mut input = graph.get(INPUT).ok_or(FfmpegError::FilterNotFound)?;
        input.source().add(frame)
    }

    /// Fills `frame` with the next finished one, if there is one.
    pub(super) fn pull(&mut self, frame: &mut frame::Video) -> Result<bool, FfmpegError> {
        if let Some(graph) = &mut self.finished {
            if pull(graph, frame)? {
                return Ok(true);
            }
            self.finished = None;
        }
        match &mut self.graph {
            Some((_, graph)) => pull(graph, frame),
            None => Ok(false),
        }
    }

    /// No more frames come; false if that is known already.
    pub(super) fn flush(&mut self) -> Result<bool, FfmpegError> {
        let is_first = !std::mem::replace(&mut self.is_flushed, true);
        if let (true, Some((_, graph))) = (is_first, &mut self.graph) {
            flush(graph)?;
        }
        Ok(is_first)
    }
}

fn build((format, width, height): Shape) -> Result<Graph, FfmpegError> {
    let unit = format!("{}/{}", UNIT.numerator(), UNIT.denominator());
    let pixel = format.descriptor().ok_or(FfmpegError::InvalidData)?.name();
    let arguments = format!("video_size={width}x{height}:pix_fmt={pixel}:time_base={unit}");
    let missing = FfmpegError::FilterNotFound;
    let mut graph = Graph::new();
    graph.add(&find("buffer").ok_or(missing)?, INPUT, &arguments)?;
    graph.add(&find("buffersink").ok_or(missing)?, OUTPUT, "")?;
    graph.output(INPUT, 0)?.input(OUTPUT, 0)?.parse(FILTER)?;
    graph.validate()?;
    Ok(graph)
}

fn flush(graph: &mut Graph) -> Result<(), FfmpegError> {
    let mut input = graph.get(INPUT).ok_or(FfmpegError::FilterNotFound)?;
    input.source().flush()
}

fn pull(graph: &mut Graph, frame: &mut frame::Video) -> Result<bool, FfmpegError> {
    let mut output = graph.get(OUTPUT).ok_or(FfmpegError::FilterNotFound)?;
    match output.sink().frame(frame) {
        Ok(()) => {
            // The filter counts in half the unit, so as to have room for fields.
            let unit = output.sink().time_base();
            let pts = frame.pts().map(|pts| pts.rescale(unit, UNIT));
            frame.set_pts(pts);
            Ok(true)
        }
        Err(FfmpegError::Eof) => Ok(false),
        Err(FfmpegError::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg_ffi::{
        allocate_frame, initialize, plane_row, plane_row_mut, set_frame_field_order,
    };

    /// How much lighter each field is than the one before.
    const STEP: u8 = 20;

    /// The frame of this number in a video that grows lighter: its odd rows come later than its even ones.
    fn combed(number: u8, height: u32) -> frame::Video {
        let mut frame = allocate_frame(Pixel::YUV420P, 32, height).unwrap();
        for plane in 0..3 {
            let (width, rows) = if plane == 0 {
                (32, height)
            } else {
                (16, height / 2)
            };
            for row in 0..rows as usize {
                let value = STEP * (2 * number + (row % 2) as u8);
                plane_row_mut(&mut frame, plane, row, width)
                    .unwrap()
                    .fill(value);
            }
        }
        frame
    }

    #[test]
    fn as_many_frames_come_out_at_the_same_times_and_without_combs() {
        initialize().unwrap();
        let mut deinterlacer = Deinterlacer::new();
        let times = [0, 3, 5, 9, 10, 20];
        let mut seen = Vec::new();
        let mut out = frame::Video::empty();
        for (number, pts) in (0..).zip(times) {
            let mut frame = combed(number, if number < 4 { 32 } else { 48 });
            set_frame_field_order(&mut frame, Some(true), None);
            frame.set_pts(Some(pts));
            deinterlacer.push(&frame).unwrap();
            while deinterlacer.pull(&mut out).unwrap() {
                seen.push((out.pts(), out.height(), out.is_interlaced()));
                let rows = [7, 8, 9].map(|row| plane_row(&out, 0, row, 32).unwrap()[16]);
                assert!(rows[1].abs_diff(rows[0]) < STEP / 2, "{rows:?}");
            }
        }
        assert!(deinterlacer.flush().unwrap());
        while deinterlacer.pull(&mut out).unwrap() {
            seen.push((out.pts(), out.height(), out.is_interlaced()));
        }
        assert!(!deinterlacer.flush().unwrap());
        let heights = [32, 32, 32, 32, 48, 48];
        let expected: Vec<_> = times
            .into_iter()
            .zip(heights)
            .map(|(pts, height)| (Some(pts), height, false))
            .collect();
        assert_eq!(seen, expected);
    }
}
