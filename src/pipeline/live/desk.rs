//! What the threads of a live run share: the freshest frame, the freshest explanation, the settings.
//!
//! Nothing waits in a queue here: what is not taken in time is replaced, and counted.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::model::ModelSpec;

use super::messages::{Awaited, Captured, Drawn, End, LiveExplanation, News, Signal, Task};
use super::meter::Meters;
use super::settings::{Settings, Wish};

/// Without a frame for so long, or three times as long as between any of the last ones, there is no signal.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// How many gaps between frames tell what is usual.
const REMEMBERED_GAPS: usize = 8;

struct State {
    newest: Option<Arc<Captured>>,
    /// Times between the newest frames; before there are any, what the source claims.
    gaps: VecDeque<Duration>,
    /// Index of the newest frame that a worker took, and number of the question that it was to answer.
    taken: Option<(u64, u64)>,
    /// The frame that stays.
    held: Option<Arc<Captured>>,
    /// Frames before this one passed while one was held.
    first_wanted: u64,
    /// When the current question was asked.
    asked_at: Instant,
    explanation: Option<Arc<LiveExplanation>>,
    explanations: u64,
    settings: Settings,
    signal: Signal,
    end: Option<End>,
    ended_at: Option<Instant>,
    meters: Meters,
    /// Passes of the current explanation: done, in all.
    passes: Option<(usize, usize)>,
}

impl State {
    /// The frame that is looked at.
    fn shown(&self) -> Option<&Arc<Captured>> {
        self.held.as_ref().or(self.newest.as_ref())
    }

    /// How many frames before index `end` no worker took since the last that one took, without those that passed while a frame was held.
    fn untaken_before(&self, end: u64) -> u64 {
        let next = self.taken.map_or(0, |(index, _)| index + 1);
        end.saturating_sub(next.max(self.first_wanted))
    }

    /// What a free worker has to do: the frame that is looked at, unless one took it for the same question.
    fn next_task(&mut self) -> Option<Task> {
        let question = Arc::clone(&self.settings.question);
        let frame = Arc::clone(self.shown()?);
        let taken = (frame.index, question.number);
        if self.taken == Some(taken) {
            return None;
        }
        self.meters.dropped += self.untaken_before(frame.index);
        self.taken = Some(taken);
        Some(Task { frame, question })
    }

    /// Whether the newest frame has no map that answers the current question.
    fn lacks_last_map(&self) -> bool {
        let newest = self.newest.as_ref();
        let wanted = newest.map(|newest| (newest.index, self.settings.question.number));
        let answered = self.explanation.as_ref();
        wanted != answered.map(|last| (last.frame.index, last.question.number))
    }

    fn awaited(&self) -> Option<Awaited> {
        let question = &self.settings.question;
        let answered = self.explanation.as_ref();
        let is_answered = answered.is_some_and(|last| last.question.number == question.number);
        (!is_answered).then(|| Awaited {
            method: question.explainer.name(),
            since: self.asked_at,
            share: self
                .passes
                .map(|(done, total)| done as f32 / total.max(1) as f32),
        })
    }
}

/// See the module.
pub(super) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) spec: ModelSpec,
    pub(super) start: Instant,
    /// Whether an end of the source is a fault.
    is_endless: bool,
}

impl Desk {
    /// `frame_interval`: the time between two frames, as far as the source tells.
    pub(super) fn new(
        settings: Settings,
        spec: ModelSpec,
        is_endless: bool,
        frame_interval: Option<Duration>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                newest: None,
                gaps: frame_interval.into_iter().collect(),
                taken: None,
                held: None,
                first_wanted: 0,
                asked_at: Instant::now(),
                explanation: None,
                explanations: 0,
                settings,
                signal: Signal::Live,
                end: None,
                ended_at: None,
                meters: Meters::default(),
                passes: None,
            }),
            changed: Condvar::new(),
            spec,
            start: Instant::now(),
            is_endless,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame has come.
    pub(super) fn put_frame(&self, frame: Captured) {
        let mut state = self.lock();
        state.meters.captured.tick(frame.at);
        state.signal = Signal::Live;
        let last = state.newest.as_ref().map(|last| last.at);
        if state.gaps.len() == REMEMBERED_GAPS {
            state.gaps.pop_front();
        }
        let gap = last.map(|last| frame.at.saturating_duration_since(last));
        state.gaps.extend(gap);
        state.newest = Some(Arc::new(frame));
        self.changed.notify_all();
    }

    /// No frames come, because of `cause`.
    pub(super) fn lose_signal(&self, cause: &str) {
        let mut state = self.lock();
        // Since the last frame, as if it had only stalled.
        let newest = state.newest.as_ref();
        let since = match state.signal {
            Signal::Live => newest.map_or_else(Instant::now, |newest| newest.at),
            Signal::Lost { since, .. } => since,
        };
        let cause = cause.to_owned();
        state.signal = Signal::Lost { since, cause };
        self.changed.notify_all();
    }

    /// The frame that is looked at, if no worker has taken it or something else is asked of it. Waits for it; `None` when the run is over.
    pub(super) fn take_task(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.ended_at.is_some() {
                return None;
            }
            if let Some(task) = state.next_task() {
                return Some(task);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether nobody wants an explanation of this task any more.
    pub(super) fn is_outdated(&self, task: &Task) -> bool {
        let state = self.lock();
        state.ended_at.is_some() || state.settings.question.number != task.question.number
    }

    /// How far the current explanation is.
    pub(super) fn note_passes(&self, task: &Task, done: usize, total: usize) {
        let mut state = self.lock();
        if state.settings.question.number == task.question.number {
            state.passes = (done < total).then_some((done, total));
        }
    }

    /// An explanation is ready. One that another has overtaken, or that answers an old question, is left.
    pub(super) fn put_explanation(&self, explanation: LiveExplanation) {
        let mut state = self.lock();
        state.meters.explained.tick(Instant::now());
        let is_asked = explanation.question.number == state.settings.question.number;
        let of_held = |held: &Arc<Captured>| held.index == explanation.frame.index;
        let is_shown = state.held.as_ref().is_none_or(of_held);
        let is_newer = state.explanation.as_ref().is_none_or(|last| {
            last.frame.index < explanation.frame.index
                || last.question.number < explanation.question.number
        });
        if is_asked && is_newer && is_shown {
            state.explanation = Some(Arc::new(explanation));
            state.explanations += 1;
            self.changed.notify_all();
        }
    }

    /// What is to be drawn anew; waits for it at most `patience`.
    pub(super) fn wait_for_news(&self, drawn: &Drawn, patience: Duration) -> News {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            let shown = state.shown();
            let is_new = |frame: &&Arc<Captured>| drawn.frame != Some(frame.index);
            let frame = shown.filter(is_new).map(Arc::clone);
            let has_explanation = state.explanations != drawn.explanations;
            let is_over = state.ended_at.is_some();
            let signal = self.signal(&state);
            let is_changed = frame.is_some()
                || has_explanation
                || is_over
                || drawn.render != Some(state.settings.render)
                || drawn.signal.as_ref() != Some(&signal);
            let now = Instant::now();
            if is_changed || now >= deadline {
                return News {
                    frame,
                    first_wanted: state.first_wanted,
                    awaited: state.awaited(),
                    explanation: state.explanation.clone().filter(|_| has_explanation),
                    explanations: state.explanations,
                    render: state.settings.render,
                    signal,
                    is_frozen: state.held.is_some(),
                    is_over,
                };
            }
            let waited = self.changed.wait_timeout(state, deadline - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The signal as it is known, or lost if frames should have come and did not.
    fn signal(&self, state: &State) -> Signal {
        let newest = state.newest.as_ref();
        match (&state.signal, newest) {
            // What is looked at stays.
            _ if state.held.is_some() => Signal::Live,
            (Signal::Live, Some(newest)) if self.is_endless => {
                let usual = state.gaps.iter().max().copied().unwrap_or_default();
                let longest = LONGEST_GAP.max(usual * 3);
                if newest.at.elapsed() <= longest {
                    return Signal::Live;
                }
                Signal::Lost {
                    since: newest.at,
                    cause: "no picture comes".to_owned(),
                }
            }
            (signal, _) => signal.clone(),
        }
    }

    /// Does all that a viewer asks for, or nothing of it.
    pub(super) fn fulfil(&self, wishes: &[Wish]) -> Result<()> {
        let mut state = self.lock();
        let state = &mut *state;
        let ranking = state.explanation.as_ref();
        let ranking = ranking.map(|last| last.explanation.ranking.as_slice());
        let mut settings = state.settings.clone();
        let mut freeze = None;
        for wish in wishes {
            match wish {
                Wish::Freeze(is_wanted) => freeze = Some(*is_wanted),
                Wish::ToggleFreeze => freeze = Some(state.held.is_none()),
                wish => settings.fulfil(wish, &self.spec, ranking.unwrap_or_default())?,
            }
        }
        if settings.question.number != state.settings.question.number {
            state.asked_at = Instant::now();
            state.passes = None;
        }
        state.settings = settings;
        match freeze {
            Some(true) if state.held.is_none() => {
                state.held = state.newest.clone();
            }
            Some(false) => {
                if let (Some(held), Some(newest)) = (state.held.take(), &state.newest) {
                    // What passed while a frame was held was not missed.
                    let next = newest.index;
                    state.meters.dropped += state.untaken_before(next.min(held.index + 1));
                    state.first_wanted = next;
                }
            }
            Some(true) | None => {}
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Ends the run; the first reason stays.
    pub(super) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        state.ended_at.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    /// Whether the run is over.
    pub(super) fn is_over(&self) -> bool {
        self.lock().ended_at.is_some()
    }

    /// How long the run has been over; nothing while it goes on.
    pub(super) fn time_since_end(&self) -> Duration {
        let ended_at = self.lock().ended_at;
        ended_at.map_or(Duration::ZERO, |ended_at| ended_at.elapsed())
    }

    /// Why it is over.
    pub(super) fn take_end(&self) -> Option<End> {
        self.lock().end.take()
    }

    /// Waits until the run is over or the time is up; tells whether it is over.
    pub(super) fn wait_for_end(&self, patience: Duration) -> bool {
        let is_going = |state: &mut State| state.ended_at.is_none();
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, is_going);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .ended_at
            .is_some()
    }

    /// Waits as long as a frame is held, then until the newest one is explained or the time is up; or until the run is over.
    pub(super) fn wait_for_last_map(&self, patience: Duration) {
        let mut deadline = Instant::now() + patience;
        let mut was_held = false;
        let mut state = self.lock();
        while state.ended_at.is_none() && (state.held.is_some() || state.lacks_last_map()) {
            let now = Instant::now();
            let is_held = state.held.is_some();
            if is_held || was_held {
                deadline = now + patience;
            }
            was_held = is_held;
            if now >= deadline {
                return;
            }
            let waited = self.changed.wait_timeout(state, deadline - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Looks at everything at once; must be quick.
    pub(super) fn look<T>(&self, look: impl FnOnce(Look<'_>) -> T) -> T {
        let mut state = self.lock();
        let signal = self.signal(&state);
        // The freshest frame may still be taken, until the run is over.
        let end = state.shown().map(|shown| shown.index);
        let end = end.map_or(0, |index| index + u64::from(state.ended_at.is_some()));
        let untaken = state.untaken_before(end);
        let state = &mut *state;
        look(Look {
            meters: &mut state.meters,
            untaken,
            settings: &state.settings,
            signal: &signal,
            is_frozen: state.held.is_some(),
            is_over: state.ended_at.is_some(),
            explanation: state.explanation.as_deref(),
            shown: state
                .held
                .as_ref()
                .or(state.newest.as_ref())
                .map(Arc::as_ref),
            passes: state.passes,
        })
    }
}

/// All that a viewer may be told.
pub(super) struct Look<'a> {
    pub(super) meters: &'a mut Meters,
    /// Frames that came since a worker took the last one and that none will take: dropped, too.
    pub(super) untaken: u64,
    pub(super) settings: &'a Settings,
    pub(super) signal: &'a Signal,
    pub(super) is_frozen: bool,
    pub(super) is_over: bool,
    pub(super) explanation: Option<&'a LiveExplanation>,
    pub(super) shown: Option<&'a Captured>,
    pub(super) passes: Option<(usize, usize)>,
}
