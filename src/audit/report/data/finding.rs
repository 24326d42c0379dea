//! Findings, their kinds, and numbers with units.

use serde::Serialize;

/// A kind of finding.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Kind {
    /// Its name in files and addresses: lower case with underscores, such as `low_confidence`.
    pub name: String,
    /// Its name for people, such as `Low confidence`.
    pub title: String,
    /// The heading under which the filters list it, such as `Attention`.
    pub group: String,
    /// How it is computed: a sentence with thresholds.
    pub how: String,
    /// What the findings of this kind are ranked by, such as `Brightness`.
    pub value_name: String,
    /// Unit of that value.
    pub value_unit: Unit,
    /// How many there are.
    pub count: u64,
    /// How many of them the page shows.
    pub shown: u64,
    /// What was lacking to look for it, such as `no labels`; none if it was looked for.
    pub lacking: Option<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Must be mended.
    Error,
    /// Should be looked at.
    Warning,
    /// Good to know.
    Info,
}

/// One thing that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Name of its [`Kind`].
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// Place within its kind; the worst has 1, and no two have the same. With the kind it is the finding's address (`#finding=dark-3`).
    pub rank: u64,
    /// The file, relative to the dataset, or what else it is about.
    pub path: String,
    /// Index of the frame in its video.
    pub frame: Option<u64>,
    /// Time of the frame in its video in seconds.
    pub time_s: Option<f64>,
    /// The class that the dataset gives.
    pub label: Option<String>,
    /// The most probable class.
    pub predicted: Option<String>,
    /// Softmax probability of the predicted class, 0 to 1.
    pub confidence: Option<f64>,
    /// What it is ranked by, in its kind's unit.
    pub value: Option<f64>,
    /// What was found, in a sentence.
    pub message: String,
    /// What was measured.
    pub values: Vec<Measure>,
    /// Index of its evidence picture.
    pub picture: Option<usize>,
    /// What it is compared with, such as its duplicates.
    pub related: Vec<PictureRef>,
}

/// A number with its name.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// What it is, for people.
    pub name: String,
    /// The number.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: Unit,
}

/// What a number counts, and so how it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// No unit.
    #[default]
    None,
    /// From 0 to 1, or a difference of such numbers; written in percent.
    Fraction,
    /// Seconds.
    Seconds,
    /// Pixels.
    Pixels,
    /// Grey levels, 0 to 255.
    GreyLevels,
    /// Squared grey levels.
    SquaredGreyLevels,
    /// Bits in which two hashes differ.
    Bits,
}

/// A picture that is shown beside something else.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PictureRef {
    /// The file, relative to the dataset.
    pub path: String,
    /// Time of the frame in its video in seconds; none for images.
    pub time_s: Option<f64>,
    /// Index of its evidence picture.
    pub picture: Option<usize>,
}
