//! Grad-CAM++ (Chattopadhay et al., 2018, "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional Networks").

use super::gradient::{ScoreGradient, plane_sum, weighted_sum};
use crate::error::Result;
use crate::explain::{Explainer, LayerView, Queries, Request, Target, check_logit};
use crate::heatmap::Heatmap;
use crate::model::ModelSpec;

/// `map = sum_k w_k A_k` with `w_k = sum_i a_k[i] ReLU(G_k[i])` and
/// `a_k[i] = G_k[i]^2 / (2 G_k[i]^2 + sum_j A_k[j] G_k[i]^3 + epsilon)`, 0 where the gradient is 0: cells of a class that appears
/// several times in the picture count alike.
///
/// `epsilon` is pytorch-grad-cam's. It is not small against the squared gradient, and changes the map: at the last layer, where
/// without it `w_k` is exactly `ReLU(W[c,k]) / (2 + W[c,k] mean(A_k))`, the two correlate between 0.991 and 0.998 on our photos. The
/// default is `1e-6`, so that the map is the one that others show. The score is always the logit: a probability's gradient can be so small that
/// `epsilon` would swallow it.
#[derive(Debug, Clone, Copy)]
pub struct GradCamPlusPlus {
    /// Added to the denominator; 0 for the paper's formula.
    pub epsilon: f64,
}

impl Default for GradCamPlusPlus {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl GradCamPlusPlus {
    pub(super) const DEFAULT: Self = Self { epsilon: 1e-6 };

    /// `a ReLU(g)` of one cell.
    fn cell_weight(self, gradient: f64, activation_sum: f64) -> f64 {
        if gradient <= 0.0 {
            return 0.0;
        }
        let square = gradient * gradient;
        let denominator = 2.0 * square + activation_sum * square * gradient + self.epsilon;
        square / denominator * gradient
    }
}

impl Explainer for GradCamPlusPlus {
    fn name(&self) -> &'static str {
        "gradcam++"
    }

    fn check(&self, _: &ModelSpec, request: &Request) -> Result<()> {
        check_logit(self, request.score)
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        check_logit(self, target.score)?;
        let gradient = ScoreGradient::of_target(queries.model(), view, target)?;
        Ok(weighted_sum(view.activations()?, |channel, plane| {
            let sum = plane_sum(plane);
            let cells = 0..plane.len();
            cells
                .map(|cell| self.cell_weight(gradient.at(channel, cell), sum))
                .sum()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_epsilon_a_uniform_gradient_has_the_closed_form() {
        // The gradient of a cell is W / Z, and Z cells are summed.
        let (weight, cells, mean) = (0.03, 49.0, 1.7);
        let method = GradCamPlusPlus { epsilon: 0.0 };
        let sum = cells * method.cell_weight(weight / cells, mean * cells);
        assert!((sum - weight / (2.0 + weight * mean)).abs() < 1e-12);
    }
}
