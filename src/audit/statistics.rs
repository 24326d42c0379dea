//! What all records together say: distributions, accuracy, confusion, and what is usual. Of bounded size, however many records there are.

use std::collections::BTreeMap;

use super::record::AuditRecord;

/// Bins of the histogram of confidences.
pub(super) const CONFIDENCE_BINS: usize = 20;
/// Steps per doubling in the histogram of areas: the median is known to 4 %.
const AREA_STEPS: f64 = 16.0;

/// Collected record by record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Statistics {
    pub(super) records: u64,
    pub(super) labelled: u64,
    /// Pictures with a box.
    pub(super) boxed: u64,
    pub(super) top1_right: u64,
    pub(super) top5_right: u64,
    /// How often each class is predicted.
    pub(super) predicted: BTreeMap<usize, u64>,
    /// How often each class is the dataset's.
    pub(super) labels: BTreeMap<usize, u64>,
    /// How often each pair of (dataset's, predicted) class comes.
    pub(super) confusion: BTreeMap<(usize, usize), u64>,
    /// Confidences of records without a label, of those that agree, of those that disagree.
    pub(super) confidences: [[u64; CONFIDENCE_BINS]; 3],
    /// Sum and number of self-confidences by label.
    self_confidence: BTreeMap<usize, (f64, u64)>,
    /// Records by the logarithm of the area in pixels.
    areas: BTreeMap<i32, u64>,
}

impl Statistics {
    #[cfg(test)]
    pub(super) fn of_records<'a>(records: impl IntoIterator<Item = &'a AuditRecord>) -> Self {
        let mut statistics = Self::default();
        for record in records {
            statistics.add(record);
        }
        statistics
    }

    pub(super) fn add(&mut self, record: &AuditRecord) {
        self.records += 1;
        self.boxed += u64::from(record.metrics.box_share.is_some());
        let area = (record.size[0] * record.size[1]).max(1) as f64;
        *self
            .areas
            .entry((area.log2() * AREA_STEPS).round() as i32)
            .or_default() += 1;
        let Some(top) = record.top.first() else {
            return;
        };
        *self.predicted.entry(top.index).or_default() += 1;
        let bin = ((top.prob * CONFIDENCE_BINS as f64) as usize).min(CONFIDENCE_BINS - 1);
        let Some(label) = record.label else {
            self.confidences[0][bin] += 1;
            return;
        };
        self.confidences[if record.disagrees() { 2 } else { 1 }][bin] += 1;
        self.labelled += 1;
        self.top1_right += u64::from(!record.disagrees());
        self.top5_right += u64::from(record.label_rank.is_some_and(|rank| rank < 5));
        *self.labels.entry(label).or_default() += 1;
        *self.confusion.entry((label, top.index)).or_default() += 1;
        let (sum, count) = self.self_confidence.entry(label).or_default();
        *sum += record.self_confidence.unwrap_or(0.0);
        *count += 1;
    }

    /// Mean probability of a class in the records labelled so (confident learning's threshold); of all labels in theirs if it is no label.
    pub(super) fn usual_self_confidence(&self, class: usize) -> f64 {
        let (sum, count) = match self.self_confidence.get(&class) {
            Some(of_class) => *of_class,
            None => {
                let all = self.self_confidence.values();
                all.fold((0.0, 0), |(sum, count), one| (sum + one.0, count + one.1))
            }
        };
        sum / count.max(1) as f64
    }

    /// Median area of a picture in pixels, to a few per cent; 0 without records.
    pub(super) fn median_area(&self) -> f64 {
        let mut below = 0;
        for (step, count) in &self.areas {
            below += count;
            if 2 * below >= self.records {
                return (f64::from(*step) / AREA_STEPS).exp2();
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_records::record;

    #[test]
    fn accuracy_confusion_and_confidence_are_counted() {
        let mut right = record("a", 1, 0.93);
        right.label = Some(1);
        right.self_confidence = Some(0.93);
        right.label_rank = Some(0);
        let mut wrong = record("b", 1, 1.0);
        wrong.label = Some(2);
        wrong.self_confidence = Some(0.1);
        wrong.label_rank = Some(4);
        let unlabelled = record("c", 7, 0.0);
        let statistics = Statistics::of_records([&right, &wrong, &unlabelled]);
        assert_eq!(
            (
                statistics.records,
                statistics.labelled,
                statistics.top1_right
            ),
            (3, 2, 1)
        );
        assert_eq!(
            statistics.top5_right, 2,
            "the label of the other comes fifth"
        );
        assert_eq!(
            statistics.confusion,
            BTreeMap::from([((1, 1), 1), ((2, 1), 1)])
        );
        assert_eq!(statistics.confidences[0][0], 1);
        assert_eq!(statistics.confidences[1][18], 1);
        assert_eq!(statistics.confidences[2][19], 1);
        assert_eq!(statistics.usual_self_confidence(1), 0.93);
        assert!((statistics.usual_self_confidence(9) - 0.515).abs() < 1e-12);
    }

    #[test]
    fn the_median_area_is_right_to_a_few_per_cent() {
        let mut records: Vec<AuditRecord> = (0..5).map(|_| record("a", 1, 0.5)).collect();
        for (record, width) in records.iter_mut().zip([10, 100, 640, 5000, 9000]) {
            record.size = [width, 480];
        }
        let median = Statistics::of_records(&records).median_area();
        assert!((median / (640.0 * 480.0) - 1.0).abs() < 0.04, "{median}");
        assert_eq!(Statistics::default().median_area(), 0.0);
    }
}
