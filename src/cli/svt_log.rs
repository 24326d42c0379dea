//! Keeping an encoder from printing: SVT-AV1 writes a page to stderr, and only its environment can stop it.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The encoder that prints, the variable that it reads, and the value for "errors only".
const ENCODER: &str = "libsvtav1";
const VARIABLE: &str = "SVT_LOG";
const ERRORS_ONLY: &str = "1";

/// Starts this program anew with a quiet environment if it is to use SVT-AV1. Returns if it need not, or cannot: then only the page is printed.
///
/// Setting the variable in this process would be unsafe: other threads may read the environment.
pub(super) fn silence(codec: Option<&str>) {
    if codec != Some(ENCODER) || env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Only comes back if it fails.
    let _ = command.args(arguments).env(VARIABLE, ERRORS_ONLY).exec();
}
