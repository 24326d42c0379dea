//! A tiny layer for the tests of methods.

use super::gradient::ScoreGradient;
use crate::explain::LayerView;
use crate::model::{Activations, Forward, ModelInput, TargetLayer};

/// Two channels of two cells: `A = [1 2], [10 20]` and `G = [1 3], [-1 0]`.
pub(super) fn view_of_two_channels(test: impl FnOnce(LayerView<'_>, &ScoreGradient)) {
    let activations = Activations {
        channels: 2,
        height: 1,
        width: 2,
        values: vec![1.0, 2.0, 10.0, 20.0],
    };
    let gradient = Activations {
        values: vec![1.0, 3.0, -1.0, 0.0],
        ..activations.clone()
    };
    let layer = TargetLayer { stage: 2, block: 0 };
    let forward = Forward::new(vec![layer], vec![activations], vec![0.0]);
    let input = ModelInput {
        size: 0,
        values: Vec::new(),
    };
    let view = LayerView {
        layer,
        forward: &forward,
        input: &input,
    };
    test(view, &ScoreGradient::PerCell(gradient));
}
