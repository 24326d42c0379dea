//! What can be found, how bad it is, and how it is told.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look.
    Info,
    /// Probably wrong.
    Warning,
    /// Wrong, or what is learned from it will be.
    Error,
}

impl Severity {
    /// As in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Maps of a class look where they should not (SpRAy).
    SuspiciousCluster,
    /// The dataset's class is not the predicted one.
    LabelDisagrees,
    /// The map lies outside the given boxes.
    AttentionOutsideBox,
    /// The map lies in a corner.
    AttentionInCorner,
    /// The map lies at the border.
    AttentionOnBorder,
    /// Nothing speaks for the class.
    NoPositiveEvidence,
    /// No class is probable.
    LowConfidence,
    /// Two classes are about equally probable.
    Ambiguous,
    /// The class changes while the picture hardly does.
    UnstableLabel,
    /// The picture does not change at all.
    FrozenFrames,
    /// The same file twice.
    ExactDuplicate,
    /// Pictures that look alike.
    NearDuplicate,
    /// Even the brightest parts are dark.
    Dark,
    /// Nothing is sharp.
    Blurred,
    /// Very small, very long, or of another size than the rest.
    OddSize,
    /// The file cannot be read.
    Unreadable,
    /// The file can be read in part only.
    Damaged,
}

impl FindingKind {
    /// All, the worst first.
    pub const ALL: [Self; 17] = [
        Self::SuspiciousCluster,
        Self::LabelDisagrees,
        Self::AttentionOutsideBox,
        Self::AttentionInCorner,
        Self::AttentionOnBorder,
        Self::NoPositiveEvidence,
        Self::LowConfidence,
        Self::Ambiguous,
        Self::UnstableLabel,
        Self::FrozenFrames,
        Self::ExactDuplicate,
        Self::NearDuplicate,
        Self::Dark,
        Self::Blurred,
        Self::OddSize,
        Self::Unreadable,
        Self::Damaged,
    ];

    /// As in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SuspiciousCluster => "suspicious_cluster",
            Self::LabelDisagrees => "label_disagrees",
            Self::AttentionOutsideBox => "attention_outside_box",
            Self::AttentionInCorner => "attention_in_corner",
            Self::AttentionOnBorder => "attention_on_border",
            Self::NoPositiveEvidence => "no_positive_evidence",
            Self::LowConfidence => "low_confidence",
            Self::Ambiguous => "ambiguous",
            Self::UnstableLabel => "unstable_label",
            Self::FrozenFrames => "frozen_frames",
            Self::ExactDuplicate => "exact_duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::Dark => "dark",
            Self::Blurred => "blurred",
            Self::OddSize => "odd_size",
            Self::Unreadable => "unreadable",
            Self::Damaged => "damaged",
        }
    }

    /// Whether the finding with the highest value is the worst of its kind; else it is the one with the lowest.
    pub fn is_worst_high(self) -> bool {
        matches!(
            self,
            Self::SuspiciousCluster
                | Self::AttentionInCorner
                | Self::AttentionOnBorder
                | Self::UnstableLabel
                | Self::FrozenFrames
                | Self::ExactDuplicate
                | Self::NearDuplicate
        )
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::SuspiciousCluster => "Suspicious focus of a class",
            Self::LabelDisagrees => "Label disagrees with the prediction",
            Self::AttentionOutsideBox => "Attention outside the given box",
            Self::AttentionInCorner => "Attention in a corner",
            Self::AttentionOnBorder => "Attention on the border",
            Self::NoPositiveEvidence => "No positive evidence",
            Self::LowConfidence => "Low confidence",
            Self::Ambiguous => "Two classes about equally probable",
            Self::UnstableLabel => "Unstable label in a video",
            Self::FrozenFrames => "Frozen frames in a video",
            Self::ExactDuplicate => "Exact duplicate",
            Self::NearDuplicate => "Near duplicate",
            Self::Dark => "Dark",
            Self::Blurred => "Blurred",
            Self::OddSize => "Odd size",
            Self::Unreadable => "Unreadable",
            Self::Damaged => "Damaged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        for kind in FindingKind::ALL {
            assert_eq!(
                serde_json::to_string(&kind).unwrap(),
                format!("\"{}\"", kind.name())
            );
        }
        assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Info);
    }
}
