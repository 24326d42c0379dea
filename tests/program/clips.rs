//! One small clip for each way in which a video can be awkward, each through the whole program: exit code, frames, times, sound,
//! picture, and what is said about the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::common::{file, run};
use serde_json::Value;

/// The folder of all clips. The script does nothing if they are there, and lets only one process make them.
static CLIPS: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    succeed(Command::new(file("scripts/make_clips.sh")).arg(&folder));
    folder
});

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    output
}

/// What becomes of the sound.
#[derive(Clone, Copy, PartialEq)]
enum Sound {
    /// There is none.
    Silent,
    /// The payload is the same, packet for packet.
    Copied,
    /// The payload loses its framing (ADTS, for instance) and decodes to the same samples.
    Reframed,
    /// Encoded anew: codec.
    Encoded(&'static str),
}

/// How the picture is compared with the input's.
#[derive(Clone, Copy, PartialEq)]
enum Picture {
    Same,
    /// After these filters of FFmpeg on the input.
    After(&'static str),
    /// Turned upright by these filters, and without a matrix, since the container has none.
    Turned(&'static str),
    Unlike,
}

const OVER_BLACK: Picture = Picture::After("format=gbrap,premultiply=inplace=1,format=rgb24,");

/// A clip and what becomes of it.
#[derive(Clone, Copy)]
struct Clip {
    name: &'static str,
    frames: usize,
    sound: Sound,
    picture: Picture,
    least_psnr: f64,
    /// The order of the fields, as ffprobe says it.
    fields: Option<&'static str>,
    /// A time that an earlier frame has too may move by one tick of the input.
    has_equal_times: bool,
    /// What the notes on stderr contain.
    notes: &'static [&'static str],
}

fn clip(name: &'static str, frames: usize) -> Clip {
    Clip {
        name,
        frames,
        sound: Sound::Silent,
        picture: Picture::Same,
        least_psnr: 40.0,
        fields: Some("progressive"),
        has_equal_times: false,
        notes: &[],
    }
}

impl Clip {
    fn sound(self, sound: Sound) -> Self {
        Self { sound, ..self }
    }

    fn picture(self, picture: Picture) -> Self {
        Self { picture, ..self }
    }

    fn fields(self, fields: Option<&'static str>) -> Self {
        Self { fields, ..self }
    }

    fn notes(self, notes: &'static [&'static str]) -> Self {
        Self { notes, ..self }
    }
}

/// A file as ffprobe sees it.
struct Probed {
    all: Value,
    video: Value,
    /// The video's times in ticks, in order; frames without a time are left out.
    times: Vec<i64>,
    frames: usize,
}

fn probed(path: &Path) -> Probed {
    let entries = "stream:stream_disposition=attached_pic:stream_tags:stream_side_data:format_tags:chapter:chapter_tags:frame=stream_index,pts,pts_time";
    let output = succeed(
        Command::new("ffprobe")
            .args(["-v", "quiet", "-of", "json", "-show_entries", entries])
            .arg(path),
    );
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_video = |stream: &&Value| {
        stream["codec_type"] == "video" && stream["disposition"]["attached_pic"] == 0
    };
    let streams = all["streams"].as_array().unwrap();
    let video = streams.iter().find(is_video).unwrap().clone();
    let frames = all["frames"].as_array().unwrap();
    let frames: Vec<&Value> = frames
        .iter()
        .filter(|frame| frame["stream_index"] == video["index"])
        .collect();
    let mut times: Vec<i64> = frames
        .iter()
        .filter_map(|frame| frame["pts"].as_i64())
        .collect();
    times.sort_unstable();
    Probed {
        frames: frames.len(),
        all,
        video,
        times,
    }
}

impl Probed {
    /// Numerator and denominator of the video's time base.
    fn time_base(&self) -> (i128, i128) {
        let text = self.video["time_base"].as_str().unwrap();
        let (numerator, denominator) = text.split_once('/').unwrap();
        (numerator.parse().unwrap(), denominator.parse().unwrap())
    }

    fn size(&self) -> (u64, u64) {
        let side = |name: &str| self.video[name].as_u64().unwrap();
        (side("width"), side("height"))
    }

    /// By how many seconds the first sound comes before the first picture.
    fn sound_lead(&self) -> f64 {
        let streams = self.all["streams"].as_array().unwrap().iter();
        let mut sound = streams.filter(|stream| stream["codec_type"] == "audio");
        let index = &sound.next().unwrap()["index"];
        let first = |index: &Value| {
            let frames = self.all["frames"].as_array().unwrap().iter();
            frames
                .filter(|frame| frame["stream_index"] == *index)
                .filter_map(|frame| frame["pts_time"].as_str()?.parse::<f64>().ok())
                .fold(f64::INFINITY, f64::min)
        };
        first(&self.video["index"]) - first(index)
    }

    /// The codecs of all streams of a type.
    fn codecs(&self, codec_type: &str) -> Vec<&str> {
        let streams = self.all["streams"].as_array().unwrap().iter();
        streams
            .filter(|stream| stream["codec_type"] == codec_type)
            .map(|stream| stream["codec_name"].as_str().unwrap_or(""))
            .collect()
    }

    /// Begin, end and title of each chapter.
    fn chapters(&self) -> Vec<(f64, f64, &str)> {
        let seconds = |value: &Value| value.as_str().unwrap().parse().unwrap();
        let chapters = self.all["chapters"].as_array().unwrap().iter();
        chapters
            .map(|chapter| {
                let title = chapter["tags"]["title"].as_str().unwrap();
                (
                    seconds(&chapter["start_time"]),
                    seconds(&chapter["end_time"]),
                    title,
                )
            })
            .collect()
    }
}

/// A run of the program; its output lies alone in a folder of its own.
struct Run {
    folder: tempfile::TempDir,
    input: PathBuf,
    output: PathBuf,
    code: i32,
    stderr: String,
}

/// Nothing is drawn, so that the output's picture is the input's; one explained frame is quick.
fn explained(name: &str, extension: &str, extra: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let input = CLIPS.join(name);
    let output = folder.path().join(format!("out.{extension}"));
    let mut arguments = vec![input.to_str().unwrap(), output.to_str().unwrap()];
    arguments.extend("--alpha 0 --top-k 0 --crf 12 --stride 1000".split(' '));
    arguments.extend(extra);
    let (code, _, stderr) = run(arguments);
    assert!(!stderr.contains("panicked"), "{stderr}");
    Run {
        folder,
        input,
        output,
        code,
        stderr,
    }
}

impl Run {
    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }

    fn notes(&self) -> Vec<&str> {
        let lines = self.stderr.lines();
        lines
            .filter_map(|line| line.strip_prefix("gradcam-video: note: "))
            .collect()
    }

    /// One line that names the file and holds the hint, and no file.
    fn assert_failed(&self, hint: &str) {
        assert_eq!(self.code, 1, "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        let name = self.input.file_name().unwrap().to_str().unwrap();
        assert!(
            self.stderr.starts_with("gradcam-video: ")
                && self.stderr.contains(name)
                && self.stderr.contains(hint),
            "{hint}: {}",
            self.stderr
        );
        assert_eq!(self.files(), 0, "a file is left");
    }

    /// Every stream decodes without a word. The video's own clock, so that close frames do not fall on one tick of a slower one.
    fn assert_plays(&self) {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-xerror", "-i"]);
        command.arg(&self.output);
        command
            .args("-map 0:v -map 0:a? -vsync passthrough -enc_time_base -1 -f null -".split(' '));
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    }

    /// Hashes of the sound of input and output, stream by stream.
    fn sound_hashes(&self, options: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-v", "quiet", "-i"])
            .arg(&self.input);
        command.arg("-i").arg(&self.output);
        command.args(["-map", "0:a", "-map", "1:a"]).args(options);
        command.args(["-f", "streamhash", "-hash", "md5", "-"]);
        let text = String::from_utf8(succeed(&mut command).stdout).unwrap();
        let mut before: Vec<String> = text
            .lines()
            .map(|line| line.split_once("MD5=").unwrap().1.to_owned())
            .collect();
        let after = before.split_off(before.len() / 2);
        (before, after)
    }

    /// The PSNR of the frame that differs most, in the output's pixel format, before any turn by a player.
    fn least_psnr(&self, input: &Probed, output: &Probed, picture: Picture) -> f64 {
        let format = output.video["pix_fmt"].as_str().unwrap();
        let (before, after) = (input.size(), output.size());
        let is_padded = after.0 >= before.0 && after.1 >= before.1;
        let (width, height) = if is_padded { before } else { after };
        let crop = format!("crop={width}:{height}:0:0:exact=1");
        let filters = match picture {
            Picture::After(filters) | Picture::Turned(filters) => filters,
            Picture::Same | Picture::Unlike => "",
        };
        // Frame by frame, whatever the times.
        let number = "settb=1/25,setpts=N,";
        let graph = format!(
            "[0:v:0]{number}{crop},format={format}[a];[1:{}]{number}{filters}{crop},format={format}[b];[a][b]psnr",
            input.video["index"]
        );
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-nostats"]);
        command.args(["-noautorotate", "-i"]).arg(&self.output);
        command.args(["-noautorotate", "-i"]).arg(&self.input);
        command.args(["-lavfi", &graph, "-f", "null", "-"]);
        let stderr = String::from_utf8(succeed(&mut command).stderr).unwrap();
        let value = stderr.lines().find_map(|line| {
            let (_, rest) = line.split_once("PSNR ")?.1.split_once("min:")?;
            rest.split(' ').next()?.parse().ok()
        });
        value.unwrap_or_else(|| panic!("no PSNR in {stderr}"))
    }
}

/// Seconds of sound, and its level.
fn loudness(path: &Path) -> (f64, f64) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(path);
    command.args("-map 0:a:0 -ac 1 -ar 8000 -f s16le -".split(' '));
    let bytes = succeed(&mut command).stdout;
    let samples = bytes.chunks_exact(2);
    let count = samples.len() as f64;
    let squares =
        samples.map(|sample| f64::from(i16::from_le_bytes([sample[0], sample[1]])).powi(2));
    (count / 8000.0, (squares.sum::<f64>() / count).sqrt())
}

/// Output minus input is one constant, exactly if the output's clock can show the input's times, else to a tick of the output's.
fn assert_times_kept(clip: &Clip, input: &Probed, output: &Probed) {
    assert_eq!(output.times.len(), output.frames);
    assert!(
        output.times.is_sorted_by(|a, b| a < b),
        "{:?}",
        output.times
    );
    if input.times.len() < input.frames {
        return;
    }
    // Both in units of one over the product of the denominators.
    let ((in_tick, in_scale), (out_tick, out_scale)) = (input.time_base(), output.time_base());
    let (in_tick, out_tick) = (in_tick * out_scale, out_tick * in_scale);
    let shifts = input.times.iter().zip(&output.times);
    let shifts =
        shifts.map(|(before, after)| i128::from(*after) * out_tick - i128::from(*before) * in_tick);
    let (least, most) = shifts.fold((i128::MAX, i128::MIN), |(least, most), shift| {
        (least.min(shift), most.max(shift))
    });
    let allowed = if clip.has_equal_times {
        in_tick
    } else if in_tick % out_tick == 0 {
        0
    } else {
        out_tick
    };
    assert!(
        most - least <= allowed,
        "times move by {least} to {most}, allowed is {allowed}, of {} a second",
        in_scale * out_scale
    );
}

/// How players turn or mirror the picture.
fn display_matrix(stream: &Value) -> Option<&Value> {
    let side_data = stream["side_data_list"].as_array()?;
    side_data.iter().find_map(|data| data.get("displaymatrix"))
}

/// Aspect, turn, and the colour tags that the input has.
fn assert_look_kept(clip: &Clip, input: &Probed, output: &Probed) {
    let (before, after) = (&input.video, &output.video);
    if let Picture::Turned(_) = clip.picture {
        assert!(display_matrix(before).is_some() && display_matrix(after).is_none());
    } else {
        assert_eq!(display_matrix(before), display_matrix(after));
    }
    if let Some(fields) = clip.fields {
        assert_eq!(after["field_order"], fields);
    }
    let pixels = before["pix_fmt"].as_str().unwrap();
    let is_still = clip.name.ends_with(".jpg");
    if !pixels.starts_with("yuv") || pixels.starts_with("yuva") || is_still {
        return;
    }
    for tag in [
        "sample_aspect_ratio",
        "color_space",
        "color_transfer",
        "color_primaries",
    ] {
        assert!(
            before[tag].is_null() || before[tag] == after[tag],
            "{tag}: {after}"
        );
    }
    let is_full = |stream: &Value| stream["color_range"] == "pc";
    assert_eq!(is_full(before), is_full(after), "range: {after}");
}

/// Everything that holds for a clip without damage.
fn assert_explained(clip: &Clip, extension: &str) -> (Run, Probed) {
    let run = explained(clip.name, extension, &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.files(), 1, "only the output is left");
    let (input, output) = (probed(&run.input), probed(&run.output));
    assert_eq!(output.frames, clip.frames, "frames");
    run.assert_plays();
    if clip.name != "clock_jumps_back.ts" {
        assert_times_kept(clip, &input, &output);
    }
    if clip.picture != Picture::Unlike {
        let psnr = run.least_psnr(&input, &output, clip.picture);
        assert!(psnr >= clip.least_psnr, "{psnr} dB");
        assert_look_kept(clip, &input, &output);
    }
    let codecs = output.codecs("audio");
    match clip.sound {
        Sound::Silent => assert!(codecs.is_empty(), "{codecs:?}"),
        Sound::Copied => {
            assert_eq!(codecs.len(), input.codecs("audio").len());
            let (before, after) = run.sound_hashes(&["-c", "copy"]);
            assert_eq!(before, after, "the sound's payload");
        }
        Sound::Reframed => {
            let (before, after) = run.sound_hashes(&[]);
            assert_eq!(before, after, "the sound's samples");
        }
        Sound::Encoded(codec) => {
            assert_eq!(codecs, [codec]);
            let (before, after) = (loudness(&run.input), loudness(&run.output));
            let (seconds, level) = (after.0 - before.0, after.1 / before.1);
            assert!(seconds.abs() < 0.1, "{before:?} became {after:?}");
            assert!((0.9..1.1).contains(&level), "{before:?} became {after:?}");
        }
    }
    // Opus and AAC encoders begin with a few milliseconds that players skip.
    if clip.sound != Sound::Silent && input.times.len() == input.frames {
        let moved = output.sound_lead() - input.sound_lead();
        assert!(moved.abs() < 0.03, "the sound moves by {moved} s");
    }
    let notes = run.notes();
    for expected in clip.notes {
        assert!(
            notes.iter().any(|note| note.contains(expected)),
            "{expected}: {notes:?}"
        );
    }
    (run, output)
}

/// Goes through a whole table before it fails, and says which clips failed and why.
fn for_each<T>(table: &[T], name: impl Fn(&T) -> &str, check: impl Fn(&T)) {
    let mut failed = String::new();
    for row in table {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(row))) {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let message = text.or(panic.downcast_ref::<&str>().copied());
            let message = message.unwrap_or_default();
            failed += &format!("\n{}: {message}", name(row));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

fn explain_each(table: &[Clip], extension: &str) {
    for_each(
        table,
        |clip| clip.name,
        |clip| {
            let (run, _) = assert_explained(clip, extension);
            let is_silent = run.notes().is_empty();
            assert_eq!(is_silent, clip.notes.is_empty(), "{}", run.stderr);
        },
    );
}

#[test]
fn frames_and_times_survive_every_clock() {
    explain_each(
        &[
            clip("edit_list.mp4", 32).sound(Sound::Copied),
            clip("variable_rate.mp4", 30).sound(Sound::Copied),
            clip("ntsc.mp4", 30),
            clip("ntsc_opus.mkv", 30).sound(Sound::Copied),
            clip("one_frame.mp4", 1),
            clip("late_video.mp4", 25).sound(Sound::Copied),
            clip("late_video.mkv", 25).sound(Sound::Copied),
            clip("late_video.ts", 25).sound(Sound::Reframed),
            clip("late_audio.mp4", 25).sound(Sound::Copied),
            clip("far_start.mkv", 25).sound(Sound::Copied),
            Clip {
                has_equal_times: true,
                ..clip("duplicate_times.mkv", 25)
            },
            clip("zero_durations.nut", 25),
            clip("mpeg4_b_frames.avi", 25).sound(Sound::Copied),
            clip("clock_wraps.ts", 25).sound(Sound::Reframed),
            // The filters that compare pictures stop where the size changes.
            clip("size_changes.ts", 50).picture(Picture::Unlike),
        ],
        "mp4",
    );
}

#[test]
fn a_clock_that_jumps_back_goes_on_in_the_output() {
    let clip = clip("clock_jumps_back.ts", 50).sound(Sound::Reframed);
    for extension in ["mp4", "mkv"] {
        let (_, output) = assert_explained(&clip, extension);
        let (numerator, denominator) = output.time_base();
        let milliseconds: Vec<i128> = output
            .times
            .windows(2)
            .map(|pair| i128::from(pair[1] - pair[0]) * numerator * 1000 / denominator)
            .collect();
        // Sound and video of the first piece need not end together: the joint may take a few frames longer.
        let (joint, others) = milliseconds
            .iter()
            .enumerate()
            .partition::<Vec<_>, _>(|(index, _)| *index == 24);
        assert!((1..200).contains(joint[0].1), "{milliseconds:?}");
        assert!(
            others.iter().all(|(_, gap)| (39..=41).contains(*gap)),
            "{milliseconds:?}"
        );
    }
}

#[test]
fn all_containers_and_codecs_are_read() {
    explain_each(
        &[
            clip("plain.mp4", 50).sound(Sound::Copied),
            clip("plain.mkv", 50).sound(Sound::Copied),
            clip("plain.ts", 50).sound(Sound::Reframed),
            clip("fragmented.mp4", 50).sound(Sound::Copied),
            clip("raw.h264", 50),
            clip("mjpeg_pcm.avi", 15)
                .sound(Sound::Encoded("aac"))
                .notes(&["audio stream 1 (pcm_s16le)"]),
            clip("windows_media.wmv", 25)
                .sound(Sound::Encoded("aac"))
                .notes(&["audio stream 1 (wmav2)"]),
            clip("ffv1.mkv", 5).sound(Sound::Copied),
            clip("vp9_opus.webm", 25).sound(Sound::Copied),
            clip("vp8_hidden_frames.webm", 50)
                .sound(Sound::Encoded("aac"))
                .notes(&["audio stream 1 (vorbis)"]),
            clip("vp9_hidden_frames.webm", 50),
            clip("av1.mp4", 25),
            clip("theora.ogv", 25)
                .sound(Sound::Encoded("aac"))
                .notes(&["audio stream 1 (vorbis)"]),
            clip("flash.flv", 25).sound(Sound::Copied),
            clip("hevc_open_gop.mkv", 25),
            clip("mp4_named.mkv", 25),
            clip("mp4_named.png", 25),
        ],
        "mp4",
    );
}

#[test]
fn pictures_of_every_kind_keep_their_look() {
    explain_each(
        &[
            clip("hdr10_pq.mp4", 25),
            clip("hdr_hlg.mp4", 25),
            clip("full_range.mp4", 25),
            clip("422_10_bits.mp4", 25),
            clip("444.mp4", 25),
            clip("odd_size_444.mp4", 25),
            clip("odd_size_420.webm", 25).notes(&["321x181 is padded to 322x182"]),
            clip("rgb_ffv1.mkv", 5),
            clip("gray.mkv", 10),
            clip("411_dv.avi", 3).fields(Some("bb")),
            clip("aspect.mp4", 25),
            clip("rotated_90.mp4", 25),
            clip("rotated_180.mp4", 25),
            clip("rotated_270.mp4", 25),
            clip("mirrored.mp4", 25),
            clip("rotated_by_message.mp4", 25).picture(Picture::Unlike),
            clip("interlaced.mp4", 25).fields(Some("tt")),
            clip("interlaced_bottom_first.mp4", 25).fields(Some("bb")),
            clip("interlaced.mpg", 25)
                .fields(Some("tt"))
                .sound(Sound::Copied),
            clip("fields_as_pictures.mkv", 50).fields(None),
        ],
        "mp4",
    );
}

#[test]
fn images_and_transparency_become_videos() {
    const TRANSPARENT: &[&str] = &["transparent pixels are laid over black"];
    explain_each(
        &[
            clip("alpha_prores.mov", 10)
                .picture(OVER_BLACK)
                .notes(TRANSPARENT),
            clip("alpha_animation.mov", 10)
                .picture(OVER_BLACK)
                .notes(TRANSPARENT),
            clip("transparent.gif", 10)
                .picture(OVER_BLACK)
                .notes(TRANSPARENT),
            clip("animated.gif", 10).picture(OVER_BLACK),
            clip("animated.apng", 5),
            clip("alpha.png", 1).picture(OVER_BLACK).notes(TRANSPARENT),
            clip("still.png", 1),
            clip("png_named.mp4", 1),
            // A JPEG image is read as RGB.
            Clip {
                least_psnr: 35.0,
                ..clip("still.jpg", 1)
            },
            Clip {
                least_psnr: 35.0,
                ..clip("turned.jpg", 1).picture(Picture::After("transpose=clock,"))
            },
        ],
        "mp4",
    );
}

#[test]
fn other_streams_chapters_and_attachments_are_kept_or_named() {
    let sound = Sound::Copied;
    let (run, output) = assert_explained(&clip("two_audio_subtitles.mkv", 25).sound(sound), "mp4");
    assert_eq!(output.codecs("subtitle"), ["mov_text"]);
    let mut text = Command::new("ffmpeg");
    text.args(["-v", "error", "-i"]).arg(&run.output);
    let text = succeed(text.args(["-map", "0:s", "-f", "srt", "-"])).stdout;
    let text = String::from_utf8(text).unwrap();
    // Times move by the few milliseconds by which the sound begins before zero.
    for expected in ["00:00:00,10", " --> 00:00:00,90", "\nhello"] {
        assert!(text.contains(expected), "{text}");
    }
    let (_, output) = assert_explained(&clip("two_audio_subtitles.mkv", 25).sound(sound), "mkv");
    assert_eq!(output.codecs("subtitle"), ["subrip"]);
    let language = &output.all["streams"][2]["tags"]["language"];
    assert_eq!(language, "fre");

    for name in ["chapters.mkv", "chapters.mp4"] {
        for extension in ["mp4", "mkv"] {
            let (_, output) = assert_explained(&clip(name, 25).sound(sound), extension);
            let expected = [(0.0, 0.4, "one"), (0.4, 1.0, "two")];
            assert_eq!(output.chapters(), expected, "{name} to {extension}");
        }
    }

    let attached = clip("attachment.mkv", 25).sound(sound);
    let (run, output) = assert_explained(&attached, "mkv");
    let attachments = output.all["streams"].as_array().unwrap().iter();
    let mut attachments = attachments.filter(|stream| stream["codec_type"] == "attachment");
    assert_eq!(attachments.next().unwrap()["tags"]["filename"], "notes.txt");
    let notes = run.folder.path().join("notes.txt");
    // ffmpeg misses an output file, but has written the attachment by then.
    let mut dump = Command::new("ffmpeg");
    dump.args(["-v", "quiet", "-dump_attachment:t:0"])
        .arg(&notes);
    dump.arg("-i").arg(&run.output).output().unwrap();
    assert!(std::fs::read_to_string(notes).unwrap().contains("hello"));
    assert_explained(&attached.notes(&["attached file 2"]), "mp4");

    let two_videos = clip("two_videos.mkv", 25).sound(sound);
    let (_, output) = assert_explained(&two_videos.notes(&["video stream 2 (h264)"]), "mp4");
    assert_eq!(
        (output.codecs("video").len(), output.size()),
        (1, (320, 180))
    );
    assert_explained(
        &clip("cover_art.mp4", 25).sound(sound).notes(&["2 (mjpeg)"]),
        "mp4",
    );
    for extension in ["mp4", "mkv"] {
        let (_, output) = assert_explained(&clip("timecode.mov", 25).sound(sound), extension);
        let has_time_code = output.all.to_string().contains("01:00:00:00");
        assert!(has_time_code, "{extension}: {}", output.all);
    }
}

#[test]
fn webm_takes_vp9_and_opus_and_matroska_almost_everything() {
    const UPRIGHT: &[&str] = &["the pictures are written upright"];
    explain_each(
        &[
            clip("plain.mp4", 50)
                .sound(Sound::Encoded("opus"))
                .notes(&["audio stream 1 (aac)"]),
            clip("vp8_hidden_frames.webm", 50).sound(Sound::Copied),
        ],
        "webm",
    );
    let (_, output) = assert_explained(&clip("vp9_opus.webm", 25).sound(Sound::Copied), "webm");
    assert_eq!(output.codecs("video"), ["vp9"]);
    explain_each(
        &[
            clip("plain.ts", 50).sound(Sound::Reframed),
            clip("ffv1.mkv", 5).sound(Sound::Copied),
            clip("mjpeg_pcm.avi", 15).sound(Sound::Copied),
            clip("interlaced.mpg", 25)
                .fields(Some("tt"))
                .sound(Sound::Copied),
            clip("ntsc.mp4", 30),
            clip("variable_rate.mp4", 30).sound(Sound::Copied),
            clip("rotated_90.mp4", 25)
                .picture(Picture::Turned("transpose=cclock,"))
                .notes(UPRIGHT),
            clip("mirrored.mp4", 25)
                .picture(Picture::Turned("hflip,"))
                .notes(UPRIGHT),
        ],
        "mkv",
    );
    explain_each(
        &[
            clip("rotated_180.mp4", 25)
                .picture(Picture::Turned("hflip,vflip,"))
                .notes(UPRIGHT),
            clip("rotated_270.mp4", 25)
                .picture(Picture::Turned("transpose=clock,"))
                .notes(UPRIGHT),
        ],
        "ts",
    );
}

/// Damaged clips, and the fewest frames that must be left of 50.
const DAMAGED: [(&str, usize); 12] = [
    ("truncated.mp4", 26),
    ("truncated.mkv", 26),
    ("truncated_in_a_packet.ts", 28),
    ("truncated_between_packets.ts", 28),
    ("begins_inside_a_gop.ts", 30),
    ("broken_first_slice.mp4", 30),
    ("flipped_bits.mp4", 45),
    ("flipped_bits.mkv", 45),
    ("flipped_bits.ts", 45),
    ("damaged_audio.ts", 50),
    ("lost_packet.ts", 48),
    ("truncated_between_clusters.mkv", 20),
];

#[test]
fn damage_is_told_and_what_is_left_plays() {
    for_each(
        &DAMAGED,
        |row| row.0,
        |(name, least)| {
            let run = explained(name, "mp4", &[]);
            assert_eq!(run.code, 3, "{}", run.stderr);
            let damage = format!("{name} is damaged: ");
            assert!(run.stderr.contains(&damage), "{}", run.stderr);
            assert_eq!(run.files(), 1, "only the output is left");
            let (input, output) = (probed(&run.input), probed(&run.output));
            assert!(output.frames >= *least, "{} frames", output.frames);
            assert_eq!(
                output.frames, input.frames,
                "what FFmpeg can decode is there"
            );
            run.assert_plays();
            let damaged = clip(name, output.frames);
            assert_times_kept(&damaged, &input, &output);
            assert!(!output.codecs("audio").is_empty());
        },
    );
}

#[test]
fn strict_makes_damage_a_failure_without_a_file() {
    for_each(
        &DAMAGED,
        |row| row.0,
        |(name, _)| explained(name, "mp4", &["--strict"]).assert_failed("damaged"),
    );
    for name in [
        "plain.mp4",
        "vp8_hidden_frames.webm",
        "edit_list.mp4",
        "clock_jumps_back.ts",
    ] {
        let run = explained(name, "mp4", &["--strict"]);
        assert_eq!((run.code, run.files()), (0, 1), "{name}: {}", run.stderr);
    }
}

#[test]
fn what_is_no_video_gets_one_line_and_leaves_no_file() {
    for_each(
        &[
            ("empty.mp4", "empty"),
            ("noise.mp4", "not a video"),
            ("text.mp4", "not a video"),
            ("text.txt", "not a video"),
            ("no_index.mp4", "damaged"),
            ("audio_only.m4a", "no video stream"),
            ("audio_with_cover.mp3", "no video stream"),
            ("unknown_codec.mp4", "zzzz"),
            ("huge.bmp", "60000x60000"),
            ("huge_video.avi", "16000x16000"),
            ("huge_frames.avi", "pixels"),
        ],
        |row| row.0,
        |(name, hint)| explained(name, "mp4", &[]).assert_failed(hint),
    );
}
