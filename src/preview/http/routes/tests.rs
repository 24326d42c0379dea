//! Requests and answers, without sockets.

use super::*;
use crate::preview::http::test_host::TestHost;
use http_body_util::Full;

fn shared(token: Option<&str>) -> Shared {
    Shared::new(Arc::new(TestHost), Gate::new(token).unwrap(), 1)
}

/// Status, one header and the body (empty for a stream) of what is answered.
fn ask(shared: &Shared, request: &str, headers: &[(&str, &str)], body: &str) -> (u16, Answer) {
    let (method, uri) = request.split_once(' ').unwrap();
    let mut builder = Request::builder().method(method).uri(uri);
    builder = builder.header("host", "localhost");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let request = builder
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let answer = runtime.block_on(answer(request, shared));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    (answer.status().as_u16(), answer)
}

fn text(answer: Answer) -> String {
    let Either::Left(body) = answer.into_body() else {
        return String::new();
    };
    let mut body = std::pin::pin!(body);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match body.as_mut().poll_frame(&mut context) {
        std::task::Poll::Ready(Some(Ok(frame))) => {
            String::from_utf8_lossy(&frame.into_data().unwrap()).into_owned()
        }
        _ => String::new(),
    }
}

#[test]
fn there_is_nothing_but_the_routes() {
    let shared = shared(None);
    for path in [
        "/",
        "/app.js",
        "/style.css",
        "/icon.svg",
        "/status",
        "/snapshot.png",
    ] {
        assert_eq!(
            ask(&shared, &format!("GET {path}"), &[], "").0,
            200,
            "{path}"
        );
        assert_eq!(
            ask(&shared, &format!("HEAD {path}"), &[], "").0,
            200,
            "{path}"
        );
        assert_eq!(
            ask(&shared, &format!("POST {path}"), &[], "").0,
            405,
            "{path}"
        );
    }
    let (status, answer) = ask(&shared, "GET /control", &[], "");
    assert_eq!(
        (status, &answer.headers()["allow"]),
        (405, &HeaderValue::from_static("POST"))
    );
    shared.snapshots.close();
    assert_eq!(ask(&shared, "GET /snapshot.png", &[], "").0, 503);
    let head = ask(&shared, "HEAD /snapshot.png", &[], "");
    assert_eq!(head.0, 200, "nothing is made for those who want no body");
    for path in [
        "/x",
        "/app.js/",
        "//",
        "/../etc/passwd",
        "/%2e%2e/",
        "/index.html",
        "/App.js",
    ] {
        assert_eq!(
            ask(&shared, &format!("GET {path}"), &[], "").0,
            404,
            "{path}"
        );
    }
}

#[test]
fn the_token_becomes_a_cookie() {
    let shared = shared(Some("s3cret"));
    let (status, answer) = ask(&shared, "GET /?token=wrong", &[], "");
    assert_eq!(status, 403);
    let refusal = text(answer);
    assert!(
        refusal.contains("terminal") && refusal.lines().count() == 1,
        "{refusal}"
    );
    assert_eq!(ask(&shared, "GET /nowhere", &[], "").0, 403);
    let (status, answer) = ask(&shared, "GET /?token=s3cret", &[], "");
    assert_eq!(
        (status, answer.headers()["location"].as_bytes()),
        (303, &b"/"[..])
    );
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert_eq!(
        cookie,
        "gradcam_video_token=s3cret; HttpOnly; SameSite=Strict; Path=/"
    );
    let cookie = cookie.split_once(';').unwrap().0;
    assert_eq!(ask(&shared, "GET /", &[("cookie", cookie)], "").0, 200);
    // From a link on another site the browser would not send the cookie along a redirect.
    let linked = [("sec-fetch-site", "cross-site")];
    let (status, answer) = ask(&shared, "GET /?token=s3cret", &linked, "");
    assert!(status == 200 && answer.headers().contains_key("set-cookie"));
}

#[test]
fn wishes_are_checked() {
    let shared = shared(None);
    let json = ("content-type", "application/json");
    let wish = |headers: &[(&str, &str)], body: &str| {
        let (status, answer) = ask(&shared, "POST /control", headers, body);
        (status, text(answer))
    };
    assert_eq!(wish(&[json], r#"{"alpha":0.5}"#).0, 204);
    let (status, error) = wish(&[json], r#"{"method":"nonsense"}"#);
    assert_eq!(
        (status, error.as_str()),
        (400, r#"{"error":"there is no method nonsense"}"#)
    );
    assert_eq!(wish(&[json], "[1]").0, 400);
    assert_eq!(wish(&[json], "{").0, 400);
    let long = format!(r#"{{"class":"{}"}}"#, "x".repeat(MOST_WISH_BYTES));
    let (status, error) = wish(&[json], &long);
    assert!(status == 400 && error.contains("4096"), "{error}");
    assert_eq!(wish(&[], r#"{"alpha":0.5}"#).0, 415);
    assert_eq!(
        wish(&[json, ("origin", "http://evil.example")], "{}").0,
        403
    );
}

#[test]
fn viewers_have_places_and_names() {
    let shared = shared(None);
    assert_eq!(ask(&shared, "HEAD /stream.mjpg", &[], "").0, 200);
    let (status, stream) = ask(&shared, "GET /stream.mjpg?viewer=7", &[], "");
    assert_eq!(status, 200);
    let (status, answer) = ask(&shared, "GET /stream.mjpg", &[], "");
    assert_eq!(
        (status, text(answer).as_str()),
        (503, "too many viewers, at most 1\n")
    );
    assert_eq!(ask(&shared, "HEAD /stream.mjpg", &[], "").0, 503);
    let status = |query: &str| -> Value {
        serde_json::from_str(&text(
            ask(&shared, &format!("GET /status{query}"), &[], "").1,
        ))
        .unwrap()
    };
    assert_eq!(status("?viewer=7")["watching"], true);
    assert_eq!(status("?viewer=8")["watching"], false);
    assert_eq!(
        (&status("")["viewers"], &status("")["most_viewers"]),
        (&json!(1), &json!(1))
    );
    drop(stream);
    assert_eq!(status("?viewer=7")["watching"], false);
}
