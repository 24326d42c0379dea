//! Opening inputs: files, standard input, addresses; and choosing the video stream.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ffmpeg_next::format::{self, context, stream::Disposition};
use ffmpeg_next::{Dictionary, decoder, media};

use super::super::{Device, InputSpec, ReadOptions};
use super::pipe::Pipe;
use super::template::is_awaited;
use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg_ffi::{has_size, open_device, video_parameters};
use crate::pipeline::CancelToken;

/// How long a lost connection is tried again, at growing intervals, in seconds; the time-out where that is less.
const MAXIMUM_RECONNECT_SECS: u64 = 7;

/// How much of a live stream is looked at to learn what it holds, in microseconds.
const LIVE_ANALYSIS_MICROS: &str = "1000000";
/// Pause between two looks at a device that has nothing yet.
pub(super) const DEVICE_PAUSE: Duration = Duration::from_millis(1);

/// FFmpeg's names of formats that are text.
const TEXT_FORMATS: [&str; 5] = ["tty", "bin", "xbin", "adf", "idf"];

/// How much of a file is looked at if no audio is in what FFmpeg looks at by itself: time in microseconds, and bytes, which are held meanwhile.
const THOROUGH_ANALYSIS: [(&str, &str); 2] =
    [("analyzeduration", "3600000000"), ("probesize", "67108864")];

/// How much of a pipe is looked at before deciding whether it must be spooled.
const PROBE_BYTES: u64 = 4096;

/// An opened container.
pub(super) struct OpenedInput {
    pub(super) context: context::Input,
    /// Whether it can be opened again, and one can go back in it.
    pub(super) is_reopenable: bool,
    /// Of pipes: set whenever a read has to wait for the writer.
    pub(super) starved: Option<Arc<AtomicBool>>,
}

/// Opens `input` and reads its headers.
pub(super) fn open_input(
    input: &InputSpec,
    options: &ReadOptions,
    cancel: &CancelToken,
) -> Result<OpenedInput> {
    let open = |analysis: Dictionary<'static>| match input {
        InputSpec::Path(path) => open_path(path, analysis, cancel),
        InputSpec::Stdin => open_stdin(cancel),
        InputSpec::Url(url) => open_url(url, &input.to_string(), analysis, options, cancel),
        InputSpec::Device(device) => open_camera(device, options.network_timeout, cancel),
    };
    let opened = open(Dictionary::new())?;
    let can_look_further = opened.is_reopenable && has_size(&opened.context) && !options.is_live;
    if can_look_further && only_misses_audio(&opened.context) {
        let mut analysis = Dictionary::new();
        for (name, value) in THOROUGH_ANALYSIS {
            analysis.set(name, value);
        }
        return Ok(open(analysis).unwrap_or(opened));
    }
    Ok(opened)
}

/// Whether FFmpeg has seen packets of all streams but audio. Where it misses video too, another recording was joined to the first.
fn only_misses_audio(context: &context::Input) -> bool {
    let mut missed = context
        .streams()
        .filter(is_awaited)
        .map(|stream| stream.parameters().medium())
        .peekable();
    missed.peek().is_some() && missed.all(|medium| medium == media::Type::Audio)
}

fn open_path(
    path: &Path,
    analysis: Dictionary<'static>,
    cancel: &CancelToken,
) -> Result<OpenedInput> {
    let open = || -> io::Result<(File, bool)> {
        let file = Pipe::open_file(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other("it is a folder"));
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err(io::Error::other("the file is empty"));
        }
        Ok((file, metadata.is_file()))
    };
    let (file, is_file) = open().map_err(|cause| {
        Error::caused_by(
            ErrorKind::Input,
            format!("cannot open {}", path.display()),
            cause,
        )
    })?;
    // The name helps to recognise formats without a signature.
    let (file_name, name) = (path.to_str(), path.display().to_string());
    if !is_file {
        return open_pipe(file, file_name, &name, cancel);
    }
    let io = context::StreamIo::from_read_seek(file);
    let opened = open_stream(io, file_name, &name, analysis, cancel)?;
    Ok(OpenedInput {
        is_reopenable: true,
        ..opened
    })
}

fn open_stdin(cancel: &CancelToken) -> Result<OpenedInput> {
    let name = InputSpec::Stdin.to_string();
    let cannot_read =
        |cause: io::Error| Error::caused_by(ErrorKind::Input, format!("cannot read {name}"), cause);
    let input = io::stdin().as_fd().try_clone_to_owned();
    let mut input = File::from(input.map_err(cannot_read)?);
    let is_file = input.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file && input.stream_position().is_ok_and(|position| position == 0) {
        // `< FILE`, untouched: as good as its path.
        if input.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            return Err(cannot_read(io::Error::other("it is empty")));
        }
        let io = context::StreamIo::from_read_seek(input);
        return open_stream(io, None, &name, Dictionary::new(), cancel);
    }
    open_pipe(input, None, &name, cancel)
}

/// Opens what comes through a pipe; an MP4 with its index at the end is spooled first.
fn open_pipe(
    pipe: File,
    file_name: Option<&str>,
    name: &str,
    cancel: &CancelToken,
) -> Result<OpenedInput> {
    let cannot_read =
        |cause: io::Error| Error::caused_by(ErrorKind::Input, format!("cannot read {name}"), cause);
    let mut pipe = Pipe::new(pipe, cancel);
    let starved = pipe.starved();
    let mut head = Vec::new();
    let looked_at = (&mut pipe).take(PROBE_BYTES).read_to_end(&mut head);
    looked_at.map_err(cannot_read)?;
    if cancel.is_cancelled() {
        return Err(Error::cancelled());
    }
    if head.is_empty() {
        return Err(cannot_read(io::Error::other("it is empty")));
    }
    let is_spooled = has_index_at_end(&head);
    let reader = Cursor::new(head).chain(pipe);
    let io = if is_spooled {
        let file = spool(reader, cancel).map_err(cannot_read)?;
        if cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        context::StreamIo::from_read_seek(file)
    } else {
        context::StreamIo::from_read(reader)
    };
    let opened = open_stream(io, file_name, name, Dictionary::new(), cancel)?;
    Ok(OpenedInput {
        starved: (!is_spooled).then_some(starved),
        ..opened
    })
}

/// Whether this is the beginning of an MP4 whose sample data comes before its index, which cannot be
/// read without going back.
fn has_index_at_end(head: &[u8]) -> bool {
    let mut position = 0_usize;
    let mut is_first = true;
    loop {
        let Some(header) = head
            .get(position..)
            .and_then(|rest| rest.first_chunk::<8>())
        else {
            return false;
        };
        let [s0, s1, s2, s3, kind @ ..] = *header;
        match &kind {
            b"ftyp" | b"free" | b"skip" | b"wide" | b"uuid" => {}
            b"mdat" => return true,
            _ => return false,
        }
        let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
        if size < header.len() || (is_first && &kind != b"ftyp") {
            return false;
        }
        is_first = false;
        position = position.saturating_add(size);
    }
}

/// Copies `reader` to an unnamed temporary file; stops early when cancelled.
fn spool(mut reader: impl Read, cancel: &CancelToken) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    let mut buffer = vec![0; 1 << 16];
    while !cancel.is_cancelled() {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => file.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn open_stream(
    io: Result<context::StreamIo, ffmpeg_next::Error>,
    file_name: Option<&str>,
    description: &str,
    options: Dictionary<'static>,
    cancel: &CancelToken,
) -> Result<OpenedInput> {
    let interrupt = cancel.clone();
    let context = io
        .and_then(|io| {
            format::input_from_stream_with_interrupt(io, file_name, Some(options), move || {
                interrupt.is_cancelled()
            })
        })
        .map_err(|cause| unreadable(description, cause, cancel))?;
    // FFmpeg draws any text as an old terminal would.
    let is_text = TEXT_FORMATS.contains(&context.format().name());
    if is_text {
        let cause = ffmpeg_next::Error::InvalidData;
        return Err(unreadable(description, cause, cancel));
    }
    Ok(OpenedInput {
        context,
        is_reopenable: false,
        starved: None,
    })
}

fn open_url(
    url: &str,
    name: &str,
    mut options: Dictionary<'static>,
    reading: &ReadOptions,
    cancel: &CancelToken,
) -> Result<OpenedInput> {
    let timeout = reading.network_timeout;
    if url.contains('\0') {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "cannot open the address: it contains a zero byte",
        ));
    }
    let timeout_micros = timeout.as_micros().to_string();
    let reconnect_secs = timeout.as_secs().clamp(1, MAXIMUM_RECONNECT_SECS);
    options.set("rw_timeout", &timeout_micros);
    // RTSP has a name of its own for it.
    if url.starts_with("rtsp") {
        options.set("timeout", &timeout_micros);
        options.set("rtsp_transport", "tcp");
    }
    if reading.is_live {
        options.set("analyzeduration", LIVE_ANALYSIS_MICROS);
    }
    options.set("reconnect", "1");
    options.set("reconnect_delay_max", &reconnect_secs.to_string());
    let interrupt = cancel.clone();
    let start = Instant::now();
    let context =
        format::input_with_interrupt_and_dictionary(url, move || interrupt.is_cancelled(), options)
            .map_err(|cause| {
                let is_late = start.elapsed() >= timeout && url.starts_with("rtsp");
                // FFmpeg says "invalid data" then.
                if is_late && cause == ffmpeg_next::Error::InvalidData && !cancel.is_cancelled() {
                    let secs = timeout.as_secs_f64();
                    let message = format!(
                        "cannot read {name}: timed out, the server was silent for {secs} s"
                    );
                    return Error::new(ErrorKind::Input, message);
                }
                unreadable(name, cause, cancel)
            })?;
    Ok(OpenedInput {
        context,
        is_reopenable: true,
        starved: None,
    })
}

fn open_camera(device: &Device, timeout: Duration, cancel: &CancelToken) -> Result<OpenedInput> {
    let mut options = Dictionary::new();
    for (name, value) in device.options() {
        options.set(name, &value);
    }
    let interrupt = cancel.clone();
    let start = Instant::now();
    let is_open = Arc::new(AtomicBool::new(false));
    let was_opened = Arc::clone(&is_open);
    let is_unwanted = move || {
        if was_opened.load(Ordering::Relaxed) {
            return interrupt.is_cancelled();
        }
        // FFmpeg asks all the time for a first picture.
        thread::sleep(DEVICE_PAUSE);
        interrupt.is_cancelled() || start.elapsed() >= timeout
    };
    let format = device.format_name();
    let context = open_device(format, &device.address(), options, is_unwanted);
    is_open.store(true, Ordering::Relaxed);
    let context = context.map_err(|cause| {
        let name = device.to_string();
        if cause == ffmpeg_next::Error::Exit && !cancel.is_cancelled() {
            let secs = timeout.as_secs_f64();
            let message = format!("cannot read {name}: no picture came for {secs} s");
            return Error::new(ErrorKind::Input, message);
        }
        unreadable(&name, cause, cancel)
    })?;
    Ok(OpenedInput {
        context,
        is_reopenable: false,
        starved: None,
    })
}

fn unreadable(description: &str, cause: ffmpeg_next::Error, cancel: &CancelToken) -> Error {
    if cancel.is_cancelled() {
        return Error::cancelled();
    }
    let message = match cause {
        ffmpeg_next::Error::InvalidData => {
            format!("cannot read {description}: not a video, or damaged")
        }
        _ => format!("cannot read {description}"),
    };
    Error::caused_by(ErrorKind::Input, message, cause)
}

/// Index of the video stream to read: one that can be decoded, marked as default, large.
/// Cover art does not count.
pub(super) fn choose_video(context: &context::Input, description: &str) -> Result<usize> {
    context
        .streams()
        .filter(|stream| {
            stream.parameters().medium() == media::Type::Video
                && !stream.disposition().contains(Disposition::ATTACHED_PIC)
        })
        .max_by_key(|stream| {
            let parameters = stream.parameters();
            let raw = video_parameters(&parameters);
            (
                decoder::find(parameters.id()).is_some(),
                stream.disposition().contains(Disposition::DEFAULT),
                i64::from(raw.width) * i64::from(raw.height),
                Reverse(stream.index()),
            )
        })
        .map(|stream| stream.index())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Input,
                format!("cannot read {description}: no video stream"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(kinds: &[(&[u8; 4], u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, size) in kinds {
            bytes.extend(size.to_be_bytes());
            bytes.extend(*kind);
            bytes.resize(bytes.len() + (*size as usize).saturating_sub(8).min(64), 0);
        }
        bytes
    }

    #[test]
    fn only_mp4_with_its_index_behind_the_data_is_spooled() {
        assert!(has_index_at_end(&boxes(&[
            (b"ftyp", 24),
            (b"free", 8),
            (b"mdat", 9999)
        ])));
        assert!(!has_index_at_end(&boxes(&[
            (b"ftyp", 24),
            (b"moov", 40),
            (b"mdat", 64)
        ])));
        assert!(!has_index_at_end(&boxes(&[(b"free", 8), (b"mdat", 64)])));
        assert!(!has_index_at_end(&boxes(&[(b"ftyp", 0)])));
        assert!(!has_index_at_end(&boxes(&[
            (b"ftyp", 24),
            (b"uuid", u32::MAX)
        ])));
        assert!(!has_index_at_end(b"RIFF"));
        assert!(!has_index_at_end(b""));
    }

    #[test]
    fn spooling_keeps_every_byte() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|value| value as u8).collect();
        let mut file = spool(&bytes[..], &CancelToken::new()).unwrap();
        let mut copy = Vec::new();
        file.read_to_end(&mut copy).unwrap();
        assert_eq!(copy, bytes);
    }
}
