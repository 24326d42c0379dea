//! When a picture is a finding. All thresholds stand here, and [`how`] tells them to whoever reads the report.

use super::kinds::{FindingKind, Severity};
use super::record::AuditRecord;
use super::statistics::Statistics;

/// A prediction that contradicts the label with less is no confident one, whatever is usual.
const CONFIDENT: f64 = 0.5;
/// A top class less probable than this is "low confidence".
const LOW_CONFIDENCE: f64 = 0.3;
/// The second class is about as probable as the first if the difference is smaller than this...
const AMBIGUOUS_MARGIN: f64 = 0.1;
/// ...and if it is a serious candidate at all.
const AMBIGUOUS_SECOND: f64 = 0.2;
/// Share of the evidence in the outermost ring of 7x7 cells (49 % of the picture).
const BORDER_ENERGY: f64 = 0.85;
/// Share of the evidence in one corner of 3x3 of 7x7 cells (18 % of the picture).
const CORNER_ENERGY: f64 = 0.7;
/// 99th percentile of the luma: CleanVision's measure and threshold for dark pictures.
const DARK_BRIGHTNESS: f64 = 0.32;
/// Variance of the Laplacian, see [`sharpness`](super::measure::sharpness).
const BLURRED_SHARPNESS: f64 = 20.0;
/// A side shorter than this is upscaled a lot before the network sees it.
const SMALL_SIDE: usize = 64;
/// Longer side by shorter side.
const LONG_ASPECT: f64 = 3.0;
/// More pixels than this many times the median, or fewer than this part of it.
const ODD_AREA_FACTOR: f64 = 10.0;

/// A finding of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub(super) kind: FindingKind,
    pub(super) severity: Severity,
    /// What findings of a kind are ranked by ([`FindingKind::is_worst_high`]).
    pub(super) value: f64,
    /// Decides between equal values.
    pub(super) second_value: f64,
}

impl Verdict {
    pub(super) fn new(kind: FindingKind, severity: Severity, value: f64) -> Self {
        Self {
            kind,
            severity,
            value,
            second_value: 0.0,
        }
    }
}

/// All that is found in one picture by itself.
pub(super) fn judge(record: &AuditRecord, statistics: &Statistics) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    verdicts.extend(judge_label(record, statistics));
    judge_confidence(record, &mut verdicts);
    judge_map(record, &mut verdicts);
    judge_picture(record, statistics, &mut verdicts);
    verdicts
}

/// An error if the predicted class is as probable as it is in pictures of that class: a confident off-diagonal entry of the confident
/// joint (Northcutt 2021, "Confident learning").
fn judge_label(record: &AuditRecord, statistics: &Statistics) -> Option<Verdict> {
    let top = record.top.first()?;
    if !record.disagrees() {
        return None;
    }
    let is_confident = top.prob >= statistics.usual_self_confidence(top.index).max(CONFIDENT);
    let severity = if is_confident {
        Severity::Error
    } else {
        Severity::Warning
    };
    Some(Verdict {
        second_value: record.label_margin()?,
        ..Verdict::new(
            FindingKind::LabelDisagrees,
            severity,
            record.self_confidence?,
        )
    })
}

fn judge_confidence(record: &AuditRecord, verdicts: &mut Vec<Verdict>) {
    let [first, second] = [0, 1].map(|place| record.top.get(place).map_or(0.0, |class| class.prob));
    if first < LOW_CONFIDENCE {
        verdicts.push(Verdict::new(
            FindingKind::LowConfidence,
            Severity::Warning,
            first,
        ));
    }
    if second >= AMBIGUOUS_SECOND && first - second < AMBIGUOUS_MARGIN {
        verdicts.push(Verdict::new(
            FindingKind::Ambiguous,
            Severity::Info,
            first - second,
        ));
    }
}

fn judge_map(record: &AuditRecord, verdicts: &mut Vec<Verdict>) {
    let metrics = &record.metrics;
    if !record.heatmap.has_positive_evidence() {
        let maximum = f64::from(record.heatmap.positive_maximum());
        verdicts.push(Verdict::new(
            FindingKind::NoPositiveEvidence,
            Severity::Warning,
            maximum,
        ));
        return;
    }
    if let Some(energy) = metrics
        .corner_energy
        .filter(|energy| *energy >= CORNER_ENERGY)
    {
        verdicts.push(Verdict::new(
            FindingKind::AttentionInCorner,
            Severity::Warning,
            energy,
        ));
    } else if let Some(energy) = metrics
        .border_energy
        .filter(|energy| *energy >= BORDER_ENERGY)
    {
        verdicts.push(Verdict::new(
            FindingKind::AttentionOnBorder,
            Severity::Warning,
            energy,
        ));
    }
    if let (Some(energy), Some(share), Some(is_hit)) = (
        metrics.energy_in_box,
        metrics.box_share,
        metrics.is_pointing_hit,
    ) {
        let is_diffuse = energy < share;
        if is_diffuse || !is_hit {
            let severity = if is_diffuse && !is_hit {
                Severity::Error
            } else {
                Severity::Warning
            };
            verdicts.push(Verdict::new(
                FindingKind::AttentionOutsideBox,
                severity,
                energy,
            ));
        }
    }
}

fn judge_picture(record: &AuditRecord, statistics: &Statistics, verdicts: &mut Vec<Verdict>) {
    let metrics = &record.metrics;
    let [width, height] = record.size;
    let is_dark = metrics.brightness < DARK_BRIGHTNESS;
    if is_dark {
        verdicts.push(Verdict::new(
            FindingKind::Dark,
            Severity::Warning,
            metrics.brightness,
        ));
    }
    // Darkness hides edges: it would count twice.
    if !is_dark && metrics.sharpness < BLURRED_SHARPNESS {
        verdicts.push(Verdict::new(
            FindingKind::Blurred,
            Severity::Warning,
            metrics.sharpness,
        ));
    }
    let (short, long) = (width.min(height), width.max(height));
    let factor = (width * height) as f64 / statistics.median_area().max(1.0);
    let is_other_area = !(1.0 / ODD_AREA_FACTOR..=ODD_AREA_FACTOR).contains(&factor);
    let aspect = long as f64 / short.max(1) as f64;
    if short < SMALL_SIDE || aspect > LONG_ASPECT {
        verdicts.push(Verdict::new(
            FindingKind::OddSize,
            Severity::Warning,
            short as f64,
        ));
    } else if is_other_area {
        verdicts.push(Verdict::new(
            FindingKind::OddSize,
            Severity::Info,
            short as f64,
        ));
    }
}

/// How findings of a kind are computed, in a sentence or two.
pub(super) fn how(kind: FindingKind) -> String {
    match kind {
        FindingKind::SuspiciousCluster => super::clusters::how(),
        FindingKind::LabelDisagrees => "The most probable class is not the dataset's. Ranked by self-confidence (the probability of the \
             dataset's class), then by margin, as cleanlab does. An error if the predicted class is at least as probable as it is on average in \
             the pictures labelled so (confident learning), and has at least 50 %; else a warning."
            .to_owned(),
        FindingKind::AttentionOutsideBox => "The map's peak misses every box by 15 pixels of the network's input or more (pointing game), or the \
             boxes hold a smaller share of the positive evidence than of what the network sees (energy in box). An error if both are so."
            .to_owned(),
        FindingKind::AttentionInCorner => format!(
            "At least {:.0} % of the positive evidence lies in one corner (3x3 of 7x7 cells, 18 % of the picture).",
            100.0 * CORNER_ENERGY
        ),
        FindingKind::AttentionOnBorder => format!(
            "At least {:.0} % of the positive evidence lies in the outermost ring of 7x7 cells (49 % of the picture).",
            100.0 * BORDER_ENERGY
        ),
        FindingKind::NoPositiveEvidence => "The raw map has no positive value: no place speaks for the predicted class.".to_owned(),
        FindingKind::LowConfidence => format!("The most probable class has less than {:.0} %.", 100.0 * LOW_CONFIDENCE),
        FindingKind::Ambiguous => format!(
            "The two most probable classes are less than {:.0} points apart, and the second has at least {:.0} %.",
            100.0 * AMBIGUOUS_MARGIN,
            100.0 * AMBIGUOUS_SECOND
        ),
        FindingKind::UnstableLabel => super::videos::how_unstable(),
        FindingKind::FrozenFrames => super::videos::how_frozen(),
        FindingKind::ExactDuplicate => "The files have the same SHA-256. An error if they are labelled differently.".to_owned(),
        FindingKind::NearDuplicate => format!(
            "The perceptual hashes (64 bits of a DCT) differ in at most {} bits. A warning if the labels differ.",
            super::MOST_HASH_BITS
        ),
        FindingKind::Dark => format!(
            "The 99th percentile of the luma is under {DARK_BRIGHTNESS} (CleanVision's measure)."
        ),
        FindingKind::Blurred => format!(
            "The variance of the Laplacian of the luma, on at most 640 pixels, is under {BLURRED_SHARPNESS}; dark pictures are not judged."
        ),
        FindingKind::OddSize => format!(
            "A side is under {SMALL_SIDE} pixels, or one is more than {LONG_ASPECT} times the other; for information also if there are over \
             {ODD_AREA_FACTOR} times more or fewer pixels than in the median picture."
        ),
        FindingKind::Unreadable => "The file cannot be opened or decoded.".to_owned(),
        FindingKind::Damaged => "Some of the video could be read, but not all of it, or not cleanly.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_records::record;

    fn kinds(record: &AuditRecord, statistics: &Statistics) -> Vec<FindingKind> {
        judge(record, statistics)
            .into_iter()
            .map(|verdict| verdict.kind)
            .collect()
    }

    #[test]
    fn a_sound_picture_is_no_finding() {
        let sound = record("a.jpg", 1, 0.9);
        assert_eq!(kinds(&sound, &Statistics::of_records([&sound])), []);
    }

    #[test]
    fn a_confident_disagreement_is_an_error_and_a_doubtful_one_a_warning() {
        let mut others: Vec<AuditRecord> = (0..4)
            .map(|number| record(&format!("{number}.jpg"), 1, 0.8))
            .collect();
        for other in &mut others {
            other.label = Some(1);
            other.self_confidence = Some(0.8);
        }
        let wrong = |prob| {
            let mut wrong = record("w.jpg", 1, prob);
            wrong.label = Some(2);
            wrong.self_confidence = Some(0.05);
            wrong
        };
        let statistics = Statistics::of_records(&others);
        let verdict = |prob| judge(&wrong(prob), &statistics)[0];
        assert_eq!(verdict(0.85).severity, Severity::Error);
        assert_eq!(verdict(0.6).severity, Severity::Warning);
        assert_eq!(
            (verdict(0.6).kind, verdict(0.6).value),
            (FindingKind::LabelDisagrees, 0.05)
        );
        assert!((verdict(0.6).second_value - (0.05 - 0.6)).abs() < 1e-12);
    }

    #[test]
    fn every_measure_has_its_finding() {
        let statistics = Statistics::of_records([&record("a.jpg", 1, 0.9)]);
        let found = |change: &dyn Fn(&mut AuditRecord)| {
            let mut one = record("a.jpg", 1, 0.9);
            change(&mut one);
            kinds(&one, &statistics)
        };
        use FindingKind::{AttentionInCorner, AttentionOnBorder, AttentionOutsideBox};
        assert_eq!(
            found(&|one| one.metrics.brightness = 0.3),
            [FindingKind::Dark]
        );
        assert_eq!(
            found(&|one| one.metrics.sharpness = 1.0),
            [FindingKind::Blurred]
        );
        assert_eq!(found(&|one| one.size = [63, 80]), [FindingKind::OddSize]);
        assert_eq!(found(&|one| one.size = [600, 200]), []);
        assert_eq!(found(&|one| one.size = [601, 200]), [FindingKind::OddSize]);
        assert_eq!(
            found(&|one| one.size = [6400, 4800]),
            [FindingKind::OddSize]
        );
        assert_eq!(
            found(&|one| one.metrics.corner_energy = Some(0.9)),
            [AttentionInCorner]
        );
        assert_eq!(
            found(&|one| one.metrics.border_energy = Some(0.9)),
            [AttentionOnBorder]
        );
        assert_eq!(
            found(&|one| one.heatmap.values.fill(-1.0)),
            [FindingKind::NoPositiveEvidence]
        );
        assert_eq!(
            found(&|one| one.top[0].prob = 0.29),
            [FindingKind::LowConfidence]
        );
        let boxes = |energy, is_hit| {
            move |one: &mut AuditRecord| {
                one.metrics.box_share = Some(0.2);
                one.metrics.energy_in_box = Some(energy);
                one.metrics.is_pointing_hit = Some(is_hit);
            }
        };
        assert_eq!(found(&boxes(0.5, true)), []);
        assert_eq!(found(&boxes(0.5, false)), [AttentionOutsideBox]);
        assert_eq!(found(&boxes(0.1, true)), [AttentionOutsideBox]);
        let ambiguous = found(&|one| {
            one.top[0].prob = 0.45;
            one.top[1].prob = 0.4;
        });
        assert_eq!(ambiguous, [FindingKind::Ambiguous]);
    }

    #[test]
    fn how_is_told_for_every_kind() {
        for kind in FindingKind::ALL {
            assert!(how(kind).ends_with('.'), "{}", kind.name());
        }
    }
}
