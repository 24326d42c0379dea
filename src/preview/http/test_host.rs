//! A program for the tests of the server to serve.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Host, HttpOptions, HttpServer};

/// Says little, knows no method `nonsense`, and takes its time over snapshots.
#[derive(Debug)]
pub(super) struct TestHost;

impl Host for TestHost {
    fn status(&self) -> Value {
        json!({ "state": "live" })
    }

    fn control(&self, wish: &Value) -> Result<(), String> {
        match wish["method"].as_str() {
            Some("nonsense") => Err("there is no method nonsense".to_owned()),
            _ => Ok(()),
        }
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        std::thread::sleep(Duration::from_millis(500));
        Some(b"PNG".to_vec())
    }
}

/// A server without a token on a free port.
pub(super) fn start(most_viewers: usize) -> HttpServer {
    start_with(most_viewers, Duration::from_secs(10))
}

/// Such a server with another patience for viewers that do not read.
pub(super) fn start_with(most_viewers: usize, patience: Duration) -> HttpServer {
    let options = HttpOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        token: None,
        most_viewers,
    };
    HttpServer::start_with_patience(options, Arc::new(TestHost), patience).unwrap()
}
