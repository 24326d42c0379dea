//! Made-up statistics.

use gradcam_video::audit::report::data::{
    ClassCount, ClassCounts, ConfidenceBin, Confusion, OtherClasses,
};

use super::{CLASSES, Dice};

pub(super) fn class_counts(is_labelled: bool, dice: &mut Dice) -> ClassCounts {
    let top = (0..30).map(|place| ClassCount {
        name: CLASSES
            .get(place)
            .map_or_else(|| format!("class_{place}"), |name| (*name).to_owned()),
        predicted: 420 / (place as u64 + 1) + dice.below(30) as u64,
        labelled: is_labelled.then_some(if place < 12 { 200 } else { 0 }),
    });
    ClassCounts {
        top: top.collect(),
        others: Some(OtherClasses {
            classes: 57,
            predicted: 143,
            labelled: is_labelled.then_some(6),
        }),
    }
}

pub(super) fn confidence(is_labelled: bool) -> Vec<ConfidenceBin> {
    let bin = |place: u64| {
        let (right, wrong) = (place * place, 30u64.saturating_sub(place) / 2 + 4);
        if is_labelled {
            ConfidenceBin {
                agreeing: right,
                disagreeing: wrong,
                unlabelled: place,
            }
        } else {
            ConfidenceBin {
                unlabelled: right + wrong,
                ..ConfidenceBin::default()
            }
        }
    };
    (0..20).map(bin).collect()
}

pub(super) fn matrix(dice: &mut Dice) -> Confusion {
    let cell = |row: usize, column: usize, dice: &mut Dice| {
        if row == column {
            150 + dice.below(50) as u64
        } else {
            (dice.fraction().powi(6) * 60.0) as u64
        }
    };
    Confusion::Matrix {
        classes: CLASSES.iter().map(|name| (*name).to_owned()).collect(),
        rows: (0..12)
            .map(|row| (0..12).map(|column| cell(row, column, dice)).collect())
            .collect(),
        elsewhere: (0..12).map(|_| dice.below(20) as u64).collect(),
    }
}
