//! Interrupts, full disks, closed pipes, crashes, silent servers: nothing is lost and nothing hangs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{ffmpeg, file, frame_times, gradcam_video};
use rustix::process::{Pid, Signal, kill_process};

/// Long enough for the slowest machine; a hang is much longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn clip(folder: &Path, name: &str, secs: u32) -> PathBuf {
    let path = folder.join(name);
    let arguments = format!(
        "-f lavfi -i testsrc2=s=320x240:r=30:d={secs} -f lavfi -i sine=d={secs} -c:v libx264 -preset ultrafast -c:a aac"
    );
    ffmpeg(&arguments, &path);
    path
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a file has grown to some size and then no more for a second.
fn wait_until_still(path: &Path) {
    let size = || fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut last = (size(), Instant::now());
    wait_for("a file that no longer grows", || {
        let now = size();
        if now != last.0 {
            last = (now, Instant::now());
        }
        now > 1000 && last.1.elapsed() > Duration::from_secs(1)
    });
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Ends the child if it hangs, so that a failed test does not go on for ever.
fn outcome(mut child: Child) -> Output {
    let mut is_done = || child.try_wait().unwrap().is_some();
    wait_for("the end of the program", &mut is_done);
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The program with standard input that stays open, as from a stalled sender.
fn fed_by_pipe(bytes: &[u8], arguments: &[&str]) -> Child {
    feed(gradcam_video().args(arguments), bytes)
}

/// The same for any command.
fn feed(command: &mut Command, bytes: &[u8]) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    child
}

#[test]
fn interrupts_and_termination_finish_the_output_even_if_the_sender_stalls() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(clip(folder.path(), "in.mkv", 2)).unwrap();
    for (name, sent) in [("int.mp4", Signal::INT), ("term.mp4", Signal::TERM)] {
        let output = folder.path().join(name);
        let arguments = ["-", output.to_str().unwrap(), "--stride", "1000", "--frag"];
        let mut child = fed_by_pipe(&bytes[..bytes.len() * 2 / 3], &arguments);
        let input = child.stdin.take();
        wait_until_still(&folder.path().join(format!("{name}.part")));
        signal(&child, sent);
        let result = outcome(child);
        drop(input);
        assert_eq!(result.status.code(), Some(130), "{}", stderr(&result));
        assert!(frame_times(&output).len() > 10);
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "a .part is left"
    );
}

#[test]
fn a_pipe_that_nobody_opens_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let (fifo, output) = (folder.path().join("fifo"), folder.path().join("out.mp4"));
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let child = gradcam_video()
        .args([&fifo, &output])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::INT);
    let result = outcome(child);
    assert_eq!(result.status.code(), Some(130), "{}", stderr(&result));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_second_interrupt_ends_at_once_and_removes_what_is_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let input = clip(folder.path(), "in.mkv", 4);
    let records = folder.path().join("r.jsonl");
    // Nobody reads the video, so that it cannot be finished.
    let arguments = ["-", "--stride", "1000", "--crf", "0", "--records"];
    let mut child = gradcam_video()
        .arg(&input)
        .args(arguments)
        .arg(&records)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let part = folder.path().join("r.jsonl.part");
    wait_for("the first file", || part.exists());
    std::thread::sleep(Duration::from_secs(3));
    signal(&child, Signal::INT);
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "the pipe was not full");
    assert!(part.exists());
    signal(&child, Signal::INT);
    let unread = child.stdout.take();
    let result = outcome(child);
    drop(unread);
    assert_eq!(result.status.code(), Some(130), "{}", stderr(&result));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "a .part is left"
    );
}

#[test]
fn fragments_survive_a_kill_but_for_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(clip(folder.path(), "in.mkv", 4)).unwrap();
    let output = folder.path().join("out.mp4");
    let arguments = ["-", output.to_str().unwrap(), "--stride", "1000", "--frag"];
    let mut child = fed_by_pipe(&bytes, &arguments);
    let input = child.stdin.take();
    let part = folder.path().join("out.mp4.part");
    wait_until_still(&part);
    signal(&child, Signal::KILL);
    let result = outcome(child);
    drop(input);
    assert_eq!(result.status.signal(), Some(9));
    let frames = frame_times(&part).len();
    assert!(frames >= 120 - 30, "{frames} of 120 frames are left");
    // What is left is not overwritten by accident.
    let result = gradcam_video()
        .args(["-", output.to_str().unwrap()])
        .stdin(fs::File::open(folder.path().join("in.mkv")).unwrap())
        .output()
        .unwrap();
    assert_eq!(result.status.code(), Some(1));
    assert!(
        stderr(&result).contains("an unfinished"),
        "{}",
        stderr(&result)
    );
    assert_eq!(frame_times(&part).len(), frames);
}

/// Runs the program with `target` on a file system mounted with `options`; exit code, output of `ls`, stderr.
fn on_file_system(options: &str, input: &Path, arguments: &str) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o {options} none '{0}' || exit 99; \
         '{1}' '{2}' '{0}/out.mp4' {arguments} --stats '{0}/stats.json'; code=$?; ls -A '{0}'; exit $code",
        folder.path().display(),
        env!("CARGO_BIN_EXE_gradcam-video"),
        input.display()
    );
    let result = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        result.status.code().unwrap(),
        text(&result.stdout),
        text(&result.stderr),
    )
}

#[test]
fn a_full_disk_and_a_read_only_folder_are_failures_that_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let input = clip(folder.path(), "in.mkv", 3);
    for (options, arguments, hint) in [
        (
            "size=256k",
            "--stride 1000 --crf 0",
            "No space left on device",
        ),
        (
            "size=256k",
            "--stride 1000 --crf 0 --frag",
            "No space left on device",
        ),
        ("ro", "--stride 1000", "Read-only file system"),
    ] {
        let (code, listing, stderr) = on_file_system(options, &input, arguments);
        assert_eq!((code, listing.as_str()), (1, ""), "{stderr}");
        let errors: Vec<_> = stderr
            .lines()
            .filter(|line| !line.contains("frames,"))
            .collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        assert!(
            errors[0].contains(hint) && errors[0].contains("out.mp4"),
            "{stderr}"
        );
    }
}

#[test]
fn readers_that_leave_early_are_a_failure_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let input = clip(folder.path(), "in.mkv", 3);
    let command = || {
        let mut command = gradcam_video();
        command
            .arg(&input)
            .args(["-", "--stride", "1000", "--crf", "0", "-q"])
            .stderr(Stdio::piped());
        command
    };
    let mut child = command().stdout(Stdio::piped()).spawn().unwrap();
    let mut head = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    let left = outcome(child);
    let full = command()
        .stdout(fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    for (result, cause) in [(left, "Broken pipe"), (full, "No space left")] {
        assert_eq!(result.status.code(), Some(1));
        let line = stderr(&result);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(
            line.contains("standard output") && line.contains(cause),
            "{line}"
        );
    }
}

/// Runs `command` with a sender that falls silent after `bytes`; `meanwhile` is done to the program.
fn with_silent_sender(
    command: &mut Command,
    bytes: &[u8],
    meanwhile: impl FnOnce(&mut Child),
) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Beside the rest: the program may stop reading.
        let sender = scope.spawn(move || {
            let _ = stdin.write_all(bytes);
            stdin
        });
        meanwhile(&mut child);
        let result = outcome(child);
        drop(sender.join().unwrap());
        result
    })
}

#[test]
fn a_failure_ends_the_run_even_if_the_sender_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let input = clip(folder.path(), "in.mkv", 4);
    let bytes = fs::read(&input).unwrap();
    let mut command = gradcam_video();
    command.args(["-", "-", "--stride", "1000", "--crf", "0", "-q"]);
    command.stdout(Stdio::piped());
    let result = with_silent_sender(&mut command, &bytes, |child| {
        let mut head = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    });
    assert_eq!(result.status.code(), Some(1));
    assert!(
        stderr(&result).contains("Broken pipe"),
        "{}",
        stderr(&result)
    );

    // Records that end early end the output; nobody waits for more frames.
    let records = folder.path().join("r.jsonl");
    let (all, again) = (
        folder.path().join("all.mp4"),
        folder.path().join("again.mp4"),
    );
    let made = gradcam_video()
        .args([&input, &all])
        .args(["--stride", "1000", "--records"])
        .arg(&records)
        .output()
        .unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let text = fs::read_to_string(&records).unwrap();
    let first: Vec<_> = text.lines().take(11).collect();
    fs::write(&records, first.join("\n") + "\n").unwrap();
    let mut command = gradcam_video();
    command.args(["render", "-"]).args([&records, &again]);
    let result = with_silent_sender(&mut command, &bytes, |_| {});
    assert_eq!(result.status.code(), Some(3), "{}", stderr(&result));
    assert_eq!(frame_times(&again).len(), 10);
}

#[test]
fn nobody_has_to_read_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let input = clip(folder.path(), "in.mkv", 1);
    let output = folder.path().join("out.mp4");
    let mut child = gradcam_video()
        .args([&input, &output])
        .args(["--stride", "1000", "-v"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(outcome(child).status.code(), Some(0));
    assert_eq!(frame_times(&output).len(), 30);

    let full = || fs::File::create("/dev/full").unwrap();
    let missing = gradcam_video()
        .args(["missing.mp4", "x.mp4"])
        .stderr(full())
        .status();
    assert_eq!(missing.unwrap().code(), Some(1));
    let bench = gradcam_video()
        .args(["bench", "--frames", "1", "--json"])
        .stdout(full())
        .output()
        .unwrap();
    assert_eq!(bench.status.code(), Some(1));
    let line = stderr(&bench);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(
        line.contains("cannot write the figures: No space left"),
        "{line}"
    );
}

#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(clip(folder.path(), "in.mkv", 1)).unwrap();
    let output = folder.path().join("out.mp4");
    // As nohup does.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    command
        .arg(env!("CARGO_BIN_EXE_gradcam-video"))
        .arg("-")
        .arg(&output);
    command.args(["--stride", "1000", "--frag"]);
    let mut child = feed(&mut command, &bytes);
    wait_until_still(&folder.path().join("out.mp4.part"));
    signal(&child, Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    drop(child.stdin.take());
    let result = outcome(child);
    assert_eq!(result.status.code(), Some(0), "{}", stderr(&result));
    assert_eq!(frame_times(&output).len(), 30);
}

#[test]
fn a_sender_that_leaves_early_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(clip(folder.path(), "in.mkv", 2)).unwrap();
    let output = folder.path().join("out.mp4");
    let arguments = ["-", output.to_str().unwrap(), "--stride", "1000"];
    let mut child = fed_by_pipe(&bytes[..bytes.len() / 2], &arguments);
    drop(child.stdin.take());
    let result = outcome(child);
    assert_eq!(result.status.code(), Some(3), "{}", stderr(&result));
    assert!(
        stderr(&result).contains("standard input is damaged"),
        "{}",
        stderr(&result)
    );
    let frames = frame_times(&output).len();
    assert!((15..45).contains(&frames), "{frames}");
}

#[test]
fn two_runs_do_not_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(clip(folder.path(), "in.mkv", 1)).unwrap();
    let output = folder.path().join("out.mp4");
    let arguments = ["-", output.to_str().unwrap(), "-y", "--stride", "1000"];
    let mut first = fed_by_pipe(&bytes, &arguments);
    let part = folder.path().join("out.mp4.part");
    wait_for("the first run's file", || part.exists());
    let second = gradcam_video()
        .arg(file("samples/chelsea.png"))
        .args(&arguments[1..])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        stderr(&second).contains("another run is writing it"),
        "{}",
        stderr(&second)
    );
    drop(first.stdin.take());
    assert_eq!(outcome(first).status.code(), Some(0));
    assert_eq!(frame_times(&output).len(), 30);
}

#[test]
fn an_index_at_the_end_is_read_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let input = clip(folder.path(), "in.mp4", 1);
    let bytes = fs::read(&input).unwrap();
    let position = |kind: &[u8]| bytes.windows(4).position(|window| window == kind).unwrap();
    assert!(position(b"mdat") < position(b"moov"));
    let output = folder.path().join("out.mp4");
    for name in ["-", "/dev/stdin"] {
        let arguments = [name, output.to_str().unwrap(), "-y", "--stride", "1000"];
        let mut child = fed_by_pipe(&bytes, &arguments);
        drop(child.stdin.take());
        let result = outcome(child);
        assert_eq!(result.status.code(), Some(0), "{}", stderr(&result));
        assert_eq!(frame_times(&output).len(), 30);
    }
}

#[test]
fn names_of_any_kind_are_read_and_written() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let plain = clip(folder.path(), "in.mkv", 1);
    for name in [
        &b"a:b 100%d.mkv"[..],
        b"-dash.mkv",
        b"\xff\xfe.mkv",
        b"file:x.mkv",
    ] {
        let inside = tempfile::tempdir().unwrap();
        let input = inside.path().join(OsStr::from_bytes(name));
        fs::copy(&plain, &input).unwrap();
        let output = inside
            .path()
            .join(OsStr::from_bytes(&[b"out ", name].concat()));
        let result = gradcam_video()
            .args([&input, &output])
            .args(["--stride", "1000"])
            .output()
            .unwrap();
        assert_eq!(result.status.code(), Some(0), "{}", stderr(&result));
        let copy = folder.path().join("copy.mkv");
        fs::rename(&output, &copy).unwrap();
        assert_eq!(frame_times(&copy).len(), 30);
    }
}
