//! Inputs over HTTP and RTSP from servers that answer, break off, stall, or say nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{audio_hash, ffmpeg, frame_times, run};

/// What a server does with the body.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Whole,
    /// The first answer ends after half of it; the rest comes when it is asked for.
    BreaksOffOnce,
    /// Every answer ends there, and the next one comes from the start of what is asked for, but stays empty.
    Stalls,
    Missing,
    /// Takes the connection and says nothing.
    Silent,
}

/// A server on the loopback that serves `body` until the test ends; its port.
fn serve(body: Vec<u8>, manner: Manner) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::Builder::new()
        .name("server".to_owned())
        .spawn(move || {
            let mut kept = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                // The client may leave at any time.
                if let Ok(Some(stream)) =
                    stream.and_then(|stream| answer(stream, &body, manner, number))
                {
                    kept.push(stream);
                }
            }
        })
        .unwrap();
    port
}

/// Answers one request; returns the connection if it is to stay open.
fn answer(
    mut stream: TcpStream,
    body: &[u8],
    manner: Manner,
    number: usize,
) -> std::io::Result<Option<TcpStream>> {
    if manner == Manner::Silent {
        return Ok(Some(stream));
    }
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    if manner == Manner::Missing {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(None);
    }
    let request = String::from_utf8_lossy(&request).to_lowercase();
    let start: usize = request
        .split("range: bytes=")
        .nth(1)
        .and_then(|rest| rest.split('-').next()?.parse().ok())
        .unwrap_or(0);
    let (total, left) = (body.len(), body.len() - start);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n\
         Content-Range: bytes {start}-{}/{total}\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n",
        total - 1
    );
    stream.write_all(head.as_bytes())?;
    let half = total / 2;
    match manner {
        Manner::BreaksOffOnce if number == 0 => stream.write_all(&body[start..half])?,
        Manner::Stalls => {
            if start < half {
                stream.write_all(&body[start..half])?;
            }
            return Ok(Some(stream));
        }
        _ => stream.write_all(&body[start..])?,
    }
    Ok(None)
}

fn clip(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("in.mkv");
    ffmpeg(
        "-f lavfi -i testsrc2=s=320x240:r=30:d=2 -f lavfi -i sine=d=2 -c:v libx264 -preset ultrafast -c:a aac",
        &path,
    );
    path
}

fn explain(url: &str, output: &Path) -> (i32, String, Duration) {
    let start = Instant::now();
    let arguments = ["--stride", "1000", "--network-timeout", "1"];
    let mut all = vec![url, output.to_str().unwrap()];
    all.extend(arguments);
    let (code, _, stderr) = run(all);
    (code, stderr, start.elapsed())
}

#[test]
fn files_on_a_server_are_shown_live_in_real_time_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let clip = |name: &str, options: &str| {
        let clip = folder.path().join(name);
        let graph = "-f lavfi -i testsrc=duration=1:rate=10:size=64x48";
        ffmpeg(&format!("{graph} {options}"), &clip);
        fs::read(clip).unwrap()
    };
    // One key frame; and a container that does not say how long it is.
    for (name, options) in [
        ("a.mp4", "-c:v libx264 -g 250"),
        ("a.ts", "-c:v mpeg2video"),
    ] {
        let port = serve(clip(name, options), Manner::Whole);
        let url = format!("http://127.0.0.1:{port}/{name}");
        let stats = folder.path().join("stats.json");
        let arguments = ["live", &url, "--preview", "none", "-q", "-y", "--stats"];
        let (code, _, stderr) = run(arguments.iter().map(Path::new).chain([stats.as_path()]));
        assert_eq!(code, 0, "{name}: {stderr}");
        let stats: serde_json::Value = serde_json::from_slice(&fs::read(stats).unwrap()).unwrap();
        assert_eq!(stats["frames_in"], 10, "{name}");
        assert!(stats["wall_s"].as_f64().unwrap() > 0.8, "{name}: {stats}");
    }
}

#[test]
fn a_video_over_http_is_whole_even_if_the_connection_breaks_once() {
    let folder = tempfile::tempdir().unwrap();
    let input = clip(folder.path());
    for (name, manner) in [
        ("whole.mp4", Manner::Whole),
        ("broken.mp4", Manner::BreaksOffOnce),
    ] {
        let port = serve(fs::read(&input).unwrap(), manner);
        let output = folder.path().join(name);
        let (code, stderr, _) = explain(&format!("http://127.0.0.1:{port}/in.mkv"), &output);
        assert_eq!(code, 0, "{name}: {stderr}");
        assert_eq!(frame_times(&output).len(), 60);
        assert_eq!(audio_hash(&input), audio_hash(&output));
    }
}

#[test]
fn a_server_that_stalls_ends_the_reading_and_what_came_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let port = serve(fs::read(clip(folder.path())).unwrap(), Manner::Stalls);
    let output = folder.path().join("out.mp4");
    let (code, stderr, wall) = explain(&format!("http://127.0.0.1:{port}/in.mkv"), &output);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("is damaged"), "{stderr}");
    assert!(wall < Duration::from_secs(60), "{wall:?}");
    let frames = frame_times(&output).len();
    assert!((10..59).contains(&frames), "{frames}");
}

#[test]
fn servers_that_do_not_answer_or_have_nothing_get_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.mp4");
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let cases = [
        (
            format!(
                "http://127.0.0.1:{}/in.mkv",
                serve(Vec::new(), Manner::Silent)
            ),
            "imed out",
        ),
        (
            format!("rtsp://127.0.0.1:{}/in", serve(Vec::new(), Manner::Silent)),
            "imed out",
        ),
        (
            format!(
                "http://127.0.0.1:{}/in.mkv",
                serve(Vec::new(), Manner::Missing)
            ),
            "404",
        ),
        (format!("http://127.0.0.1:{closed}/in.mkv"), "refused"),
        (format!("rtsp://127.0.0.1:{closed}/in"), "refused"),
    ];
    for (url, cause) in cases {
        let (code, stderr, wall) = explain(&url, &output);
        assert_eq!((code, stderr.lines().count()), (1, 1), "{url}: {stderr}");
        assert!(
            stderr.contains(&url) && stderr.contains(cause),
            "{url}: {stderr}"
        );
        assert!(wall < Duration::from_secs(30), "{url}: {wall:?}");
        assert!(!output.exists());
    }
}
