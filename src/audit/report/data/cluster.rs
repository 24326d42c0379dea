//! Clusters of heatmaps: spectral relevance analysis (SpRAy), Lapuschkin et al., Nature Communications 2019.

use serde::Serialize;

use super::PictureRef;

/// The clusters of one class.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClusteredClass {
    /// The predicted class.
    pub class: String,
    /// How many heatmaps were clustered.
    pub items: u64,
    /// The smallest eigenvalues of the Laplacian of the neighbourhood graph, ascending.
    pub eigenvalues: Vec<f64>,
    /// How many eigenvalues stand before the gap: the number of clusters.
    pub eigengap_after: usize,
    /// The clusters.
    pub clusters: Vec<Cluster>,
}

/// Heatmaps that are alike.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cluster {
    /// How many.
    pub count: u64,
    /// Their share of the class's heatmaps, 0 to 1.
    pub share: f64,
    /// The mean of the normalised heatmaps, row by row (7x7 at `layer4`); drawn relative to its largest value.
    pub map: Vec<Vec<f64>>,
    /// Cells of the region that is suspicious, as `row * columns + column`; empty if none is.
    pub region: Vec<usize>,
    /// Share of the labelled members whose label is the most frequent one among them, 0 to 1; none without labels.
    pub purity: Option<f64>,
    /// Why it is suspicious, in a sentence; none if it is not.
    pub suspicion: Option<String>,
    /// What hiding the region did; none if it was not tested.
    pub test: Option<MaskTest>,
    /// Typical members.
    pub members: Vec<PictureRef>,
}

/// What hiding a cluster's region does to the network: a region that matters lowers the probability more than any other of its size.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct MaskTest {
    /// On how many pictures it was tested.
    pub pictures: u64,
    /// Mean probability of the class in the pictures as they are, 0 to 1.
    pub before: f64,
    /// With the region hidden.
    pub region_hidden: f64,
    /// With equally large random regions hidden.
    pub random_hidden: f64,
    /// Whether the difference confirms that the network relies on the region.
    pub is_confirmed: bool,
}
