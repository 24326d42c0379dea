//! Ablation-CAM (Desai and Ramaswamy, 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
//! Gradient-free Localization").

use super::gradient::{plane_sum, weighted_sum};
use crate::error::{Error, ErrorKind, Result};
use crate::explain::{Explainer, LayerView, Score, Target, check_logit};
use crate::heatmap::Heatmap;
use crate::model::{Classifier, ModelSpec, TargetLayer};

/// `map = sum_k w_k A_k` with `w_k` the share of the class's logit that is lost without channel `k`. At the last layer that is
/// exactly `W[c,k] mean(A_k) / |logit_c|`: no pass per channel is needed.
///
/// The logit's absolute value is our choice: with the signed logit, as in the paper, a negative one would turn the map's sign around.
/// The score is always the logit.
#[derive(Debug, Clone, Copy, Default)]
pub struct AblationCam;

impl Explainer for AblationCam {
    fn name(&self) -> &'static str {
        "ablationcam"
    }

    /// Only at the last layer: elsewhere a pass per channel would be needed.
    fn check(&self, spec: &ModelSpec, layers: &[TargetLayer], score: Score) -> Result<()> {
        check_logit(self, score)?;
        if layers.iter().all(|layer| *layer == spec.last_layer()) {
            return Ok(());
        }
        let message = "ablationcam works at layer4 only";
        Err(Error::new(ErrorKind::InvalidArgument, message))
    }

    fn explain(
        &self,
        model: &dyn Classifier,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        self.check(model.spec(), &[view.layer], target.score)?;
        let head = model.fully_connected();
        let weights = &head.weight[target.class * head.channels..][..head.channels];
        let logit = f64::from(view.forward.logits[target.class]).abs();
        Ok(weighted_sum(view.activations, |channel, plane| {
            let mean = plane_sum(plane) / plane.len() as f64;
            f64::from(weights[channel]) * mean / logit.max(f64::from(f32::EPSILON))
        }))
    }
}
