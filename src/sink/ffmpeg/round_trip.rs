//! What the sink writes, read again.

use std::path::Path;

use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::{Packet, Rational, format};

use super::*;
use crate::ffmpeg_ffi::ColorTags;
use crate::frame::{
    ColorModel, ColorSpec, FrameIndex, Orientation, Picture, PictureFormat, Pts, TimeBase, Transfer,
};
use crate::pipeline::CancelToken;
use crate::source::{FfmpegSource, FrameSource, InputSpec, ReadOptions};

const SIZE: (usize, usize) = (96, 64);
const FORMAT: PictureFormat = PictureFormat {
    chroma_shift: (1, 1),
    bit_depth: 8,
};
const COLOR: ColorSpec = ColorSpec {
    model: ColorModel::YuvBt601,
    is_full_range: false,
    transfer: Transfer::Sdr,
};

/// Enough frames for a transport stream to be known as one.
const TIMES: [i64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

fn template() -> StreamTemplate {
    StreamTemplate {
        input_path: None,
        pixel_aspect: None,
        frame_rate: Some(Rational(25, 1)),
        display_matrix: None,
        color: ColorTags::UNSPECIFIED,
        coded_chroma_shift: Some(FORMAT.chroma_shift),
        is_top_field_first: None,
        has_captions: false,
        video_metadata: Vec::new(),
        container_metadata: Vec::new(),
        light: Vec::new(),
        view: Vec::new(),
        streams: Vec::new(),
        chapters: Vec::new(),
    }
}

fn info(template: StreamTemplate, denominator: i32) -> SourceInfo {
    SourceInfo {
        width: SIZE.0,
        height: SIZE.1,
        format: FORMAT,
        color: COLOR,
        pixel_aspect: 1.0,
        orientation: Orientation::default(),
        time_base: TimeBase {
            numerator: 1,
            denominator,
        },
        estimated_frames: None,
        is_endless: false,
        clock_start_micros: None,
        notices: Vec::new(),
        template: Some(template),
    }
}

/// A picture that is dark on the left.
fn picture(index: usize) -> Picture {
    let mut picture = Picture::filled(SIZE.0, SIZE.1, FORMAT, COLOR, [50, 120, 120]);
    if let crate::frame::Samples::U8(samples) = &mut picture.planes[0].samples {
        for row in samples.chunks_exact_mut(SIZE.0) {
            row[SIZE.0 / 2..].fill(200 + index as u8);
        }
    }
    picture
}

/// Writes frames at these times, each with what travels with it; returns the notices.
fn write(
    path: &Path,
    info: &SourceInfo,
    codec: &str,
    times: &[i64],
    items: impl Fn(usize) -> Vec<Passthrough>,
) -> Vec<String> {
    let shape = PictureShape {
        width: SIZE.0,
        height: SIZE.1,
        format: FORMAT,
        color: COLOR,
    };
    let options = EncodeOptions {
        codec: Some(codec.to_owned()),
        overwrite: true,
        ..EncodeOptions::default()
    };
    let output = OutputSpec::Path(path.to_owned());
    let mut sink = FfmpegSink::create(&output, info, shape, &options).unwrap();
    let notices = sink.notices().to_vec();
    for (index, pts) in times.iter().enumerate() {
        sink.write(Frame {
            index: FrameIndex(index as u64),
            pts: Pts(*pts),
            duration: 0,
            picture: picture(index),
            passthrough: items(index),
        })
        .unwrap();
    }
    Box::new(sink).finish(SourceEnd::default()).unwrap();
    notices
}

fn read(path: &Path) -> FfmpegSource {
    let input = InputSpec::Path(path.to_owned());
    FfmpegSource::open(&input, ReadOptions::default(), &CancelToken::new()).unwrap()
}

fn frames(source: &mut FfmpegSource) -> Vec<Frame> {
    std::iter::from_fn(|| source.next_frame().unwrap()).collect()
}

#[test]
fn captions_stay_with_their_frames() {
    let folder = tempfile::tempdir().unwrap();
    let of_frame = |index: usize| vec![0xfc, 0x80 + index as u8, 0x20, 0xfd, 0x80, 0x80];
    let times: Vec<i64> = (0..8).collect();
    let info = info(
        StreamTemplate {
            has_captions: true,
            ..template()
        },
        25,
    );
    for name in ["o.mp4", "o.ts"] {
        let path = folder.path().join(name);
        let notices = write(&path, &info, "libx264", &times, |index| match index {
            3 => Vec::new(),
            _ => vec![Passthrough::Captions(of_frame(index))],
        });
        assert!(notices.is_empty(), "{notices:?}");
        let mut source = read(&path);
        assert!(source.info().template.as_ref().unwrap().has_captions);
        let seen: Vec<Vec<Vec<u8>>> = frames(&mut source)
            .into_iter()
            .map(|frame| {
                let captions = frame.passthrough.into_iter().filter_map(|item| match item {
                    Passthrough::Captions(bytes) => Some(bytes),
                    _ => None,
                });
                captions.collect()
            })
            .collect();
        let expected: Vec<Vec<Vec<u8>>> = (0..8)
            .map(|index| match index {
                3 => Vec::new(),
                _ => vec![of_frame(index)],
            })
            .collect();
        assert_eq!(seen, expected, "{name}");
    }
    let notices = write(
        &folder.path().join("o.webm"),
        &info,
        "libvpx-vp9",
        &[0],
        |_| Vec::new(),
    );
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].starts_with("closed captions are dropped"));
}

#[test]
fn each_frame_keeps_the_order_of_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.mkv");
    let info = info(
        StreamTemplate {
            is_top_field_first: Some(true),
            ..template()
        },
        25,
    );
    write(
        &path,
        &info,
        "mpeg2video",
        &[0, 1, 2, 3],
        |index| match index {
            1 | 3 => vec![Passthrough::Fields(Some(false))],
            _ => Vec::new(),
        },
    );
    let mut source = read(&path);
    let of_stream = source.info().template.as_ref().unwrap().is_top_field_first;
    assert_eq!(of_stream, Some(true));
    let orders: Vec<Option<bool>> = frames(&mut source)
        .into_iter()
        .map(|frame| {
            let own = frame.passthrough.into_iter().find_map(|item| match item {
                Passthrough::Fields(own) => Some(own),
                _ => None,
            });
            own.unwrap_or(of_stream)
        })
        .collect();
    let (top, bottom) = (Some(true), Some(false));
    assert_eq!(orders, [top, bottom, top, bottom]);

    // Here the container says it and the frames do not. Live, where only pictures go on, nothing but the frame itself counts.
    let path = folder.path().join("silent.mkv");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=d=0.2:s=96x64"])
        .args([
            "-pix_fmt",
            "yuv422p",
            "-c:v",
            "huffyuv",
            "-field_order",
            "tt",
        ])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    for (is_live, wanted) in [(false, Some(true)), (true, None)] {
        let options = ReadOptions {
            is_live,
            ..ReadOptions::default()
        };
        let input = InputSpec::Path(path.clone());
        let source = FfmpegSource::open(&input, options, &CancelToken::new()).unwrap();
        let template = source.info().template.as_ref().unwrap();
        assert_eq!(template.is_top_field_first, wanted, "live: {is_live}");
    }
}

#[test]
fn spheres_and_views_of_two_eyes_are_kept_or_named() {
    let folder = tempfile::tempdir().unwrap();
    // An equirectangular projection, and two views side by side, as FFmpeg lays them out.
    let spherical = (side_data::Type::DataSpherical, vec![0; 36]);
    let side_by_side: Vec<u8> = [1_i32, 0, 0]
        .into_iter()
        .flat_map(i32::to_ne_bytes)
        .collect();
    let stereo = (side_data::Type::Stereo3d, side_by_side);
    let seen = StreamTemplate {
        view: vec![spherical.clone(), stereo.clone()],
        ..template()
    };
    let mut tagged = seen.clone();
    tagged.video_metadata = vec![(c"stereo_mode".into(), c"left_right".into())];
    let plain = info(seen, 25);
    let both = [spherical, stereo];
    for (name, kept, dropped) in [
        ("o.mp4", &both[..], &[][..]),
        ("o.mkv", &both[..1], &["stereoscopic layout"][..]),
        (
            "o.ts",
            &[],
            &["spherical projection", "stereoscopic layout"],
        ),
    ] {
        let path = folder.path().join(name);
        let notices = write(&path, &plain, "libx264", &TIMES, |_| Vec::new());
        assert_eq!(notices.len(), dropped.len(), "{name}: {notices:?}");
        for (notice, what) in notices.iter().zip(dropped) {
            assert!(notice.contains(what), "{name}: {notice}");
        }
        let source = read(&path);
        let view = &source.info().template.as_ref().unwrap().view;
        assert_eq!(view, kept, "{name}");
    }

    // As panels beside each other they are neither; Matroska's tag says it, too.
    let mut panels = info(tagged, 25);
    for (width, notices_wanted) in [(SIZE.0, 0), (SIZE.0 / 2, 2)] {
        panels.width = width;
        let path = folder.path().join("panels.mkv");
        let notices = write(&path, &panels, "libx264", &TIMES, |_| Vec::new());
        assert_eq!(notices.len(), notices_wanted, "{notices:?}");
        let source = read(&path);
        let view = &source.info().template.as_ref().unwrap().view;
        assert_eq!(view.is_empty(), notices_wanted > 0, "{width}");
    }
}

#[test]
fn times_nearer_than_the_muxers_unit_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut times: Vec<i64> = (0..12).map(|index| index * 40_000).collect();
    times.extend([440_001, 440_002, 440_003, 480_000, 480_001, 520_000]);
    let info = info(template(), 1_000_000);
    for (name, codec) in [
        ("o.mkv", "libx264"),
        ("o.ts", "libx264"),
        ("o.webm", "libvpx-vp9"),
        ("o.mp4", "libx264"),
    ] {
        let path = folder.path().join(name);
        write(&path, &info, codec, &times, |_| Vec::new());
        let mut input = format::input(&path).unwrap();
        let unit = f64::from(input.stream(0).unwrap().time_base());
        let (mut shown, mut decoded) = (Vec::new(), Vec::new());
        loop {
            let mut packet = Packet::empty();
            if packet.read(&mut input).is_err() {
                break;
            }
            shown.extend(packet.pts());
            decoded.extend(packet.dts());
        }
        shown.sort_unstable();
        assert_eq!(shown.len(), times.len(), "{name}");
        assert!(shown.is_sorted_by(|a, b| a < b), "{name}: {shown:?}");
        assert!(decoded.is_sorted_by(|a, b| a < b), "{name}: {decoded:?}");
        for (shown_ticks, wanted) in shown.iter().zip(&times) {
            let moved = (shown_ticks - shown[0]) as f64 * unit - *wanted as f64 * 1e-6;
            assert!(moved.abs() < 0.0045, "{name}: {wanted} moves by {moved} s");
        }
    }
}

#[test]
fn a_container_without_rotation_gets_upright_pictures() {
    let folder = tempfile::tempdir().unwrap();
    // Players turn it clockwise: the dark left half comes to the top.
    let mut info = info(
        StreamTemplate {
            display_matrix: Some([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]),
            pixel_aspect: Some(Rational(4, 3)),
            ..template()
        },
        25,
    );
    info.orientation = Orientation {
        quarter_turns: 1,
        is_mirrored: false,
    };
    for (name, codec, is_turned) in [
        ("o.mp4", "libx264", false),
        ("o.mkv", "libx264", true),
        ("o.ts", "libx264", true),
        ("o.webm", "libvpx-vp9", true),
    ] {
        let path = folder.path().join(name);
        let notices = write(&path, &info, codec, &TIMES, |_| Vec::new());
        assert_eq!(notices.len(), usize::from(is_turned), "{notices:?}");
        let mut source = read(&path);
        let read_info = source.info().clone();
        let turned = (64, 96, 0, 0.75);
        let coded = (96, 64, 1, 4.0 / 3.0);
        let (width, height, turns, aspect) = if is_turned { turned } else { coded };
        assert_eq!(
            (read_info.width, read_info.height),
            (width, height),
            "{name}"
        );
        assert_eq!(read_info.orientation.quarter_turns, turns, "{name}");
        assert!((read_info.pixel_aspect - aspect).abs() < 1e-6, "{name}");
        if is_turned {
            let frames = frames(&mut source);
            let rgb = frames[1].picture.to_rgb8();
            let level = |x: usize, y: usize| rgb[3 * (y * width + x)];
            for x in [8, 56] {
                assert!(level(x, 16) < 90 && level(x, 80) > 180, "{name}");
            }
        }
    }
}
