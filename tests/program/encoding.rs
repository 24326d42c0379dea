//! Containers, encoders, ranges that keep sound and picture together, fields.

use std::path::Path;
use std::process::Command;

use gradcam_video::pipeline::CancelToken;
use gradcam_video::sink::{EncodeOptions, FfmpegSink, FrameSink, OutputSpec, PictureShape};
use gradcam_video::source::{FfmpegSource, FrameSource, InputSpec, ReadOptions};

use crate::common::{decoded_frame, ffprobe, frame_times, generated, probe, run, run_ok};

fn explain(input: &Path, output: &Path, arguments: &[&str]) -> String {
    let mut all = vec![input.as_os_str(), output.as_os_str(), "-y".as_ref()];
    all.extend(arguments.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
    run_ok(all)
}

#[test]
fn every_container_takes_every_encoder_that_fits_it() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=0.4 -f lavfi -i sine=d=0.4 -c:v libx264 -c:a aac",
    );
    for (name, arguments, video, audio) in [
        ("a.mp4", "", "h264", "aac"),
        ("a.mov", "--codec libx265 --preset ultrafast", "hevc", "aac"),
        ("a.mkv", "--codec libsvtav1 --preset 12", "av1", "aac"),
        ("b.mp4", "--codec libaom-av1 --crf 40", "av1", "aac"),
        ("b.mkv", "--codec libvpx-vp9 --preset 8", "vp9", "aac"),
        ("a.webm", "--preset 8", "vp9", "opus"),
        ("b.webm", "--codec libsvtav1 --preset 12", "av1", "opus"),
        ("a.ts", "", "h264", "aac"),
        ("c.mp4", "--codec mpeg4", "mpeg4", "aac"),
    ] {
        let output = folder.path().join(name);
        let mut all = vec!["--stride", "1000", "--alpha", "0", "--top-k", "0"];
        all.extend(arguments.split_whitespace());
        let stderr = explain(&input, &output, &all);
        let foreign = stderr
            .lines()
            .find(|line| !line.starts_with("gradcam-video: "));
        assert_eq!(foreign, None, "{name}: the encoder prints");
        // A transport stream is listed twice: in its program and by itself.
        let first = |text: String| text.lines().next().unwrap().to_owned();
        assert_eq!(first(probe(&output, "stream=codec_name")), video, "{name}");
        let of_audio = [
            "-select_streams",
            "a:0",
            "-show_entries",
            "stream=codec_name",
        ];
        assert_eq!(first(ffprobe(&output, &of_audio)), audio, "{name}");
        assert_eq!(frame_times(&output).len() % 10, 0, "{name}");
        let psnr = psnr_of_frame_5(&input, &output);
        assert!(psnr > 30.0, "{name}: {psnr:.1} dB");
    }
}

/// How alike two videos are, in dB.
fn psnr_of_frame_5(a: &Path, b: &Path) -> f64 {
    let (a, b) = (decoded_frame(a, 5), decoded_frame(b, 5));
    let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
    let error: f64 = a.iter().zip(b.iter()).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0f64.powi(2) / error).log10()
}

/// How many threads the command line chooses depends on the machine.
#[test]
fn several_threads_of_an_encoder_write_the_same_frames_and_their_time_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    // Wide enough for two columns of tiles, one for each of libvpx' threads.
    let input = generated(
        folder.path(),
        "in.mkv",
        "-f lavfi -i testsrc2=s=512x160:r=25:d=1.2 -c:v libx264",
    );
    let times = frame_times(&input);
    for (name, codec, preset) in [
        ("x264.mp4", "libx264", None),
        ("x265.mp4", "libx265", Some("ultrafast")),
        ("svt.mkv", "libsvtav1", Some("12")),
        ("vp9.webm", "libvpx-vp9", Some("8")),
        ("aom.mkv", "libaom-av1", None),
        ("mpeg4.mp4", "mpeg4", None),
        ("prores.mov", "prores_ks", None),
        ("ffv1.mkv", "ffv1", None),
    ] {
        for (threads, is_live) in [(3, false), (16, false), (3, true)] {
            let output = folder.path().join(name);
            let options = EncodeOptions {
                codec: Some(codec.to_owned()),
                preset: preset.map(str::to_owned),
                threads,
                is_live,
                overwrite: true,
                ..EncodeOptions::default()
            };
            let cpu_ms = copied_through(&input, &output, &options);
            let case = format!("{name}, {threads} threads, live: {is_live}");
            // MP4 and WebM round times to their own units.
            let written = frame_times(&output);
            assert_eq!(written.len(), times.len(), "{case}");
            let late = written.iter().zip(&times).map(|(a, b)| (a - b).abs());
            assert!(late.fold(0.0, f64::max) < 2e-3, "{case}");
            let psnr = psnr_of_frame_5(&input, &output);
            assert!(psnr > 30.0, "{case}: {psnr:.1} dB");
            // FFmpeg's own encoders have none for live frames.
            let is_own = matches!(codec, "mpeg4" | "prores_ks" | "ffv1");
            assert_eq!(cpu_ms > 0.0, !is_own || !is_live, "{case}");
        }
    }
}

/// Decodes and encodes every frame. Returns the CPU time of the encoder's own threads.
fn copied_through(input: &Path, output: &Path, options: &EncodeOptions) -> f64 {
    let spec = InputSpec::Path(input.to_owned());
    let cancel = CancelToken::new();
    let mut source = FfmpegSource::open(&spec, ReadOptions::default(), &cancel).unwrap();
    let info = source.info();
    let shape = PictureShape {
        width: info.width,
        height: info.height,
        format: info.format,
        color: info.color,
    };
    let output = OutputSpec::Path(output.to_owned());
    let mut sink = FfmpegSink::create(&output, info, shape, options).unwrap();
    while let Some(frame) = source.next_frame().unwrap() {
        sink.write(frame).unwrap();
    }
    let written = Box::new(sink).finish(source.finish()).unwrap();
    written.encoder_threads_cpu_ms
}

/// When a flash of white and a beep begin, in seconds of the output.
fn flash_and_beep(path: &Path) -> (f64, f64) {
    let pipe = |arguments: &[&str]| {
        let result = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(path)
            .args(arguments)
            .arg("-")
            .output()
            .unwrap();
        assert!(result.status.success());
        result.stdout
    };
    let levels = pipe(&[
        "-vf",
        "scale=1:1,format=gray",
        "-f",
        "rawvideo",
        "-vsync",
        "passthrough",
    ]);
    let flash = levels.iter().position(|level| *level > 128).unwrap();
    let filter = "aresample=48000:async=1:first_pts=0";
    let sound = pipe(&["-af", filter, "-ac", "1", "-f", "s16le"]);
    let (samples, _) = sound.as_chunks::<2>();
    let is_loud = |sample: &[u8; 2]| i16::from_le_bytes(*sample).unsigned_abs() > 3000;
    let beep = samples.iter().position(is_loud).unwrap();
    (frame_times(path)[flash], beep as f64 / 48_000.0)
}

#[test]
fn what_a_container_cannot_hold_is_refused_or_converted() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mkv",
        "-f lavfi -i testsrc2=s=64x48:r=25:d=0.4 -f lavfi -i sine=d=0.4 -c:v libx264 -c:a flac",
    );
    for (name, codec) in [
        ("a.mov", "libvpx-vp9"),
        ("a.ts", "libvpx-vp9"),
        ("a.ts", "ffv1"),
        ("a.webm", "libx264"),
    ] {
        let output = folder.path().join(name);
        let (code, _, stderr) = run([
            input.to_str().unwrap(),
            output.to_str().unwrap(),
            "--codec",
            codec,
        ]);
        assert_eq!(
            (code, stderr.lines().count()),
            (1, 1),
            "{name} {codec}: {stderr}"
        );
        assert!(
            stderr.contains("choose another --codec such as"),
            "{stderr}"
        );
        assert!(!output.exists());
    }
    for (name, audio) in [("b.mov", "aac"), ("b.mp4", "flac"), ("b.ts", "aac")] {
        let output = folder.path().join(name);
        explain(&input, &output, &["--stride", "1000"]);
        let of_audio = [
            "-select_streams",
            "a:0",
            "-show_entries",
            "stream=codec_name",
        ];
        let codec = ffprobe(&output, &of_audio);
        assert_eq!(codec.lines().next().unwrap(), audio, "{name}");
    }
}

#[test]
fn ranges_and_strides_keep_sound_and_picture_together() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i color=black:s=160x120:r=30:d=4,drawbox=c=white:t=fill:enable='between(t,1.99,2.19)' \
                  -f lavfi -i aevalsrc='0.5*sin(2*PI*1000*t)*between(t,2,2.2)':s=48000:d=4";
    let frame_secs = 1.0 / 30.0;
    for (name, codecs) in [
        ("in.mp4", "-c:v libx264 -bf 3 -g 60 -c:a aac"),
        ("in.mkv", "-c:v libx264 -bf 3 -g 60 -c:a libopus"),
        ("in.ts", "-c:v libx264 -bf 3 -g 60 -c:a mp2"),
    ] {
        let input = generated(folder.path(), name, &format!("{source} {codecs}"));
        for (arguments, expected) in [
            (vec!["--stride", "41"], 2.0),
            (vec!["--start", "0.7", "--end", "3.5"], 1.3),
            (vec!["--start", "1.503"], 0.5),
            (vec!["--end", "2.5"], 2.0),
        ] {
            let output = folder.path().join(if name == "in.mkv" {
                "out.mkv"
            } else {
                "out.mp4"
            });
            let mut all = vec!["--alpha", "0", "--top-k", "0"];
            all.extend(&arguments);
            if arguments[0] != "--stride" {
                all.extend(["--stride", "1000"]);
            }
            explain(&input, &output, &all);
            let (flash, beep) = flash_and_beep(&output);
            let what = format!("{name} {arguments:?}: flash {flash}, beep {beep}");
            assert!((flash - beep).abs() <= frame_secs + 0.003, "{what}");
            assert!((flash - expected).abs() <= frame_secs + 0.003, "{what}");
        }
    }
}

#[test]
fn deinterlacing_keeps_frames_and_times_and_takes_the_combs_away() {
    let folder = tempfile::tempdir().unwrap();
    let fields =
        "-f lavfi -i testsrc2=s=320x240:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff";
    let input = generated(
        folder.path(),
        "in.mp4",
        &format!("{fields} -c:v libx264 -flags +ildct+ilme -x264-params tff=1 -crf 10"),
    );
    let explained = |name: &str, option: &[&str]| {
        let output = folder.path().join(name);
        let mut all = vec![
            "--stride", "1000", "--alpha", "0", "--top-k", "0", "--crf", "10",
        ];
        all.extend(option);
        explain(&input, &output, &all);
        output
    };
    let (kept, progressive) = (
        explained("kept.mp4", &[]),
        explained("progressive.mp4", &["--deinterlace"]),
    );
    assert_eq!(probe(&kept, "stream=field_order"), "tt");
    assert_eq!(probe(&progressive, "stream=field_order"), "progressive");
    assert_eq!(frame_times(&kept), frame_times(&progressive));
    assert_eq!(frame_times(&progressive).len(), 25);
    // How much each row differs from its neighbours: combs are rows that do.
    let combs = |path: &Path| -> f64 {
        let picture = decoded_frame(path, 12);
        let row = |y: u32| (0..320).map(move |x| (x, y));
        let rows = 100..140;
        let differences = rows.flat_map(row);
        differences
            .map(|(x, y)| {
                let at = |y: u32| f64::from(picture.get_pixel(x, y)[1]);
                (at(y) - (at(y - 1) + at(y + 1)) / 2.0).abs()
            })
            .sum()
    };
    let (before, after) = (combs(&kept), combs(&progressive));
    assert!(after < 0.8 * before, "{after} of {before}");
}

#[test]
fn strict_accepts_what_is_sound_and_refuses_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let good = generated(
        folder.path(),
        "good.mkv",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -f lavfi -i sine=d=2 -c:v libx264 -c:a aac",
    );
    let output = folder.path().join("out.mp4");
    explain(&good, &output, &["--strict", "--stride", "1000"]);
    std::fs::remove_file(&output).unwrap();
    let bytes = std::fs::read(&good).unwrap();
    let short = folder.path().join("short.mkv");
    std::fs::write(&short, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let (input, target) = (short.to_str().unwrap(), output.to_str().unwrap());
    let (code, _, stderr) = run([input, target, "--strict", "--stride", "1000"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("short.mkv: it is damaged: it ends at"),
        "{stderr}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
