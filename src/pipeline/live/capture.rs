//! The capture thread: frames as they come, at the pace of life; a source that breaks is opened again.

use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::desk::Desk;
use super::messages::{Captured, End};
use super::tape::TIME_BASE;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, TimeBase};
use crate::pipeline::CancelToken;
use crate::pipeline::report::StageTimes;
use crate::source::{FrameSource, SourceInfo};

/// First and longest pause between two attempts to open a lost source.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How often someone who waits looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(20);
/// How long the last frame of a source that ends waits for a map of its own.
const LAST_MAP_PATIENCE: Duration = Duration::from_secs(1);
/// A device's clock is believed if it is at most so far behind ours; else a frame is as old as its arrival.
const OLDEST_BELIEVED: Duration = Duration::from_secs(2);

/// Opens a source, also anew.
pub type OpenSource = dyn FnMut(&CancelToken) -> Result<Box<dyn FrameSource>> + Send;

/// An opened source, read on a thread of its own from the moment it was opened.
pub struct LiveSource {
    open: Box<OpenSource>,
    source: Box<dyn FrameSource>,
}

impl LiveSource {
    /// Opens it. Returns as soon as `cancel` is set, even where opening itself cannot be interrupted, such as while a name is looked up.
    ///
    /// # Errors
    /// As `open`; [`ErrorKind::Cancelled`].
    pub fn open(mut open: Box<OpenSource>, cancel: &CancelToken) -> Result<Self> {
        let (sender, opened) = bounded(1);
        let token = cancel.clone();
        let work = move || {
            let source = open(&token).map(|source| Self { open, source });
            let _ = sender.send(source);
        };
        // Not joined if it is cancelled: the process is about to end.
        spawn("open", work)?;
        loop {
            match opened.recv_timeout(GLANCE) {
                Ok(opened) => return opened,
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                    return Err(Error::cancelled());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let message = "internal error while opening the source, please report it";
                    return Err(Error::new(ErrorKind::Internal, message));
                }
            }
        }
    }

    /// What is known about the stream.
    pub fn info(&self) -> &SourceInfo {
        self.source.info()
    }

    /// Time between two frames, if the source claims one.
    pub(super) fn frame_interval(&self) -> Option<Duration> {
        let rate = self.info().template.as_ref()?.frame_rate?;
        Duration::try_from_secs_f64(f64::from(rate).recip()).ok()
    }

    /// What a sink needs to know to record it.
    pub fn recording_info(&self) -> SourceInfo {
        SourceInfo {
            time_base: TIME_BASE,
            ..self.source.info().clone()
        }
    }
}

/// What the capture thread has to tell at its end.
#[derive(Default)]
pub(super) struct CaptureEnd {
    pub(super) times: StageTimes,
    /// Things that were wrong with the input.
    pub(super) decode_errors: u64,
}

/// What a lost source is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long it may be lost; for ever if `None`.
    pub(super) give_up: Option<Duration>,
}

/// Starts the thread; it sends its end when it is done.
pub(super) fn start(
    source: LiveSource,
    desk: Arc<Desk>,
    cancel: CancelToken,
    patience: Patience,
    end: Sender<CaptureEnd>,
) -> Result<()> {
    let work = move || {
        let mut capture = Capture {
            desk,
            cancel,
            patience,
            next_index: 0,
            end: CaptureEnd::default(),
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            capture.run(source);
        }));
        if outcome.is_err() {
            let message = "internal error on thread capture, please report it";
            let error = Error::new(ErrorKind::Internal, message);
            capture.desk.end(End::Failed(error));
        }
        let _ = end.send(capture.end);
    };
    spawn("capture", work)
}

/// Starts a thread that may be left behind at the end of the process, because something outside can block it for good.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|cause| {
        let message = format!("cannot start thread {name}");
        Error::caused_by(ErrorKind::Internal, message, cause)
    })
}

struct Capture {
    desk: Arc<Desk>,
    cancel: CancelToken,
    patience: Patience,
    next_index: u64,
    end: CaptureEnd,
}

impl Capture {
    fn run(&mut self, live: LiveSource) {
        let LiveSource {
            mut open,
            mut source,
        } = live;
        loop {
            let outcome = self.deliver(source.as_mut());
            let damage = source.finish().damage;
            self.end.decode_errors += damage.count();
            if self.is_unwanted() {
                return;
            }
            let is_endless = source.info().is_endless;
            // Closed before it is opened again: a camera serves one reader.
            drop(source);
            let cause = match outcome {
                Ok(()) if !is_endless => {
                    self.desk.wait_for_last_map(LAST_MAP_PATIENCE);
                    return self.desk.end(End::SourceEnded);
                }
                Err(error) if !is_endless => return self.desk.end(End::Failed(error)),
                Ok(()) => damage
                    .read_error
                    .unwrap_or_else(|| "it delivers nothing more".to_owned()),
                Err(error) => error.one_line(),
            };
            match self.reopen(open.as_mut(), cause) {
                Some(opened) => source = opened,
                None => return,
            }
        }
    }

    fn is_unwanted(&self) -> bool {
        self.cancel.is_cancelled() || self.desk.is_over()
    }

    /// Hands frames on until the source ends or breaks.
    fn deliver(&mut self, source: &mut dyn FrameSource) -> Result<()> {
        let mut pace = Pace {
            first: None,
            is_free: source.info().is_endless,
        };
        while !self.is_unwanted() {
            let times = &mut self.end.times.decode;
            let Some(frame) = times.measure(|| source.next_frame())? else {
                return Ok(());
            };
            let info = source.info();
            let (time_base, clock) = (info.time_base, info.clock_start_micros);
            let (orientation, pixel_aspect) = (info.orientation, info.pixel_aspect);
            if source.has_waited() {
                pace.catch_up(&frame, time_base);
            }
            let at = pace.moment(&frame, time_base, clock);
            while let Some(rest) = at.checked_duration_since(Instant::now()) {
                if self.is_unwanted() || rest.is_zero() {
                    break;
                }
                thread::sleep(rest.min(GLANCE));
            }
            self.desk.put_frame(Captured {
                index: self.next_index,
                at,
                picture: frame.picture,
                orientation,
                pixel_aspect,
            });
            self.next_index += 1;
        }
        Ok(())
    }

    /// Opens the source anew, at growing intervals, until it opens or is not wanted any more.
    fn reopen(&mut self, open: &mut OpenSource, mut cause: String) -> Option<Box<dyn FrameSource>> {
        let lost_at = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            self.desk.lose_signal(&cause);
            if let Some(limit) = self
                .patience
                .give_up
                .filter(|limit| lost_at.elapsed() >= *limit)
            {
                let secs = limit.as_secs_f64();
                let message = format!("no signal for {secs} s, given up: {cause}");
                self.desk
                    .end(End::Failed(Error::new(ErrorKind::Input, message)));
                return None;
            }
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if self.is_unwanted() {
                    return None;
                }
                thread::sleep(GLANCE);
            }
            match open(&self.cancel) {
                Ok(source) => return Some(source),
                Err(_) if self.is_unwanted() => return None,
                Err(error) => cause = error.one_line(),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// When a frame happens.
struct Pace {
    /// When the first frame came, and its time in the stream in seconds.
    first: Option<(Instant, f64)>,
    /// Whether frames come when they happen; else they are held back to their times.
    is_free: bool,
}

impl Pace {
    /// The moment that `frame` belongs to: for a live source the past, else perhaps the future.
    fn moment(&mut self, frame: &Frame, time_base: TimeBase, clock: Option<i64>) -> Instant {
        let now = Instant::now();
        let secs = time_base.seconds(frame.pts);
        if self.is_free {
            let age = clock.and_then(|start_micros| age(start_micros, secs));
            return age.and_then(|age| now.checked_sub(age)).unwrap_or(now);
        }
        let (first, first_secs) = *self.first.get_or_insert((now, secs));
        let offset = Duration::try_from_secs_f64(secs - first_secs).unwrap_or_default();
        // One that comes late is shown at once.
        (first + offset).max(now)
    }
}

impl Pace {
    /// A sender that is not ahead sends as things happen: its frames are not held back for those that came late before.
    fn catch_up(&mut self, frame: &Frame, time_base: TimeBase) {
        let now = Instant::now();
        let secs = time_base.seconds(frame.pts);
        if let Some((first, first_secs)) = self.first {
            let offset = Duration::try_from_secs_f64(secs - first_secs).unwrap_or_default();
            if first + offset > now {
                self.first = Some((now, secs));
            }
        }
    }
}

/// How long ago the system's clock showed a time, if that is believable.
fn age(start_micros: i64, secs: f64) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let then = Duration::try_from_secs_f64(start_micros as f64 / 1e6 + secs).ok()?;
    now.checked_sub(then).filter(|age| *age <= OLDEST_BELIEVED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorSpec, FrameIndex, Picture, PictureFormat, Pts};

    const MILLISECONDS: TimeBase = TimeBase {
        numerator: 1,
        denominator: 1000,
    };

    fn frame(pts: i64) -> Frame {
        Frame {
            index: FrameIndex(0),
            pts: Pts(pts),
            duration: 0,
            picture: Picture::filled(2, 2, PictureFormat::FULL_8, ColorSpec::RGB, [0; 3]),
            #[cfg(feature = "video")]
            passthrough: Vec::new(),
        }
    }

    #[test]
    fn frames_of_files_are_held_back_to_their_times() {
        let mut pace = Pace {
            first: None,
            is_free: false,
        };
        let first = pace.moment(&frame(5000), MILLISECONDS, None);
        let second = pace.moment(&frame(5400), MILLISECONDS, None);
        assert_eq!(second.duration_since(first), Duration::from_millis(400));
        let backwards = pace.moment(&frame(0), MILLISECONDS, None);
        assert!(backwards < second, "shown at once");
    }

    #[test]
    fn a_sender_that_is_not_ahead_is_not_held_back() {
        let mut pace = Pace {
            first: None,
            is_free: false,
        };
        pace.moment(&frame(0), MILLISECONDS, None);
        pace.catch_up(&frame(400), MILLISECONDS);
        let now = Instant::now();
        assert!(pace.moment(&frame(400), MILLISECONDS, None) < now + Duration::from_millis(100));
        let next = pace.moment(&frame(500), MILLISECONDS, None);
        assert!(next >= now + Duration::from_millis(90), "it keeps the pace");
    }

    #[test]
    fn a_device_tells_the_age_of_its_frames_unless_it_is_absurd() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let micros = now.as_micros() as i64;
        let mut pace = Pace {
            first: None,
            is_free: true,
        };
        let mut age_of = |start_micros: i64| {
            let moment = pace.moment(&frame(100), MILLISECONDS, Some(start_micros));
            moment.elapsed().as_millis()
        };
        assert!((300..600).contains(&age_of(micros - 400_000)));
        for absurd in [0, micros - 60_000_000, micros + 60_000_000] {
            assert!(age_of(absurd) < 100, "{absurd}");
        }
    }
}
