//! The preview on a page: what the server is told, and what viewers' wishes mean.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::http::{Host, HttpOptions, HttpServer};
use super::jpeg::JpegEncoder;
use super::{PATIENCE, snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::live::{Preview, View, Wish};

/// A page for browsers.
pub struct HttpPreview {
    server: HttpServer,
    host: Arc<LiveHost>,
    encoder: JpegEncoder,
}

impl HttpPreview {
    /// Starts the server; viewers see pictures when the run has begun.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if it cannot listen.
    pub fn open(options: HttpOptions) -> Result<Self> {
        let host = Arc::new(LiveHost::default());
        Ok(Self {
            server: HttpServer::start(options, Arc::clone(&host) as Arc<dyn Host>)?,
            host,
            encoder: JpegEncoder::new(),
        })
    }

    /// Where the page is, with its token.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

impl Preview for HttpPreview {
    fn run(&mut self, view: &View) -> Result<()> {
        // A preview serves one run; a second call would show the first one's.
        let _ = self.host.view.set(view.clone());
        let (mut last, mut published) = (None, None);
        while !view.is_over() {
            let shown = view.picture_after(last, PATIENCE);
            if let Some(shown) = &shown {
                last = Some(shown.number);
            }
            // Nobody is looking: nothing is encoded.
            if self.server.viewers() == 0 {
                if published.take().is_some() {
                    self.server.clear();
                }
                continue;
            }
            let Some(shown) = shown.or_else(|| view.current_picture()) else {
                continue;
            };
            if published == Some(shown.number) {
                continue;
            }
            let jpeg = self.encoder.encode(&shown).map_err(|cause| {
                let message = "cannot encode a picture for the page";
                Error::caused_by(ErrorKind::Output, message, cause)
            })?;
            self.server.publish(Bytes::from(jpeg));
            published = Some(shown.number);
            view.seen(&shown);
        }
        Ok(())
    }
}

/// Answers the server's questions from the run.
#[derive(Default)]
struct LiveHost {
    view: OnceLock<View>,
}

impl Host for LiveHost {
    fn status(&self) -> Value {
        let status = self.view.get().map(View::status);
        serde_json::to_value(status).unwrap_or(Value::Null)
    }

    fn control(&self, wish: &Value) -> Result<(), String> {
        let view = self.view.get().ok_or("the run has not begun")?;
        view.wish_all(&wishes(wish)?)
            .map_err(|error| error.one_line())
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        let shown = self.view.get()?.current_picture()?;
        snapshot(&shown).ok()
    }
}

/// What a viewer's JSON object asks for.
fn wishes(object: &Value) -> Result<Vec<Wish>, String> {
    let entries = object.as_object().ok_or("a wish is a JSON object")?;
    let mut wishes = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let text = || {
            let text = value.as_str();
            text.ok_or_else(|| format!("{name} must be a text"))
        };
        wishes.push(match name.as_str() {
            "class" => match text()? {
                "top1" => Wish::TopClass,
                "next" => Wish::NextClass,
                class => Wish::Class(class.to_owned()),
            },
            "method" => Wish::Method(text()?.to_owned()),
            "layer" => Wish::Layer(text()?.to_owned()),
            "layout" => Wish::Layout(parsed(text()?)?),
            "colormap" => Wish::ColorMap(parsed(text()?)?),
            "alpha" => Wish::Alpha(value.as_f64().ok_or("alpha must be a number")? as f32),
            "frozen" => Wish::Freeze(value.as_bool().ok_or("frozen must be true or false")?),
            _ => return Err(format!("there is no setting {name:?}")),
        });
    }
    Ok(wishes)
}

fn parsed<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: Error| error.one_line())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Layout;
    use serde_json::json;

    #[test]
    fn wishes_are_read_or_refused_in_a_line() {
        assert_eq!(wishes(&json!({"class": "next"})), Ok(vec![Wish::NextClass]));
        assert_eq!(
            wishes(&json!({"layout": "triple", "frozen": true})),
            Ok(vec![Wish::Layout(Layout::Triple), Wish::Freeze(true)])
        );
        for wrong in [
            json!([]),
            json!({"layout": "cube"}),
            json!({"alpha": "x"}),
            json!({"class": 7}),
            json!({"quit": true}),
        ] {
            assert!(wishes(&wrong).is_err(), "{wrong}");
        }
    }
}
