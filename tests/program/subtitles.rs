//! Text subtitles that a container refuses are converted, pictures are not.

use crate::common::streams::{Files, utf8};

const SRT: &str = "1\n00:00:00,250 --> 00:00:01,000\nGr\u{fc}\u{df} dich, <i>Welt</i>\n\n\
                   2\n00:00:01,500 --> 00:00:02,750\ntwo\nlines\n\n";

const ASS: &str = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\
    Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
    Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, \
    MarginV, Encoding\n\
    Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n\
    [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n\
    Dialogue: 0,0:00:00.25,0:00:01.00,Default,,0,0,0,,{\\pos(10,10)}Hello, {\\b1}world{\\b0}\n\
    Dialogue: 1,0:00:00.25,0:00:01.00,Default,,0,0,0,,same time\n\
    Dialogue: 0,0:00:01.50,0:00:02.75,Default,,0,0,0,,second\n";

/// Makes an input whose subtitles come from `text`.
fn make(files: &Files, extension: &str, text: &str, codec: &str) {
    let source = files.folder.path().join("text").with_extension(extension);
    std::fs::write(&source, text).unwrap();
    files.make(&["-i", utf8(&source), "-map", "0", "-map", "1", "-c:s", codec]);
}

fn assert_srt(read: &str) {
    assert!(
        read.contains("00:00:00,250 --> 00:00:01,000\nGr\u{fc}\u{df} dich, "),
        "{read}"
    );
    assert!(read.contains("Welt"), "{read}");
    assert!(
        read.contains("00:00:01,500 --> 00:00:02,750\ntwo\nlines\n"),
        "{read}"
    );
    assert_eq!(read.matches("-->").count(), 2, "{read}");
}

#[test]
fn subrip_becomes_what_the_container_takes() {
    for (output, codec) in [
        ("o.mp4", "mov_text"),
        ("o.mov", "mov_text"),
        ("o.webm", "webvtt"),
    ] {
        let files = Files::new("i.mkv", output);
        make(&files, "srt", SRT, "subrip");
        let outcome = files.convert();
        let notice = format!("subtitle stream 1 (subrip) is converted to {codec}");
        assert!(outcome.notices[0].contains(&notice), "{outcome:?}");
        assert_eq!(files.probe("s", "codec_name"), codec);
        assert_srt(&files.subtitles());
    }
}

#[test]
fn mov_text_becomes_subrip_in_matroska() {
    let files = Files::new("i.mp4", "o.mkv");
    make(&files, "srt", SRT, "mov_text");
    files.convert();
    assert_eq!(files.probe("s", "codec_name"), "subrip");
    assert_srt(&files.subtitles());
}

#[test]
fn every_text_codec_is_converted() {
    for codec in ["subrip", "ass", "webvtt"] {
        for output in ["o.mp4", "o.webm"] {
            let files = Files::new("i.mkv", output);
            make(&files, "srt", SRT, codec);
            files.convert();
            assert_srt(&files.subtitles());
        }
    }
}

#[test]
fn ass_becomes_webvtt_with_all_events() {
    let files = Files::new("i.mkv", "o.webm");
    make(&files, "ass", ASS, "copy");
    let outcome = files.convert();
    assert!(
        outcome.notices[0].contains("(ass) is converted to webvtt"),
        "{outcome:?}"
    );
    let read = files.subtitles();
    assert!(
        read.contains("00:00:00,250 --> 00:00:01,000\nHello, "),
        "{read}"
    );
    assert!(
        read.contains("world") && read.contains("same time"),
        "{read}"
    );
    assert!(
        read.contains("00:00:01,500 --> 00:00:02,750\nsecond"),
        "{read}"
    );
    assert!(!read.contains("pos("), "{read}");
}

#[test]
fn ass_events_at_the_same_time_do_not_break_mp4() {
    let files = Files::new("i.mkv", "o.mp4");
    make(&files, "ass", ASS, "copy");
    files.convert();
    let read = files.subtitles();
    assert!(
        read.contains("same time") && read.contains("second"),
        "{read}"
    );
}

/// Blu-ray subtitles: two screens without a picture on them.
fn empty_pictures() -> Vec<u8> {
    let segment = |ticks: u32, kind: u8, body: &[u8]| {
        let size = (body.len() as u16).to_be_bytes();
        let times = [ticks.to_be_bytes(), [0; 4]].concat();
        [&b"PG"[..], &times, &[kind], &size, body].concat()
    };
    let screen = |ticks: u32, number: u8| {
        let composition = [0, 64, 0, 48, 0x10, 0, number, 0x80, 0, 0, 0];
        [
            segment(ticks, 0x16, &composition),
            segment(ticks, 0x80, &[]),
        ]
        .concat()
    };
    [screen(9_000, 0), screen(180_000, 1)].concat()
}

#[test]
fn pictures_are_dropped_with_the_reason() {
    let files = Files::new("i.mkv", "o.mp4");
    let source = files.folder.path().join("pictures.sup");
    std::fs::write(&source, empty_pictures()).unwrap();
    files.make(&[
        "-i",
        utf8(&source),
        "-map",
        "0",
        "-map",
        "1",
        "-c:s",
        "copy",
    ]);
    let outcome = files.convert();
    assert!(
        outcome.notices[0].contains("hdmv_pgs_subtitle subtitles are pictures"),
        "{outcome:?}"
    );
}

#[test]
fn transport_streams_take_no_text() {
    let files = Files::new("i.mkv", "o.ts");
    make(&files, "srt", SRT, "subrip");
    let outcome = files.convert();
    assert!(
        outcome.notices[0].contains("is dropped: mpegts does not take it"),
        "{outcome:?}"
    );
}

#[test]
fn text_that_is_no_unicode_is_counted() {
    let files = Files::new("i.mkv", "o.mp4");
    make(&files, "srt", SRT, "subrip");
    let mut bytes = std::fs::read(&files.input).unwrap();
    let at = bytes.windows(3).position(|text| text == b"two").unwrap();
    bytes[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
    std::fs::write(&files.input, bytes).unwrap();
    let outcome = files.convert();
    assert!(
        outcome
            .damage
            .unwrap()
            .contains("1 packet of audio or subtitles is malformed")
    );
    assert!(files.subtitles().contains("Welt"));
}

#[test]
fn overlapping_lines_do_not_drift_in_mp4() {
    // Lines of 1.05 s every second; the third one has company.
    let lines = (0..8).map(|line| {
        let clock = |millis: i32| format!("00:00:{:02},{:03}", millis / 1000, millis % 1000);
        let (start, end) = (100 + line * 1000, 1150 + line * 1000);
        let entry = |text: &str| format!("1\n{} --> {}\n{text}\n\n", clock(start), clock(end));
        let company = if line == 2 {
            entry("company")
        } else {
            String::new()
        };
        entry(&format!("line {line}")) + &company
    });
    let text: String = lines.collect();
    for (output, arguments) in [("o.mp4", &[][..]), ("o.mov", &[]), ("o.mp4", &["--frag"])] {
        let files = Files::new("i.mkv", output);
        make(&files, "srt", &text, "subrip");
        files.convert_with(arguments);
        let read = files.subtitles();
        for line in 0..8 {
            let expected = format!("00:00:{line:02},100 --> ");
            assert!(read.contains(&expected), "{output} {arguments:?}: {read}");
        }
        assert!(read.contains("line 2\ncompany\n"), "{read}");
        assert!(
            !read.contains("00:00:03,150"),
            "a line ends when the next begins: {read}"
        );
    }
}

#[test]
fn a_line_that_is_shown_when_the_range_begins_is_kept() {
    let files = Files::new("i.mkv", "o.mkv");
    make(&files, "srt", SRT, "subrip");
    files.convert_with(&["--start", "0.6", "--end", "2"]);
    let read = files.subtitles();
    assert!(read.contains("00:00:00,000 --> 00:00:00,400\nGr"), "{read}");
    assert!(
        read.contains("00:00:00,900 --> 00:00:01,400\ntwo"),
        "{read}"
    );
}

#[test]
fn a_line_that_began_long_before_the_range_is_kept() {
    let files = Files::new("i.mkv", "o.mkv");
    let line = "1\n00:00:00,100 --> 00:00:02,900\nlong\n";
    let text = files.folder.path().join("text.srt");
    std::fs::write(&text, line).unwrap();
    // A seek to half a second before the start leads to a later cluster than the line's.
    let input = [
        "-i",
        utf8(&text),
        "-map",
        "0",
        "-map",
        "1",
        "-c:s",
        "subrip",
    ];
    files.make(&[&input[..], &["-g", "5", "-cluster_time_limit", "400"]].concat());
    files.convert_with(&["--start", "2"]);
    let read = files.subtitles();
    assert!(
        read.contains("00:00:00,000 --> 00:00:00,900\nlong"),
        "{read}"
    );
}
