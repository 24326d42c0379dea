//! The server over real sockets.

use super::*;
use crate::preview::http::test_host::{TestHost, start, start_with};
use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::time::Instant;

const LONG: Duration = Duration::from_secs(10);

/// A connection on which `path` has been asked for.
fn ask(server: &HttpServer, path: &str) -> StdStream {
    ask_by("HTTP/1.1", server, path)
}

/// A connection on which the pictures come as they are: HTTP 1.0 knows no chunks.
fn watch(server: &HttpServer) -> StdStream {
    ask_by("HTTP/1.0", server, "/stream.mjpg")
}

fn ask_by(version: &str, server: &HttpServer, path: &str) -> StdStream {
    let mut socket = StdStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let request = format!("GET {path} {version}\r\nHost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    socket
}

/// Reads until `end` has come; what has been read. Shorter if the connection ends.
fn read_until(socket: &mut StdStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while !read.windows(end.len()).any(|window| window == end) {
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
    read
}

fn wait_for(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < limit, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn pictures_come_to_viewers_and_the_first_at_once() {
    let server = start(2);
    server.publish(Bytes::from_static(b"PICTURE-1"));
    let mut viewer = watch(&server);
    let seen = read_until(&mut viewer, b"PICTURE-1\r\n--gradcam-video-picture\r\n");
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.starts_with("HTTP/1.0 200"), "{seen}");
    assert!(
        seen.contains("Content-Length: 9\r\n\r\nPICTURE-1"),
        "{seen}"
    );
    assert_eq!(server.viewers(), 1);
    server.publish(Bytes::from_static(b"PICTURE-2"));
    let seen = read_until(&mut viewer, b"PICTURE-2\r\n--gradcam-video-picture\r\n");
    assert!(!seen.is_empty());
    drop(viewer);
    wait_for("a viewer that left is still counted", LONG, || {
        server.viewers() == 0
    });
}

#[test]
fn one_viewer_too_many_is_told_so() {
    let server = start(1);
    server.publish(Bytes::from_static(b"PICTURE"));
    let mut first = ask(&server, "/stream.mjpg");
    read_until(&mut first, b"PICTURE");
    let mut second = ask(&server, "/stream.mjpg");
    let answer = read_until(&mut second, b"at most 1\n");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with("too many viewers, at most 1\n"),
        "{answer}"
    );
    // The connection goes on.
    second
        .write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let status = read_until(&mut second, b"most_viewers");
    assert!(status.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn who_never_reads_loses_the_place_and_slows_nobody() {
    let patience = Duration::from_secs(1);
    let server = start_with(2, patience);
    let picture = Bytes::from(vec![7; 300_000]);
    let _stuck = ask(&server, "/stream.mjpg");
    let mut good = ask(&server, "/stream.mjpg");
    wait_for("both watch", LONG, || server.viewers() == 2);
    let reader = thread::Builder::new().name("reader".to_owned());
    let reader = reader
        .spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            let mut total = 0;
            while let Ok(count) = good.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                total += count;
            }
            total
        })
        .unwrap();
    let begin = Instant::now();
    let mut publishing = Vec::new();
    while server.viewers() == 2 {
        assert!(
            begin.elapsed() < LONG,
            "the one that never reads keeps its place"
        );
        let before = Instant::now();
        server.publish(picture.clone());
        publishing.push(before.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() >= patience);
    assert_eq!(server.viewers(), 1, "the one that reads stays");
    drop(server);
    let total = reader.join().unwrap();
    // The median: a busy machine may take the processor away from anybody.
    publishing.sort();
    let median = publishing[publishing.len() / 2];
    assert!(
        median < Duration::from_millis(1),
        "publishing took {median:?}"
    );
    let published = publishing.len();
    assert!(
        total >= 300_000 * published / 4,
        "{total} bytes of {published} pictures"
    );
}

#[test]
fn a_slow_viewer_sees_fresh_pictures() {
    let server = start(1);
    let picture = |number: u32| {
        let mut bytes = vec![0; 100_000];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Bytes::from(bytes)
    };
    let mut slow = watch(&server);
    let options = socket2::SockRef::from(&slow);
    options.set_recv_buffer_size(32 * 1024).unwrap();
    wait_for("watches", LONG, || server.viewers() == 1);
    for number in 1..=200 {
        server.publish(picture(number));
        thread::sleep(Duration::from_millis(2));
    }
    // What is still on the way is little; then comes the last.
    let mut read = Vec::new();
    let mut buffer = [0; 64 * 1024];
    let last = 200_u32.to_be_bytes();
    while !read
        .windows(8)
        .any(|window| window[..4] == *b"\r\n\r\n" && window[4..] == last)
    {
        let count = slow.read(&mut buffer).unwrap();
        assert!(count > 0);
        read.extend_from_slice(&buffer[..count]);
    }
    let pictures = read
        .windows(17)
        .filter(|window| window == b"Content-Length: 1")
        .count();
    assert!(pictures < 20, "{pictures} pictures before the last");
}

#[test]
fn the_end_waits_for_nobody() {
    // The best of some: a busy machine may take the processor away from anybody.
    let best = (0..3).map(|_| time_to_stop()).min().unwrap();
    assert!(best < Duration::from_millis(200), "it took {best:?}");
}

/// How long the end takes while viewers do not read, one says nothing, and a snapshot is being made.
fn time_to_stop() -> Duration {
    let server = start(4);
    let _stuck: Vec<_> = (0..4).map(|_| ask(&server, "/stream.mjpg")).collect();
    let mut idle = StdStream::connect(server.address()).unwrap();
    let _snapshot = ask(&server, "/snapshot.png");
    wait_for("all watch", LONG, || server.viewers() == 4);
    server.publish(Bytes::from(vec![0; 1_000_000]));
    thread::sleep(Duration::from_millis(50));
    let address = server.address();
    let begin = Instant::now();
    drop(server);
    let took = begin.elapsed();
    assert!(StdStream::connect(address).is_err());
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    took
}

#[test]
fn snapshots_do_not_pile_up_and_places_outlive_who_asked() {
    let server = start(4);
    // Those that went away are still being made.
    let mut socket = ask(&server, "/snapshot.png");
    wait_for("one is being made", LONG, || {
        server.shared.snapshots.available_permits() == 1
    });
    drop(socket);
    socket = ask(&server, "/snapshot.png");
    wait_for("one waits", LONG, || {
        server.shared.snapshots.available_permits() == 0
    });
    drop(socket);
    let mut refused = ask(&server, "/snapshot.png");
    let answer = read_until(&mut refused, b"again\n");
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    wait_for("places come back", LONG, || {
        let mut socket = ask(&server, "/snapshot.png");
        read_until(&mut socket, b"\r\n\r\n").starts_with(b"HTTP/1.1 200")
    });
}

#[test]
fn connections_are_bounded_and_bad_ones_disturb_nobody() {
    let server = start(1);
    let mut garbage = StdStream::connect(server.address()).unwrap();
    garbage
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        .unwrap();
    let mut endless = ask(&server, &format!("/{}", "x".repeat(2 * BUFFER_BYTES)));
    assert!(read_until(&mut endless, b"\r\n\r\n").starts_with(b"HTTP/1.1 4"));
    drop((garbage, endless));
    let mut held = Vec::new();
    let is_served = |held: &mut Vec<StdStream>| {
        let mut socket = ask(&server, "/status");
        let is_served = read_until(&mut socket, b"most_viewers").starts_with(b"HTTP/1.1 200");
        held.push(socket);
        is_served
    };
    wait_for("all are served", LONG, || {
        held.clear();
        (0..1 + SPARE_CONNECTIONS).all(|_| is_served(&mut held))
    });
    assert!(!is_served(&mut held), "one too many");
    held.clear();
    wait_for("places come back", LONG, || is_served(&mut Vec::new()));
}

#[test]
fn addresses_are_named_and_taken_ones_refused() {
    let server = start(1);
    assert_ne!(server.address().port(), 0);
    assert_eq!(server.url(), format!("http://{}/", server.address()));
    let options = |listen, token: Option<&str>| HttpOptions {
        listen,
        token: token.map(str::to_owned),
        most_viewers: 1,
    };
    let start = |options| HttpServer::start(options, Arc::new(TestHost));
    let error = start(options(server.address(), None)).unwrap_err();
    let begin = format!("cannot listen on {}: ", server.address());
    assert!(error.one_line().starts_with(&begin), "{}", error.one_line());
    let open = start(options("0.0.0.0:0".parse().unwrap(), Some("abc"))).unwrap();
    let url = open.url();
    assert!(
        url.ends_with("/?token=abc") && !url.contains("0.0.0.0"),
        "{url}"
    );
    assert!(!format!("{open:?}").contains("abc"));
}

#[test]
fn a_stranger_cannot_take_all_connections() {
    let shares = Arc::new(Shares::new(2));
    let (stranger, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "::1".parse().unwrap());
    let held: Vec<_> = (0..3).map(|_| Shares::take(&shares, stranger)).collect();
    assert!(held[0].is_some() && held[1].is_some() && held[2].is_none());
    let own: Vec<_> = (0..3).map(|_| Shares::take(&shares, other)).collect();
    assert!(own.iter().all(Option::is_some));
    drop(held);
    assert!(Shares::take(&shares, stranger).is_some());
    drop(own);
    assert!(shares.taken.lock().unwrap().is_empty());
}
