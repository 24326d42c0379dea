//! Ctrl-C and termination: the first asks the pipeline to finish what it has, the second ends the program.

use anyhow::Context;
use gradcam_video::pipeline::CancelToken;
use gradcam_video::sink::remove_unfinished_files;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::console::Console;

/// Exit code after an interrupt.
const INTERRUPTED: i32 = 130;

/// Connects the signals to `cancel`; `what` is said to happen then. What the caller had us ignore, as `nohup` and shells without job
/// control do, stays ignored.
pub(super) fn install(
    cancel: &CancelToken,
    console: Console,
    what: &'static str,
) -> anyhow::Result<()> {
    let ignored = ignored_signals();
    let heeded = [SIGHUP, SIGINT, SIGTERM].map(|signal| (signal, ignored & mask(signal) != 0));
    let heeded = heeded.into_iter().filter(|(_, is_ignored)| !is_ignored);
    let mut signals =
        Signals::new(heeded.map(|(signal, _)| signal)).context("cannot handle interrupts")?;
    let cancel = cancel.clone();
    let listen = move || {
        for _ in signals.forever() {
            if cancel.is_cancelled() {
                remove_unfinished_files();
                std::process::exit(INTERRUPTED);
            }
            cancel.cancel();
            console.info(&format!("{what}; interrupt again to abort"));
        }
    };
    std::thread::Builder::new()
        .name("interrupts".to_owned())
        .spawn(listen)
        .context("cannot handle interrupts")?;
    Ok(())
}

/// The signals that were ignored when the program began, a bit each. Where the system does not say, none.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status).unwrap_or(0)
}

fn ignored_in(status: &str) -> Option<u64> {
    let hexadecimal = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(hexadecimal.trim(), 16).ok()
}

fn mask(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let status = "Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_eq!(
            ignored_in(status),
            Some(mask(SIGHUP) | mask(signal_hook::consts::SIGPIPE))
        );
        assert_eq!(ignored_in("Name:\tx\n"), None);
    }
}
