//! Records for tests.

use super::record::{AuditRecord, Metrics};
use crate::heatmap::Heatmap;
use crate::records::RecordTop;

/// A sound image of this class and confidence; class 2 (or 3 if that is the class) comes second.
pub(super) fn record(path: &str, class: usize, prob: f64) -> AuditRecord {
    let second = if class == 2 { 3 } else { 2 };
    let top = [(class, prob), (second, (1.0 - prob) / 10.0)];
    let mut values = vec![0.1; 49];
    values[24] = 1.0;
    AuditRecord {
        path: path.to_owned(),
        frame: None,
        pts_s: None,
        size: [640, 480],
        label: None,
        self_confidence: None,
        label_rank: None,
        top: top
            .iter()
            .map(|(index, prob)| RecordTop {
                index: *index,
                label: format!("class_{index}"),
                prob: *prob,
            })
            .collect(),
        target: class,
        score: 10.0,
        prob,
        heatmap: Heatmap {
            width: 7,
            height: 7,
            values,
        },
        peak: [0.5, 0.5],
        map_rect: [0.0, 0.0, 1.0, 1.0],
        metrics: Metrics {
            brightness: 0.9,
            sharpness: 500.0,
            hash: Some(0x1234_5678_9abc_def0),
            border_energy: Some(0.4),
            corner_energy: Some(0.2),
            energy_in_box: None,
            box_share: None,
            is_pointing_hit: None,
            change: None,
            flicker: None,
        },
        thumb: super::thumb::thumb_name(path, None),
    }
}
