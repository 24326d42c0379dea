//! Turning whole pictures: for containers that cannot tell players to, and for recordings whose source comes back turned otherwise.

use crate::frame::{Orientation, Picture, Plane, Samples};

impl Orientation {
    /// How a picture that stands upright by this is turned to be one that stands upright by `other`.
    pub(crate) fn relative_to(self, other: Self) -> Self {
        let turns = (self.quarter_turns + 4 - other.quarter_turns % 4) % 4;
        Self {
            // Behind a mirror, turns go the other way round.
            quarter_turns: if other.is_mirrored {
                (4 - turns) % 4
            } else {
                turns
            },
            is_mirrored: self.is_mirrored != other.is_mirrored,
        }
    }
}

impl Picture {
    /// The picture, turned so.
    pub(crate) fn turned(&self, turn: Orientation) -> Self {
        let (width, height) = turn.upright_size(self.width, self.height);
        let plane = |index: usize| {
            let turned = self.planes[index].turned(turn);
            let wanted = self.format.plane_size(index, width, height);
            if (turned.width, turned.height) == wanted {
                turned
            } else {
                resample(&turned, wanted)
            }
        };
        Self {
            width,
            height,
            format: self.format,
            color: self.color,
            planes: [plane(0), plane(1), plane(2)],
        }
    }
}

impl Plane {
    fn turned(&self, turn: Orientation) -> Self {
        let (width, height) = turn.upright_size(self.width, self.height);
        let samples = match &self.samples {
            Samples::U8(samples) => Samples::U8(turn.to_upright(samples, self.width, self.height)),
            Samples::U16(samples) => {
                Samples::U16(turn.to_upright(samples, self.width, self.height))
            }
        };
        Self {
            width,
            height,
            samples,
        }
    }
}

/// Chroma of 4:2:2 on its side has half the rows in place of half the columns: two columns are averaged, and rows stand twice.
fn resample(plane: &Plane, size: (usize, usize)) -> Plane {
    let samples = match &plane.samples {
        Samples::U8(samples) => Samples::U8(halve(samples, plane, size, |a, b| {
            (u16::from(a) + u16::from(b)).div_ceil(2) as u8
        })),
        Samples::U16(samples) => Samples::U16(halve(samples, plane, size, |a, b| {
            (u32::from(a) + u32::from(b)).div_ceil(2) as u16
        })),
    };
    Plane {
        width: size.0,
        height: size.1,
        samples,
    }
}

fn halve<T: Copy>(
    samples: &[T],
    plane: &Plane,
    (width, height): (usize, usize),
    average: impl Fn(T, T) -> T,
) -> Vec<T> {
    let last = plane.width - 1;
    let mut halved = Vec::with_capacity(width * height);
    for y in 0..height {
        let start = (y / 2).min(plane.height - 1) * plane.width;
        let row = &samples[start..start + plane.width];
        halved.extend(
            (0..width).map(|x| average(row[(2 * x).min(last)], row[(2 * x + 1).min(last)])),
        );
    }
    halved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorSpec, PictureFormat};

    const CLOCKWISE: Orientation = Orientation {
        quarter_turns: 1,
        is_mirrored: false,
    };

    fn picture(chroma_shift: (u8, u8), luma: &[u8], chroma: &[u8]) -> Picture {
        let format = PictureFormat {
            chroma_shift,
            bit_depth: 8,
        };
        let mut picture = Picture::filled(4, 2, format, ColorSpec::RGB, [0; 3]);
        picture.planes[0].samples = Samples::U8(luma.to_vec());
        for plane in &mut picture.planes[1..] {
            plane.samples = Samples::U8(chroma.to_vec());
        }
        picture
    }

    #[test]
    fn planes_are_turned_each_in_its_own_size() {
        let turned = picture((1, 1), b"abcdefgh", b"xy").turned(CLOCKWISE);
        assert_eq!((turned.width, turned.height), (2, 4));
        assert_eq!(turned.planes[0].samples, Samples::U8(b"eafbgchd".to_vec()));
        assert_eq!((turned.planes[1].width, turned.planes[1].height), (1, 2));
        assert_eq!(turned.planes[2].samples, Samples::U8(b"xy".to_vec()));
    }

    #[test]
    fn chroma_with_half_the_columns_keeps_its_format_on_its_side() {
        let turned = picture((1, 0), b"abcdefgh", &[10, 50, 20, 61]).turned(CLOCKWISE);
        let chroma = &turned.planes[1];
        assert_eq!((chroma.width, chroma.height), (1, 4));
        assert_eq!(chroma.samples, Samples::U8(vec![15, 15, 56, 56]));
    }

    #[test]
    fn from_any_orientation_into_any_other() {
        let all = (0..8).map(|index| Orientation {
            quarter_turns: index / 2,
            is_mirrored: index % 2 == 1,
        });
        for (from, to) in all
            .clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)))
        {
            let turn = from.relative_to(to);
            let turned = turn.to_upright(b"abcdef", 3, 2);
            let (width, height) = turn.upright_size(3, 2);
            assert_eq!(
                to.to_upright(&turned, width, height),
                from.to_upright(b"abcdef", 3, 2),
                "{from:?} {to:?}"
            );
        }
    }
}
