//! The preview's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::Sender;

use super::capture::spawn;
use super::{Preview, View};
use crate::error::{Error, ErrorKind, Result};

/// Starts the thread; it ends the run when it ends, and sends how. It is waited for, but not joined: a display that hangs may block it for good.
pub(super) fn start(
    mut preview: Box<dyn Preview>,
    view: View,
    end: Sender<Result<()>>,
) -> Result<()> {
    let work = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| preview.run(&view)));
        let outcome = outcome.unwrap_or_else(|_| {
            let message = "internal error on thread preview, please report it";
            Err(Error::new(ErrorKind::Internal, message))
        });
        let _ = end.send(outcome);
        view.quit();
    };
    spawn("preview", work)
}
