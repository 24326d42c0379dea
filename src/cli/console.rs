//! What is said on stderr besides errors and progress.

use super::args::VerbosityArgs;

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
            eprintln!("gradcam-video: {text}");
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
