//! What the browser preview must refuse, at any address: `check_protection`. Requests are written by hand: clients would mend them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer takes longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Address with port, and the token if there is one, of a URL.
pub fn parts(url: &str) -> (&str, Option<&str>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, rest) = rest.split_once('/').unwrap();
    (address, rest.strip_prefix("?token="))
}

/// Sends a request with these header lines; what comes first.
pub fn ask(url: &str, request: &str, headers: &[&str], body: &str) -> (TcpStream, String) {
    let (address, token) = parts(url);
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = format!("{request} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|line| line.starts_with("Host:")) {
        text += &format!("Host: {address}\r\n");
    }
    // `-` stands for no token at all.
    if let Some(token) = token
        && !headers.contains(&"-")
    {
        text += &format!("Authorization: Bearer {token}\r\n");
    }
    for line in headers.iter().filter(|line| **line != "-") {
        text += &format!("{line}\r\n");
    }
    socket
        .write_all(format!("{text}\r\n{body}").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match socket.read(&mut buffer).unwrap() {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    (socket, String::from_utf8_lossy(&answer).into_owned())
}

/// The status code of an answer.
pub fn code(url: &str, request: &str, headers: &[&str], body: &str) -> u16 {
    let answer = ask(url, request, headers, body).1;
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

/// Everything that must be refused is refused, and nothing else.
pub fn check_protection(url: &str) {
    let (address, token) = parts(url);
    assert_eq!(code(url, "GET /status", &[], ""), 200);
    assert_eq!(code(url, "GET /nowhere", &[], ""), 404);
    assert_eq!(code(url, "GET /../Cargo.toml", &[], ""), 404);
    assert_eq!(code(url, "DELETE /status", &[], ""), 405);
    let json = "Content-Type: application/json";
    assert_eq!(code(url, "POST /control", &[json], "{}"), 204);
    let origin = format!("Origin: http://{address}");
    assert_eq!(code(url, "POST /control", &[json, &origin], "{}"), 204);
    let foreign = "Origin: http://evil.example";
    assert_eq!(code(url, "POST /control", &[json, foreign], "{}"), 403);
    let cross = "Sec-Fetch-Site: cross-site";
    assert_eq!(code(url, "POST /control", &[json, cross], "{}"), 403);
    assert_eq!(code(url, "GET /stream.mjpg", &[cross], ""), 403);
    assert_eq!(
        code(url, "POST /control", &["Content-Type: text/plain"], "{}"),
        415
    );
    assert_eq!(code(url, "POST /control", &[json], &"x".repeat(5000)), 400);
    let answer = ask(url, "GET /", &[], "").1.to_lowercase();
    for header in [
        "content-security-policy: default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; \
         connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n",
        "x-content-type-options: nosniff\r\n",
        "referrer-policy: no-referrer\r\n",
        "cross-origin-resource-policy: same-origin\r\n",
        "cache-control: no-store\r\n",
    ] {
        assert!(answer.contains(header), "{header} is missing in {answer}");
    }
    let foreign = "Host: evil.example";
    let Some(token) = token else {
        assert_eq!(code(url, "GET /", &[foreign], ""), 403);
        assert_eq!(code(url, "GET /status", &[foreign], ""), 403);
        assert_eq!(code(url, "GET /", &["Host: localhost:1"], ""), 200);
        return;
    };
    for path in [
        "/",
        "/app.js",
        "/style.css",
        "/stream.mjpg",
        "/status",
        "/snapshot.png",
        "/nowhere",
    ] {
        let request = format!("GET {path}");
        assert_eq!(code(url, &request, &["-"], ""), 403, "{path}");
        assert_eq!(
            code(url, &format!("{request}?token=wrong"), &["-"], ""),
            403,
            "{path}"
        );
    }
    assert_eq!(code(url, "POST /control", &["-", json], "{}"), 403);
    let answer = ask(url, &format!("GET /?token={token}"), &["-"], "").1;
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let cookie = format!("Cookie: gradcam_video_token={token}");
    assert_eq!(code(url, "GET /status", &["-", &cookie], ""), 200);
    assert_eq!(
        code(
            url,
            "GET /status",
            &["-", "Cookie: gradcam_video_token=x"],
            ""
        ),
        403
    );
}
