//! What can be asked for, and what is answered. There are no files: the page is part of the program.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Limited};
use hyper::body::Body;
use hyper::header::{
    ALLOW, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::Host;
use super::access::{COOKIE_NAME, Gate, check_wish, comes_from_elsewhere, query_value};
use super::answers::{Answer, JSON, line, protect, refused_wish, set, snapshot_name, whole};
use super::stream::{self, Picture, Places, Stream, Wrapping};

/// Wishes are small.
const MOST_WISH_BYTES: usize = 4096;

/// A wish arrives at once or not at all.
const WISH_PATIENCE: Duration = Duration::from_secs(5);

/// Snapshots that are made or wait to be: pictures are large, and each takes a core for a while.
const MOST_SNAPSHOTS: usize = 2;

/// A page.
const HTML: &str = "text/html; charset=utf-8";

/// A snapshot.
const PNG: &str = "image/png";

/// Goes on to the page as our own site: browsers send the cookie we have just set only then, and a redirect would count as the other site's.
const DETOUR: &str = "<!doctype html><meta charset=\"utf-8\"><title>gradcam-video</title>\
    <meta http-equiv=\"refresh\" content=\"0; url=/\"><a href=\"/\">gradcam-video</a>\n";

/// What all connections share.
pub(super) struct Shared {
    /// The program.
    pub(super) host: Arc<dyn Host>,
    /// Who is let in.
    pub(super) gate: Gate,
    /// Who is watching.
    pub(super) places: Arc<Places>,
    /// Places for snapshots.
    pub(super) snapshots: Arc<Semaphore>,
    /// The freshest picture, for whoever is watching.
    pub(super) pictures: watch::Sender<Picture>,
}

impl Shared {
    /// Nobody is watching yet.
    pub(super) fn new(host: Arc<dyn Host>, gate: Gate, most_viewers: usize) -> Self {
        Self {
            host,
            gate,
            places: Places::new(most_viewers),
            snapshots: Arc::new(Semaphore::new(MOST_SNAPSHOTS)),
            pictures: watch::Sender::new(None),
        }
    }
}

/// Answers one request.
pub(super) async fn answer<B>(request: Request<B>, shared: &Shared) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let mut answer = match shared.gate.check(&head) {
        Ok(()) => route(&head, body, shared).await,
        Err(refusal) => {
            let (status, text) = refusal.answer();
            line(status, text)
        }
    };
    protect(answer.headers_mut());
    answer
}

/// Answers a request that has been let in.
async fn route<B>(head: &Parts, body: B, shared: &Shared) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = head.uri.path();
    let allowed = match path {
        "/" | "/app.js" | "/style.css" | "/icon.svg" | "/stream.mjpg" | "/status"
        | "/snapshot.png" => "GET, HEAD",
        "/control" => "POST",
        _ => return line(StatusCode::NOT_FOUND, "there is nothing here"),
    };
    if !allowed.split(", ").any(|method| head.method == method) {
        let text = format!("only {allowed}");
        let mut answer = line(StatusCode::METHOD_NOT_ALLOWED, &text);
        set(&mut answer, ALLOW, allowed);
        return answer;
    }
    match path {
        "/" => page(head, &shared.gate),
        "/app.js" => whole(
            "text/javascript; charset=utf-8",
            include_str!("page/app.js"),
        ),
        "/style.css" => whole("text/css; charset=utf-8", include_str!("page/style.css")),
        "/icon.svg" => whole("image/svg+xml", include_str!("page/icon.svg")),
        "/stream.mjpg" => pictures(head, shared),
        "/status" => status(head, shared),
        "/snapshot.png" => snapshot(head, shared).await,
        _ => control(head, body, shared).await,
    }
}

/// The page; or, if it was opened with the token, a cookie instead of it and the way to the page, so that the token leaves the address bar.
fn page(head: &Parts, gate: &Gate) -> Answer {
    let Some(token) = gate.token_in_address(head) else {
        return whole(HTML, include_str!("page/index.html"));
    };
    let mut answer = if comes_from_elsewhere(&head.headers) {
        whole(HTML, DETOUR)
    } else {
        let mut answer = line(StatusCode::SEE_OTHER, "this way: /");
        set(&mut answer, LOCATION, "/");
        answer
    };
    let cookie = format!("{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/");
    // A right token holds nothing that a header cannot.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// Pictures without end, if there is a place.
fn pictures(head: &Parts, shared: &Shared) -> Answer {
    let places = &shared.places;
    let full = || {
        let text = format!("too many viewers, at most {}", places.most());
        line(StatusCode::SERVICE_UNAVAILABLE, &text)
    };
    if head.method == Method::HEAD {
        let is_full = places.count() >= places.most();
        return if is_full {
            full()
        } else {
            whole(stream::CONTENT_TYPE, "")
        };
    }
    let name = viewer_name(head);
    let Some(place) = places.take(name) else {
        return full();
    };
    // Only our page gives its streams names.
    let wrapping = name.map_or(Wrapping::Counted, |_| Wrapping::Prompt);
    let stream = Stream::new(shared.pictures.subscribe(), wrapping, place);
    let mut answer = Response::new(Either::Right(stream));
    set(&mut answer, CONTENT_TYPE, stream::CONTENT_TYPE);
    answer
}

/// What the program says of itself, and who is watching.
fn status(head: &Parts, shared: &Shared) -> Answer {
    let mut status = shared.host.status();
    if let Some(entries) = status.as_object_mut() {
        entries.insert("viewers".to_owned(), json!(shared.places.count()));
        entries.insert("most_viewers".to_owned(), json!(shared.places.most()));
        if let Some(name) = viewer_name(head) {
            entries.insert("watching".to_owned(), json!(shared.places.has(name)));
        }
    }
    whole(JSON, status.to_string())
}

/// What the asking page calls itself: a number of its own choice, so that it can tell whether its stream is still up.
fn viewer_name(head: &Parts) -> Option<u64> {
    query_value(head, "viewer")?.parse().ok()
}

/// The present picture as a file.
async fn snapshot(head: &Parts, shared: &Shared) -> Answer {
    if head.method == Method::HEAD {
        return whole(PNG, "");
    }
    let Ok(place) = Arc::clone(&shared.snapshots).try_acquire_owned() else {
        let text = "too many snapshots at once, try again";
        let mut answer = line(StatusCode::SERVICE_UNAVAILABLE, text);
        set(&mut answer, RETRY_AFTER, "1");
        return answer;
    };
    let host = Arc::clone(&shared.host);
    let name = snapshot_name(SystemTime::now());
    let make = move || {
        let snapshot = host.snapshot();
        // Here, not with the answer: the work goes on when who asked has gone.
        drop(place);
        snapshot
    };
    match tokio::task::spawn_blocking(make).await {
        Ok(Some(png)) => {
            let mut answer = whole(PNG, png);
            let disposition = format!("attachment; filename=\"{name}\"");
            // Digits and dashes are fit for a header.
            if let Ok(disposition) = HeaderValue::from_str(&disposition) {
                answer
                    .headers_mut()
                    .insert(CONTENT_DISPOSITION, disposition);
            }
            answer
        }
        Ok(None) => line(StatusCode::SERVICE_UNAVAILABLE, "there is no picture yet"),
        Err(_) => line(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the picture cannot be saved",
        ),
    }
}

/// Does what a viewer wishes.
async fn control<B>(head: &Parts, body: B, shared: &Shared) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(refusal) = check_wish(&head.headers) {
        let (status, text) = refusal.answer();
        return line(status, text);
    }
    let body = Limited::new(body, MOST_WISH_BYTES).collect();
    let Ok(Ok(body)) = timeout(WISH_PATIENCE, body).await else {
        let text = format!("a wish has at most {MOST_WISH_BYTES} bytes and comes at once");
        return refused_wish(&text);
    };
    match serde_json::from_slice::<Value>(&body.to_bytes()) {
        Ok(wish) if wish.is_object() => match shared.host.control(&wish) {
            Ok(()) => {
                let mut answer = whole(JSON, "");
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer
            }
            Err(error) => refused_wish(&error),
        },
        Ok(_) => refused_wish("a wish is a JSON object"),
        Err(error) => refused_wish(&format!("a wish is JSON: {error}")),
    }
}

#[cfg(test)]
mod tests;
