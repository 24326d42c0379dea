//! Ctrl-C and termination: the first asks the pipeline to finish what it has, the second ends the program.

use anyhow::Context;
use gradcam_video::pipeline::CancelToken;
use gradcam_video::sink::remove_unfinished_files;

use super::console::Console;

/// Exit code after an interrupt.
const INTERRUPTED: i32 = 130;

/// Connects the signals to `cancel`; `what` is said to happen then.
pub(super) fn install(
    cancel: &CancelToken,
    console: Console,
    what: &'static str,
) -> anyhow::Result<()> {
    let cancel = cancel.clone();
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            remove_unfinished_files();
            std::process::exit(INTERRUPTED);
        }
        console.info(&format!("{what}; interrupt again to abort"));
        cancel.cancel();
    })
    .context("cannot handle interrupts")
}
