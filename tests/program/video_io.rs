//! Inputs that are awkward to read or write: no index, text subtitles, fields.

use std::fs;
use std::path::Path;

use crate::common::{decoded_frame, ffprobe, frame_times, generated, probe, run, run_ok};

/// Explaining one frame in this many keeps tests quick where the maps do not matter.
const SPARSE: [&str; 2] = ["--stride", "1000"];

fn explain(input: &Path, output: &Path, arguments: &[&str]) -> String {
    let mut all = vec![input.as_os_str(), output.as_os_str(), "-y".as_ref()];
    all.extend(
        SPARSE
            .iter()
            .chain(arguments)
            .map(AsRef::<std::ffi::OsStr>::as_ref),
    );
    run_ok(all)
}

#[test]
fn a_range_has_all_its_frames_without_an_index_and_with_open_gops() {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = generated(
        folder.path(),
        "in.mp4",
        "-f lavfi -i testsrc2=s=160x120:r=30:d=4 -c:v libx264 -bf 3 -g 30 -x264-params open-gop=1",
    );
    let mp4_name = mp4.to_str().unwrap();
    let copy = |name: &str, options: &str| {
        let arguments = format!("-i {mp4_name} -c copy{options}");
        generated(folder.path(), name, &arguments)
    };
    let inputs = [
        copy("in.ts", ""),
        copy("in.h264", " -bsf:v h264_mp4toannexb"),
        mp4,
    ];
    let output = folder.path().join("out.mp4");
    for input in inputs {
        for (start, frames) in [("0.5", 75), ("1", 60), ("2.5", 15)] {
            explain(&input, &output, &["--start", start, "--end", "3"]);
            let times = frame_times(&output);
            assert_eq!(times.len(), frames, "{input:?} from {start} s");
            assert!(times[0].abs() < 1e-3, "{input:?} begins at {}", times[0]);
        }
    }
}

#[test]
fn fields_of_an_odd_number_of_chroma_rows_are_padded() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mov",
        "-f lavfi -i testsrc2=s=160x126:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video -flags +ildct+ilme -q:v 3",
    );
    let output = folder.path().join("out.mp4");
    let stderr = explain(&input, &output, &[]);
    assert!(stderr.contains("160x126 is padded to 160x128"), "{stderr}");
    assert_eq!(probe(&output, "stream=field_order"), "tt");
    assert_eq!(frame_times(&output).len(), 25);
}

#[test]
fn text_subtitles_do_not_become_noise_in_a_transport_stream() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.srt");
    fs::write(&text, "1\n00:00:00,100 --> 00:00:00,900\nhello\n").unwrap();
    let arguments = format!(
        "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -i {} -c:v libx264 -c:s srt",
        text.display()
    );
    let input = generated(folder.path(), "in.mkv", &arguments);
    let output = folder.path().join("out.ts");
    let stderr = explain(&input, &output, &[]);
    assert!(
        stderr.contains("subtitle stream 1 (subrip) is dropped"),
        "{stderr}"
    );
    let codecs = ffprobe(&output, &["-show_entries", "stream=codec_type"]);
    assert!(!codecs.contains("data"), "{codecs}");
}

#[test]
fn audio_of_a_transport_stream_goes_into_fragments() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.ts",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -c:a aac",
    );
    let output = folder.path().join("out.mp4");
    explain(&input, &output, &["--frag"]);
    let decoded = |path: &Path| {
        let result = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(path)
            .args(["-map", "0:a", "-f", "streamhash", "-"])
            .output()
            .unwrap();
        assert!(result.status.success() && result.stderr.is_empty());
        String::from_utf8(result.stdout).unwrap()
    };
    assert_eq!(decoded(&input), decoded(&output));
    assert_eq!(frame_times(&output).len(), 25);
}

/// The mean level of each frame, 0 to 255.
fn levels(path: &Path) -> Vec<u8> {
    let result = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-vf", "scale=1:1,format=gray", "-vsync", "passthrough"])
        .args(["-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(result.status.success());
    result.stdout
}

#[test]
fn a_range_of_joined_streams_counts_from_the_first_piece() {
    let folder = tempfile::tempdir().unwrap();
    let piece = |name: &str, color: &str| {
        let arguments = format!(
            "-f lavfi -i color={color}:s=64x48:r=25:d=4 -f lavfi -i sine=d=4 -c:v libx264 -g 25 -c:a aac"
        );
        fs::read(generated(folder.path(), name, &arguments)).unwrap()
    };
    let joined = [piece("a.ts", "black"), piece("b.ts", "white")].concat();
    let input = folder.path().join("joined.ts");
    fs::write(&input, joined).unwrap();
    let output = folder.path().join("out.mp4");
    let plain = ["--alpha", "0", "--top-k", "0"];
    for (start, end, is_white) in [("1.5", "2.5", false), ("5.5", "6.5", true)] {
        explain(
            &input,
            &output,
            &[&plain[..], &["--start", start, "--end", end]].concat(),
        );
        let levels = levels(&output);
        assert_eq!(levels.len(), 25, "from {start} s");
        assert!(
            levels.iter().all(|level| (*level > 128) == is_white),
            "{levels:?}"
        );
    }
}

#[test]
fn a_stream_that_pauses_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let video = "-f lavfi -i testsrc2=s=64x48:r=5:d=20";
    let audio = "-f lavfi -i aevalsrc='0.5*sin(2*PI*440*t)':s=8000:d=20";
    let pause = "between(t,3,15)";
    let silent = format!("{video} {audio} -af aselect='not({pause})' -c:v libx264 -c:a aac");
    let still = format!(
        "{video} {audio} -vf select='not({pause})' -vsync passthrough -c:v libx264 -c:a aac"
    );
    for (name, arguments) in [("silent.ts", silent), ("still.ts", still)] {
        let input = generated(folder.path(), name, &arguments);
        let output = folder.path().join("out.mkv");
        explain(&input, &output, &[]);
        let ends = |path: &Path, stream: &str| -> f64 {
            let times = ffprobe(
                path,
                &[
                    "-select_streams",
                    stream,
                    "-show_entries",
                    "packet=pts_time",
                ],
            );
            let times = times.lines().map(|line| line.trim_end_matches(','));
            times
                .filter_map(|line| line.parse::<f64>().ok())
                .fold(0.0, f64::max)
        };
        let apart = |path: &Path| ends(path, "v:0") - ends(path, "a:0");
        let (before, after) = (apart(&input), apart(&output));
        assert!(
            before.abs() < 0.5,
            "{name}: the input's streams end together"
        );
        assert!(
            (before - after).abs() < 0.05,
            "{name}: {before} became {after}"
        );
    }
}

#[test]
fn only_the_program_of_the_video_is_carried() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "two.ts",
        "-f lavfi -i testsrc2=s=64x48:r=25:d=0.4 -f lavfi -i sine=f=440:d=0.4 -f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -f lavfi -i sine=f=880:d=0.4 \
         -map 0 -map 1 -map 2 -map 3 -c:v libx264 -preset ultrafast -c:a mp2 -program title=small:st=0:st=1 -program title=large:st=2:st=3",
    );
    let output = folder.path().join("out.mkv");
    let stderr = explain(&input, &output, &[]);
    assert_eq!(probe(&output, "stream=width"), "128");
    let codecs = ffprobe(&output, &["-show_entries", "stream=codec_name"]);
    assert_eq!(codecs.lines().collect::<Vec<_>>(), ["h264", "mp2"]);
    for note in [
        "video stream 0 (h264) is dropped",
        "audio stream 1 (mp2) is dropped: it is of another program",
    ] {
        assert!(stderr.contains(note), "{stderr}");
    }
    assert!(!stderr.contains("stream 3"), "{stderr}");
}

#[test]
fn transparent_webm_is_laid_over_black() {
    let folder = tempfile::tempdir().unwrap();
    let white = "-f lavfi -i color=white:s=64x48:r=25:d=0.2,format=yuva420p,colorchannelmixer=aa=0";
    for (codec, options) in [
        ("libvpx-vp9", "-deadline realtime -cpu-used 8"),
        ("libvpx", "-auto-alt-ref 0 -deadline realtime"),
    ] {
        let arguments = format!(
            "{white} -c:v {codec} {options} -pix_fmt yuva420p -metadata:s:v:0 alpha_mode=1"
        );
        let input = generated(folder.path(), &format!("{codec}.webm"), &arguments);
        let output = folder.path().join("out.mkv");
        let plain = ["--alpha", "0", "--top-k", "0"];
        let stderr = explain(&input, &output, &plain);
        assert!(
            stderr.contains("transparent pixels are laid over black"),
            "{codec}: {stderr}"
        );
        let brightest = decoded_frame(&output, 2).into_raw().into_iter().max();
        assert!(brightest < Some(16), "{codec}: {brightest:?}");
        assert_eq!(probe(&output, "stream_tags=alpha_mode"), "", "{codec}");
    }
}

#[test]
fn a_second_video_with_a_time_code_and_foreign_tags_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mov",
        "-f lavfi -i testsrc2=s=64x48:r=25:d=0.2 -map 0 -map 0 -c:v libx264 -timecode 01:00:00:00 -movflags use_metadata_tags -metadata foo=1 -metadata title=x",
    );
    let output = folder.path().join("out.mp4");
    let stderr = explain(&input, &output, &[]);
    for note in [
        "note: video stream 1 (h264) is dropped\n",
        "note: tags are dropped, mp4 has no place for them: foo\n",
    ] {
        assert!(stderr.contains(note), "{stderr}");
    }
    assert_eq!(stderr.matches(" dropped").count(), 2, "{stderr}");
}

#[test]
fn an_encoder_that_refuses_is_told_with_size_rate_and_unit() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.ts",
        "-f lavfi -i testsrc2=s=64x48:r=25:d=0.2 -c:v libx264",
    );
    let output = folder.path().join("out.mkv");
    let files = [input.to_str().unwrap(), output.to_str().unwrap()];
    let (code, _, stderr) = run([&files[..], &["--codec", "mpeg4"]].concat());
    assert_eq!(code, 1, "{stderr}");
    let refusal = "mpeg4 refuses 64x48 at 25/1 frames/s in units of 1/90000 s";
    assert!(stderr.contains(refusal), "{stderr}");
}

#[test]
fn animations_with_the_name_of_an_image_are_read_as_videos() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i testsrc2=s=64x48:r=5:d=1";
    let output = folder.path().join("out.mkv");
    let png = generated(folder.path(), "a.png", &format!("{source} -f apng"));
    explain(&png, &output, &[]);
    assert_eq!(frame_times(&output).len(), 5);
    let webp = generated(
        folder.path(),
        "a.webp",
        &format!("{source} -c:v libwebp_anim"),
    );
    let stderr = explain(&webp, &output, &[]);
    assert!(
        stderr.contains("only the first picture of the animation is read"),
        "{stderr}"
    );
}
