//! What travels through the pipeline: a [`Frame`] is a planar [`Picture`] with its place in time.

use std::fmt;

/// Position of a frame in its stream, counted from 0 at the first frame that is processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FrameIndex(pub u64);

impl fmt::Display for FrameIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Presentation time in ticks of a [`TimeBase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pts(pub i64);

/// Length of one tick, as an exact fraction of a second. Rounding it is how tools drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBase {
    /// Seconds, numerator.
    pub numerator: i32,
    /// Seconds, denominator.
    pub denominator: i32,
}

impl TimeBase {
    /// A presentation time in seconds.
    pub fn seconds(self, pts: Pts) -> f64 {
        pts.0 as f64 * f64::from(self.numerator) / f64::from(self.denominator)
    }
}

/// One decoded frame.
pub struct Frame {
    /// Position in the stream.
    pub index: FrameIndex,
    /// Presentation time, strictly increasing from frame to frame; the first instant of the output is 0.
    pub pts: Pts,
    /// How long the frame is shown, in ticks; 0 if unknown.
    pub duration: i64,
    /// The pixels, in the orientation in which they were coded.
    pub picture: Picture,
    /// What travels with the frame besides its pixels.
    #[cfg(feature = "video")]
    pub passthrough: Vec<Passthrough>,
}

/// What travels with a frame besides its pixels, from a video source to a video sink.
#[cfg(feature = "video")]
pub enum Passthrough {
    /// A packet of another stream (audio, subtitles) that the container holds before the frame.
    Packet(ffmpeg_next::Packet),
    /// The frame's closed captions, as ATSC A/53 part 4 packs them.
    Captions(Vec<u8>),
    /// Of a frame whose fields are not in the stream's order: whether the top one comes first, or `None` if the frame is progressive.
    Fields(Option<bool>),
}

/// Samples of one plane. Depths above 8 bits use the low bits of a `u16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// 8 bits.
    U8(Vec<u8>),
    /// 9 to 16 bits, in native byte order.
    U16(Vec<u16>),
}

/// One plane, row-major, without padding between rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` samples.
    pub samples: Samples,
}

/// How samples are laid out: the same for all frames of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFormat {
    /// log2 of the horizontal and vertical subsampling of planes 1 and 2: (1, 1) is 4:2:0.
    pub chroma_shift: (u8, u8),
    /// Bits per sample, 8 to 16.
    pub bit_depth: u8,
}

impl PictureFormat {
    /// 8 bits, no subsampling.
    pub const FULL_8: Self = Self {
        chroma_shift: (0, 0),
        bit_depth: 8,
    };

    /// Size of plane `plane` in a picture of `width` x `height`.
    pub fn plane_size(self, plane: usize, width: usize, height: usize) -> (usize, usize) {
        if plane == 0 {
            return (width, height);
        }
        let (sx, sy) = self.chroma_shift;
        (width.div_ceil(1 << sx), height.div_ceil(1 << sy))
    }
}

/// What the three planes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorModel {
    /// Planes are red, green, blue.
    Rgb,
    /// Planes are Y', Cb, Cr of ITU-R BT.601.
    YuvBt601,
    /// Planes are Y', Cb, Cr of ITU-R BT.709.
    YuvBt709,
    /// Planes are Y', Cb, Cr of ITU-R BT.2020 with non-constant luminance.
    YuvBt2020,
}

impl ColorModel {
    /// The luma weights (Kr, Kb) of a Y'CbCr model; `None` for RGB.
    pub fn luma_weights(self) -> Option<(f32, f32)> {
        match self {
            Self::Rgb => None,
            Self::YuvBt601 => Some((0.299, 0.114)),
            Self::YuvBt709 => Some((0.2126, 0.0722)),
            Self::YuvBt2020 => Some((0.2627, 0.0593)),
        }
    }
}

/// How sample values stand for light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transfer {
    /// Any curve of ordinary video and images: full signal is white.
    #[default]
    Sdr,
    /// The perceptual quantizer of SMPTE ST 2084: values name absolute luminance, up to 10,000 cd/m2.
    Pq,
    /// Hybrid log-gamma of ARIB STD-B67 and ITU-R BT.2100.
    Hlg,
}

/// Model, range and transfer of a picture's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColorSpec {
    /// Meaning of the planes.
    pub model: ColorModel,
    /// Whether samples use all codes (0..=255), or the limited "video" range (Y' 16..=235, C 16..=240).
    pub is_full_range: bool,
    /// Light that R', G', B' stand for.
    pub transfer: Transfer,
}

impl ColorSpec {
    /// Full-range SDR RGB, as still images have it.
    pub const RGB: Self = Self {
        model: ColorModel::Rgb,
        is_full_range: true,
        transfer: Transfer::Sdr,
    };
}

/// A planar picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Subsampling and depth.
    pub format: PictureFormat,
    /// Meaning of the planes.
    pub color: ColorSpec,
    /// Three planes; planes 1 and 2 may be subsampled.
    pub planes: [Plane; 3],
}

impl Picture {
    /// A picture with every sample of plane `i` set to `fill[i]`.
    pub fn filled(
        width: usize,
        height: usize,
        format: PictureFormat,
        color: ColorSpec,
        fill: [u16; 3],
    ) -> Self {
        let plane = |index: usize| {
            let (width, height) = format.plane_size(index, width, height);
            let samples = if format.bit_depth == 8 {
                Samples::U8(vec![fill[index].min(255) as u8; width * height])
            } else {
                Samples::U16(vec![fill[index]; width * height])
            };
            Plane {
                width,
                height,
                samples,
            }
        };
        Self {
            width,
            height,
            format,
            color,
            planes: [plane(0), plane(1), plane(2)],
        }
    }
}

/// Size of a picture, and the shape of its pixels: in anamorphic video they are no squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameShape {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width of a pixel divided by its height, as it is shown.
    pub pixel_aspect: f64,
}

impl FrameShape {
    /// The shape of a picture with square pixels.
    pub fn square_pixels(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixel_aspect: 1.0,
        }
    }

    /// The shape of the upright picture, for that of a coded one.
    pub fn upright(self, orientation: Orientation) -> Self {
        let (width, height) = orientation.upright_size(self.width, self.height);
        let pixel_aspect = if orientation.swaps_axes() {
            self.pixel_aspect.recip()
        } else {
            self.pixel_aspect
        };
        Self {
            width,
            height,
            pixel_aspect,
        }
    }
}

/// An axis-aligned rectangle in the pixels of a frame, as fractions of pixels; it may reach outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RectInFrame {
    /// Left edge.
    pub x0: f64,
    /// Top edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Bottom edge.
    pub y1: f64,
}

/// How a coded picture must be turned to stand upright: mirror left-right first if `is_mirrored`,
/// then turn clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    /// Clockwise quarter turns, 0 to 3.
    pub quarter_turns: u8,
    /// Whether the picture is mirrored left-right before it is turned.
    pub is_mirrored: bool,
}

impl Orientation {
    /// Whether width and height change places.
    pub fn swaps_axes(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// Size of the upright picture.
    pub fn upright_size(self, width: usize, height: usize) -> (usize, usize) {
        if self.swaps_axes() {
            (height, width)
        } else {
            (width, height)
        }
    }

    /// Turns a row-major grid as coded into one that stands upright.
    pub fn to_upright<T: Copy>(self, grid: &[T], width: usize, height: usize) -> Vec<T> {
        /// One of both grids is walked down its columns: blocks keep what is read together in the cache.
        const BLOCK: usize = 32;
        let Some(&first) = grid.first() else {
            return Vec::new();
        };
        let (up_width, up_height) = self.upright_size(width, height);
        let mut upright = vec![first; up_width * up_height];
        for (top, left) in (0..up_height)
            .step_by(BLOCK)
            .flat_map(|top| (0..up_width).step_by(BLOCK).map(move |left| (top, left)))
        {
            for y in top..(top + BLOCK).min(up_height) {
                for x in left..(left + BLOCK).min(up_width) {
                    let (coded_x, coded_y) = self.coded_position(x, y, width, height);
                    upright[y * up_width + x] = grid[coded_y * width + coded_x];
                }
            }
        }
        upright
    }

    /// The inverse of [`to_upright`](Self::to_upright): `width` x `height` is the upright size.
    pub fn to_coded<T: Copy>(self, grid: &[T], width: usize, height: usize) -> Vec<T> {
        let (coded_width, coded_height) = self.upright_size(width, height);
        let mut coded = vec![None; grid.len()];
        for y in 0..height {
            for x in 0..width {
                let (cx, cy) = self.coded_position(x, y, coded_width, coded_height);
                coded[cy * coded_width + cx] = Some(grid[y * width + x]);
            }
        }
        coded.into_iter().flatten().collect()
    }

    /// Where the pixel at `x`, `y` of the upright picture lies in the coded one of `width` x `height`.
    pub fn coded_position(self, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        let (cx, cy) = match self.quarter_turns % 4 {
            0 => (x, y),
            1 => (y, height - 1 - x),
            2 => (width - 1 - x, height - 1 - y),
            _ => (width - 1 - y, x),
        };
        if self.is_mirrored {
            (width - 1 - cx, cy)
        } else {
            (cx, cy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clockwise_turn_brings_the_left_column_to_the_top() {
        // Coded 3x2:  a b c     upright (turned clockwise):  d a
        //             d e f                                  e b
        //                                                    f c
        let turn = Orientation {
            quarter_turns: 1,
            is_mirrored: false,
        };
        assert_eq!(
            turn.to_upright(b"abcdef", 3, 2),
            b"daebfc",
            "upright is 2 wide, 3 high"
        );
    }

    #[test]
    fn to_coded_inverts_to_upright_for_all_eight_orientations() {
        // More than one block each way.
        const SIZE: (usize, usize) = (70, 33);
        let grid: Vec<u16> = (0..70 * 33).collect();
        for quarter_turns in 0..4 {
            for is_mirrored in [false, true] {
                let orientation = Orientation {
                    quarter_turns,
                    is_mirrored,
                };
                let upright = orientation.to_upright(&grid, SIZE.0, SIZE.1);
                let (width, height) = orientation.upright_size(SIZE.0, SIZE.1);
                assert_eq!(orientation.to_coded(&upright, width, height), grid);
            }
        }
    }

    #[test]
    fn chroma_planes_of_odd_pictures_round_up() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 8,
        };
        assert_eq!(format.plane_size(1, 5, 3), (3, 2));
        assert_eq!(format.plane_size(0, 5, 3), (5, 3));
    }
}
