//! Writes a dataset with a planted artefact: what an audit should find in it is in its `truth.json`.
//!
//! ```text
//! planted_dataset ROOT FOLDER [--figures]
//! ```
//!
//! `ROOT` is the repository's root. With `--figures` the network then runs over all pictures, and what it makes of them is printed.

mod planted;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gradcam_video::{Error, ErrorKind, Result};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear that this failed too.
            let _ = writeln!(std::io::stderr(), "error: {}", error.one_line());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (root, folder, has_figures) = match arguments.as_slice() {
        [root, folder] => (root, folder, false),
        [root, folder, flag] if flag == Path::new("--figures") => (root, folder, true),
        _ => {
            let usage = "usage: planted_dataset ROOT FOLDER [--figures]";
            return Err(Error::new(ErrorKind::InvalidArgument, usage));
        }
    };
    let truth = planted::write_dataset(root, folder)?;
    if has_figures {
        let figures = planted::figures::measure(root, folder, &truth)?;
        let failed = |error| Error::caused_by(ErrorKind::Output, "cannot print the figures", error);
        writeln!(std::io::stdout(), "{figures:#?}").map_err(failed)?;
    }
    Ok(())
}
