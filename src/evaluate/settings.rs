//! All that the numbers depend on besides the network and the pictures. Metrics of maps are comparable only if every one of these is
//! the same, so that they are part of the report.

use serde::{Serialize, Serializer};

use crate::evaluate::baselines::{CENTRE_DEVIATION, RANDOM_CELLS};
use crate::evaluate::curves::step_count;
use crate::explain::Score;

/// How maps are evaluated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// What the maps explain; `None` for each method's own. All metrics measure the softmax probability, whatever this is.
    #[serde(serialize_with = "by_name")]
    pub explained_score: Option<Score>,
    /// Pixels that deletion and insertion change per step; one row of the input by default, as RISE.
    pub pixels_per_step: usize,
    /// Side in pixels of the blur's kernel, from which insertion starts; RISE's 11 by default.
    pub blur_side_px: usize,
    /// Deviation in pixels of that Gaussian; RISE's 5 by default.
    pub blur_deviation_px: f64,
    /// Shares of the pixels, in percent, that ROAD keeps; 20, 40, 60, 80 by default.
    pub road_percentiles: Vec<f64>,
    /// Deviation of ROAD's noise in units of torchvision's normalisation; 0.01 by default.
    pub road_noise: f64,
    /// How near to a box the pointing game's peak must be, in pixels of the model's square; TorchRay's 15 by default.
    pub pointing_tolerance_px: f64,
    /// Side in cells of the grid on which maps are compared; 28 by default.
    pub agreement_cells: usize,
    /// Of ROAD's noise and of the random baseline, together with the picture's own values.
    pub seed: u64,
}

fn by_name<S: Serializer>(score: &Option<Score>, serializer: S) -> Result<S::Ok, S::Error> {
    score.map(Score::name).serialize(serializer)
}

impl Settings {
    /// The defaults for a network with an input of this side.
    pub fn new(input_size: usize) -> Self {
        Self {
            explained_score: None,
            pixels_per_step: input_size,
            blur_side_px: 11,
            blur_deviation_px: 5.0,
            road_percentiles: vec![20.0, 40.0, 60.0, 80.0],
            road_noise: 0.01,
            pointing_tolerance_px: 15.0,
            agreement_cells: 28,
            seed: 0,
        }
    }

    /// Forward passes that the metrics of one map take.
    pub fn passes_per_map(&self, input_size: usize) -> usize {
        let steps = step_count(input_size * input_size, self.pixels_per_step);
        2 * (steps + 1) + 1 + 2 * self.road_percentiles.len()
    }

    /// Metric and how it is measured, for people to read.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let percentiles: Vec<_> = self
            .road_percentiles
            .iter()
            .map(ToString::to_string)
            .collect();
        vec![
            (
                "maps",
                format!(
                    "explain {}, resized bilinearly to the model's square; metrics measure the softmax probability",
                    match self.explained_score {
                        Some(score) => format!("the {}", score.name()),
                        None => "each method's own score".to_owned(),
                    }
                ),
            ),
            (
                "deletion",
                format!(
                    "{} pixels per step, set to the mean colour; lower is better",
                    self.pixels_per_step
                ),
            ),
            (
                "insertion",
                format!(
                    "{} pixels per step, into a {side}x{side} blur of deviation {} px; higher is better",
                    self.pixels_per_step,
                    self.blur_deviation_px,
                    side = self.blur_side_px
                ),
            ),
            (
                "drop, increase",
                "picture times map (ReLU, divided by its maximum), drop as a share of the original probability; \
                 lower, higher is better"
                    .to_owned(),
            ),
            (
                "ROAD",
                format!(
                    "noisy linear imputation, noise {}, {} % of the pixels kept; higher is better",
                    self.road_noise,
                    percentiles.join(", ")
                ),
            ),
            (
                "pointing game",
                format!(
                    "peak nearer than {} px to a box, in the model's square",
                    self.pointing_tolerance_px
                ),
            ),
            (
                "energy in box",
                "share of the positive saliency; higher is better".to_owned(),
            ),
            (
                "agreement",
                format!(
                    "Spearman correlation of means over {cells}x{cells} cells",
                    cells = self.agreement_cells
                ),
            ),
            (
                "baselines",
                format!(
                    "centre: Gaussian with deviation {CENTRE_DEVIATION} of the side; random: {RANDOM_CELLS}x{RANDOM_CELLS} \
                     uniform values"
                ),
            ),
            ("seed", self.seed.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_papers() {
        let settings = Settings::new(224);
        assert_eq!(settings.pixels_per_step, 224);
        assert_eq!(settings.passes_per_map(224), 2 * 225 + 1 + 8);
        let json = serde_json::to_string(&settings).unwrap();
        assert!(
            json.starts_with(r#"{"explained_score":null,"pixels_per_step":224,"#),
            "{json}"
        );
        let text = format!("{:?}", settings.describe());
        assert!(text.contains("11x11 blur of deviation 5 px") && text.contains("20, 40, 60, 80 %"));
    }
}
