//! Inputs that are awkward to read or write: no index, text subtitles, fields.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{ffmpeg, frame_times, probe, run_ok};

/// Explaining one frame in this many keeps tests quick where the maps do not matter.
const SPARSE: [&str; 2] = ["--stride", "1000"];

fn generated(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    ffmpeg(arguments, &path);
    path
}

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
    let codecs = common::ffprobe(&output, &["-show_entries", "stream=codec_type"]);
    assert!(!codecs.contains("data"), "{codecs}");
}
