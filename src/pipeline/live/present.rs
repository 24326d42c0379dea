//! The present thread: draws the freshest frame with the freshest map, shows and records it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Asking;
use super::desk::Desk;
use super::messages::{Awaited, Captured, Drawn, LiveExplanation, News, Signal};
use super::records::records_of;
use super::screen::{Screen, Shown};
use super::settings::Question;
use super::tape::{Pending, Tape};
use crate::error::{Result, Stage};
use crate::frame::{FrameShape, Orientation, Picture};
use crate::picture::SampleSpace;
use crate::pipeline::Options;
use crate::pipeline::describe::label;
use crate::pipeline::report::StageTimes;
use crate::records::Record;
use crate::render::{LabelLine, Panel, RenderOptions, Renderer};
use crate::temporal::Temporal;

/// Longest wait without a look at whether frames still come.
const PATIENCE: Duration = Duration::from_millis(200);

/// So long the last map stands for what has just been asked; a method that takes longer is seen to be at work.
const LONGEST_SILENT_WAIT: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Presenter<'a, 'scope> {
    pub(super) asking: &'a Asking<'a>,
    pub(super) options: &'a Options,
    pub(super) desk: &'a Desk,
    pub(super) screen: &'a Screen,
    pub(super) temporal: Temporal,
    pub(super) state: Presented<'a, 'scope>,
}

/// What the present thread remembers.
pub(super) struct Presented<'a, 'scope> {
    pub(super) tape: Tape<'a, 'scope>,
    drawn: Drawn,
    renderer: Option<(RenderOptions, FrameShape, Orientation, Renderer)>,
    frame: Option<Arc<Captured>>,
    explanation: Option<Arc<LiveExplanation>>,
    /// What the panels answer.
    question: Option<Arc<Question>>,
    panels: Vec<Panel>,
    /// What the panels show, without their place in the recording.
    records: Vec<Record>,
    /// The last picture and its records, until the next frame comes: a better map may come first.
    pending: Option<Pending>,
    next_number: u64,
    /// What is waited for, if for so long that the map before must not stand for it.
    awaited: Option<Awaited>,
    /// When the signal was lost the last time.
    last_loss: Option<Instant>,
}

impl<'a, 'scope> Presented<'a, 'scope> {
    pub(super) fn new(tape: Tape<'a, 'scope>) -> Self {
        Self {
            tape,
            drawn: Drawn::default(),
            renderer: None,
            frame: None,
            explanation: None,
            question: None,
            panels: Vec::new(),
            records: Vec::new(),
            pending: None,
            next_number: 0,
            awaited: None,
            last_loss: None,
        }
    }
}

impl Presenter<'_, '_> {
    /// Works until the run is over, then records what is pending.
    ///
    /// # Errors
    /// As drawing.
    pub(super) fn run(&mut self, times: &mut StageTimes) -> Result<()> {
        loop {
            let patience = PATIENCE;
            let news = times
                .render
                .wait(|| self.desk.wait_for_news(&self.state.drawn, patience));
            let is_over = news.is_over;
            self.take(news, times)?;
            if is_over {
                self.commit();
                self.state.tape.end();
                return Ok(());
            }
        }
    }

    fn take(&mut self, news: News, times: &mut StageTimes) -> Result<()> {
        let has_changed = self.state.drawn.render != Some(news.render)
            || self.state.drawn.signal.as_ref() != Some(&news.signal);
        let is_new_frame = news.frame.is_some();
        let is_long = |awaited: &Awaited| awaited.since.elapsed() >= LONGEST_SILENT_WAIT;
        let awaited = news.awaited.filter(is_long);
        let waits_otherwise = awaited != self.state.awaited;
        if !is_new_frame && news.explanation.is_none() && !has_changed && !waits_otherwise {
            return Ok(());
        }
        self.state.awaited = awaited;
        if let Some(frame) = news.frame {
            self.commit();
            self.note_unshown(&frame, news.first_wanted);
            self.state.drawn.frame = Some(frame.index);
            self.state.frame = Some(frame);
        }
        let is_new_map = news.explanation.is_some();
        if let Some(explanation) = news.explanation {
            self.state.drawn.explanations = news.explanations;
            self.state.explanation = Some(explanation);
        }
        self.state.drawn.render = Some(news.render);
        self.state.drawn.signal = Some(news.signal.clone());
        let Some(frame) = self.state.frame.clone() else {
            return Ok(());
        };
        let is_live = news.signal == Signal::Live;
        // The last frame before a loss is shown like any other.
        if is_live || is_new_frame {
            let drawing = &mut times.render;
            let picture = drawing
                .measure(|| self.draw(&frame, is_new_frame, is_new_map, news.render))
                .map_err(|error| error.at_stage(Stage::Render))?;
            self.present(&frame, picture, (is_new_frame, is_new_map), news.is_frozen);
        }
        if let Signal::Lost { since, cause } = &news.signal {
            self.show_loss(&frame, *since, cause, news.render)?;
        }
        Ok(())
    }

    /// Shows a picture and keeps it to be recorded.
    fn present(
        &mut self,
        frame: &Arc<Captured>,
        picture: Picture,
        (is_new_frame, is_new_map): (bool, bool),
        is_frozen: bool,
    ) {
        let picture = Arc::new(picture);
        let map_of = self.state.explanation.as_ref().filter(|_| is_new_map);
        let map_captured_at = map_of.map(|explanation| explanation.frame.at);
        // A frame that stays is not late.
        let is_metered = !is_frozen;
        self.show(
            frame,
            &picture,
            (
                is_new_frame && is_metered,
                map_captured_at.filter(|_| is_metered),
            ),
        );
        // A picture without a map has no record.
        let shows_map = self.state.awaited.is_none();
        let records = shows_map.then(|| self.state.records.clone());
        self.state.pending = Some(Pending {
            picture,
            records: records.unwrap_or_default(),
            frame: Arc::clone(frame),
        });
    }

    fn note_unshown(&mut self, frame: &Captured, first_wanted: u64) {
        let next = self.state.drawn.frame.map_or(0, |last| last + 1);
        let missed = frame.index.saturating_sub(next.max(first_wanted));
        self.desk.look(|look| look.meters.unshown += missed);
    }

    fn show(
        &mut self,
        frame: &Captured,
        picture: &Arc<Picture>,
        (is_new_frame, map_captured_at): (bool, Option<Instant>),
    ) {
        let number = self.state.next_number;
        self.state.next_number += 1;
        if is_new_frame {
            self.desk
                .look(|look| look.meters.shown.tick(Instant::now()));
        }
        self.screen.show(Shown {
            number,
            picture: Arc::clone(picture),
            orientation: frame.orientation,
            pixel_aspect: frame.pixel_aspect,
            captured_at: is_new_frame.then_some(frame.at),
            map_captured_at,
        });
    }

    /// Draws the current frame with the current maps. A new frame or map moves time on; else only the drawing is another.
    fn draw(
        &mut self,
        frame: &Captured,
        is_new_frame: bool,
        is_new_map: bool,
        render: RenderOptions,
    ) -> Result<Picture> {
        if let Some(explanation) = self.state.explanation.clone()
            && (is_new_frame || is_new_map)
        {
            let thumbnail = is_new_map.then(|| explanation.thumbnail.clone());
            self.temporal.begin_frame(thumbnail);
            let asked = &explanation.question;
            let last = self.state.question.replace(Arc::clone(asked));
            if last.is_some_and(|last| !last.has_units_of(asked)) {
                self.temporal.forget();
            }
            let secs = frame.at.saturating_duration_since(self.desk.start);
            let (asking, resize) = (self.asking, self.options.resize);
            let is_carried = explanation.frame.index != frame.index;
            let records = records_of(asking, resize, &explanation, frame, is_carried);
            let temporal = &mut self.temporal;
            let panels = records.iter().enumerate().map(|(target, record)| Panel {
                map: temporal.draw(
                    target,
                    &record.heatmap,
                    record.target.index,
                    secs.as_secs_f64(),
                ),
                label: label(record),
            });
            self.state.panels = panels.collect();
            self.state.records = records;
        }
        let map_in_frame = self
            .options
            .resize
            .map_in_frame(frame.shape(), self.asking.model.spec().input_size);
        let panels = match &self.state.awaited {
            Some(awaited) => vec![plain(vec![waiting(awaited)]); render.targets.max(1)],
            None if self.state.panels.is_empty() => {
                vec![plain(Vec::new()); render.targets.max(1)]
            }
            None => self.state.panels.clone(),
        };
        let picture = frame.picture.clone();
        self.renderer(frame, render)?
            .render(picture, &panels, map_in_frame)
    }

    /// The renderer for such frames, made anew when they or the wishes change.
    fn renderer(&mut self, frame: &Captured, render: RenderOptions) -> Result<&mut Renderer> {
        let (shape, orientation) = (frame.shape(), frame.orientation);
        let picture = &frame.picture;
        let fits =
            |(with, of, turned, renderer): &(RenderOptions, FrameShape, Orientation, Renderer)| {
                let drawn = renderer.shape();
                (*with, *of, *turned) == (render, shape, orientation)
                    && (drawn.format, drawn.color) == (picture.format, picture.color)
            };
        let kept = self.state.renderer.take().filter(fits);
        let made = match kept {
            Some(kept) => kept,
            None => {
                let renderer = Renderer::new(
                    render,
                    shape.width,
                    shape.height,
                    picture.format,
                    picture.color,
                    orientation,
                )?;
                (render, shape, orientation, renderer)
            }
        };
        Ok(&mut self.state.renderer.insert(made).3)
    }

    /// Records the pending picture, now that a later one takes its place.
    fn commit(&mut self) {
        if let Some(pending) = self.state.pending.take() {
            self.state.tape.commit(pending);
        }
    }

    /// Shows that there is nothing to show, in the recording too.
    fn show_loss(
        &mut self,
        frame: &Arc<Captured>,
        since: Instant,
        cause: &str,
        render: RenderOptions,
    ) -> Result<()> {
        self.commit();
        let picture = &frame.picture;
        let black = SampleSpace::new(picture.color, picture.format.bit_depth).encode([0.0; 3]);
        let blank = Captured {
            index: frame.index,
            at: since.max(frame.at),
            picture: Picture::filled(
                picture.width,
                picture.height,
                picture.format,
                picture.color,
                black,
            ),
            orientation: frame.orientation,
            pixel_aspect: frame.pixel_aspect,
        };
        let line = |text: &str| LabelLine {
            text: text.to_owned(),
            fraction: None,
        };
        let panels = vec![plain(vec![line("no signal"), line(cause)]); render.targets.max(1)];
        let map_in_frame = self
            .options
            .resize
            .map_in_frame(blank.shape(), self.asking.model.spec().input_size);
        let drawn =
            self.renderer(&blank, render)?
                .render(blank.picture.clone(), &panels, map_in_frame)?;
        let drawn = Arc::new(drawn);
        self.show(&blank, &drawn, (false, None));
        // Once: what is said changes with every attempt.
        if self.state.last_loss.replace(since) == Some(since) {
            return Ok(());
        }
        self.desk.look(|look| look.meters.losses += 1);
        if self.state.tape.has_begun() {
            self.state
                .tape
                .record_plain(blank.at, &drawn, blank.orientation);
        }
        Ok(())
    }
}

/// What stands in the place of the label while a method is at work.
fn waiting(awaited: &Awaited) -> LabelLine {
    LabelLine {
        text: match awaited.share {
            Some(share) => format!("{}: {:.0} % done", awaited.method, share * 100.0),
            None => format!("{}: at work", awaited.method),
        },
        fraction: awaited.share,
    }
}

fn plain(label: Vec<LabelLine>) -> Panel {
    Panel { map: None, label }
}
