//! Drawing from a records file, over three small frames: whatever the records say, the pipeline ends, and with no defect of its own.
#![no_main]

use std::io::Cursor;

use gradcam_video::ErrorKind;
use gradcam_video::frame::{
    ColorSpec, Frame, FrameIndex, Orientation, Picture, PictureFormat, Pts, TimeBase,
};
use gradcam_video::pipeline::{self, CancelToken, Job, Maps, Options, SilentReporter};
use gradcam_video::records::{RecordsFormat, RecordsReader};
use gradcam_video::render::{RenderOptions, Renderer};
use gradcam_video::sink::{FrameSink, PictureShape, Written};
use gradcam_video::source::{FrameSource, SourceEnd, SourceInfo};
use gradcam_video::temporal::Normalize;
use libfuzzer_sys::fuzz_target;

const WIDTH: usize = 40;
const HEIGHT: usize = 24;
const FRAMES: u64 = 3;
/// Larger network inputs take long and teach nothing new.
const LARGEST_INPUT_SIZE: usize = 256;
/// As the command line allows.
const MOST_TARGETS: usize = 8;

struct Frames {
    info: SourceInfo,
    next: u64,
}

impl FrameSource for Frames {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> gradcam_video::Result<Option<Frame>> {
        let index = self.next;
        self.next += 1;
        Ok((index < FRAMES).then(|| Frame {
            index: FrameIndex(index),
            pts: Pts(index as i64),
            duration: 1,
            picture: Picture::from_rgb8(WIDTH, HEIGHT, &[90; 3 * WIDTH * HEIGHT]),
        }))
    }

    fn finish(&mut self) -> SourceEnd {
        SourceEnd::default()
    }
}

/// Checks that every picture has the promised size.
struct Nowhere {
    shape: PictureShape,
    frames: u64,
}

impl FrameSink for Nowhere {
    fn write(&mut self, frame: Frame) -> gradcam_video::Result<()> {
        let picture = &frame.picture;
        let promised = (self.shape.width, self.shape.height);
        assert_eq!((picture.width, picture.height), promised);
        self.frames += 1;
        Ok(())
    }

    fn finish(self: Box<Self>, _end: SourceEnd) -> gradcam_video::Result<Written> {
        Ok(Written {
            frames: self.frames,
            ..Written::default()
        })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let open = || {
        let input = Box::new(Cursor::new(bytes.to_vec()));
        RecordsReader::new(input, RecordsFormat::Jsonl, "fuzzed")
    };
    let Ok(mut reader) = open() else { return };
    let Ok(resize) = reader.header().resize_policy() else {
        return;
    };
    let Ok(targets) = reader.targets() else {
        return;
    };
    if targets > MOST_TARGETS || reader.header().input_size > LARGEST_INPUT_SIZE {
        return;
    }
    let info = SourceInfo {
        width: WIDTH,
        height: HEIGHT,
        format: PictureFormat::FULL_8,
        color: ColorSpec::RGB,
        pixel_aspect: 1.0,
        orientation: Orientation::default(),
        time_base: TimeBase {
            numerator: 1,
            denominator: 10,
        },
        estimated_frames: None,
        notices: Vec::new(),
    };
    // Taken from the input: the same input always takes the same way.
    let choice = bytes.iter().fold(0u8, |sum, byte| sum ^ byte);
    let normalize = match choice % 4 {
        0 => Normalize::Frame,
        1 => Normalize::Fixed(0.5),
        2 => match open().and_then(|mut reader| pipeline::largest_maxima(&mut reader)) {
            Ok(maxima) => Normalize::Video(maxima),
            Err(_) => return,
        },
        _ => Normalize::Rolling,
    };
    let render = RenderOptions {
        targets,
        ..RenderOptions::default()
    };
    let Ok(renderer) = Renderer::for_stream(render, &info) else {
        return;
    };
    let sink = Nowhere {
        shape: renderer.shape(),
        frames: 0,
    };
    let job = Job {
        maps: Maps::Recorded(Box::new(reader)),
        source: Box::new(Frames { info, next: 0 }),
        renderer: Some(renderer),
        sink: Box::new(sink),
        records: None,
        options: Options {
            resize,
            normalize,
            smooth: if choice & 4 == 0 { 0.0 } else { 0.5 },
        },
    };
    if let Err(error) = pipeline::run(job, &SilentReporter, &CancelToken::new()) {
        assert_ne!(error.kind(), ErrorKind::Internal, "{}", error.one_line());
    }
});
