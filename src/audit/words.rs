//! Findings in words and numbers.

use super::kinds::FindingKind;
use super::record::{AuditItem, AuditRecord};
use super::report::data::{Measure, Unit};
use super::review::{Detail, Found, Review};
use crate::model::Labels;

/// What is said of a finding.
#[derive(Debug, Clone)]
pub(super) struct Described {
    /// One sentence without a full stop.
    pub(super) message: String,
    pub(super) values: Vec<Measure>,
}

/// What is needed to describe findings.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) review: &'a Review,
    pub(super) labels: &'a Labels,
}

impl Words<'_> {
    /// A finding whose record and file these are.
    pub(super) fn describe(
        self,
        found: &Found,
        record: Option<&AuditRecord>,
        item: &AuditItem,
    ) -> Described {
        let message = self.message(found, record, item);
        let mut values = self.own_values(found);
        if let Some(record) = record {
            values.extend(measured(record));
        }
        Described { message, values }
    }

    fn message(self, found: &Found, record: Option<&AuditRecord>, item: &AuditItem) -> String {
        let kind = found.verdict.kind;
        let fault = || item.fault.clone().unwrap_or_default();
        let Some(record) = record else {
            return fault();
        };
        let top = |place: usize| match record.top.get(place) {
            Some(class) => format!("{} {}", name(&class.label), percent(class.prob)),
            None => "nothing".to_owned(),
        };
        let metrics = &record.metrics;
        match kind {
            FindingKind::SuspiciousCluster => self.cluster_message(found),
            FindingKind::LabelDisagrees => {
                let label = record.label_name(self.labels).unwrap_or("?");
                let own = record.self_confidence.unwrap_or(0.0);
                format!(
                    "labelled {} ({}), predicted {}",
                    name(label),
                    percent(own),
                    top(0)
                )
            }
            FindingKind::AttentionOutsideBox => format!(
                "{} of the evidence lies in the boxes, which cover {} of what the network sees; the peak {} them",
                percent(metrics.energy_in_box.unwrap_or(0.0)),
                percent(metrics.box_share.unwrap_or(0.0)),
                if metrics.is_pointing_hit == Some(true) {
                    "hits"
                } else {
                    "misses"
                }
            ),
            FindingKind::AttentionInCorner => {
                format!(
                    "{} of the evidence for {} lies in one corner",
                    percent(found.verdict.value),
                    top(0)
                )
            }
            FindingKind::AttentionOnBorder => {
                format!(
                    "{} of the evidence for {} lies on the border",
                    percent(found.verdict.value),
                    top(0)
                )
            }
            FindingKind::NoPositiveEvidence => {
                format!("predicted {}, but no place speaks for it", top(0))
            }
            FindingKind::LowConfidence => format!("at best {}", top(0)),
            FindingKind::Ambiguous => format!("{} or {}", top(0), top(1)),
            FindingKind::UnstableLabel => match found.detail {
                Detail::Numbers([flips, pairs]) => {
                    format!("the label changes {flips} times in {pairs} pairs of similar frames")
                }
                _ => String::new(),
            },
            FindingKind::FrozenFrames => match found.detail {
                Detail::Numbers([frames, secs]) => {
                    format!("{frames} sampled frames are the same, over {secs:.1} s")
                }
                _ => String::new(),
            },
            FindingKind::ExactDuplicate => format!("the same file {} times", found.verdict.value),
            FindingKind::NearDuplicate => format!("{} pictures look alike", found.verdict.value),
            FindingKind::Dark => format!(
                "even the brightest parts have {} of full brightness",
                percent(metrics.brightness)
            ),
            FindingKind::Blurred => {
                format!("the Laplacian varies by {:.1} only", metrics.sharpness)
            }
            FindingKind::OddSize => format!("{} x {} pixels", record.size[0], record.size[1]),
            FindingKind::Unreadable | FindingKind::Damaged => fault(),
        }
    }

    fn cluster_message(self, found: &Found) -> String {
        let Detail::Cluster(class, cluster) = found.detail else {
            return String::new();
        };
        let class = &self.review.clustered[class];
        let cluster = &class.clusters[cluster];
        let reason = cluster
            .view
            .suspicion
            .as_ref()
            .map_or("", |suspicion| suspicion.reason.as_str());
        let verdict = match &cluster.trial {
            Some(trial) if trial.is_confirmed => format!(
                "confirmed: without this region the probability falls from {} to {}, without a random one to {}",
                percent(trial.prob),
                percent(trial.prob_masked),
                percent(trial.prob_random)
            ),
            Some(trial) => format!(
                "not confirmed: without this region the probability goes from {} to {}, without a random one to {}",
                percent(trial.prob),
                percent(trial.prob_masked),
                percent(trial.prob_random)
            ),
            None => "not tested: too few of the pictures could be read again".to_owned(),
        };
        let class = name(self.labels.name(class.class));
        format!("{class}: {}; {verdict}", reason.trim_end_matches('.'))
    }

    /// What only this finding has.
    fn own_values(self, found: &Found) -> Vec<Measure> {
        let Detail::Cluster(class, cluster) = found.detail else {
            return Vec::new();
        };
        let clustered = &self.review.clustered[class];
        let cluster = &clustered.clusters[cluster];
        let view = &cluster.view;
        let mut values = vec![
            measure("Pictures in the cluster", view.count as f64, Unit::None),
            measure("Share of the class", view.share, Unit::Fraction),
            measure("Similarity of the maps", view.purity, Unit::None),
        ];
        if let Some(trial) = &cluster.trial {
            values.extend([
                measure("Pictures tested", trial.pictures as f64, Unit::None),
                measure("Probability", trial.prob, Unit::Fraction),
                measure(
                    "Probability without the region",
                    trial.prob_masked,
                    Unit::Fraction,
                ),
                measure(
                    "Probability without a random region",
                    trial.prob_random,
                    Unit::Fraction,
                ),
                measure(
                    "Pictures that lose more by the region",
                    trial.share_of_larger_drops,
                    Unit::Fraction,
                ),
            ]);
        }
        values
    }
}

/// All that was measured on a picture.
fn measured(record: &AuditRecord) -> Vec<Measure> {
    let metrics = &record.metrics;
    let hit = metrics
        .is_pointing_hit
        .map(|is_hit| if is_hit { 1.0 } else { 0.0 });
    let all = [
        ("Confidence", Some(record.prob), Unit::Fraction),
        ("Self-confidence", record.self_confidence, Unit::Fraction),
        ("Margin", record.label_margin(), Unit::Fraction),
        (
            "Evidence on the border",
            metrics.border_energy,
            Unit::Fraction,
        ),
        (
            "Evidence in a corner",
            metrics.corner_energy,
            Unit::Fraction,
        ),
        (
            "Evidence in the boxes",
            metrics.energy_in_box,
            Unit::Fraction,
        ),
        ("Share of the boxes", metrics.box_share, Unit::Fraction),
        ("Peak hits a box", hit, Unit::None),
        ("Brightness", Some(metrics.brightness), Unit::Fraction),
        (
            "Sharpness",
            Some(metrics.sharpness),
            Unit::SquaredGreyLevels,
        ),
        (
            "Change to the frame before",
            metrics.change,
            Unit::GreyLevels,
        ),
        ("Flicker", metrics.flicker, Unit::Fraction),
        ("Width", Some(record.size[0] as f64), Unit::Pixels),
        ("Height", Some(record.size[1] as f64), Unit::Pixels),
    ];
    let known = all
        .into_iter()
        .filter_map(|(name, value, unit)| Some(measure(name, value?, unit)));
    known.collect()
}

fn measure(name: &str, value: f64, unit: Unit) -> Measure {
    Measure {
        name: name.to_owned(),
        value: Some(value),
        unit,
    }
}

/// A class as people write it.
pub(super) fn name(label: &str) -> String {
    label.replace('_', " ")
}

fn percent(fraction: f64) -> String {
    format!("{:.1} %", 100.0 * fraction)
}

/// What a kind is ranked by, its unit, and the heading that it stands under.
pub(super) fn ranked_by(kind: FindingKind) -> (&'static str, Unit, &'static str) {
    match kind {
        FindingKind::SuspiciousCluster => ("Drop without the region", Unit::Fraction, "Attention"),
        FindingKind::AttentionOutsideBox => ("Evidence in the boxes", Unit::Fraction, "Attention"),
        FindingKind::AttentionInCorner => ("Evidence in a corner", Unit::Fraction, "Attention"),
        FindingKind::AttentionOnBorder => ("Evidence on the border", Unit::Fraction, "Attention"),
        FindingKind::NoPositiveEvidence => ("Largest evidence", Unit::None, "Attention"),
        FindingKind::LabelDisagrees => ("Self-confidence", Unit::Fraction, "Labels"),
        FindingKind::LowConfidence => ("Confidence", Unit::Fraction, "Labels"),
        FindingKind::Ambiguous => ("Difference", Unit::Fraction, "Labels"),
        FindingKind::UnstableLabel => ("Changes per pair", Unit::Fraction, "Videos"),
        FindingKind::FrozenFrames => ("Duration", Unit::Seconds, "Videos"),
        FindingKind::ExactDuplicate | FindingKind::NearDuplicate => {
            ("Copies", Unit::None, "Duplicates")
        }
        FindingKind::Dark => ("Brightness", Unit::Fraction, "Picture quality"),
        FindingKind::Blurred => ("Sharpness", Unit::SquaredGreyLevels, "Picture quality"),
        FindingKind::OddSize => ("Shorter side", Unit::Pixels, "Picture quality"),
        FindingKind::Unreadable | FindingKind::Damaged => ("Records", Unit::None, "Files"),
    }
}
