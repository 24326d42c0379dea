//! The command line: arguments, their validation, progress, exit codes. Only this layer prints, and never with macros, which panic where
//! nobody reads.

mod args;
mod audit;
mod bench;
mod config;
mod console;
mod evaluate;
mod evaluation;
mod explain;
mod files;
mod interrupt;
mod live;
mod model;
mod progress;
mod render;
mod results;
mod summary;
mod svt_log;
mod values;
mod weights;

use std::process::ExitCode;

use clap::Parser;
use gradcam_video::{Error, ErrorKind};

use self::args::{Args, Command};
use self::console::say;

/// How a command ended, as the exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All went well.
    Done,
    /// Finished, but some input was damaged.
    Damaged,
    /// Finished, and something was found that the caller does not accept.
    Findings,
    /// Stopped on request; the output is finished and playable.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Damaged => 3,
            Outcome::Findings => 4,
            Outcome::Interrupted => 130,
        })
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // A defect of ours: one line for the report, not a trace for the user.
        let panic = panic.to_string().replace('\n', " ");
        say(&format!("internal error, please report it: {panic}"));
    }));
    std::panic::catch_unwind(run).unwrap_or(ExitCode::FAILURE)
}

fn run() -> ExitCode {
    let args = Args::parse();
    let codec = match &args.command {
        None => args.explain.output_args.encoding.codec.as_deref(),
        Some(Command::Render(args)) => args.output_args.encoding.codec.as_deref(),
        Some(Command::Live(args)) => args.codec(),
        Some(_) => None,
    };
    svt_log::silence(codec);
    let result = match args.command {
        None => config::ExplainConfig::new(args.explain).and_then(explain::run),
        Some(Command::Live(args)) => live::run(*args),
        Some(Command::Audit(args)) => audit::run(*args),
        Some(Command::Render(args)) => config::RenderConfig::new(*args).and_then(render::run),
        Some(Command::Evaluate(args)) => evaluate::run(*args),
        Some(Command::Summary(args)) => summary::run(&args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Weights(args)) => weights::run(&args),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let (line, code) = describe(&error);
            say(&line);
            ExitCode::from(code)
        }
    }
}

/// The one line that is printed, and the exit code.
fn describe(error: &anyhow::Error) -> (String, u8) {
    match error.downcast_ref::<Error>() {
        Some(error) => {
            let code = match error.kind() {
                ErrorKind::InvalidArgument => 2,
                ErrorKind::Cancelled => 130,
                _ => 1,
            };
            (error.one_line(), code)
        }
        None => (format!("{error:#}").replace('\n', " "), 1),
    }
}
