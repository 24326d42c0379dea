//! The corners and edges of a picture, and what it takes to hug one.

use std::fmt;

use super::{CELLS, FocusMap, SIDE};

/// A corner or an edge of the upright picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The corner.
    TopLeft,
    /// The corner.
    TopRight,
    /// The corner.
    BottomLeft,
    /// The corner.
    BottomRight,
    /// The edge.
    Top,
    /// The edge.
    Bottom,
    /// The edge.
    Left,
    /// The edge.
    Right,
}

/// A focus hugs a corner if the 3x3 cells there hold half of it and the outer 2x2 cells alone this share: what lies beside a corner does not count.
/// (Depth in cells, least share of the mass.)
const CORNER_RULE: [(usize, f64); 2] = [(3, 0.5), (2, 0.35)];
/// A focus hugs an edge if the two outer rows hold these shares, and the outermost alone the other: what merely touches the edge does not count.
const EDGE_RULE: [(usize, f64); 2] = [(2, 0.7), (1, 0.4)];

impl Place {
    /// Corners first: what hugs a corner may hug an edge too.
    pub(super) const ALL: [Self; 8] = [
        Self::TopLeft,
        Self::TopRight,
        Self::BottomLeft,
        Self::BottomRight,
        Self::Top,
        Self::Bottom,
        Self::Left,
        Self::Right,
    ];

    /// The first place that a map hugs.
    pub(super) fn hugged_by(map: &FocusMap) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.is_hugged_by(map))
    }

    /// Whether enough of the map's mass (its sum is 1) lies here.
    pub(super) fn is_hugged_by(self, map: &FocusMap) -> bool {
        let rule = match self {
            Self::TopLeft | Self::TopRight | Self::BottomLeft | Self::BottomRight => CORNER_RULE,
            Self::Top | Self::Bottom | Self::Left | Self::Right => EDGE_RULE,
        };
        rule.into_iter().all(|(depth, least)| {
            let is_in = |cell: &usize| self.depth_of(*cell) < depth;
            let mass: f64 = (0..CELLS)
                .filter(is_in)
                .map(|cell| f64::from(map[cell]))
                .sum();
            mass >= least
        })
    }

    /// In which ring around the corner, or which row from the edge, a cell lies; 0 is the outermost.
    fn depth_of(self, cell: usize) -> usize {
        let (top, left) = (cell / SIDE, cell % SIDE);
        let (bottom, right) = (SIDE - 1 - top, SIDE - 1 - left);
        match self {
            Self::TopLeft => top.max(left),
            Self::TopRight => top.max(right),
            Self::BottomLeft => bottom.max(left),
            Self::BottomRight => bottom.max(right),
            Self::Top => top,
            Self::Bottom => bottom,
            Self::Left => left,
            Self::Right => right,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TopLeft => "the top left corner",
            Self::TopRight => "the top right corner",
            Self::BottomLeft => "the bottom left corner",
            Self::BottomRight => "the bottom right corner",
            Self::Top => "the top edge",
            Self::Bottom => "the bottom edge",
            Self::Left => "the left edge",
            Self::Right => "the right edge",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulate::blob;
    use super::*;
    use crate::random::Random;

    #[test]
    fn every_place_is_hugged_by_a_focus_there_only() {
        let middles = [
            (0.6, 0.6),
            (6.4, 0.6),
            (0.6, 6.4),
            (6.4, 6.4),
            (3.5, 0.3),
            (3.5, 6.7),
            (0.3, 3.5),
            (6.7, 3.5),
        ];
        for (place, middle) in Place::ALL.into_iter().zip(middles) {
            let map = blob(middle, 0.0, &mut Random::new(0, 0));
            assert_eq!(Place::hugged_by(&map), Some(place));
        }
    }

    #[test]
    fn a_focus_beside_a_corner_or_an_edge_hugs_nothing() {
        for middle in [(3.5, 3.5), (2.5, 2.5), (2.0, 2.0), (3.5, 1.5), (5.4, 3.5)] {
            let map = blob(middle, 0.0, &mut Random::new(0, 0));
            assert_eq!(Place::hugged_by(&map), None, "{middle:?}");
        }
        assert_eq!(Place::hugged_by(&[1.0 / CELLS as f32; CELLS]), None);
    }
}
