//! The kinds of findings, as an audit might word them.

use gradcam_video::audit::report::data::{Kind, Unit};

/// Name, title, heading, what it is ranked by, its unit, how it is computed.
pub(super) type KindText = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Unit,
    &'static str,
);

pub(super) const KINDS: [KindText; 17] = [
    (
        "suspicious_cluster",
        "Suspicious cluster",
        "Attention",
        "Size of the cluster",
        Unit::None,
        "The heatmaps of a class fall into clusters (SpRAy); a cluster is suspicious if 60 % of its evidence lies in a corner or on the border.",
    ),
    (
        "label_disagrees",
        "Label disagrees",
        "Model",
        "Margin",
        Unit::Fraction,
        "The predicted class is not the label; ranked by the label's probability less that of the best other class (cleanlab's normalised margin). An error below -90 %.",
    ),
    (
        "low_confidence",
        "Low confidence",
        "Model",
        "Confidence",
        Unit::Fraction,
        "The predicted class has a softmax probability below 30 %.",
    ),
    (
        "ambiguous",
        "Ambiguous",
        "Model",
        "Margin",
        Unit::Fraction,
        "The two most probable classes are less than 5 points apart.",
    ),
    (
        "unstable_label",
        "Unstable label",
        "Model",
        "Changes",
        Unit::None,
        "The predicted class changes more than 5 times within 10 sampled frames without a scene cut.",
    ),
    (
        "no_positive_evidence",
        "No positive evidence",
        "Attention",
        "Highest value",
        Unit::None,
        "No cell of the heatmap is positive: nothing in the picture speaks for the class.",
    ),
    (
        "attention_on_border",
        "Attention on the border",
        "Attention",
        "Evidence on the border",
        Unit::Fraction,
        "More than 70 % of the positive evidence lies in the outermost ring of a 7x7 grid.",
    ),
    (
        "attention_in_corner",
        "Attention in a corner",
        "Attention",
        "Evidence in the corner",
        Unit::Fraction,
        "More than 70 % of the positive evidence lies in one corner of 3x3 of 7x7 cells.",
    ),
    (
        "attention_outside_box",
        "Attention outside of the box",
        "Attention",
        "Evidence in the boxes",
        Unit::Fraction,
        "Less than 25 % of the positive evidence lies in the boxes, and the peak hits none.",
    ),
    (
        "frozen_frames",
        "Frozen frames",
        "Data",
        "Duration",
        Unit::Seconds,
        "Sampled frames differ by less than 0.5 grey levels for more than 2 s.",
    ),
    (
        "exact_duplicate",
        "Exact duplicate",
        "Data",
        "Copies",
        Unit::None,
        "The files have the same SHA-256.",
    ),
    (
        "near_duplicate",
        "Near duplicate",
        "Data",
        "Differing bits",
        Unit::Bits,
        "The perceptual hashes differ in at most 4 of 64 bits.",
    ),
    (
        "dark",
        "Dark",
        "Data",
        "Brightness",
        Unit::Fraction,
        "The 99th percentile of the luma is below 25 %.",
    ),
    (
        "blurred",
        "Blurred",
        "Data",
        "Sharpness",
        Unit::SquaredGreyLevels,
        "The variance of the Laplacian of the luma is below 20.",
    ),
    (
        "odd_size",
        "Odd size",
        "Data",
        "Area",
        Unit::Pixels,
        "The area is more than 3 interquartile ranges from the quartiles of all pictures.",
    ),
    (
        "unreadable",
        "Unreadable",
        "Data",
        "Size",
        Unit::None,
        "No picture of the file can be decoded.",
    ),
    (
        "damaged",
        "Damaged",
        "Data",
        "Frames",
        Unit::None,
        "The decoder reports errors, but some pictures can be decoded.",
    ),
];

pub(super) fn kind(
    &(name, title, group, value_name, value_unit, how): &KindText,
    count: u64,
    shown: u64,
) -> Kind {
    Kind {
        name: name.to_owned(),
        title: title.to_owned(),
        group: group.to_owned(),
        how: how.to_owned(),
        value_name: value_name.to_owned(),
        value_unit,
        count,
        shown,
    }
}
