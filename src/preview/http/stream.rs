//! The picture as a body that never ends: every viewer gets the freshest picture whenever it is ready for one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::watch;

/// The type of the stream's answer; names the boundary below.
pub(super) const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=gradcam-video-picture";

/// What separates parts.
const BOUNDARY: &[u8] = b"\r\n--gradcam-video-picture\r\n";

/// The same, and the header of a part of unknown length.
const BOUNDARY_AND_HEADER: &[u8] =
    b"\r\n--gradcam-video-picture\r\nContent-Type: image/jpeg\r\n\r\n";

/// The freshest picture as a JPEG file; `None` before the first.
pub(super) type Picture = Option<Bytes>;

/// How pictures are wrapped. Either way a boundary follows a picture at once, not when the next one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// Every part says its length: for programs.
    Counted,
    /// The header of the next part comes with the picture, and so cannot know a length. For browsers: Chromium shows a part only when it has seen
    /// the next one's header, and would always be one picture late.
    Prompt,
}

impl Wrapping {
    /// What comes before the first picture.
    fn beginning(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Counted => BOUNDARY,
            Self::Prompt => BOUNDARY_AND_HEADER,
        })
    }

    /// A picture with what comes before and after it, in the order of going out.
    fn wrap(self, jpeg: Bytes) -> VecDeque<Bytes> {
        match self {
            Self::Counted => {
                let length = jpeg.len();
                let header =
                    format!("Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n");
                [header.into(), jpeg, Bytes::from_static(BOUNDARY)].into()
            }
            Self::Prompt => [jpeg, Bytes::from_static(BOUNDARY_AND_HEADER)].into(),
        }
    }
}

/// Who is watching: a bounded number of places.
#[derive(Debug)]
pub(super) struct Places {
    /// What each viewer calls itself, so that a page can ask whether its own stream is still up.
    taken: Mutex<Vec<Option<u64>>>,
    /// How many may watch at a time.
    most: usize,
}

impl Places {
    /// Nobody watches yet.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::new(Vec::new()),
            most,
        })
    }

    /// A place for a viewer that calls itself `name`, unless all are taken.
    pub(super) fn take(self: &Arc<Self>, name: Option<u64>) -> Option<Place> {
        let mut taken = self.taken();
        if taken.len() >= self.most {
            return None;
        }
        taken.push(name);
        drop(taken);
        Some(Place {
            places: Arc::clone(self),
            name,
        })
    }

    /// How many are watching.
    pub(super) fn count(&self) -> usize {
        self.taken().len()
    }

    /// How many may watch.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether a viewer of this name is watching.
    pub(super) fn has(&self, name: u64) -> bool {
        self.taken().contains(&Some(name))
    }

    /// A panicking thread leaves the list whole.
    fn taken(&self) -> MutexGuard<'_, Vec<Option<u64>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A viewer's place; free again on drop, which is when its connection ends.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    name: Option<u64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(index) = taken.iter().position(|name| *name == self.name) {
            taken.swap_remove(index);
        }
    }
}

/// What waits for the next picture; hands the receiver back with it.
type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Pictures)>> + Send>>;

/// Where pictures come from.
type Pictures = watch::Receiver<Picture>;

/// The body of one viewer's answer.
pub(super) struct Stream {
    wrapping: Wrapping,
    /// What goes out before the next picture is looked for.
    ready: VecDeque<Bytes>,
    next: Next,
    /// Held for as long as the viewer watches.
    _place: Place,
}

impl Stream {
    /// A stream that begins with the picture that is there already, if any.
    pub(super) fn new(mut pictures: Pictures, wrapping: Wrapping, place: Place) -> Self {
        pictures.mark_changed();
        Self {
            wrapping,
            ready: [wrapping.beginning()].into(),
            next: Box::pin(next(pictures)),
            _place: place,
        }
    }
}

/// Waits for a picture that this viewer has not had; whatever came in between is skipped. `None` when there will be no more.
async fn next(mut pictures: Pictures) -> Option<(Bytes, Pictures)> {
    loop {
        pictures.changed().await.ok()?;
        let picture = pictures.borrow_and_update().clone();
        if let Some(picture) = picture {
            return Some((picture, pictures));
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ready.is_empty() {
            let Some((picture, pictures)) = ready!(self.next.as_mut().poll(context)) else {
                return Poll::Ready(None);
            };
            self.ready = self.wrapping.wrap(picture);
            self.next = Box::pin(next(pictures));
        }
        Poll::Ready(self.ready.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// What goes out now.
    fn take(stream: &mut Stream) -> String {
        let mut taken = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *stream).poll_frame(&mut context) {
            taken.extend_from_slice(&frame.into_data().unwrap());
        }
        String::from_utf8(taken).unwrap()
    }

    const END: &str = "\r\n--gradcam-video-picture\r\n";

    #[test]
    fn a_viewer_gets_the_picture_that_is_there_and_skips_what_it_missed() {
        let (pictures, _) = watch::channel(None);
        let places = Places::new(1);
        let watch = || {
            let place = places.take(None).unwrap();
            Stream::new(pictures.subscribe(), Wrapping::Counted, place)
        };
        let publish =
            |jpeg: &'static str| pictures.send_replace(Some(Bytes::from_static(jpeg.as_bytes())));
        let part = |jpeg: &str| {
            let length = jpeg.len();
            format!("Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n{jpeg}{END}")
        };
        let mut stream = watch();
        assert_eq!(take(&mut stream), END, "no picture yet");
        publish("one");
        assert_eq!(take(&mut stream), part("one"));
        assert_eq!(take(&mut stream), "");
        publish("two");
        publish("three");
        assert_eq!(take(&mut stream), part("three"));
        drop(stream);
        assert_eq!(take(&mut watch()), format!("{END}{}", part("three")));
    }

    #[test]
    fn browsers_get_the_next_header_with_every_picture() {
        let pictures = watch::Sender::new(Some(Bytes::from_static(b"one")));
        let place = Places::new(1).take(None).unwrap();
        let mut stream = Stream::new(pictures.subscribe(), Wrapping::Prompt, place);
        let header = "Content-Type: image/jpeg\r\n\r\n";
        assert_eq!(take(&mut stream), format!("{END}{header}one{END}{header}"));
        pictures.send_replace(Some(Bytes::from_static(b"two")));
        assert_eq!(take(&mut stream), format!("two{END}{header}"));
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::new(2);
        let first = places.take(Some(7)).unwrap();
        let second = places.take(None).unwrap();
        assert!(places.take(None).is_none());
        assert!(places.has(7));
        drop(first);
        assert!(!places.has(7));
        assert_eq!(places.count(), 1);
        assert!(places.take(None).is_some());
        drop(second);
        assert_eq!(places.count(), 0);
    }

    #[test]
    fn the_type_names_the_boundary() {
        let name = CONTENT_TYPE.split_once("boundary=").unwrap().1;
        assert_eq!(BOUNDARY, format!("\r\n--{name}\r\n").as_bytes());
        assert!(BOUNDARY_AND_HEADER.starts_with(BOUNDARY));
    }
}
