//! The preview that fits the request and the machine, and a line about the run on stderr.

use std::thread::{Builder, scope};
use std::time::Duration;

use gradcam_video::Result;
use gradcam_video::pipeline::live::{LiveStatus, Preview, View};
use gradcam_video::preview::NoPreview;
use gradcam_video::source::SourceInfo;
#[cfg(not(all(feature = "window", feature = "http")))]
use gradcam_video::{Error, ErrorKind};

use super::super::console::Console;
#[cfg(feature = "http")]
use super::super::console::say;
use super::args::PreviewArg;
use super::config::LiveConfig;
use super::source::display;
#[cfg(feature = "window")]
use super::window::open_window;

/// Time before the first line about the run, and between two lines.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether there is something to say.
const GLANCE: Duration = Duration::from_millis(250);

/// Opens the preview: errors come before anything is shown.
pub(super) fn open(config: &LiveConfig, info: &SourceInfo) -> Result<Box<dyn Preview>> {
    let is_recording = config.record.is_some() || config.records.is_some();
    let inner: Box<dyn Preview> = match config.preview {
        Some(PreviewArg::Window) => open_window(config, info)?,
        Some(PreviewArg::Http) => open_page(config)?,
        Some(PreviewArg::None) => Box::new(NoPreview),
        None if display().is_some() && cfg!(feature = "window") => open_window(config, info)?,
        None if is_recording => Box::new(NoPreview),
        None => open_page(config)?,
    };
    Ok(Box::new(WithLines {
        inner,
        console: config.console,
    }))
}

#[cfg(not(feature = "window"))]
fn open_window(_config: &LiveConfig, _info: &SourceInfo) -> Result<Box<dyn Preview>> {
    let message = "this program was built without windows (feature window): use --preview http";
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(feature = "http")]
fn open_page(config: &LiveConfig) -> Result<Box<dyn Preview>> {
    use gradcam_video::preview::{HttpOptions, HttpPreview, needs_token, random_token};

    let page = &config.page;
    let token = match &page.token {
        None if needs_token(&page.listen) => Some(random_token()?),
        token => token.clone(),
    };
    let preview = HttpPreview::open(HttpOptions {
        listen: page.listen,
        token,
        most_viewers: page.most_viewers,
    })?;
    // Also with -q: nobody can find a port or a token that are not said.
    say(&format!("the page is at {}", preview.url()));
    Ok(Box::new(preview))
}

#[cfg(not(feature = "http"))]
fn open_page(_config: &LiveConfig) -> Result<Box<dyn Preview>> {
    let message = "this program was built without a server (feature http): use --preview window";
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// Another preview, and a line on stderr now and then.
struct WithLines {
    inner: Box<dyn Preview>,
    console: Console,
}

impl Preview for WithLines {
    fn run(&mut self, view: &View) -> Result<()> {
        if self.console.is_quiet {
            return self.inner.run(view);
        }
        let console = self.console;
        scope(|scope| {
            let lines = || {
                let mut had_signal = true;
                // The first line comes early: it says that all is well.
                let mut interval = FIRST_INTERVAL;
                loop {
                    let mut waited = Duration::ZERO;
                    while waited < interval {
                        if view.wait_for_end(GLANCE) {
                            return;
                        }
                        waited += GLANCE;
                        // A loss of the signal is said at once.
                        if view.has_signal() != had_signal {
                            break;
                        }
                    }
                    interval = LINE_INTERVAL;
                    had_signal = view.has_signal();
                    console.info(&line(&view.status()));
                }
            };
            // Without the thread there are no lines.
            let _lines = Builder::new()
                .name("lines".to_owned())
                .spawn_scoped(scope, lines);
            let outcome = self.inner.run(view);
            view.quit();
            outcome
        })
    }
}

/// A run in a line.
fn line(status: &LiveStatus) -> String {
    if let Some(message) = &status.message {
        return message.clone();
    }
    let top = status.top.first();
    let top = top.map_or_else(String::new, |top| {
        format!(", {} {:.1}%", top.label, top.prob * 100.0)
    });
    let map = status.map_latency_ms.map_or_else(String::new, |latency| {
        format!(", map {:.0} ms late", latency.p95)
    });
    format!(
        "{:.1} fps, {:.1} maps/s{map}, {} frames without a map of their own{top}",
        status.fps.captured, status.fps.explained, status.frames.dropped
    )
}
