//! Statistics over all pictures.

use serde::Serialize;

/// How often each class occurs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClassCounts {
    /// The most frequent classes, at most 30, most frequent first.
    pub top: Vec<ClassCount>,
    /// All the others together; none if there are none.
    pub others: Option<OtherClasses>,
}

/// How often one class occurs.
#[derive(Debug, Clone, Serialize)]
pub struct ClassCount {
    /// The class.
    pub name: String,
    /// Pictures in which it is the most probable class.
    pub predicted: u64,
    /// Pictures that the dataset gives this class; none without labels.
    pub labelled: Option<u64>,
}

/// What is left over.
#[derive(Debug, Clone, Serialize)]
pub struct OtherClasses {
    /// How many classes.
    pub classes: u64,
    /// Pictures in which one of them is the most probable class.
    pub predicted: u64,
    /// Pictures that the dataset gives one of them; none without labels.
    pub labelled: Option<u64>,
}

/// Pictures in one bin of the confidence; a picture is in one of the three.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ConfidenceBin {
    /// The label is the predicted class.
    pub agreeing: u64,
    /// The label is another class.
    pub disagreeing: u64,
    /// There is no label.
    pub unlabelled: u64,
}

/// How often the network is right.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Accuracy {
    /// Share of the labelled pictures whose label is the most probable class, 0 to 1.
    pub top1: f64,
    /// Share whose label is one of the five most probable classes, 0 to 1.
    pub top5: f64,
    /// How many pictures are labelled.
    pub pictures: u64,
}

/// Which classes are taken for which.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Confusion {
    /// All of them, for at most 20 classes.
    Matrix {
        /// Names of the rows and columns.
        classes: Vec<String>,
        /// Pictures by label (row) and predicted class (column), square.
        rows: Vec<Vec<u64>>,
        /// Pictures by label whose predicted class has no column; as long as `classes`.
        elsewhere: Vec<u64>,
    },
    /// The most frequent confusions, most frequent first.
    Pairs {
        /// At most 30.
        pairs: Vec<ConfusedPair>,
    },
}

/// A class that is taken for another.
#[derive(Debug, Clone, Serialize)]
pub struct ConfusedPair {
    /// The class that the dataset gives.
    pub label: String,
    /// The predicted class.
    pub predicted: String,
    /// In how many pictures.
    pub count: u64,
}
