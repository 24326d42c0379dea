//! What `gradcam-video evaluate` prints: tables for people, JSON for scripts.

use std::fmt::Write as _;

use gradcam_video::evaluate::Report;
use gradcam_video::evaluate::randomisation::{CASCADE, RandomisationScores};
use gradcam_video::explain::Explainer;
use serde::Serialize;

use super::config::Question;

/// How one method explains.
#[derive(Debug, Serialize)]
pub(super) struct ExplainerSettings {
    method: &'static str,
    /// The type and its fields.
    settings: String,
    /// None where no class is explained.
    score: Option<&'static str>,
    /// None where it cannot be chosen, or the layer decides.
    samples: Option<usize>,
}

impl ExplainerSettings {
    pub(super) fn new(explainer: &dyn Explainer, question: &Question) -> Self {
        let count = explainer.sample_count();
        Self {
            method: explainer.name(),
            settings: format!("{explainer:?}"),
            score: explainer
                .explains_score()
                .then(|| question.score.unwrap_or(explainer.default_score()).name()),
            samples: count.and_then(|count| question.samples.or(count.default)),
        }
    }
}

/// All that `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Evaluation<'a> {
    pub(super) version: &'a str,
    pub(super) weights_sha256: &'a str,
    pub(super) precision: &'a str,
    pub(super) layer: &'a str,
    pub(super) resize: &'a str,
    pub(super) explainers: Vec<ExplainerSettings>,
    #[serde(flatten)]
    pub(super) report: Report,
    /// None if it was left out.
    pub(super) randomisation: Option<Vec<RandomisationScores>>,
}

impl Evaluation<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<16}{value}");
        };
        line(
            "network",
            &format!("layer {}, {}", self.layer, self.precision),
        );
        line("weights", self.weights_sha256);
        line("resize", self.resize);
        for explainer in &self.explainers {
            let samples = explainer
                .samples
                .map(|samples| format!(", {samples} samples"));
            let score = explainer.score.map(|score| format!(" of the {score}"));
            let text = [Some(explainer.settings.clone()), score, samples];
            let text: String = text.into_iter().flatten().collect();
            line(explainer.method, &text);
        }
        for (name, value) in self.report.settings.describe() {
            line(name, &value);
        }
        text.push('\n');
        for picture in &self.report.pictures {
            let _ = writeln!(
                text,
                "{}: {} ({}), probability {:.4}",
                picture.picture, picture.class_name, picture.class, picture.probability
            );
        }
        text.push('\n');
        self.write_metrics(&mut text);
        self.write_agreement(&mut text);
        self.write_randomisation(&mut text);
        text
    }

    fn write_metrics(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "{:<14}{:>10}{:>11}{:>9}{:>11}{:>9}{:>10}{:>9}",
            "means", "deletion", "insertion", "drop %", "increase %", "ROAD", "pointing%", "energy"
        );
        let optional = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        for means in &self.report.methods {
            let _ = writeln!(
                text,
                "{:<14}{:>10.4}{:>11.4}{:>9.1}{:>11.1}{:>9.4}{:>10}{:>9}",
                means.method,
                means.deletion_auc,
                means.insertion_auc,
                means.average_drop_percent,
                means.increase_percent,
                means.road,
                optional(means.pointing_percent, 1),
                optional(means.energy_in_box, 3),
            );
        }
    }

    fn write_agreement(&self, text: &mut String) {
        let agreement = &self.report.agreement;
        let columns = agreement.methods.iter();
        let titles: Vec<_> = columns.map(|name| format!("{name:>14}")).collect();
        let _ = writeln!(text, "\n{:<14}{}", "agreement", titles.concat());
        for (name, row) in agreement.methods.iter().zip(&agreement.spearman) {
            let cells: Vec<_> = row.iter().map(|value| correlation(*value)).collect();
            let _ = writeln!(text, "{name:<14}{}", cells.concat());
        }
    }

    fn write_randomisation(&self, text: &mut String) {
        let Some(randomisation) = &self.randomisation else {
            return;
        };
        let _ = writeln!(
            text,
            "\nrandomisation: Spearman correlation with the map of a network whose named parts are random, and of absolute values;\n\
             near 0 is good, far below 0 is the same map turned around"
        );
        for (step, name) in CASCADE.iter().enumerate() {
            let _ = writeln!(text, "  {}: {name}", step + 1);
        }
        for scores in randomisation {
            let cells = scores.steps.iter().map(|step| correlation(step.spearman));
            let _ = writeln!(text, "{:<14}{}", scores.method, cells.collect::<String>());
            let cells = scores
                .steps
                .iter()
                .map(|step| correlation(step.spearman_of_absolute));
            let _ = writeln!(text, "{:<14}{}", "  absolute", cells.collect::<String>());
        }
    }
}

fn correlation(value: Option<f64>) -> String {
    value.map_or(format!("{:>14}", "-"), |value| format!("{value:>14.3}"))
}
