//! The preview in a window, and where its snapshots go.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use gradcam_video::pipeline::live::{Preview, Shown};
use gradcam_video::preview::{WindowPreview, snapshot};
use gradcam_video::source::SourceInfo;
use gradcam_video::{Error, ErrorKind, Result};

use super::config::LiveConfig;

/// Snapshots of one second that get names of their own.
const MOST_SNAPSHOTS: u32 = 100;

/// Opens the preview in a window.
pub(super) fn open_window(config: &LiveConfig, info: &SourceInfo) -> Result<Box<dyn Preview>> {
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
