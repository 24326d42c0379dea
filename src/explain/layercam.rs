//! LayerCAM (Jiang et al., 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization").

use super::gradient::{ScoreGradient, sum_over_channels};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Target};
use crate::heatmap::Heatmap;

/// `map = sum_k ReLU(G_k) A_k`, cell by cell: only where more of a channel would raise the score does it count.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayerCam;

fn layercam_map(view: LayerView<'_>, gradient: &ScoreGradient) -> Result<Heatmap> {
    let activations = view.activations()?;
    Ok(sum_over_channels(activations, |channel, cell, value| {
        gradient.at(channel, cell).max(0.0) * value
    }))
}

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
        layercam_map(view, &gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::test_views::view_of_two_channels;

    #[test]
    fn a_negative_gradient_counts_as_nothing_in_its_cell() {
        view_of_two_channels(|view, gradient| {
            // The second channel, ten times as large, has no positive gradient.
            let map = layercam_map(view, gradient).unwrap();
            assert_eq!(map.values, [1.0, 6.0]);
        });
    }
}
