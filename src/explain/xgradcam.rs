//! XGrad-CAM (Fu et al., 2020, "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs").

use super::gradient::{ScoreGradient, plane_sum, weighted_sum};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Target};
use crate::heatmap::Heatmap;

/// Against a division by zero in a channel that is off, as in pytorch-grad-cam.
const EPSILON: f64 = 1e-7;

/// `map = sum_k w_k A_k` with `w_k = sum_i G_k[i] A_k[i] / sum_i A_k[i]`: the gradient's mean weighted by the activations.
///
/// At the last layer the gradient is the same in all cells of a channel, so that the map is Grad-CAM's there.
#[derive(Debug, Clone, Copy, Default)]
pub struct XGradCam;

impl Explainer for XGradCam {
    fn name(&self) -> &'static str {
        "xgradcam"
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let gradient = ScoreGradient::of_target(queries.model(), view, target)?;
        Ok(weighted_sum(view.activations()?, |channel, plane| {
            let cells = plane.iter().enumerate();
            let products: f64 = cells
                .map(|(cell, value)| gradient.at(channel, cell) * f64::from(*value))
                .sum();
            products / (plane_sum(plane) + EPSILON)
        }))
    }
}
