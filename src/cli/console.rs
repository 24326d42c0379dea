//! What is said on stderr besides progress.

use std::io::Write as _;

use super::args::VerbosityArgs;

/// Prints one line on stderr. If nobody reads it any more (a closed terminal, a full disk), the run goes on without.
pub(super) fn say(text: &str) {
    // In one piece, so that lines of several threads do not mix.
    let line = format!("gradcam-video: {}\n", printable(text));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// One line: names of files and classes may hold what a terminal obeys.
pub(super) fn printable(text: &str) -> String {
    let shown = |letter: char| {
        if letter.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            letter
        }
    };
    text.chars().map(shown).collect()
}

/// What is said on stderr besides errors.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Console {
    pub(super) is_quiet: bool,
    is_verbose: bool,
}

impl From<VerbosityArgs> for Console {
    fn from(args: VerbosityArgs) -> Self {
        Self {
            is_quiet: args.quiet,
            is_verbose: args.verbose,
        }
    }
}

impl Console {
    pub(super) fn info(self, text: &str) {
        if !self.is_quiet {
            say(text);
        }
    }

    pub(super) fn note(self, text: &str) {
        self.info(&format!("note: {text}"));
    }

    pub(super) fn detail(self, text: &str) {
        if self.is_verbose {
            self.info(text);
        }
    }
}
