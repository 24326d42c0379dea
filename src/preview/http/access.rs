//! Who may ask for what: the token, and what browsers say about the web site that makes them ask.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, ErrorKind, Result};

/// The cookie that carries the token once the page has been opened with it.
pub(super) const COOKIE_NAME: &str = "gradcam_video_token";

/// The name of the token in an address.
const QUERY_NAME: &str = "token";

/// 128 bits cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// A new token that nobody can guess, in hexadecimal digits.
///
/// # Errors
/// [`ErrorKind::Output`] if the system has no random numbers.
pub fn random_token() -> Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = "cannot make a random token";
        Error::caused_by(ErrorKind::Output, message, error.to_string())
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether others than this machine's users can reach `address`: anything but loopback.
pub fn needs_token(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The address under which we were reached could be another site's name for us (DNS rebinding).
    ForeignName,
    /// Another web site makes a browser ask.
    ForeignSite,
    /// No token, or a wrong one.
    WrongToken,
    /// A wish that a browser's form could have sent from anywhere.
    NotJson,
}

impl Refusal {
    /// The answer: status and one line for people.
    pub(super) fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::ForeignName => (
                StatusCode::FORBIDDEN,
                "open this by its IP address or as localhost",
            ),
            Self::ForeignSite => (
                StatusCode::FORBIDDEN,
                "other web sites may not ask for this",
            ),
            Self::WrongToken => (
                StatusCode::FORBIDDEN,
                "this needs the token: open the address that gradcam-video printed in its terminal when it started",
            ),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "wishes come as Content-Type: application/json",
            ),
        }
    }
}

/// Lets requests in or refuses them.
#[derive(Debug)]
pub(super) struct Gate {
    /// Digests have one length and are compared in constant time, so that neither length nor beginning of the token can be measured.
    token: Option<[u8; 32]>,
}

impl Gate {
    /// A gate that asks for `token`, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the token would have to be escaped in an address.
    pub(super) fn new(token: Option<&str>) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if token.is_some_and(|token| token.is_empty() || !token.bytes().all(is_plain)) {
            let message = "a token consists of letters, digits, '-', '.', '_' and '~'";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(Self {
            token: token.map(digest),
        })
    }

    /// Checks everything that does not depend on what is asked for.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Refusal> {
        let host = only(&head.headers, HOST.as_str()).ok_or(Refusal::ForeignName)?;
        // Whoever knows the token has not been led here by a name.
        if self.token.is_none() && !is_local_name(host) {
            return Err(Refusal::ForeignName);
        }
        let is_page = matches!(head.method, Method::GET | Method::HEAD) && head.uri.path() == "/";
        if comes_from_elsewhere(&head.headers) && !is_page {
            return Err(Refusal::ForeignSite);
        }
        let is_admitted = self.token.is_none()
            || self.admits_query(head)
            || bearer(&head.headers).is_some_and(|token| self.admits(token))
            || cookies(&head.headers).any(|token| self.admits(token));
        if is_admitted {
            Ok(())
        } else {
            Err(Refusal::WrongToken)
        }
    }

    /// The right token, if the address carries it.
    pub(super) fn token_in_address<'a>(&self, head: &'a Parts) -> Option<&'a str> {
        query_value(head, QUERY_NAME).filter(|token| self.admits(token))
    }

    /// Whether the address carries the right token.
    fn admits_query(&self, head: &Parts) -> bool {
        self.token_in_address(head).is_some()
    }

    /// Whether this is the token.
    fn admits(&self, candidate: &str) -> bool {
        self.token
            .is_some_and(|token| bool::from(token.ct_eq(&digest(candidate))))
    }
}

/// Whether another site than ours made the browser ask. Programs that are no browsers do not say.
pub(super) fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
}

/// Checks that no other web site can have sent this wish through a browser.
pub(super) fn check_wish(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(ORIGIN) {
        let origin = only(headers, ORIGIN.as_str()).unwrap_or_default();
        let host = only(headers, HOST.as_str()).unwrap_or_default();
        let site = ["http://", "https://"]
            .iter()
            .find_map(|scheme| origin.strip_prefix(scheme));
        if !site.is_some_and(|site| site.eq_ignore_ascii_case(host)) {
            return Err(Refusal::ForeignSite);
        }
    }
    let kind = only(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let (kind, _) = kind.split_once(';').unwrap_or((kind, ""));
    if kind.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::NotJson)
    }
}

/// The value of `name` in the address's query.
pub(super) fn query_value<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let pairs = head.uri.query()?.split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

/// What is compared instead of the token.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The text of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether `host` (with or without a port) is no name that somebody could point at us.
fn is_local_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// The token that a program sends.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = only(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What browsers may have kept as the token: more than one, if another path or site has set its own.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(name, value)| (name == COOKIE_NAME).then_some(value))
}

#[cfg(test)]
mod tests;
