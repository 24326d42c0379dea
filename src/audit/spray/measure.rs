//! How often artefacts are found, and how often classes without any are suspected: on simulated classes.

use super::simulate::{Artefact, Setup, class};
use super::{FocusMap, cluster, mean_map, suspicions};
use crate::random::Random;

/// How many of the classes had an event.
#[derive(Debug, Default)]
struct Tally {
    /// At least half of the items with the artefact are in suspicious clusters that consist mainly of such items.
    found: usize,
    /// A cluster that does not consist mainly of items with the artefact is suspicious.
    false_alarms: usize,
}

/// Seeds from `first_seed` on make the classes.
fn tally(setup: Setup, classes: u64, first_seed: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in first_seed..first_seed + classes {
        let mut random = Random::new(seed, 0);
        let setup = Setup {
            has_flips: seed % 2 == 0,
            ..setup
        };
        let (maps, is_planted) = class(setup, &mut random);
        let clustering = cluster(&maps, 0);
        let views = suspicions(&maps, &clustering, &background(setup, &mut random));
        let (mut found, mut is_false_alarm) = (0, false);
        for (number, view) in views.iter().enumerate() {
            if view.suspicion.is_none() {
                continue;
            }
            let of = clustering.assignment.iter();
            let planted = of
                .zip(&is_planted)
                .filter(|(of, is_planted)| **of == number && **is_planted);
            match planted.count() {
                planted if 2 * planted >= view.count => found += planted,
                _ => is_false_alarm = true,
            }
        }
        let planted = is_planted.iter().filter(|is_planted| **is_planted).count();
        tally.found += usize::from(planted > 0 && 2 * found >= planted);
        tally.false_alarms += usize::from(is_false_alarm);
    }
    tally
}

/// Other classes' mean map.
fn background(setup: Setup, random: &mut Random) -> FocusMap {
    let others = Setup {
        items: 300,
        planted_share: 0.0,
        ..setup
    };
    mean_map(&class(others, random).0).unwrap()
}

#[test]
fn artefacts_in_a_corner_are_found() {
    for (items, planted_share) in [(20, 0.3), (40, 0.15), (40, 1.0), (100, 0.15), (100, 0.5)] {
        for is_by_photo in [false, true] {
            let setup = Setup {
                planted_share,
                is_by_photo,
                ..Setup::natural(items)
            };
            let tally = tally(setup, 12, 0);
            assert!(tally.found >= 11, "{setup:?}: {tally:?}");
        }
    }
}

#[test]
fn artefacts_at_an_edge_are_found() {
    let setup = Setup {
        artefact: Artefact::Caption,
        planted_share: 0.3,
        ..Setup::natural(60)
    };
    let tally = tally(setup, 12, 0);
    assert!(tally.found >= 10, "{tally:?}");
}

#[test]
fn classes_without_artefacts_are_rarely_suspected() {
    for items in [40, 100] {
        let setup = Setup {
            border_share: 0.0,
            ..Setup::natural(items)
        };
        let tally = tally(setup, 30, 0);
        assert!(tally.false_alarms <= 2, "{setup:?}: {tally:?}");
    }
}

/// Over many classes, made by other seeds than those that the thresholds were chosen on.
#[test]
#[ignore = "takes minutes"]
fn rates_over_many_classes() {
    const CLASSES: u64 = 200;
    const FIRST_SEED: u64 = 1_000_000;
    let check = |setup_of: &dyn Fn(usize) -> Setup, check: &dyn Fn(usize, &Tally)| {
        for items in [20, 40, 100, 300] {
            check(items, &tally(setup_of(items), CLASSES, FIRST_SEED));
        }
    };
    let natural = |label: &str, border_share: f64, most_views: usize, most_alarms: f64| {
        let setup = move |items| Setup {
            border_share,
            most_views,
            ..Setup::natural(items)
        };
        check(&setup, &|items, tally| {
            let share = tally.false_alarms as f64 / CLASSES as f64;
            assert!(share <= most_alarms, "{label}, {items}: {tally:?}");
        });
    };
    natural("no objects on a border, 1-8 views", 0.0, 8, 0.08);
    natural("8 % of objects on a border, 1 view", 0.08, 1, 0.05);
    natural("8 % of objects on a border, 1-8 views", 0.08, 8, 0.2);
    natural("8 % of objects on a border, 1-20 views", 0.08, 20, 0.4);
    natural("20 % of objects on a border, 1-8 views", 0.2, 8, 0.4);
    for artefact in [
        Artefact::Corner,
        Artefact::LooseCorner,
        Artefact::PureCorner,
        Artefact::Caption,
        Artefact::EdgeSpot,
    ] {
        for planted_share in [0.15, 0.3, 0.5, 1.0] {
            for is_by_photo in [false, true] {
                let setup = move |items| Setup {
                    artefact,
                    planted_share,
                    is_by_photo,
                    ..Setup::natural(items)
                };
                let label = format!("{artefact:?} {planted_share:.2} by photo {is_by_photo}");
                check(&setup, &|items, tally| {
                    let least = if artefact == Artefact::Corner && items > 20 {
                        0.95
                    } else {
                        0.5
                    };
                    let share = tally.found as f64 / CLASSES as f64;
                    assert!(share >= least, "{label}, {items}: {tally:?}");
                });
            }
        }
    }
}
