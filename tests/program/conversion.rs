//! Audio that a container refuses is encoded again, in step with the video.

use crate::common::streams::{
    Files, RATE, ffmpeg, frequency, level_db, loudest_secs, samples, seconds, utf8,
};

/// Matroska takes it, no other container here does.
const LOSSLESS: &str = "wavpack";

const TONE: [&str; 4] = ["-f", "lavfi", "-i", "sine=440:r=44100:d=3,volume=2"];
/// Silence with one millisecond of noise at 1 s.
const CLICK: [&str; 4] = [
    "-f",
    "lavfi",
    "-i",
    "aevalsrc='if(between(t,1,1.001),0.9,0)':s=48000:d=3",
];

fn near(value: f64, wanted: f64, tolerance: f64) {
    assert!((value - wanted).abs() <= tolerance, "{value}, not {wanted}");
}

#[test]
fn a_tone_keeps_pitch_loudness_and_length() {
    for (output, from, codec) in [
        ("o.mp4", "vorbis", "aac"),
        ("o.mov", "vorbis", "aac"),
        ("o.ts", "vorbis", "aac"),
        ("o.webm", "flac", "opus"),
    ] {
        let files = Files::new("i.mkv", output);
        let encoder = if from == "flac" { from } else { "libvorbis" };
        files.make(&[&TONE[..], &["-ac", "2", "-c:a", encoder, "-q:a", "6"]].concat());
        let before = samples(&files.input);
        let outcome = files.convert();
        assert_eq!(outcome.damage, None);
        let notice = format!("audio stream 1 ({from}) is converted to {codec}");
        assert!(outcome.notices[0].contains(&notice), "{outcome:?}");
        let after = files.samples();
        near(seconds(&after), seconds(&before), 0.05);
        near(frequency(&after, 0.5, 2.5), 440.0, 0.5);
        near(level_db(&after, 0.5, 2.5), level_db(&before, 0.5, 2.5), 1.0);
        assert_eq!(files.probe("a", "codec_name"), codec, "{output}");
        assert_eq!(files.probe("a", "channels"), "2");
        let rate = if codec == "opus" { "48000" } else { "44100" };
        assert_eq!(files.probe("a", "sample_rate"), rate);
        if output.ends_with("mp4") {
            near(files.probe("a", "duration").parse().unwrap(), 3.0, 0.05);
        }
    }
}

#[test]
fn a_click_stays_where_it_is() {
    for output in ["o.mp4", "o.mov", "o.webm", "o.ts"] {
        let files = Files::new("i.mkv", output);
        files.make(&[&CLICK[..], &["-c:a", LOSSLESS]].concat());
        near(loudest_secs(&samples(&files.input)), 1.0005, 0.001);
        assert_eq!(files.convert().notices.len(), 1);
        near(loudest_secs(&files.samples()), 1.0005, 0.005);
    }
}

#[test]
fn a_click_stays_where_it_is_in_fragments() {
    let files = Files::new("i.mkv", "o.mp4");
    files.make(&[&CLICK[..], &["-c:a", LOSSLESS]].concat());
    files.convert_with(&["--frag"]);
    near(loudest_secs(&files.samples()), 1.0005, 0.005);
}

#[test]
fn surround_stays_surround() {
    for (layout, channels) in [("5.1", "6"), ("5.1(side)", "6"), ("7.1", "8")] {
        for output in ["o.webm", "o.mp4"] {
            let files = Files::new("i.mkv", output);
            let filter = format!(
                "aevalsrc=0|0|0.5*sin(2*PI*440*t)|0|0|0{}:c={layout}:s=48000:d=2",
                if channels == "8" { "|0|0" } else { "" }
            );
            files.make(&["-f", "lavfi", "-i", &filter, "-c:a", LOSSLESS]);
            files.convert();
            assert_eq!(files.probe("a", "channels"), channels, "{layout} {output}");
            let centre = files.folder.path().join("centre.wav");
            let name = if layout == "7.1" { "7.1" } else { "5.1" };
            assert_eq!(files.probe("a", "channel_layout"), name, "{output}");
            ffmpeg(&[
                "-i",
                utf8(&files.output),
                "-af",
                "pan=mono|c0=FC",
                utf8(&centre),
            ]);
            near(level_db(&samples(&centre), 0.5, 1.5), -9.0, 1.0);
            let left = files.folder.path().join("left.wav");
            ffmpeg(&[
                "-i",
                utf8(&files.output),
                "-af",
                "pan=mono|c0=FL",
                utf8(&left),
            ]);
            assert!(level_db(&samples(&left), 0.5, 1.5) < -50.0);
        }
    }
}

#[test]
fn telephone_audio_in_avi_is_carried_over() {
    let files = Files::new("i.avi", "o.mp4");
    let source = ["-f", "lavfi", "-i", "sine=440:r=8000:d=3"];
    files.make(&[&source[..], &["-ac", "1", "-c:a", "pcm_s16le"]].concat());
    let outcome = files.convert();
    assert!(
        outcome.notices[0].contains("(pcm_s16le) is converted to aac"),
        "{outcome:?}"
    );
    assert_eq!(files.probe("a", "sample_rate"), "8000");
    assert_eq!(files.probe("a", "channels"), "1");
    near(frequency(&files.samples(), 0.5, 2.5), 440.0, 0.5);
    near(files.probe("a", "duration").parse().unwrap(), 3.0, 0.05);
}

#[test]
fn a_rate_that_the_encoder_does_not_take_is_resampled() {
    let files = Files::new("i.mkv", "o.mp4");
    let source = ["-f", "lavfi", "-i", "sine=440:r=44100:d=3"];
    files
        .make(&[&source[..], &["-ar", "37800", "-c:a", LOSSLESS]].concat())
        .convert();
    assert_eq!(files.probe("a", "sample_rate"), "44100");
    near(frequency(&files.samples(), 0.5, 2.5), 440.0, 0.5);
    near(seconds(&files.samples()), 3.0, 0.05);
}

/// A 440 Hz tone whose part from 1 s to 1.5 s is not in the file.
fn with_hole(files: &Files, codec: &str) {
    let hole = "sine=440:r=48000:d=3,asetnsamples=480,aselect='not(between(t,1,1.499))'";
    files.make(&["-f", "lavfi", "-i", hole, "-c:a", codec]);
}

#[test]
fn a_hole_in_the_timestamps_becomes_silence() {
    for output in ["o.mp4", "o.webm"] {
        let files = Files::new("i.mkv", output);
        with_hole(&files, LOSSLESS);
        files.convert();
        let after = files.samples();
        near(seconds(&after), 3.0, 0.05);
        assert!(level_db(&after, 0.2, 0.95) > -25.0);
        assert!(level_db(&after, 1.05, 1.45) < -60.0, "{output}");
        assert!(level_db(&after, 1.55, 2.9) > -25.0);
    }
}

#[test]
fn overlapping_audio_is_dropped() {
    let files = Files::new("i.mkv", "o.mp4");
    // From 1 s on the timestamps are half a second early: half a second is there twice.
    let overlap = "sine=440:r=48000:d=3,asetnsamples=480";
    let late = "setts=pts=PTS-if(gte(PTS\\,1000)\\,500\\,0)";
    files.make(&["-f", "lavfi", "-i", overlap, "-c:a", LOSSLESS]);
    files.filter(late);
    files.convert();
    near(seconds(&files.samples()), 2.5, 0.05);
}

#[test]
fn a_late_start_stays_late() {
    for output in ["o.mp4", "o.webm"] {
        let files = Files::new("i.mkv", output);
        files.make(&[
            "-itsoffset",
            "0.7",
            "-f",
            "lavfi",
            "-i",
            CLICK[3],
            "-c:a",
            LOSSLESS,
        ]);
        files.convert();
        near(loudest_secs(&files.samples()), 1.7005, 0.005);
    }
}

#[test]
fn a_very_long_hole_is_not_filled() {
    let files = Files::new("i.mkv", "o.mp4");
    let hole = "sine=440:r=48000:d=3,asetnsamples=480";
    let late = "setts=ts=TS+if(gte(TS\\,1000)\\,100000\\,0)";
    files.make(&["-f", "lavfi", "-i", hole, "-c:a", LOSSLESS]);
    files.filter(late);
    files.convert();
    let after = files.samples();
    near(seconds(&after), 103.0, 0.1);
    assert!(level_db(&after, 2.0, 100.0) < -60.0);
    assert!(level_db(&after, 101.1, 102.9) > -25.0);
    assert!(std::fs::metadata(&files.output).unwrap().len() < 200_000);
}

#[test]
fn single_absurd_timestamps_are_ignored() {
    for absurd in [
        "TS+if(eq(N\\,20)\\,5000000\\,0)",
        "TS-if(eq(N\\,20)\\,5000000\\,0)",
    ] {
        let files = Files::new("i.mkv", "o.mp4");
        files.make(&[&CLICK[..], &["-c:a", LOSSLESS]].concat());
        let at = format!("setts=pts={absurd}");
        files.filter(&at).convert();
        let after = files.samples();
        near(seconds(&after), 3.0, 0.05);
        near(loudest_secs(&after), 1.0005, 0.005);
    }
}

#[test]
fn floats_beyond_all_measure_do_not_stop_the_encoder() {
    for output in ["o.mp4", "o.webm"] {
        let files = Files::new("i.mkv", output);
        let loud =
            "aevalsrc='if(between(t,1,1.1),1e30*sin(900*t),0.5*sin(2*PI*440*t))':s=48000:d=3";
        files
            .make(&["-f", "lavfi", "-i", loud, "-c:a", LOSSLESS])
            .convert();
        near(seconds(&files.samples()), 3.0, 0.05);
        near(frequency(&files.samples(), 1.5, 2.5), 440.0, 0.5);
    }
}

#[test]
fn damaged_packets_are_counted_and_the_rest_stays_in_step() {
    let files = Files::new("i.mkv", "o.webm");
    // Every packet between 0.5 s and 0.8 s gets other bytes.
    let damage = "noise=amount=if(between(pts\\,500\\,800)\\,1\\,0)";
    files
        .make(&[&CLICK[..], &["-c:a", "ac3"]].concat())
        .filter(damage);
    let outcome = files.convert();
    assert!(outcome.damage.is_some(), "{outcome:?}");
    let after = files.samples();
    near(seconds(&after), 3.0, 0.06);
    near(
        loudest_secs(&after[(0.9 * RATE as f64) as usize..]),
        0.1005,
        0.01,
    );
}

#[test]
fn rate_and_layout_may_change_in_mid_stream() {
    let files = Files::new("i.ts", "o.webm");
    let part = |name: &str, rate: &str, channels: &str, offset: &str| {
        let path = files.folder.path().join(name);
        let video = ["-f", "lavfi", "-i", "color=gray:s=64x48:r=25:d=1.52"];
        let tone = ["-f", "lavfi", "-i", "sine=440:d=1.536"];
        let shape = ["-ar", rate, "-ac", channels, "-c:v", "mpeg4"];
        let target = ["-c:a", "ac3", "-output_ts_offset", offset, utf8(&path)];
        ffmpeg(&[&video[..], &tone, &shape, &target].concat());
        std::fs::read(path).unwrap()
    };
    let first = part("a.ts", "48000", "2", "0");
    let second = part("b.ts", "32000", "1", "1.536");
    std::fs::write(&files.input, [first, second].concat()).unwrap();
    files.convert();
    let after = files.samples();
    near(seconds(&after), 3.07, 0.1);
    near(frequency(&after, 0.3, 1.4), 440.0, 1.0);
    near(frequency(&after, 1.7, 2.9), 440.0, 1.0);
}

#[test]
fn a_stream_without_a_decoder_is_dropped_with_the_reason() {
    let files = Files::new("i.mkv", "o.webm");
    files.make(&[&TONE[..], &["-c:a", "aac"]].concat());
    // The name of the codec inside the file becomes one that nobody knows.
    let bytes = std::fs::read(&files.input).unwrap();
    let at = bytes.windows(5).position(|name| name == b"A_AAC").unwrap();
    let mut unknown = bytes;
    unknown[at..at + 5].copy_from_slice(b"A_XYZ");
    std::fs::write(&files.input, unknown).unwrap();
    let outcome = files.convert();
    assert!(outcome.notices[0].contains("is dropped"), "{outcome:?}");
}
