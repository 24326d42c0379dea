//! Videos through the whole program: frames, times, audio, colour tags, rotation.

use std::fs;
use std::path::Path;

use crate::common::{
    audio_hash, decoded_frame, ffprobe, file, frame_times, generated, gradcam_video, probe,
    records, run, run_ok,
};

/// Explaining one frame in this many keeps tests quick where the maps do not matter.
const SPARSE: [&str; 2] = ["--stride", "1000"];

fn explain(input: &Path, output: &Path, arguments: &[&str]) -> String {
    let mut all = vec![input.as_os_str(), output.as_os_str()];
    all.extend(arguments.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
    run_ok(all)
}

fn frame_count(path: &Path) -> usize {
    let count = ffprobe(
        path,
        &[
            "-count_frames",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=nb_read_frames",
        ],
    );
    // A transport stream is listed twice: in its program and by itself.
    count.lines().next().unwrap().parse().unwrap()
}

/// Same frames, times that differ by one constant, same audio payload.
fn assert_nothing_lost(input: &Path, output: &Path) {
    assert_eq!(frame_count(input), frame_count(output));
    let (before, after) = (frame_times(input), frame_times(output));
    assert_eq!(before.len(), after.len());
    for (a, b) in before.iter().zip(&after) {
        let shift = (b - a) - (after[0] - before[0]);
        assert!(shift.abs() < 1e-4, "time {a} became {b}");
    }
}

#[test]
fn the_sample_clip_keeps_frames_times_and_audio_and_plays_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (file("samples/cup.mp4"), folder.path().join("out.mp4"));
    let before = fs::read(&input).unwrap();
    let stats = folder.path().join("s.json");
    explain(
        &input,
        &output,
        &["--stride", "24", "--stats", stats.to_str().unwrap()],
    );
    assert_nothing_lost(&input, &output);
    assert_eq!(audio_hash(&input), audio_hash(&output));
    assert_eq!(probe(&output, "stream=codec_name,pix_fmt"), "h264,yuv420p");
    assert_eq!(
        probe(&output, "stream=r_frame_rate"),
        probe(&input, "stream=r_frame_rate")
    );
    // Fast start: the index comes before the data.
    let bytes = fs::read(&output).unwrap();
    let position = |kind: &[u8]| bytes.windows(4).position(|window| window == kind).unwrap();
    assert!(position(b"moov") < position(b"mdat"));
    assert_eq!(
        fs::read(&input).unwrap(),
        before,
        "the input is never touched"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no .part is left"
    );
    let stats: serde_json::Value = serde_json::from_slice(&fs::read(stats).unwrap()).unwrap();
    assert_eq!(
        (stats["frames_in"].as_u64(), stats["frames_out"].as_u64()),
        (Some(217), Some(217))
    );
    assert_eq!(stats["decode_errors"], 0);
}

#[test]
fn big_buck_bunny_keeps_frames_times_and_audio() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (
        file("tests/media/bigbuckbunny_720p_5s.mp4"),
        folder.path().join("out.mkv"),
    );
    explain(&input, &output, &SPARSE);
    assert_nothing_lost(&input, &output);
    assert_eq!(audio_hash(&input), audio_hash(&output));
}

#[test]
fn records_are_byte_identical_at_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let clip = generated(
        folder.path(),
        "clip.mp4",
        &format!(
            "-i {} -t 0.5 -an -c:v libx264",
            file("samples/cup.mp4").display()
        ),
    );
    let with_workers = |workers: &str| {
        let path = folder.path().join(format!("{workers}.jsonl"));
        let output = folder.path().join(format!("{workers}.mp4"));
        explain(
            &clip,
            &output,
            &["--workers", workers, "--records", path.to_str().unwrap()],
        );
        (fs::read(path).unwrap(), fs::read(output).unwrap())
    };
    let (one, video) = with_workers("1");
    assert_eq!(
        one.iter().filter(|byte| **byte == b'\n').count(),
        1 + frame_count(&clip)
    );
    for workers in ["2", "5"] {
        let (records, pictures) = with_workers(workers);
        assert!(records == one, "records differ at {workers} workers");
        assert!(pictures == video, "the video differs at {workers} workers");
    }
}

#[test]
fn variable_frame_rate_survives() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "vfr.mp4",
        "-f lavfi -i testsrc2=s=160x120:r=30:d=2 -f lavfi -i sine=d=2 \
         -vf select='not(mod(n\\,3))+gt(n\\,30)*not(mod(n\\,2))' -vsync vfr -c:v libx264 -video_track_timescale 90000 -c:a aac",
    );
    let output = folder.path().join("out.mp4");
    explain(&input, &output, &SPARSE);
    let gaps: std::collections::BTreeSet<i64> = frame_times(&input)
        .windows(2)
        .map(|pair| ((pair[1] - pair[0]) * 1000.0).round() as i64)
        .collect();
    assert!(
        gaps.len() > 1,
        "the input must have a variable rate: {gaps:?}"
    );
    assert_nothing_lost(&input, &output);
    assert_eq!(audio_hash(&input), audio_hash(&output));
}

#[test]
fn a_late_start_and_audio_before_video_stay_in_sync() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "late.mkv",
        "-f lavfi -itsoffset 0.7 -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i sine=d=2 -c:v libx264 -c:a libopus",
    );
    let output = folder.path().join("out.mkv");
    explain(&input, &output, &SPARSE);
    assert_nothing_lost(&input, &output);
    assert!(
        (frame_times(&output)[0] - frame_times(&input)[0]).abs() < 0.03,
        "{:?}",
        frame_times(&output)[0]
    );
    assert_eq!(audio_hash(&input), audio_hash(&output));
}

#[test]
fn a_transport_stream_starts_at_zero_with_audio_and_video_in_step() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.ts",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -c:a aac -muxdelay 1.4",
    );
    let output = folder.path().join("out.mkv");
    explain(&input, &output, &SPARSE);
    assert_nothing_lost(&input, &output);
    let start = |path: &Path, stream: &str| -> f64 {
        let times = ffprobe(
            path,
            &[
                "-select_streams",
                stream,
                "-show_entries",
                "packet=pts_time",
            ],
        );
        times
            .lines()
            .map(|line| line.trim_end_matches(','))
            .filter(|line| !line.is_empty())
            .map(|line| line.parse().unwrap())
            .fold(f64::INFINITY, f64::min)
    };
    assert!(start(&input, "v:0") > 1.0 && start(&output, "v:0") < 0.1);
    let offset = |path: &Path| start(path, "v:0") - start(path, "a:0");
    assert!((offset(&input) - offset(&output)).abs() < 2e-3);
}

#[test]
fn rotation_is_kept_and_the_model_and_the_label_are_upright() {
    let folder = tempfile::tempdir().unwrap();
    // A cat that lies on its side in the coded picture; players turn it upright.
    let photo = file("samples/chelsea.png");
    let upright = generated(
        folder.path(),
        "upright.mp4",
        &format!(
            "-loop 1 -i {} -t 0.2 -r 25 -vf scale=450:300 -pix_fmt yuv420p -c:v libx264 -crf 10",
            photo.display()
        ),
    );
    for (name, turn, degrees) in [
        ("turned90", "transpose=2", "270"),
        ("turned180", "hflip,vflip", "180"),
        ("turned270", "transpose=1", "90"),
    ] {
        let flat = generated(
            folder.path(),
            "flat.mp4",
            &format!("-i {} -vf {turn} -c:v libx264 -crf 10", upright.display()),
        );
        let input = generated(
            folder.path(),
            &format!("{name}.mp4"),
            &format!(
                "-i {} -c copy -metadata:s:v rotate={degrees}",
                flat.display()
            ),
        );
        let (output, jsonl) = (
            folder.path().join(format!("{name}-out.mp4")),
            folder.path().join(format!("{name}.jsonl")),
        );
        explain(
            &input,
            &output,
            &["--records", jsonl.to_str().unwrap(), "--crf", "10"],
        );
        let rotation = |path: &Path| probe(path, "stream_side_data=rotation");
        assert!(!rotation(&input).is_empty());
        assert_eq!(rotation(&input), rotation(&output));
        assert_eq!(
            decoded_frame(&input, 0).dimensions(),
            (450, 300),
            "{name}: the test's own turn is wrong"
        );

        let lines = records(&jsonl);
        assert_eq!(lines[0]["size"], serde_json::json!([450, 300]));
        assert_eq!(lines[1]["target"]["label"], "Egyptian_cat", "{name}");
        assert!(
            lines[1]["prob"].as_f64().unwrap() > 0.9,
            "{name}: {}",
            lines[1]["prob"]
        );
        // As a player shows it, the picture is that of the upright clip.
        let plain_output = folder.path().join("plain-out.mp4");
        explain(&upright, &plain_output, &["-y", "--crf", "10"]);
        let (turned, plain) = (decoded_frame(&output, 0), decoded_frame(&plain_output, 0));
        assert_eq!(turned.dimensions(), plain.dimensions());
        let difference: f64 = turned
            .iter()
            .zip(plain.iter())
            .map(|(a, b)| f64::from(a.abs_diff(*b)))
            .sum();
        let mean = difference / turned.len() as f64;
        assert!(
            mean < 3.0,
            "{name}: differs by {mean} grey levels on average"
        );
    }
}

#[test]
fn ten_bits_and_colour_tags_survive() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.mp4");
    let tags = "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries";
    for (name, arguments) in [
        ("ten.mp4", "-pix_fmt yuv420p10le -c:v libx264"),
        (
            "bt709.mp4",
            "-vf scale=out_color_matrix=bt709:out_range=tv -pix_fmt yuv420p -c:v libx264 -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv",
        ),
        (
            "full.mp4",
            "-vf scale=out_color_matrix=bt709:out_range=pc -pix_fmt yuv420p -c:v libx264 -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range pc",
        ),
        ("444.mp4", "-pix_fmt yuv444p -c:v libx264"),
        ("422ten.mp4", "-pix_fmt yuv422p10le -c:v libx264"),
    ] {
        let input = generated(
            folder.path(),
            name,
            &format!("-f lavfi -i testsrc2=s=160x120:r=25:d=0.4 {arguments}"),
        );
        explain(
            &input,
            &output,
            &[
                "-y", "--alpha", "0", "--top-k", "0", "--crf", "8", SPARSE[0], SPARSE[1],
            ],
        );
        // FFmpeg has two names for full-range 4:2:0; the range tag says the same.
        let same = |text: String| text.replace("yuvj", "yuv");
        assert_eq!(
            same(probe(&input, tags)),
            same(probe(&output, tags)),
            "{name}"
        );
        assert_nothing_lost(&input, &output);
        let (before, after) = (decoded_frame(&input, 5), decoded_frame(&output, 5));
        let error: f64 = before
            .iter()
            .zip(after.iter())
            .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2))
            .sum();
        let psnr = 10.0 * (255.0f64.powi(2) / (error / before.len() as f64)).log10();
        assert!(psnr > 38.0, "{name}: {psnr:.1} dB");
    }
}

#[test]
fn odd_sizes_are_padded_by_one_pixel() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "odd.webm",
        "-f lavfi -i testsrc=s=161x121:r=25:d=0.4 -pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    );
    assert_eq!(probe(&input, "stream=width,height"), "161,121");
    let output = folder.path().join("out.mp4");
    let stderr = explain(&input, &output, &SPARSE);
    assert!(stderr.contains("161x121 is padded to 162x122"), "{stderr}");
    assert_eq!(probe(&output, "stream=width,height"), "162,122");
    assert_eq!(frame_count(&input), frame_count(&output));
}

#[test]
fn a_range_is_cut_from_video_and_audio() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=4 -f lavfi -i sine=d=4 -c:v libx264 -g 50 -c:a aac",
    );
    let output = folder.path().join("out.mp4");
    explain(
        &input,
        &output,
        &[
            "--start", "1.2", "--end", "00:00:02", SPARSE[0], SPARSE[1], "--alpha", "0", "--top-k",
            "0",
        ],
    );
    let times = frame_times(&output);
    assert_eq!(times.len(), 20, "frames at 1.20 to 1.96 s");
    assert!(times[0].abs() < 1e-6);
    // The first frame of the output is frame 30 of the input.
    let (expected, shown) = (decoded_frame(&input, 30), decoded_frame(&output, 0));
    let difference: f64 = expected
        .iter()
        .zip(shown.iter())
        .map(|(a, b)| f64::from(a.abs_diff(*b)))
        .sum();
    assert!(difference / (expected.len() as f64) < 4.0);
    let audio_secs: f64 = ffprobe(
        &output,
        &["-select_streams", "a:0", "-show_entries", "stream=duration"],
    )
    .parse()
    .unwrap();
    assert!((audio_secs - 0.8).abs() < 0.05, "{audio_secs}");
    let (code, _, stderr) = run([
        input.to_str().unwrap(),
        output.to_str().unwrap(),
        "-y",
        "--start",
        "100",
    ]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no frame lies in the range"), "{stderr}");
}

#[test]
fn stride_carries_the_map_and_encoder_options_reach_the_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        &format!(
            "-i {} -t 0.4 -c:v libx264 -c:a copy",
            file("samples/cup.mp4").display()
        ),
    );
    let (output, jsonl) = (folder.path().join("out.mp4"), folder.path().join("r.jsonl"));
    explain(
        &input,
        &output,
        &[
            "--stride",
            "4",
            "--records",
            jsonl.to_str().unwrap(),
            "--codec",
            "libx265",
            "--preset",
            "ultrafast",
            "--crf",
            "30",
            "--no-audio",
        ],
    );
    assert_eq!(
        probe(&output, "stream=codec_name,codec_tag_string"),
        "hevc,hvc1"
    );
    assert_eq!(
        ffprobe(
            &output,
            &["-select_streams", "a", "-show_entries", "stream=index"]
        ),
        ""
    );
    let lines = records(&jsonl);
    for (index, record) in lines[1..].iter().enumerate() {
        assert_eq!(record["frame"], index as u64);
        let is_carried = record["flags"]
            .as_array()
            .unwrap()
            .contains(&"carried".into());
        assert_eq!(is_carried, index % 4 != 0);
        assert_eq!(record["heatmap"], lines[1 + index / 4 * 4]["heatmap"]);
    }
    assert_ne!(lines[1]["heatmap"], lines[5]["heatmap"]);
    let (code, _, stderr) = run([input.to_str().unwrap(), "o.mp4", "--codec", "libx999"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("libx999") && stderr.contains("libx264"),
        "{stderr}"
    );
}

#[test]
fn an_image_becomes_a_video_of_one_frame() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.mp4");
    explain(&file("samples/chelsea.png"), &output, &[]);
    assert_eq!(
        probe(&output, "stream=codec_name,pix_fmt,width,height"),
        "h264,452,300,yuv420p"
    );
    assert_eq!(frame_count(&output), 1);
}

#[test]
fn pipes_work_at_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mkv",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=0.4 -c:v libx264",
    );
    let result = gradcam_video()
        .args(["-", "-", "--stride", "100"])
        .stdin(fs::File::open(&input).unwrap())
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    let output = folder.path().join("out.mp4");
    fs::write(&output, &result.stdout).unwrap();
    assert_eq!(frame_count(&output), 10);
}

#[test]
fn an_interrupt_leaves_a_playable_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.mp4");
    let mut child = gradcam_video()
        .arg(file("samples/cup.mp4"))
        .arg(&output)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Long enough to be under way, short enough not to be done; twice the patience on a busy machine.
    let part = folder.path().join("out.mp4.part");
    while !part.exists() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it began"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let result = child.wait_with_output().unwrap();
    assert_eq!(
        result.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    let frames = frame_count(&output);
    assert!(frames > 0 && frames < 217, "{frames} frames");
    assert!(!part.exists());
}

#[test]
fn damage_is_reported_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let good = generated(
        folder.path(),
        "good.mp4",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -c:v libx264 -g 10 -movflags +faststart",
    );
    let mut bytes = fs::read(&good).unwrap();
    let length = bytes.len();
    for position in (length / 2..length * 3 / 4).step_by(97) {
        bytes[position] ^= 0xff;
    }
    let damaged = folder.path().join("damaged.mp4");
    fs::write(&damaged, bytes).unwrap();
    let output = folder.path().join("out.mp4");
    let (code, _, stderr) = run([
        damaged.to_str().unwrap(),
        output.to_str().unwrap(),
        "--stride",
        "1000",
    ]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("is damaged"), "{stderr}");
    assert!(frame_count(&output) > 25);
}

#[test]
fn progress_is_plain_lines_without_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.mp4");
    let input = generated(
        folder.path(),
        "in.mp4",
        &format!(
            "-i {} -t 0.3 -c:v libx264",
            file("samples/cup.mp4").display()
        ),
    );
    let stderr = explain(&input, &output, &["-v"]);
    assert!(
        !stderr.contains('\r') && !stderr.contains('\u{1b}'),
        "{stderr:?}"
    );
    assert!(
        stderr.contains("fps")
            && stderr.contains("ms CPU per frame")
            && stderr.contains("weights (built in)"),
        "{stderr}"
    );
}

#[test]
fn progress_is_a_bar_with_speed_and_class_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        &format!(
            "-loop 1 -i {} -t 1 -vf scale=450:300 -pix_fmt yuv420p -c:v libx264",
            file("samples/chelsea.png").display()
        ),
    );
    let command = format!(
        "{} {} {}",
        env!("CARGO_BIN_EXE_gradcam-video"),
        input.display(),
        folder.path().join("out.mp4").display()
    );
    // script(1) gives the program a terminal.
    let result = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&result.stdout).into_owned();
    assert!(result.status.success(), "{shown}");
    for expected in ["/25 frames", "fps", "ETA", "Egyptian_cat"] {
        assert!(shown.contains(expected), "{expected}: {shown:?}");
    }
}

#[test]
fn the_input_is_refused_as_output_by_whatever_name() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=0.2 -c:v libx264",
    );
    let before = fs::read(&input).unwrap();
    let path = input.to_str().unwrap();
    let by_url = gradcam_video()
        .args(["-y", &format!("file://{path}"), path])
        .output()
        .unwrap();
    let by_pipe = gradcam_video()
        .args(["-y", "-", path])
        .stdin(fs::File::open(&input).unwrap())
        .output()
        .unwrap();
    for result in [by_url, by_pipe] {
        assert_eq!(result.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&result.stderr).contains("it is the input"));
    }
    assert_eq!(fs::read(&input).unwrap(), before);
}

#[test]
fn audio_that_is_much_longer_than_the_video_is_copied_whole() {
    let folder = tempfile::tempdir().unwrap();
    // 520 s are 24,000 AAC packets behind the last frame.
    let input = generated(
        folder.path(),
        "in.mp4",
        "-f lavfi -i testsrc2=s=160x120:r=25:d=0.4 -f lavfi -i sine=d=520 -c:v libx264 -c:a aac -b:a 16k",
    );
    let output = folder.path().join("out.mp4");
    explain(&input, &output, &SPARSE);
    assert_eq!(audio_hash(&input), audio_hash(&output));
    assert_nothing_lost(&input, &output);
}

#[test]
fn quality_preset_and_fragments_reach_encoder_and_muxer() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v libx264",
    );
    let size = |arguments: &[&str]| {
        let output = folder.path().join("out.mp4");
        let mut all = vec!["-y", "--alpha", "0", SPARSE[0], SPARSE[1]];
        all.extend(arguments);
        explain(&input, &output, &all);
        fs::metadata(&output).unwrap().len()
    };
    assert!(size(&["--crf", "10"]) > 2 * size(&["--crf", "40"]));
    assert_ne!(
        size(&["--preset", "ultrafast"]),
        size(&["--preset", "medium"])
    );
    size(&["--frag"]);
    let bytes = fs::read(folder.path().join("out.mp4")).unwrap();
    assert!(
        bytes.windows(4).any(|window| window == b"moof"),
        "no fragment"
    );
    let output = folder.path().join("o.mp4");
    let (code, _, stderr) = run([
        input.to_str().unwrap(),
        output.to_str().unwrap(),
        "--preset",
        "bogus",
    ]);
    assert_eq!((code, stderr.lines().count()), (2, 1), "{stderr}");
    assert!(stderr.contains("veryfast"), "{stderr}");
    let webm = folder.path().join("o.webm");
    let arguments = ["--codec", "libx264"].map(Path::new);
    let (code, _, stderr) = run([input.as_path(), &webm, arguments[0], arguments[1]]);
    assert!(
        code == 1 && stderr.contains("--codec such as libvpx-vp9"),
        "{stderr}"
    );
    explain(&input, &webm, &SPARSE);
    assert_eq!(probe(&webm, "stream=codec_name"), "vp9");
}

#[test]
fn a_layout_that_changes_the_size_says_which_matrix_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        "-f lavfi -i testsrc2=s=640x480:r=25:d=0.2 -c:v libx264",
    );
    let output = folder.path().join("out.mp4");
    assert_eq!(probe(&input, "stream=color_space"), "unknown");
    explain(&input, &output, &["--layout", "side-by-side"]);
    assert_eq!(probe(&output, "stream=width,color_space"), "1280,smpte170m");
    explain(&input, &output, &["-y"]);
    assert_eq!(probe(&output, "stream=color_space"), "unknown");
}

#[test]
fn an_image_on_standard_output_is_a_clean_video() {
    let folder = tempfile::tempdir().unwrap();
    let result = gradcam_video()
        .arg(file("samples/chelsea.png"))
        .arg("-")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&result.stderr).contains("Egyptian_cat"));
    let output = folder.path().join("out.mp4");
    fs::write(&output, &result.stdout).unwrap();
    assert_eq!(frame_count(&output), 1);
    assert!(
        !result
            .stdout
            .windows(12)
            .any(|window| window == b"Egyptian_cat")
    );
}

/// The cat of the second scene is a weaker tabby than that of the first, but is as bright from its first frame on.
#[test]
fn the_rolling_scale_follows_a_scene_cut_without_a_frame_of_delay() {
    let folder = tempfile::tempdir().unwrap();
    let scene = |photo: &str| format!("-loop 1 -framerate 25 -t 0.2 -i {}", file(photo).display());
    let input = generated(
        folder.path(),
        "in.mp4",
        &format!(
            "{} {} -filter_complex [0]scale=224:224,setsar=1[a];[1]scale=224:224,setsar=1[b];[a][b]concat -c:v libx264",
            scene("tests/media/catdog.png"),
            scene("samples/chelsea.png")
        ),
    );
    let (output, stats, records) = (
        folder.path().join("out.mp4"),
        folder.path().join("stats.json"),
        folder.path().join("records.jsonl"),
    );
    let arguments = "--class tabby --layout heatmap --colormap gray --top-k 0 --crf 10";
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.extend(["--stats", stats.to_str().unwrap()]);
    arguments.extend(["--records", records.to_str().unwrap()]);
    explain(&input, &output, &arguments);

    let lines = fs::read_to_string(records).unwrap();
    let maxima: Vec<f64> = lines
        .lines()
        .skip(1)
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let rows = record["heatmap"].as_array().unwrap().iter();
            let cells = rows.flat_map(|row| row.as_array().unwrap());
            cells.map(|cell| cell.as_f64().unwrap()).fold(0.0, f64::max)
        })
        .collect();
    assert_eq!(maxima.len(), 10);
    assert!(maxima[5] < 0.8 * maxima[4], "{maxima:?}");
    for (frame, maximum) in (0..).zip(&maxima) {
        let pixels = decoded_frame(&output, frame);
        let brightest = pixels.pixels().map(|pixel| pixel[0]).max().unwrap();
        assert!(brightest > 230, "frame {frame} of {maximum}: {brightest}");
    }
    let stats: serde_json::Value = serde_json::from_slice(&fs::read(stats).unwrap()).unwrap();
    let flicker = stats["flicker"].as_f64().unwrap();
    assert!(flicker < 0.01, "{flicker}");
}

/// Two seconds in which a travel mug is turned and several classes come close to each other.
#[test]
fn the_defaults_flicker_at_least_40_percent_less_than_frames_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let flicker = |arguments: &[&str]| {
        let (output, stats) = (
            folder.path().join("out.mp4"),
            folder.path().join("stats.json"),
        );
        let stats_path = stats.to_str().unwrap().to_owned();
        let mut all = vec!["--end", "2", "--no-audio", "-y", "--stats", &stats_path];
        all.extend(arguments);
        explain(&file("samples/cup.mp4"), &output, &all);
        let stats: serde_json::Value = serde_json::from_slice(&fs::read(stats).unwrap()).unwrap();
        stats["flicker"].as_f64().unwrap()
    };
    let alone = flicker(&["--normalize", "frame", "--hold", "0"]);
    let default = flicker(&[]);
    assert!(default < 0.6 * alone, "{default} of {alone}");
}

#[test]
fn normalisation_decides_how_bright_a_weak_frame_is() {
    let folder = tempfile::tempdir().unwrap();
    let input = generated(
        folder.path(),
        "in.mp4",
        &format!(
            "-i {} -t 0.3 -an -c:v libx264",
            file("samples/cup.mp4").display()
        ),
    );
    let brightest = |normalize: &str| {
        let output = folder.path().join("out.mp4");
        explain(
            &input,
            &output,
            &[
                "-y",
                "--layout",
                "heatmap",
                "--colormap",
                "gray",
                "--top-k",
                "0",
                "--normalize",
                normalize,
            ],
        );
        decoded_frame(&output, 0)
            .pixels()
            .map(|pixel| pixel[0])
            .max()
            .unwrap()
    };
    assert!(brightest("frame") > 230);
    assert!(brightest("fixed=1000000") < 30);
}

#[test]
fn colour_tags_that_nobody_defined_are_read_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let tags = "-colorspace bt709 -color_primaries bt709 -color_trc bt709";
    let input = generated(
        folder.path(),
        "tagged.mkv",
        &format!("-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.12 -c:v mpeg4 {tags}"),
    );
    // Matroska's TransferCharacteristics, MatrixCoefficients and Primaries, each a number of one byte.
    let mut bytes = fs::read(&input).unwrap();
    for id in [0xba, 0xb1, 0xbb] {
        let tag = [0x55, id, 0x81, 1];
        let at = bytes.windows(4).position(|window| window == tag).unwrap();
        bytes[at + 3] = 200;
    }
    fs::write(&input, bytes).unwrap();
    let output = folder.path().join("out.mp4");
    explain(&input, &output, &[]);
    assert_eq!(probe(&output, "stream=color_primaries"), "unknown");
    assert_eq!(probe(&output, "stream=nb_frames"), "3");
}
