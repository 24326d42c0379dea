//! The preview that fits the request and the machine, and a line about the run on stderr.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Write as _};
use std::path::PathBuf;
use std::thread::{Builder, scope};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gradcam_video::pipeline::live::{LiveStatus, Preview, Shown, View};
use gradcam_video::preview::{NoPreview, snapshot};
use gradcam_video::source::SourceInfo;
use gradcam_video::{Error, ErrorKind, Result};

use super::super::console::Console;
use super::args::PreviewArg;
use super::config::LiveConfig;
use super::source::display;

/// Time before the first line about the run, and between two lines.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether there is something to say.
const GLANCE: Duration = Duration::from_millis(250);
/// Snapshots of one second that get names of their own.
const MOST_SNAPSHOTS: u32 = 100;

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

#[cfg(feature = "window")]
fn open_window(config: &LiveConfig, info: &SourceInfo) -> Result<Box<dyn Preview>> {
    use gradcam_video::preview::WindowPreview;

    let columns = config
        .picture
        .render
        .layout
        .panel_count(config.target.classes.len());
    let width = (info.width as f64 * info.pixel_aspect).round() as usize;
    let (width, height) = info.orientation.upright_size(width, info.height);
    let console = config.console;
    let take_snapshot = move |shown: &Shown| {
        let outcome = save_snapshot(shown).map_or_else(
            |error| error.one_line(),
            |path| format!("wrote {}", path.display()),
        );
        console.info(&outcome);
        outcome
    };
    let title = format!("gradcam-video: {}", config.sources.name());
    let window = WindowPreview::open(&title, (width * columns, height), Box::new(take_snapshot))?;
    Ok(Box::new(window))
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
    eprintln!("gradcam-video: the page is at {}", preview.url());
    Ok(Box::new(preview))
}

#[cfg(not(feature = "http"))]
fn open_page(_config: &LiveConfig) -> Result<Box<dyn Preview>> {
    let message = "this program was built without a server (feature http): use --preview window";
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// Writes the picture into the current folder under a new name.
fn save_snapshot(shown: &Shown) -> Result<PathBuf> {
    let png = snapshot(shown)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let secs = since.unwrap_or_default().as_secs();
    for number in 1..=MOST_SNAPSHOTS {
        let path = PathBuf::from(match number {
            1 => format!("gradcam-video-{secs}.png"),
            _ => format!("gradcam-video-{secs}-{number}.png"),
        });
        let failed = |cause: std::io::Error| {
            let message = format!("cannot write {}", path.display());
            Error::caused_by(ErrorKind::Output, message, cause)
        };
        match File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(&png).map_err(failed)?;
                return Ok(path);
            }
            Err(error) if error.kind() == IoErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let message = format!("cannot write a snapshot: there are {MOST_SNAPSHOTS} of this second");
    Err(Error::new(ErrorKind::Output, message))
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
