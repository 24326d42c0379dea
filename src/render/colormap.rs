//! Colour maps: from evidence in 0..=1 to a colour, as tables of 256 entries.

use std::fmt;
use std::str::FromStr;

use colorgrad::Gradient;

use crate::error::{Error, ErrorKind};

/// Which colours stand for weak and strong evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColorMap {
    /// Blue, cyan, yellow, red: what Grad-CAM pictures are known by. Equal to matplotlib's `jet`.
    #[default]
    Jet,
    /// Jet with even lightness steps.
    Turbo,
    /// Purple, green, yellow: readable for colour-blind viewers.
    Viridis,
    /// Black, red, yellow.
    Inferno,
    /// Black to white.
    Gray,
}

impl ColorMap {
    /// Every colour map, in the order in which help texts list them.
    pub const ALL: [Self; 5] = [
        Self::Jet,
        Self::Turbo,
        Self::Viridis,
        Self::Inferno,
        Self::Gray,
    ];

    /// Red, green, blue for evidence `index / 255`.
    pub fn table(self) -> [[u8; 3]; 256] {
        match self {
            Self::Jet => jet_table(),
            Self::Turbo => gradient_table(&colorgrad::preset::turbo()),
            Self::Viridis => gradient_table(&colorgrad::preset::viridis()),
            Self::Inferno => gradient_table(&colorgrad::preset::inferno()),
            Self::Gray => std::array::from_fn(|index| [index as u8; 3]),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Jet => "jet",
            Self::Turbo => "turbo",
            Self::Viridis => "viridis",
            Self::Inferno => "inferno",
            Self::Gray => "gray",
        }
    }
}

impl fmt::Display for ColorMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ColorMap {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|colormap| colormap.name() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                let message = format!("unknown colour map '{text}': known are {names}");
                Error::new(ErrorKind::InvalidArgument, message)
            })
    }
}

fn gradient_table(gradient: &impl Gradient) -> [[u8; 3]; 256] {
    std::array::from_fn(|index| {
        let [red, green, blue, _] = gradient.at(index as f32 / 255.0).to_rgba8();
        [red, green, blue]
    })
}

/// Corner points (position, intensity) of one channel.
type Segments = &'static [(f64, f64)];

// `_jet_data` in matplotlib's `_cm.py`.
const JET_RED: Segments = &[
    (0.0, 0.0),
    (0.35, 0.0),
    (0.66, 1.0),
    (0.89, 1.0),
    (1.0, 0.5),
];
const JET_GREEN: Segments = &[
    (0.0, 0.0),
    (0.125, 0.0),
    (0.375, 1.0),
    (0.64, 1.0),
    (0.91, 0.0),
    (1.0, 0.0),
];
const JET_BLUE: Segments = &[
    (0.0, 0.5),
    (0.11, 1.0),
    (0.34, 1.0),
    (0.65, 0.0),
    (1.0, 0.0),
];

fn jet_table() -> [[u8; 3]; 256] {
    // The bytes are truncated, not rounded, as matplotlib does.
    std::array::from_fn(|index| jet(index).map(|intensity| (intensity * 255.0) as u8))
}

/// Red, green, blue of jet in 0..=1 for evidence `index / 255`.
pub(super) fn jet(index: usize) -> [f64; 3] {
    [JET_RED, JET_GREEN, JET_BLUE].map(|channel| intensity(channel, index))
}

/// matplotlib's `_create_lookup_table` for N = 256 and gamma 1, in its order of operations.
fn intensity(segments: Segments, index: usize) -> f64 {
    let position = 255.0 * (index as f64 * (1.0 / 255.0));
    for pair in segments.windows(2) {
        let ((start, low), (end, high)) = (pair[0], pair[1]);
        let (start, end) = (start * 255.0, end * 255.0);
        if position <= end {
            let distance = (position - start) / (end - start);
            return (distance * (high - low) + low).clamp(0.0, 1.0);
        }
    }
    segments.last().map_or(0.0, |(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jet_equals_matplotlib_in_every_entry() {
        let bytes = include_bytes!("../../tests/golden/jet_lut.safetensors");
        let golden = safetensors::SafeTensors::deserialize(bytes).unwrap();
        for name in ["jet_u8_bytes", "jet_u8_trunc"] {
            let tensor = golden.tensor(name).unwrap();
            assert_eq!(tensor.shape(), [256, 3]);
            assert_eq!(
                ColorMap::Jet.table().as_flattened(),
                tensor.data(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_other_maps_have_their_known_ends() {
        let near = |got: [u8; 3], want: [u8; 3]| {
            let distance = |channel: usize| got[channel].abs_diff(want[channel]);
            assert!((0..3).all(|channel| distance(channel) <= 3), "{got:?}");
        };
        near(ColorMap::Turbo.table()[0], [35, 23, 27]);
        near(ColorMap::Viridis.table()[0], [68, 1, 84]);
        near(ColorMap::Viridis.table()[255], [254, 232, 37]);
        near(ColorMap::Inferno.table()[0], [0, 0, 4]);
        near(ColorMap::Inferno.table()[255], [252, 255, 164]);
        near(ColorMap::Gray.table()[77], [77, 77, 77]);
    }

    #[test]
    fn names_parse_back_and_unknown_ones_list_the_known() {
        for colormap in ColorMap::ALL {
            assert_eq!(colormap.to_string().parse::<ColorMap>().unwrap(), colormap);
        }
        let error = "hot".parse::<ColorMap>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("jet, turbo, viridis"), "{error}");
    }
}
