//! Made-up findings.

use gradcam_video::audit::report::data::{Finding, Measure, PictureRef, Severity, Unit};

use super::Dice;
use super::kinds::KindText;
use super::pictures::Pictures;

pub(super) fn finding(
    text: &KindText,
    rank: usize,
    dice: &mut Dice,
    pictures: &mut Pictures,
) -> Finding {
    let &(name, _, _, _, unit, _) = text;
    let is_of_video = matches!(name, "unstable_label" | "frozen_frames") || dice.fraction() < 0.1;
    let has_picture = name != "unreadable";
    let time_s = (is_of_video && has_picture).then(|| (200.0 * dice.fraction()).round() / 2.0);
    let (predicted, label) = (dice.class(), dice.class());
    let path = match time_s {
        Some(_) => "clips/garden.mp4".to_owned(),
        None => format!("{label}/IMG_{:04}.jpg", dice.below(10_000)),
    };
    let confidence = dice.fraction();
    let value = match unit {
        Unit::Fraction => dice.fraction(),
        Unit::None => dice.below(12) as f64 + 1.0,
        _ => 40.0 * dice.fraction(),
    };
    let peak = match name {
        "attention_in_corner" | "suspicious_cluster" => [0.08, 0.92],
        "attention_on_border" => [0.5, 0.03],
        _ => [0.2 + 0.6 * dice.fraction(), 0.2 + 0.6 * dice.fraction()],
    };
    let message = match name {
        "label_disagrees" => format!(
            "The label is {label}, the model says {predicted} with {:.1} %.",
            100.0 * confidence
        ),
        "attention_in_corner" => format!(
            "{:.0} % of the evidence lies in the bottom left corner.",
            100.0 * value
        ),
        "unreadable" => "cannot decode: the file ends within the header".to_owned(),
        "exact_duplicate" => {
            "The same bytes as 2 other files, one of which has another label.".to_owned()
        }
        "frozen_frames" => format!("The picture stands still for {value:.1} s."),
        _ => format!("Ranked {rank}: see how this is computed."),
    };
    let related = match name {
        "exact_duplicate" | "near_duplicate" => (0..1 + dice.below(3))
            .map(|_| reference(dice, pictures))
            .collect(),
        "suspicious_cluster" => (0..6).map(|_| reference(dice, pictures)).collect(),
        _ => Vec::new(),
    };
    Finding {
        kind: name.to_owned(),
        severity: match name {
            "suspicious_cluster" | "unreadable" => Severity::Error,
            "label_disagrees" if rank < 4 => Severity::Error,
            "odd_size" | "near_duplicate" | "blurred" | "frozen_frames" => Severity::Info,
            _ => Severity::Warning,
        },
        rank: rank as u64,
        path,
        frame: time_s.map(|time| (30.0 * time) as u64),
        time_s,
        label: (has_picture && time_s.is_none()).then_some(label),
        predicted: has_picture.then_some(predicted),
        confidence: has_picture.then_some(confidence),
        value: has_picture.then_some(value),
        message,
        values: vec![
            Measure {
                name: "Evidence on the border".to_owned(),
                value: Some(dice.fraction()),
                unit: Unit::Fraction,
            },
            Measure {
                name: "Sharpness".to_owned(),
                value: Some(900.0 * dice.fraction()),
                unit: Unit::SquaredGreyLevels,
            },
            Measure {
                name: "Change".to_owned(),
                value: time_s.map(|_| 9.0 * dice.fraction()),
                unit: Unit::GreyLevels,
            },
        ],
        picture: has_picture
            .then(|| pictures.add(dice, peak, name == "dark", name == "no_positive_evidence")),
        related,
    }
}

pub(super) fn reference(dice: &mut Dice, pictures: &mut Pictures) -> PictureRef {
    PictureRef {
        path: format!("{}/copy of IMG_{:04}.jpg", dice.class(), dice.below(10_000)),
        time_s: None,
        picture: Some(pictures.add(dice, [0.1, 0.9], false, false)),
    }
}
