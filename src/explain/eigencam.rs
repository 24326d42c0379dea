//! EigenCAM (Muhammad and Yeasin, 2020, "Eigen-CAM: Class Activation Map using Principal Components").

use super::gradient::{ScoreGradient, sum_over_channels};
use super::principal::first_principal_component;
use crate::error::Result;
use crate::explain::{
    Explainer, LayerView, Queries, Request, Target, check_no_contrast, check_no_score,
};
use crate::heatmap::Heatmap;
use crate::model::{Activations, ModelSpec};

/// The activations projected on their first principal component: what stands out in the picture, whatever the class. The
/// target is ignored.
///
/// A principal component has no sign of its own (pytorch-grad-cam leaves it to LAPACK); here it is the one with which the map's
/// product with the sum of all channels is positive.
#[derive(Debug, Clone, Copy, Default)]
pub struct EigenCam;

impl Explainer for EigenCam {
    fn name(&self) -> &'static str {
        "eigencam"
    }

    fn check(&self, _: &ModelSpec, request: &Request) -> Result<()> {
        check_no_score(self, request.score)?;
        check_no_contrast(self, request.contrast)
    }

    fn explains_score(&self) -> bool {
        false
    }

    fn explain(&self, _: &Queries<'_>, view: LayerView<'_>, _: Target) -> Result<Heatmap> {
        let activations = view.activations()?;
        let values = activations.values.iter();
        let values: Vec<f64> = values.map(|value| f64::from(*value)).collect();
        Ok(projection(activations, &values))
    }
}

/// EigenCAM of the activations times the gradient of the score: principal components that matter to the class. The sign as in
/// [`EigenCam`].
#[derive(Debug, Clone, Copy, Default)]
pub struct EigenGradCam;

impl Explainer for EigenGradCam {
    fn name(&self) -> &'static str {
        "eigengradcam"
    }

    fn explain(
        &self,
        queries: &Queries<'_>,
        view: LayerView<'_>,
        target: Target,
    ) -> Result<Heatmap> {
        let gradient = ScoreGradient::of_target(queries.model(), view, target)?;
        let activations = view.activations()?;
        let mut products = Vec::with_capacity(activations.values.len());
        for (channel, plane) in activations.planes().enumerate() {
            for (cell, value) in plane.iter().enumerate() {
                products.push(gradient.at(channel, cell) * f64::from(*value));
            }
        }
        Ok(projection(activations, &products))
    }
}

/// `values` (channel by channel) projected on their first principal component, with the sign of the summed activations.
fn projection(activations: &Activations, values: &[f64]) -> Heatmap {
    let (width, height) = (activations.width, activations.height);
    let mut map = first_principal_component(values, width * height);
    let sums = sum_over_channels(activations, |_, _, value| value);
    let agreement: f64 = map
        .iter()
        .zip(&sums.values)
        .map(|(value, sum)| value * f64::from(*sum))
        .sum();
    if agreement < 0.0 {
        map.iter_mut().for_each(|value| *value = -*value);
    }
    Heatmap {
        width,
        height,
        values: map.into_iter().map(|value| value as f32).collect(),
    }
}
