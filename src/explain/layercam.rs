//! LayerCAM (Jiang et al., 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization").

use super::gradient::{ScoreGradient, sum_over_channels};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Target};
use crate::heatmap::Heatmap;

/// `map = sum_k ReLU(G_k) A_k`, cell by cell: only where more activation would raise the score.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayerCam;

impl Explainer for LayerCam {
    fn name(&self) -> &'static str {
        "layercam"
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let gradient = ScoreGradient::of_target(queries.model(), view, target)?;
        Ok(sum_over_channels(
            view.activations,
            |channel, cell, value| gradient.at(channel, cell).max(0.0) * value,
        ))
    }
}
