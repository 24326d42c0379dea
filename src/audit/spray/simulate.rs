//! Simulated focus maps for tests: photos of objects in several views, some with an artefact that the network looks at.

use super::{CELLS, FocusMap, SIDE};
use crate::random::Random;

/// A Gaussian. Lengths are in cells, places count from the top left corner.
#[derive(Debug, Clone, Copy)]
struct Object {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    weight: f64,
}

/// What the network looks at instead of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Artefact {
    /// 60 % of the mass in a corner, its middle 0.4 to 0.9 cells from either edge.
    Corner,
    /// The same at varying places up to 1.3 cells from the edges, and up to 1.2 cells wide.
    LooseCorner,
    /// 85 to 100 % of the mass in a corner.
    PureCorner,
    /// 60 to 85 % of the mass along an edge.
    Caption,
    /// 65 to 85 % of the mass at one place of an edge.
    EdgeSpot,
}

/// A class of pictures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) items: usize,
    pub(super) artefact: Artefact,
    /// Share of the items with the artefact.
    pub(super) planted_share: f64,
    /// Whether all views of a photo have the artefact or none.
    pub(super) is_by_photo: bool,
    /// Photos have one view to so many.
    pub(super) most_views: usize,
    /// Share of the objects whose middle is 0.3 to 1.2 cells from an edge.
    pub(super) border_share: f64,
    /// Whether half of the views are mirrored.
    pub(super) has_flips: bool,
}

impl Setup {
    /// Without artefacts.
    pub(super) fn natural(items: usize) -> Self {
        Self {
            items,
            artefact: Artefact::Corner,
            planted_share: 0.0,
            is_by_photo: false,
            most_views: 8,
            border_share: 0.08,
            has_flips: true,
        }
    }
}

/// The maps of a class, and which of them have the artefact.
pub(super) fn class(setup: Setup, random: &mut Random) -> (Vec<FocusMap>, Vec<bool>) {
    let planted = (setup.planted_share * setup.items as f64).round() as usize;
    let is_planted: Vec<bool> = if setup.is_by_photo {
        (0..setup.items).map(|item| item < planted).collect()
    } else {
        random.subset(setup.items, planted)
    };
    let side = random.below(4);
    let mut maps = Vec::with_capacity(setup.items);
    while maps.len() < setup.items {
        let count = [1, 1, 1, 1, 1, 1, 2, 2, 2, 3][random.below(10)];
        let photo: Vec<Object> = (0..count)
            .map(|_| object(setup.border_share, random))
            .collect();
        let views = 1 + random.below(setup.most_views);
        for _ in 0..views.min(setup.items - maps.len()) {
            let natural = drawn(&view(&photo, setup.has_flips, random), 0.03, random);
            maps.push(if is_planted[maps.len()] {
                marked(&natural, setup.artefact, side, random)
            } else {
                natural
            });
        }
    }
    (maps, is_planted)
}

/// A map with one round focus, 0.8 cells wide, and noise of this strength in every cell (1 is the height of the focus).
pub(super) fn blob((x, y): (f64, f64), noise: f64, random: &mut Random) -> FocusMap {
    let object = Object {
        x,
        y,
        width: 0.8,
        height: 0.8,
        weight: 1.0,
    };
    drawn(&[object], noise, random)
}

fn between(least: f64, most: f64, random: &mut Random) -> f64 {
    least + (most - least) * random.fraction()
}

fn object(border_share: f64, random: &mut Random) -> Object {
    let side = SIDE as f64;
    let mut place =
        [0.0; 2].map(|_: f64| (0.5 * side + 1.1 * random.normal()).clamp(1.2, side - 1.2));
    if random.chance(border_share) {
        let depth = between(0.3, 1.2, random);
        place[random.below(2)] = if random.chance(0.5) {
            depth
        } else {
            side - depth
        };
    }
    Object {
        x: place[0],
        y: place[1],
        width: between(0.6, 1.6, random),
        height: between(0.6, 1.6, random),
        weight: between(0.4, 1.0, random),
    }
}

/// The objects of a photo in another crop.
fn view(photo: &[Object], has_flips: bool, random: &mut Random) -> Vec<Object> {
    let is_flipped = has_flips && random.chance(0.5);
    let (right, down) = (0.25 * random.normal(), 0.25 * random.normal());
    let zoom = between(0.9, 1.1, random);
    let seen = photo.iter().map(|object| Object {
        x: right
            + if is_flipped {
                SIDE as f64 - object.x
            } else {
                object.x
            },
        y: down + object.y,
        width: object.width * zoom,
        height: object.height * zoom,
        weight: object.weight * between(0.8, 1.2, random),
    });
    seen.collect()
}

fn drawn(objects: &[Object], noise: f64, random: &mut Random) -> FocusMap {
    let mut sums = [0.0; CELLS];
    for (cell, sum) in sums.iter_mut().enumerate() {
        let (x, y) = ((cell % SIDE) as f64 + 0.5, (cell / SIDE) as f64 + 0.5);
        for object in objects {
            let across = (x - object.x) / object.width;
            let down = (y - object.y) / object.height;
            *sum += object.weight * (-0.5 * (across * across + down * down)).exp();
        }
        *sum = (*sum + noise * random.normal()).max(0.0);
    }
    let total: f64 = sums.iter().sum();
    sums.map(|sum| (sum / total) as f32)
}

/// A map most of whose mass lies on an artefact: `side` tells which corner or edge.
fn marked(natural: &FocusMap, artefact: Artefact, side: usize, random: &mut Random) -> FocusMap {
    let (x, y) = (between(0.4, 0.9, random), between(0.4, 0.9, random));
    let width = between(0.6, 0.9, random);
    let (x, y, width, height, [least, most]) = match artefact {
        Artefact::Corner => (x, y, width, width, [0.5, 0.7]),
        Artefact::LooseCorner => (
            2.0 * x - 0.5,
            2.0 * y - 0.5,
            2.0 * width - 0.6,
            2.0 * width - 0.6,
            [0.5, 0.7],
        ),
        Artefact::PureCorner => (x, y, width, width, [0.85, 1.0]),
        Artefact::Caption => (3.5, 0.5, 2.5, width, [0.6, 0.85]),
        Artefact::EdgeSpot => (2.5 + x, y, 1.3 * width, width, [0.65, 0.85]),
    };
    let far = |near: f64, is_far: bool| if is_far { SIDE as f64 - near } else { near };
    let mark = Object {
        x: far(x, side % 2 == 1),
        y: far(y, side / 2 == 1),
        width,
        height,
        weight: 1.0,
    };
    let mark = drawn(&[mark], 0.0, random);
    let share = between(least, most, random) as f32;
    std::array::from_fn(|cell| share * mark[cell] + (1.0 - share) * natural[cell])
}
