//! The arrangement of panels in the output picture.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::frame::{Orientation, Picture, PictureFormat, Plane, Samples};

/// Which panels the output shows, from left to right as seen upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// The heatmap over the picture.
    #[default]
    Overlay,
    /// Original, overlay (one overlay per map, here and elsewhere).
    SideBySide,
    /// Original, heatmap alone, overlay.
    Triple,
    /// The heatmap alone.
    Heatmap,
}

impl Layout {
    /// Every layout, in the order in which help texts list them.
    pub const ALL: [Self; 4] = [Self::Overlay, Self::SideBySide, Self::Triple, Self::Heatmap];

    /// How many panels stand beside each other when so many maps are drawn of each frame.
    pub fn panel_count(self, targets: usize) -> usize {
        match self {
            Self::Overlay | Self::Heatmap => targets,
            Self::SideBySide => 1 + targets,
            Self::Triple => 1 + 2 * targets,
        }
    }

    /// Whether the first panel is the plain picture.
    pub fn has_original(self) -> bool {
        matches!(self, Self::SideBySide | Self::Triple)
    }

    /// Coded size (width, height) of the output for coded pictures of `width` x `height` and so many maps of each.
    ///
    /// With several panels, each takes its length rounded up to whole chroma samples, so that the chroma of every
    /// panel starts where its luma does.
    pub fn shape(
        self,
        targets: usize,
        (width, height): (usize, usize),
        format: PictureFormat,
        orientation: Orientation,
    ) -> (usize, usize) {
        let count = self.panel_count(targets);
        if count == 1 {
            return (width, height);
        }
        let (shift_x, shift_y) = format.chroma_shift;
        if orientation.swaps_axes() {
            (width, count * height.next_multiple_of(1 << shift_y))
        } else {
            (count * width.next_multiple_of(1 << shift_x), height)
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::SideBySide => "side-by-side",
            Self::Triple => "triple",
            Self::Heatmap => "heatmap",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|layout| layout.name() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                let message = format!("unknown layout '{text}': known are {names}");
                Error::new(ErrorKind::InvalidArgument, message)
            })
    }
}

/// Copies `panel` to place `index` (0 is leftmost as seen upright) of `count` equal places in `output`. A place that is
/// larger than the panel is filled by repeating the panel's last column or row.
pub(super) fn place_panel(
    panel: &Picture,
    output: &mut Picture,
    (index, count): (usize, usize),
    orientation: Orientation,
) {
    let is_stacked = orientation.swaps_axes();
    let place = if runs_backwards(orientation) {
        count - 1 - index
    } else {
        index
    };
    for (source, target) in panel.planes.iter().zip(&mut output.planes) {
        let (pitch_x, pitch_y) = if is_stacked {
            (target.width, target.height / count)
        } else {
            (target.width / count, target.height)
        };
        let place = Place {
            left: if is_stacked { 0 } else { place * pitch_x },
            top: if is_stacked { place * pitch_y } else { 0 },
            width: pitch_x,
            height: pitch_y,
        };
        copy_plane(source, target, place);
    }
}

/// Whether the upright left-to-right direction is right-to-left or bottom-to-top as coded.
fn runs_backwards(orientation: Orientation) -> bool {
    let left = orientation.coded_position(0, 0, 2, 2);
    let right = orientation.coded_position(1, 0, 2, 2);
    right < left
}

/// Part of a plane, in samples.
#[derive(Debug, Clone, Copy)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

fn copy_plane(source: &Plane, target: &mut Plane, place: Place) {
    let size = (source.width, source.height);
    match (&source.samples, &mut target.samples) {
        (Samples::U8(from), Samples::U8(to)) => copy_samples(from, size, to, target.width, place),
        (Samples::U16(from), Samples::U16(to)) => copy_samples(from, size, to, target.width, place),
        // The renderer makes the output in the format of its panels.
        _ => debug_assert!(false, "panel and output differ in depth"),
    }
}

fn copy_samples<S: Copy>(
    source: &[S],
    (source_width, source_height): (usize, usize),
    target: &mut [S],
    target_width: usize,
    place: Place,
) {
    if source_width == 0 || source_height == 0 {
        return;
    }
    let copied = source_width.min(place.width);
    for y in 0..place.height {
        let from = y.min(source_height - 1) * source_width;
        let to = (place.top + y) * target_width + place.left;
        let row = source.get(from..from + copied);
        let slot = target.get_mut(to..to + place.width);
        if let (Some(row), Some(slot)) = (row, slot) {
            let (start, padding) = slot.split_at_mut(copied);
            start.copy_from_slice(row);
            if let Some(edge) = row.last() {
                padding.fill(*edge);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ColorSpec;

    const YUV420: PictureFormat = PictureFormat {
        chroma_shift: (1, 1),
        bit_depth: 8,
    };

    fn turned(quarter_turns: u8) -> Orientation {
        Orientation {
            quarter_turns,
            is_mirrored: false,
        }
    }

    #[test]
    fn shapes_grow_along_the_axis_that_is_horizontal_upright() {
        let upright = turned(0);
        assert_eq!(Layout::Overlay.shape(1, (5, 3), YUV420, upright), (5, 3));
        assert_eq!(Layout::Heatmap.shape(1, (5, 3), YUV420, turned(1)), (5, 3));
        assert_eq!(
            Layout::SideBySide.shape(1, (5, 3), YUV420, upright),
            (12, 3)
        );
        assert_eq!(Layout::Triple.shape(1, (5, 3), YUV420, upright), (18, 3));
        assert_eq!(Layout::Triple.shape(1, (5, 3), YUV420, turned(3)), (5, 12));
        let full = PictureFormat::FULL_8;
        assert_eq!(Layout::Triple.shape(1, (5, 3), full, upright), (15, 3));
    }

    #[test]
    fn panels_of_odd_pictures_repeat_their_edge_and_keep_chroma_aligned() {
        let mut panel = Picture::filled(3, 1, YUV420, ColorSpec::RGB, [0; 3]);
        panel.planes[0].samples = Samples::U8(vec![1, 2, 3]);
        panel.planes[1].samples = Samples::U8(vec![4, 5]);
        let mut output = Picture::filled(8, 1, YUV420, ColorSpec::RGB, [0; 3]);
        place_panel(&panel, &mut output, (0, 2), turned(0));
        place_panel(&panel, &mut output, (1, 2), turned(0));
        assert_eq!(
            output.planes[0].samples,
            Samples::U8(vec![1, 2, 3, 3, 1, 2, 3, 3])
        );
        assert_eq!(output.planes[1].samples, Samples::U8(vec![4, 5, 4, 5]));
    }

    #[test]
    fn panels_run_left_to_right_upright_in_all_eight_orientations() {
        let full = PictureFormat::FULL_8;
        for quarter_turns in 0..4 {
            for is_mirrored in [false, true] {
                let orientation = Orientation {
                    quarter_turns,
                    is_mirrored,
                };
                // Upright panels are 2 wide and 1 high.
                let (width, height) = orientation.upright_size(2, 1);
                let (out_width, out_height) =
                    Layout::Triple.shape(1, (width, height), full, orientation);
                let mut output =
                    Picture::filled(out_width, out_height, full, ColorSpec::RGB, [0; 3]);
                for index in 0..3 {
                    let fill = [10 * (index as u16 + 1); 3];
                    let panel = Picture::filled(width, height, full, ColorSpec::RGB, fill);
                    place_panel(&panel, &mut output, (index, 3), orientation);
                }
                let Samples::U8(samples) = &output.planes[0].samples else {
                    panic!("8 bits are kept in u8");
                };
                let upright = orientation.to_upright(samples, out_width, out_height);
                assert_eq!(upright, [10, 10, 20, 20, 30, 30], "{orientation:?}");
            }
        }
    }

    #[test]
    fn names_parse_back_and_unknown_ones_list_the_known() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse::<Layout>().unwrap(), layout);
        }
        let error = "grid".parse::<Layout>().unwrap_err();
        assert!(
            error.to_string().contains("overlay, side-by-side"),
            "{error}"
        );
    }
}
