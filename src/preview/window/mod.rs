//! The preview in a window, with keys.

mod x11;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::x11::{ESCAPE, Happening, X11Error, X11Window};
use super::picture::{Painter, fit, upright_size};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ColorModel, Picture, Samples};
use crate::picture::SampleSpace;
use crate::pipeline::live::{LiveState, LiveStatus, Percentiles, Preview, Shown, View, Wish};
use crate::render::{LabelLine, LabelPainter};

/// The window at the beginning is at most as large as this, in pixels; it can be made larger.
const LARGEST: (usize, usize) = (1280, 720);
/// How long the window waits for a picture before it looks at keys.
const PATIENCE: Duration = Duration::from_millis(15);
/// How often the figures in the title change.
const TITLE_INTERVAL: Duration = Duration::from_millis(500);
/// How long a word to the viewer stands in the title.
const NOTICE_TIME: Duration = Duration::from_secs(3);

/// What the keys do.
const HELP: [&str; 8] = [
    "Esc or q: quit",
    "c: next class",
    "m: next method",
    "l: next layout",
    "p: next palette",
    "space: freeze, go on",
    "s: snapshot",
    "?: this help",
];

/// Takes a snapshot, and says where it is or why there is none.
pub type TakeSnapshot = dyn FnMut(&Shown) -> String + Send;

/// A window on the user's screen.
pub struct WindowPreview {
    window: X11Window,
    painter: Painter,
    take_snapshot: Box<TakeSnapshot>,
    has_help: bool,
    notice: Option<(String, Instant)>,
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq)]
enum Pressed {
    Quit,
    Wish(Wish),
    Snapshot,
    Help,
}

/// The meaning of what is typed.
fn meaning(typed: char) -> Option<Pressed> {
    Some(match typed.to_ascii_lowercase() {
        ESCAPE | 'q' => Pressed::Quit,
        'c' => Pressed::Wish(Wish::NextClass),
        'm' => Pressed::Wish(Wish::NextMethod),
        'l' => Pressed::Wish(Wish::NextLayout),
        'p' => Pressed::Wish(Wish::NextColorMap),
        ' ' => Pressed::Wish(Wish::ToggleFreeze),
        's' => Pressed::Snapshot,
        '?' | 'h' => Pressed::Help,
        _ => return None,
    })
}

impl WindowPreview {
    /// Opens the window for pictures of `size`, upright and with square pixels. `take_snapshot` is called for the key `s`.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if there is no display to open it on.
    pub fn open(
        title: &str,
        size: (usize, usize),
        take_snapshot: Box<TakeSnapshot>,
    ) -> Result<Self> {
        let (width, height) = fit(size, (size.0.min(LARGEST.0), size.1.min(LARGEST.1)));
        let window = X11Window::open(title, (width, height));
        let window = window.map_err(|cause| {
            let message = format!("cannot open a window: {cause}");
            Error::new(ErrorKind::Output, message)
        })?;
        Ok(Self {
            window,
            painter: Painter::new(),
            take_snapshot,
            has_help: false,
            notice: None,
        })
    }

    fn obey(&mut self, pressed: Pressed, view: &View) {
        match pressed {
            Pressed::Quit => view.quit(),
            Pressed::Help => self.has_help = !self.has_help,
            Pressed::Wish(wish) => {
                if let Err(error) = view.wish(&wish) {
                    self.notice = Some((error.one_line(), Instant::now()));
                }
            }
            Pressed::Snapshot => {
                if let Some(shown) = view.current_picture() {
                    let notice = (self.take_snapshot)(&shown);
                    self.notice = Some((notice, Instant::now()));
                }
            }
        }
    }

    /// Draws the picture into the middle of the window.
    fn draw(&mut self, shown: &Shown) -> Result<()> {
        let room = self.window.size();
        let room = (room.0.max(1), room.1.max(1));
        let size = fit(upright_size(shown), room);
        let with_help = self.has_help.then(|| with_help(shown)).transpose()?;
        let words = self
            .painter
            .words(with_help.as_ref().unwrap_or(shown), size)
            .map_err(|error| {
                let message = format!("cannot draw into the window: {error}");
                Error::new(ErrorKind::Output, message)
            })?;
        let buffer = centred(words, size, room);
        self.window
            .show(bytemuck::cast_slice(&buffer), room)
            .map_err(lost)
    }

    /// Looks what the viewer has done; tells whether the window must be drawn again.
    fn attend(&mut self, view: &View) -> Result<bool> {
        let happenings = self.window.happenings().map_err(lost)?;
        for happening in &happenings {
            match happening {
                Happening::Typed(typed) => {
                    if let Some(pressed) = meaning(*typed) {
                        self.obey(pressed, view);
                    }
                }
                Happening::Exposed => {}
                Happening::Closed => view.quit(),
            }
        }
        Ok(!happenings.is_empty())
    }

    fn title(&mut self, status: &LiveStatus) -> String {
        self.notice
            .take_if(|(_, since)| since.elapsed() > NOTICE_TIME);
        match &self.notice {
            Some((notice, _)) => notice.clone(),
            None => title(status),
        }
    }
}

impl Preview for WindowPreview {
    fn run(&mut self, view: &View) -> Result<()> {
        let mut last: Option<Arc<Shown>> = None;
        let mut title_at: Option<Instant> = None;
        while !view.is_over() {
            let number = last.as_ref().map(|shown| shown.number);
            if let Some(shown) = view.picture_after(number, PATIENCE) {
                self.draw(&shown)?;
                view.seen(&shown);
                last = Some(shown);
            }
            let is_changed = self.attend(view)?;
            if let (true, Some(shown)) = (is_changed, &last) {
                // Help and another size are the window's own business.
                self.draw(&Arc::clone(shown))?;
            }
            if is_changed || title_at.is_none_or(|at| at.elapsed() >= TITLE_INTERVAL) {
                let title = self.title(&view.status());
                self.window.set_title(&title).map_err(lost)?;
                title_at = Some(Instant::now());
            }
        }
        Ok(())
    }
}

/// The window is gone.
fn lost(cause: X11Error) -> Error {
    Error::caused_by(
        ErrorKind::Output,
        "cannot show pictures in the window",
        cause,
    )
}

/// A picture in the middle of a black window.
fn centred(words: Vec<u32>, size: (usize, usize), room: (usize, usize)) -> Vec<u32> {
    if size == room {
        return words;
    }
    let (width, height) = (size.0.min(room.0), size.1.min(room.1));
    let (left, top) = ((room.0 - width) / 2, (room.1 - height) / 2);
    let mut buffer = vec![0; room.0 * room.1];
    let rows = words.chunks_exact(size.0).take(height);
    for (row, words) in rows.enumerate() {
        let start = (top + row) * room.0 + left;
        buffer[start..start + width].copy_from_slice(&words[..width]);
    }
    buffer
}

/// The keys, written on a dark picture: else the label shows through.
fn with_help(shown: &Shown) -> Result<Shown> {
    let mut picture = Picture::clone(&shown.picture);
    darken(&mut picture);
    let (_, height) = shown
        .orientation
        .upright_size(picture.width, picture.height);
    let lines = HELP.map(|text| LabelLine {
        text: text.to_owned(),
        fraction: None,
    });
    LabelPainter::new(height)?.draw(&mut picture, shown.orientation, &lines);
    Ok(shown.with_picture(picture))
}

/// Leaves a picture an eighth of its brightness.
fn darken(picture: &mut Picture) {
    let is_rgb = picture.color.model == ColorModel::Rgb;
    let space = SampleSpace::new(picture.color, picture.format.bit_depth);
    let black = space.encode([0.0; 3]);
    let bright = picture.planes.iter_mut().zip(black).enumerate();
    for (_, (plane, black)) in bright.filter(|(index, _)| is_rgb || *index == 0) {
        match &mut plane.samples {
            Samples::U8(samples) => {
                let black = black as u8;
                for sample in samples {
                    *sample = black + sample.saturating_sub(black) / 8;
                }
            }
            Samples::U16(samples) => {
                for sample in samples {
                    *sample = black + sample.saturating_sub(black) / 8;
                }
            }
        }
    }
}

/// The most probable class and the figures.
fn title(status: &LiveStatus) -> String {
    let top = status.top.first().map(|top| {
        let label = top.label.replace('_', " ");
        format!("{label} {:.1}%, ", top.prob * 100.0)
    });
    let state = match status.state {
        LiveState::Live | LiveState::Ended => "",
        LiveState::Frozen => "frozen, ",
        LiveState::NoSignal => "no signal, ",
    };
    let millis = |latency: Option<Percentiles>| latency.map_or(0.0, |latency| latency.p95);
    format!(
        "{state}{}{} | {:.1} fps, {:.1} maps/s | picture {:.0} ms, map {:.0} ms late (p95) | {} frames without a map of their own",
        top.unwrap_or_default(),
        status.settings.method,
        status.fps.shown,
        status.fps.explained,
        millis(status.latency_ms),
        millis(status.map_latency_ms),
        status.frames.dropped,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_picture_lies_in_the_middle() {
        let words = vec![1, 2, 3, 4];
        assert_eq!(
            centred(words.clone(), (2, 2), (4, 2)),
            [0, 1, 2, 0, 0, 3, 4, 0]
        );
        assert_eq!(centred(words.clone(), (2, 2), (2, 3)), [1, 2, 3, 4, 0, 0]);
        assert_eq!(centred(words, (2, 2), (2, 2)), [1, 2, 3, 4]);
    }

    #[test]
    fn each_key_has_its_meaning() {
        assert_eq!(meaning(ESCAPE), Some(Pressed::Quit));
        assert_eq!(meaning('C'), Some(Pressed::Wish(Wish::NextClass)));
        assert_eq!(meaning(' '), Some(Pressed::Wish(Wish::ToggleFreeze)));
        assert_eq!(meaning('z'), None);
    }
}
