//! What answers are made of: bodies, and the headers that keep other web sites out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::stream::Stream;

/// Either a whole answer or pictures without end.
pub(super) type Answer = Response<Either<Full<Bytes>, Stream>>;

/// Plain text for people.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// JSON for the page.
pub(super) const JSON: &str = "application/json";

/// Nothing comes from elsewhere, and nobody can frame the page or read what it shows.
const PROTECTION: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (CACHE_CONTROL, "no-store"),
];

/// Adds what every answer carries.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in PROTECTION {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A whole answer.
pub(super) fn whole(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    set(&mut answer, CONTENT_TYPE, kind);
    answer
}

/// One line for people, with a status.
pub(super) fn line(status: StatusCode, text: &str) -> Answer {
    let mut answer = whole(TEXT, format!("{text}\n"));
    *answer.status_mut() = status;
    answer
}

/// A wish that cannot be, as the page expects it.
pub(super) fn refused_wish(error: &str) -> Answer {
    let mut answer = whole(JSON, serde_json::json!({ "error": error }).to_string());
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

/// Sets a header.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

/// A name for a picture taken now, by the clock of the world: `gradcam-2026-11-25T22-42-18Z.png`.
pub(super) fn snapshot_name(now: SystemTime) -> String {
    const SECONDS_PER_DAY: u64 = 86_400;
    // A clock before 1970 is wrong anyway.
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let second = since.as_secs() % SECONDS_PER_DAY;
    let (year, month, day) = date(since.as_secs() / SECONDS_PER_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("gradcam-{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z.png")
}

/// Year, month and day of the month, `days` after 1970-01-01. Years begin in March here, so that leap days are the last.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097; // 400 years
    const DAYS_FROM_MARCH_OF_YEAR_0: u64 = 719_468;
    let days = days + DAYS_FROM_MARCH_OF_YEAR_0;
    let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_by_date_and_time() {
        let name = |seconds| snapshot_name(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(name(0), "gradcam-1970-01-01T00-00-00Z.png");
        assert_eq!(name(951_782_399), "gradcam-2000-02-28T23-59-59Z.png");
        assert_eq!(name(951_782_400), "gradcam-2000-02-29T00-00-00Z.png");
        assert_eq!(name(1_764_110_538), "gradcam-2025-11-25T22-42-18Z.png");
        assert_eq!(name(4_107_542_400), "gradcam-2100-03-01T00-00-00Z.png");
    }
}
