//! The preview in a browser: a small HTTP server that shows pictures as they come and takes the viewers' wishes.
//!
//! Everything runs on one thread named `http`; the program only ever replaces the picture before it, and so is never held up by a viewer.

mod access;
mod answers;
mod routes;
mod server;
mod socket;
mod stream;
#[cfg(test)]
mod test_host;

use std::net::SocketAddr;

pub use access::{needs_token, random_token};
pub(super) use server::HttpServer;

/// How the server listens.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Without it nobody gets anything: letters, digits, `-`, `.`, `_` and `~`. `None` lets everybody in who can reach the address.
    pub token: Option<String>,
    /// This many may watch at a time; others are told so.
    pub most_viewers: usize,
}

/// What the server asks of the program. Called from the server's threads.
pub(crate) trait Host: Send + Sync + 'static {
    /// What the page shows beside the picture: a JSON object. Quick: the server waits for it.
    fn status(&self) -> serde_json::Value;

    /// Does what a viewer wishes (a JSON object). Quick: the server waits for it.
    ///
    /// # Errors
    /// One line for the viewer that says why it cannot be.
    fn control(&self, wish: &serde_json::Value) -> Result<(), String>;

    /// The present picture as a PNG file, if there is one. May be slow: it has a thread of its own.
    fn snapshot(&self) -> Option<Vec<u8>>;
}
