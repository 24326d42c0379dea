//! Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gradcam_video::pipeline::{Progress, Reporter};
use indicatif::{ProgressBar, ProgressStyle};

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Shows progress until it is dropped.
pub(super) enum ProgressView {
    /// `-q`.
    Silent,
    Bar(ProgressBar),
    Plain(Mutex<Plain>),
}

pub(super) struct Plain {
    start: Instant,
    last_line: Instant,
}

impl ProgressView {
    /// Chooses by what stderr is.
    pub(super) fn new(is_quiet: bool, estimated_frames: Option<u64>) -> Self {
        if is_quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            let now = Instant::now();
            return Self::Plain(Mutex::new(Plain {
                start: now,
                last_line: now,
            }));
        }
        let (bar, template) = match estimated_frames {
            Some(count) => (
                ProgressBar::new(count),
                "{bar:30} {pos}/{len} frames  {per_sec}  ETA {eta}  {wide_msg}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {pos} frames  {per_sec}  {wide_msg}",
            ),
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key(
                "per_sec",
                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(out, "{:.1} fps", state.per_sec());
                },
            );
        Self::Bar(bar.with_style(style))
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Reporter for ProgressView {
    fn frame_done(&self, progress: Progress<'_>) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                if bar
                    .length()
                    .is_some_and(|length| length < progress.frames_done)
                {
                    bar.set_length(progress.frames_done);
                }
                bar.set_position(progress.frames_done);
                bar.set_message(progress.top_class.to_owned());
            }
            Self::Plain(plain) => {
                let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(elapsed) = plain.is_due() {
                    eprintln!("gradcam-video: {}", plain_line(progress, elapsed));
                }
            }
        }
    }

    fn pass_done(&self, done: usize, total: usize) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                bar.set_message(format!("pass {done} of {total}"));
                bar.tick();
            }
            Self::Plain(plain) => {
                let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                if plain.is_due().is_some() {
                    eprintln!("gradcam-video: pass {done} of {total}");
                }
            }
        }
    }
}

impl Plain {
    /// The time since the start, if a line is due; it counts as printed then.
    fn is_due(&mut self) -> Option<Duration> {
        if self.last_line.elapsed() < PLAIN_INTERVAL {
            return None;
        }
        self.last_line = Instant::now();
        Some(self.start.elapsed())
    }
}

fn plain_line(progress: Progress<'_>, elapsed: Duration) -> String {
    let fps = progress.frames_done as f64 / elapsed.as_secs_f64().max(1e-9);
    let total = match progress.estimated_frames {
        Some(total) if total > progress.frames_done => {
            let eta_secs = (total - progress.frames_done) as f64 / fps;
            format!("/{total} frames, {fps:.1} fps, ETA {eta_secs:.0} s")
        }
        _ => format!(" frames, {fps:.1} fps"),
    };
    format!("{}{total}, {}", progress.frames_done, progress.top_class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_position_speed_and_class() {
        let progress = Progress {
            frames_done: 50,
            estimated_frames: Some(150),
            top_class: "cup",
        };
        let elapsed = Duration::from_secs(5);
        assert_eq!(
            plain_line(progress, elapsed),
            "50/150 frames, 10.0 fps, ETA 10 s, cup"
        );
        let unknown = Progress {
            estimated_frames: None,
            ..progress
        };
        assert_eq!(plain_line(unknown, elapsed), "50 frames, 10.0 fps, cup");
    }
}
