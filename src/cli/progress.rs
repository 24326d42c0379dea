//! Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gradcam_video::pipeline::{Progress, Reporter};
use indicatif::{ProgressBar, ProgressStyle};

use super::console::say;

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Shows progress until it is dropped.
pub(super) enum ProgressView {
    /// `-q`.
    Silent,
    Bar(ProgressBar, &'static str),
    Plain(Mutex<Plain>, &'static str),
}

pub(super) struct Plain {
    start: Instant,
    last_line: Instant,
    frames_done: u64,
}

impl ProgressView {
    /// Chooses by what stderr is; frames are counted.
    pub(super) fn new(is_quiet: bool, estimated_frames: Option<u64>) -> Self {
        Self::counting(is_quiet, estimated_frames, "frames")
    }

    /// The same, where `things` are counted.
    pub(super) fn counting(is_quiet: bool, estimated: Option<u64>, things: &'static str) -> Self {
        if is_quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            let now = Instant::now();
            let plain = Plain {
                start: now,
                last_line: now,
                frames_done: 0,
            };
            return Self::Plain(Mutex::new(plain), things);
        }
        let bar = match estimated {
            Some(count) => ProgressBar::new(count),
            None => ProgressBar::no_length(),
        };
        Self::Bar(bar.with_style(style(estimated.is_some(), things)), things)
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar, _) = self {
            bar.finish_and_clear();
        }
    }
}

fn style(has_length: bool, things: &'static str) -> ProgressStyle {
    let template = if has_length {
        "{bar:30} {pos}/{len} {things}  {per_sec}  ETA {eta}  {wide_msg}"
    } else {
        "{spinner} {pos} {things}  {per_sec}  {wide_msg}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key(
            "per_sec",
            move |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.1} {}", state.per_sec(), per_second(things));
            },
        )
        .with_key(
            "things",
            move |_: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(things);
            },
        )
}

/// Unit of speed.
fn per_second(things: &str) -> String {
    match things {
        "frames" => "fps".to_owned(),
        things => format!("{things}/s"),
    }
}

impl Reporter for ProgressView {
    fn frame_done(&self, progress: Progress<'_>) {
        match self {
            Self::Silent => {}
            Self::Bar(bar, things) => {
                match (bar.length(), progress.estimated_frames) {
                    (Some(length), _) if length < progress.frames_done => {
                        bar.set_length(progress.frames_done);
                    }
                    // It was not known before.
                    (None, Some(estimated)) => {
                        bar.set_style(style(true, things));
                        bar.set_length(estimated);
                    }
                    _ => {}
                }
                bar.set_position(progress.frames_done);
                bar.set_message(progress.top_class.to_owned());
            }
            Self::Plain(plain, things) => {
                let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                plain.count(progress.frames_done);
                if let Some(elapsed) = plain.is_due() {
                    say(&plain_line(progress, elapsed, things));
                }
            }
        }
    }

    fn pass_done(&self, done: usize, total: usize) {
        match self {
            Self::Silent => {}
            Self::Bar(bar, _) => {
                bar.set_message(format!("pass {done} of {total}"));
                bar.tick();
            }
            Self::Plain(plain, _) => {
                let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                if plain.is_due().is_some() {
                    say(&format!("pass {done} of {total}"));
                }
            }
        }
    }
}

impl Plain {
    /// Counts that begin anew are another pass over the video, with a clock of its own.
    fn count(&mut self, frames_done: u64) {
        if frames_done < self.frames_done {
            self.start = Instant::now();
        }
        self.frames_done = frames_done;
    }

    /// The time since the start, if a line is due; it counts as printed then.
    fn is_due(&mut self) -> Option<Duration> {
        if self.last_line.elapsed() < PLAIN_INTERVAL {
            return None;
        }
        self.last_line = Instant::now();
        Some(self.start.elapsed())
    }
}

fn plain_line(progress: Progress<'_>, elapsed: Duration, things: &str) -> String {
    let unit = per_second(things);
    let fps = progress.frames_done as f64 / elapsed.as_secs_f64().max(1e-9);
    let total = match progress.estimated_frames {
        Some(total) if total > progress.frames_done => {
            let eta_secs = (total - progress.frames_done) as f64 / fps;
            format!("/{total} {things}, {fps:.1} {unit}, ETA {eta_secs:.0} s")
        }
        _ => format!(" {things}, {fps:.1} {unit}"),
    };
    let class = progress.top_class;
    let class = if class.is_empty() {
        String::new()
    } else {
        format!(", {class}")
    };
    format!("{}{total}{class}", progress.frames_done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pass_has_its_own_clock() {
        let start = Instant::now()
            .checked_sub(Duration::from_secs(100))
            .unwrap();
        let mut plain = Plain {
            start,
            last_line: start,
            frames_done: 0,
        };
        plain.count(1);
        plain.count(50);
        assert_eq!(plain.start, start);
        plain.count(1);
        assert!(plain.start.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn a_plain_line_says_position_speed_and_class() {
        let progress = Progress {
            frames_done: 50,
            estimated_frames: Some(150),
            top_class: "cup",
        };
        let elapsed = Duration::from_secs(5);
        assert_eq!(
            plain_line(progress, elapsed, "frames"),
            "50/150 frames, 10.0 fps, ETA 10 s, cup"
        );
        let unknown = Progress {
            estimated_frames: None,
            ..progress
        };
        assert_eq!(
            plain_line(unknown, elapsed, "frames"),
            "50 frames, 10.0 fps, cup"
        );
        let without_class = Progress {
            top_class: "",
            ..unknown
        };
        assert_eq!(
            plain_line(without_class, elapsed, "files"),
            "50 files, 10.0 files/s"
        );
    }
}
