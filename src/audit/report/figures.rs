//! The figures of a report: settings, counts, distributions, confusions.

use std::collections::BTreeMap;
use std::path::Path;

use super::content::MOST_FINDINGS;
use super::data::{
    ClassCount, ClassCounts, ConfidenceBin, ConfusedPair, Confusion, Counts, Kind, OtherClasses,
    Settings,
};
use crate::audit::clusters::FEWEST_FILES;
use crate::audit::kinds::{self, FindingKind};
use crate::audit::review::Review;
use crate::audit::rules::how;
use crate::audit::settings::AuditSettings;
use crate::audit::statistics::{CONFIDENCE_BINS, Statistics};
use crate::audit::videos::FEWEST_FRAMES;
use crate::audit::words::{name, ranked_by};
use crate::model::Labels;

/// Classes in the chart and rows of the list of confusions.
const MOST_CLASSES: usize = 30;
/// Up to so many classes are a matrix.
const MOST_IN_MATRIX: usize = 20;

/// How often each class is predicted and given, the most frequent first.
pub(super) fn class_counts(statistics: &Statistics, labels: &Labels) -> ClassCounts {
    let class_name = |class: usize| name(labels.name(class));
    let is_labelled = statistics.labelled > 0;
    let mut classes: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for (class, count) in &statistics.predicted {
        classes.entry(*class).or_default().0 = *count;
    }
    for (class, count) in &statistics.labels {
        classes.entry(*class).or_default().1 = *count;
    }
    let mut classes: Vec<(usize, (u64, u64))> = classes.into_iter().collect();
    classes.sort_by_key(|(class, (predicted, labelled))| {
        (
            std::cmp::Reverse(predicted.max(labelled).to_owned()),
            *class,
        )
    });
    let others = classes.split_off(classes.len().min(MOST_CLASSES));
    let sum =
        |count: &dyn Fn(&(u64, u64)) -> u64| others.iter().map(|(_, counts)| count(counts)).sum();
    ClassCounts {
        top: classes
            .iter()
            .map(|(class, (predicted, labelled))| ClassCount {
                name: class_name(*class),
                predicted: *predicted,
                labelled: is_labelled.then_some(*labelled),
            })
            .collect(),
        others: (!others.is_empty()).then(|| OtherClasses {
            classes: others.len() as u64,
            predicted: sum(&|counts| counts.0),
            labelled: is_labelled.then(|| sum(&|counts| counts.1)),
        }),
    }
}

/// Which classes are taken for which.
pub(super) fn confusion(statistics: &Statistics, labels: &Labels) -> Confusion {
    let class_name = |class: usize| name(labels.name(class));
    let classes: Vec<usize> = statistics.labels.keys().copied().collect();
    if classes.len() > MOST_IN_MATRIX {
        let mut pairs: Vec<(&(usize, usize), &u64)> = statistics.confusion.iter().collect();
        pairs.retain(|((label, predicted), _)| label != predicted);
        pairs.sort_by_key(|(pair, count)| (std::cmp::Reverse(**count), **pair));
        pairs.truncate(MOST_CLASSES);
        let pairs = pairs
            .into_iter()
            .map(|((label, predicted), count)| ConfusedPair {
                label: class_name(*label),
                predicted: class_name(*predicted),
                count: *count,
            });
        return Confusion::Pairs {
            pairs: pairs.collect(),
        };
    }
    let count = |label: &usize, predicted: &usize| {
        statistics
            .confusion
            .get(&(*label, *predicted))
            .copied()
            .unwrap_or(0)
    };
    let rows: Vec<Vec<u64>> = classes
        .iter()
        .map(|label| {
            classes
                .iter()
                .map(|predicted| count(label, predicted))
                .collect()
        })
        .collect();
    let elsewhere = classes
        .iter()
        .zip(&rows)
        .map(|(label, row)| statistics.labels[label] - row.iter().sum::<u64>());
    Confusion::Matrix {
        elsewhere: elsewhere.collect(),
        classes: classes.iter().map(|class| class_name(*class)).collect(),
        rows,
    }
}

pub(super) fn shown_settings(settings: &AuditSettings, review: &Review) -> Settings {
    let file_name = |path: &String| {
        Path::new(path)
            .file_name()
            .map_or(path.clone(), |name| name.to_string_lossy().into_owned())
    };
    Settings {
        method: settings.method.clone(),
        layer: settings.layer.clone(),
        score: settings.score.clone(),
        resize: settings.resize.clone(),
        precision: settings.precision.clone(),
        weights_sha256: settings.weights_sha256.clone(),
        sample_fps: (review.counts.videos > 0).then_some(settings.sample_fps),
        labels: (review.counts.labelled > 0).then(|| file_name(&settings.labels)),
        boxes: settings.boxes.as_ref().map(file_name),
    }
}

pub(super) fn shown_counts(review: &Review) -> Counts {
    let (counts, by_severity) = (&review.counts, review.by_severity());
    let of = |severity: kinds::Severity| by_severity.get(&severity).copied().unwrap_or(0);
    Counts {
        images: counts.images,
        videos: counts.videos,
        frames: counts.frames,
        pictures: review.statistics.records,
        unreadable: counts.unreadable,
        labelled: counts.labelled,
        errors: of(kinds::Severity::Error),
        warnings: of(kinds::Severity::Warning),
        infos: of(kinds::Severity::Info),
    }
}

/// `longest_video` is in sampled frames.
pub(super) fn shown_kinds(review: &Review, longest_video: usize) -> Vec<Kind> {
    let by_kind = review.by_kind();
    let kinds = FindingKind::ALL.into_iter().map(|kind| {
        let (value_name, value_unit, group) = ranked_by(kind);
        let count = by_kind.get(&kind).copied().unwrap_or(0);
        Kind {
            name: kind.name().to_owned(),
            title: kind.title().to_owned(),
            group: group.to_owned(),
            how: how(kind),
            value_name: value_name.to_owned(),
            value_unit,
            count,
            shown: count.min(MOST_FINDINGS),
            lacking: lacking(kind, review, longest_video),
        }
    });
    kinds.collect()
}

/// What is needed to find anything of this kind and was not there.
fn lacking(kind: FindingKind, review: &Review, longest_video: usize) -> Option<String> {
    let Statistics {
        records,
        labelled,
        boxed,
        ..
    } = review.statistics;
    let (is_there, lacking) = match kind {
        FindingKind::SuspiciousCluster => (
            !review.clustered.is_empty(),
            format!("no class with pictures of {FEWEST_FILES} files"),
        ),
        FindingKind::LabelDisagrees => (labelled > 0, "no labels".to_owned()),
        FindingKind::AttentionOutsideBox => (boxed > 0, "no boxes".to_owned()),
        FindingKind::UnstableLabel | FindingKind::FrozenFrames => (
            longest_video >= FEWEST_FRAMES,
            format!("no video with {FEWEST_FRAMES} sampled frames"),
        ),
        FindingKind::Damaged => (review.counts.videos > 0, "no readable videos".to_owned()),
        FindingKind::Unreadable => (true, String::new()),
        _ => (records > 0, "no readable pictures".to_owned()),
    };
    (!is_there).then_some(lacking)
}

pub(super) fn confidence_bins(statistics: &Statistics) -> Vec<ConfidenceBin> {
    let [unlabelled, agreeing, disagreeing] = &statistics.confidences;
    let bins = (0..CONFIDENCE_BINS).map(|bin| ConfidenceBin {
        agreeing: agreeing[bin],
        disagreeing: disagreeing[bin],
        unlabelled: unlabelled[bin],
    });
    bins.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_be_found_was_looked_for() {
        let mut review = Review::default();
        let lacking = |review: &Review, longest_video| -> Vec<String> {
            let kinds = shown_kinds(review, longest_video).into_iter();
            let mut all: Vec<String> = kinds.filter_map(|kind| kind.lacking).collect();
            all.dedup();
            all
        };
        let (cluster, frames) = (
            "no class with pictures of 20 files",
            "no video with 4 sampled frames",
        );
        review.statistics.records = 2;
        let none = lacking(&review, 0);
        assert_eq!(
            none,
            [
                cluster,
                "no labels",
                "no boxes",
                frames,
                "no readable videos"
            ]
        );
        review.statistics.boxed = 1;
        review.counts.videos = 1;
        assert_eq!(lacking(&review, 3), [cluster, "no labels", frames]);
        review.statistics.labelled = 1;
        assert_eq!(lacking(&review, 4), [cluster]);
        let readable = |kind: &Kind| kind.lacking.is_none();
        let of_nothing = shown_kinds(&Review::default(), 0);
        let looked_for: Vec<&str> = of_nothing
            .iter()
            .filter(|kind| readable(kind))
            .map(|kind| kind.name.as_str())
            .collect();
        assert_eq!(looked_for, ["unreadable"]);
    }
}
