//! How a frame of any shape becomes the model's square, and where the square lies in the frame.

use crate::frame::{FrameShape, RectInFrame};
use crate::heatmap::Heatmap;

/// How a frame of any shape becomes the model's square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResizePolicy {
    /// The whole frame, its shape not kept.
    #[default]
    Stretch,
    /// The largest centred square; what lies outside is not seen by the model and stays without heat.
    Crop,
    /// The whole frame, its shape kept, on a square of the mean colour.
    Letterbox,
    /// As [`Stretch`](Self::Stretch), but each pixel is one of the frame's, not a mean of several: what Keras' `load_img` does.
    Nearest,
}

impl ResizePolicy {
    /// Name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stretch => "stretch",
            Self::Crop => "crop",
            Self::Letterbox => "letterbox",
            Self::Nearest => "nearest",
        }
    }

    /// The opposite of [`name`](Self::name).
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Stretch, Self::Crop, Self::Letterbox, Self::Nearest];
        all.into_iter().find(|policy| policy.name() == name)
    }

    /// Where the model's square of `size` pixels takes its content from. Squares and shapes are those that a viewer sees.
    pub(super) fn geometry(self, frame: FrameShape, size: usize) -> Geometry {
        let (w, h) = (frame.width as f64, frame.height as f64);
        let shown_width = w * frame.pixel_aspect;
        let whole = RectInFrame {
            x0: 0.0,
            y0: 0.0,
            x1: w,
            y1: h,
        };
        match self {
            Self::Stretch | Self::Nearest => Geometry {
                source: whole,
                inner: [0, 0, size, size],
            },
            Self::Crop => {
                let side = shown_width.min(h);
                let across = side / frame.pixel_aspect;
                let (x0, y0) = ((w - across) / 2.0, (h - side) / 2.0);
                Geometry {
                    source: RectInFrame {
                        x0,
                        y0,
                        x1: x0 + across,
                        y1: y0 + side,
                    },
                    inner: [0, 0, size, size],
                }
            }
            Self::Letterbox => {
                let scale = size as f64 / shown_width.max(h);
                let fit = |length: f64| ((length * scale).round() as usize).clamp(1, size);
                let (inner_width, inner_height) = (fit(shown_width), fit(h));
                let (left, top) = ((size - inner_width) / 2, (size - inner_height) / 2);
                Geometry {
                    source: whole,
                    inner: [left, top, inner_width, inner_height],
                }
            }
        }
    }

    /// The rectangle of the frame, in its pixels, that the whole heatmap covers. It is the frame itself for `Stretch`, lies inside
    /// it for `Crop`, and reaches outside for `Letterbox`.
    pub fn map_in_frame(self, frame: FrameShape, size: usize) -> RectInFrame {
        let Geometry {
            source,
            inner: [left, top, inner_width, inner_height],
        } = self.geometry(frame, size);
        // The affine map that takes the inner rectangle to its source, applied to the whole square.
        let span = |start: f64, end: f64, offset: usize, length: usize| {
            let per_pixel = (end - start) / length as f64;
            let first = start - offset as f64 * per_pixel;
            (first, first + size as f64 * per_pixel)
        };
        let (x0, x1) = span(source.x0, source.x1, left, inner_width);
        let (y0, y1) = span(source.y0, source.y1, top, inner_height);
        RectInFrame { x0, y0, x1, y1 }
    }

    /// Centre of a map's strongest cell: x and y as fractions of the frame, the nearest place of the frame if the cell lies outside.
    pub fn peak_in_frame(self, map: &Heatmap, frame: FrameShape, size: usize) -> [f64; 2] {
        let rect = self.map_in_frame(frame, size);
        let (column, row) = map.peak_cell();
        let x = rect.x0 + (column as f64 + 0.5) / map.width as f64 * (rect.x1 - rect.x0);
        let y = rect.y0 + (row as f64 + 0.5) / map.height as f64 * (rect.y1 - rect.y0);
        [
            (x / frame.width as f64).clamp(0.0, 1.0),
            (y / frame.height as f64).clamp(0.0, 1.0),
        ]
    }
}

/// Which part of the coded frame fills which part of the model's square.
pub(super) struct Geometry {
    pub(super) source: RectInFrame,
    /// Left, top, width, height in the square.
    pub(super) inner: [usize; 4],
}
