//! The means over all pictures: what a person compares methods by.

use serde::Serialize;

use crate::evaluate::means::{mean, mean_list};
use crate::evaluate::{MethodScores, PictureReport, Settings};

/// Everything that an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How it was measured.
    pub settings: Settings,
    /// Means per method over the pictures, baselines last.
    pub methods: Vec<MethodMeans>,
    /// How alike the methods' maps are.
    pub agreement: Agreement,
    /// Each picture.
    pub pictures: Vec<PictureReport>,
}

/// One method's means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodMeans {
    /// Name of the explainer or baseline.
    pub method: &'static str,
    /// Whether it knows nothing of the network.
    pub is_baseline: bool,
    /// How many pictures these are means of.
    pub pictures: usize,
    /// Area under the deletion curve, in [0, 1]. Lower is better.
    pub deletion_auc: f64,
    /// Area under the insertion curve, in [0, 1]. Higher is better.
    pub insertion_auc: f64,
    /// Average drop of the probability behind the map, in percent of the original. Lower is better.
    pub average_drop_percent: f64,
    /// How often the probability rose, in percent of the pictures. Higher is better.
    pub increase_percent: f64,
    /// ROAD, combined, in [-0.5, 0.5]. Higher is better.
    pub road: f64,
    /// How often the peak hit a box, in percent of the pictures with boxes. Higher is better.
    pub pointing_percent: Option<f64>,
    /// Share of the positive saliency in the boxes, in [0, 1], over the pictures with boxes. Higher is better.
    pub energy_in_box: Option<f64>,
    /// Mean probability after each step of deletion.
    pub deletion_curve: Vec<f64>,
    /// Mean probability after each step of insertion.
    pub insertion_curve: Vec<f64>,
}

/// Spearman correlations between the maps of methods.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Names of rows and columns.
    pub methods: Vec<&'static str>,
    /// Mean over the pictures in which both maps have an order; `None` if there are none.
    pub spearman: Vec<Vec<Option<f64>>>,
}

impl Report {
    /// Takes the means over `pictures`, all of which were evaluated with the same methods and settings.
    pub fn new(settings: Settings, pictures: Vec<PictureReport>) -> Self {
        let names: Vec<_> = pictures
            .first()
            .iter()
            .flat_map(|picture| &picture.methods)
            .map(|scores| scores.method)
            .collect();
        let methods = (0..names.len())
            .map(|index| {
                let of_method = pictures
                    .iter()
                    .filter_map(|picture| picture.methods.get(index));
                MethodMeans::new(&of_method.collect::<Vec<_>>())
            })
            .collect();
        let pair = |row: usize, column: usize| {
            let correlation = |picture: &PictureReport| *picture.agreement.get(row)?.get(column)?;
            mean(pictures.iter().filter_map(correlation))
        };
        let spearman = (0..names.len())
            .map(|row| (0..names.len()).map(|column| pair(row, column)).collect())
            .collect();
        Self {
            settings,
            methods,
            agreement: Agreement {
                methods: names,
                spearman,
            },
            pictures,
        }
    }
}

impl MethodMeans {
    /// Of the scores of one method, one per picture.
    fn new(scores: &[&MethodScores]) -> Self {
        let all = |value: fn(&MethodScores) -> f64| {
            mean(scores.iter().map(|scores| value(scores))).unwrap_or_default()
        };
        let some = |value: fn(&MethodScores) -> Option<f64>| {
            mean(scores.iter().filter_map(|scores| value(scores)))
        };
        let percent = |is: bool| f64::from(u8::from(is)) * 100.0;
        Self {
            method: scores.first().map_or("", |scores| scores.method),
            is_baseline: scores.iter().any(|scores| scores.is_baseline),
            pictures: scores.len(),
            deletion_auc: all(|scores| scores.deletion_auc),
            insertion_auc: all(|scores| scores.insertion_auc),
            average_drop_percent: all(|scores| scores.drop * 100.0),
            increase_percent: mean(scores.iter().map(|scores| percent(scores.is_increase)))
                .unwrap_or_default(),
            road: all(|scores| scores.road),
            pointing_percent: mean(
                scores
                    .iter()
                    .filter_map(|scores| scores.pointing.map(percent)),
            ),
            energy_in_box: some(|scores| scores.energy_in_box),
            deletion_curve: mean_list(scores.iter().map(|scores| &scores.deletion_curve)),
            insertion_curve: mean_list(scores.iter().map(|scores| &scores.insertion_curve)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heatmap::Heatmap;

    fn picture(
        drop: f64,
        is_increase: bool,
        pointing: Option<bool>,
        same: Option<f64>,
    ) -> PictureReport {
        let scores = MethodScores {
            method: "a",
            is_baseline: false,
            deletion_auc: drop / 2.0,
            insertion_auc: 0.5,
            drop,
            is_increase,
            road: drop,
            pointing,
            energy_in_box: pointing.map(|_| drop),
            deletion_curve: vec![drop, 0.0],
            insertion_curve: vec![0.0, 1.0],
            heatmap: Heatmap {
                width: 1,
                height: 1,
                values: vec![1.0],
            },
        };
        PictureReport {
            picture: "p".to_owned(),
            class: 0,
            class_name: "patch".to_owned(),
            probability: 0.5,
            methods: vec![scores],
            agreement: vec![vec![same]],
        }
    }

    #[test]
    fn means_are_over_the_pictures_in_which_a_metric_exists() {
        let pictures = vec![
            picture(0.5, false, Some(true), Some(1.0)),
            picture(0.25, true, None, None),
            picture(0.0, true, Some(false), Some(0.5)),
            picture(0.25, true, Some(true), Some(0.0)),
        ];
        let report = Report::new(Settings::new(224), pictures);
        let means = &report.methods[0];
        assert_eq!((means.method, means.pictures), ("a", 4));
        assert_eq!(
            (means.average_drop_percent, means.increase_percent),
            (25.0, 75.0)
        );
        assert_eq!((means.deletion_auc, means.road), (0.125, 0.25));
        let pointing = means.pointing_percent.unwrap();
        assert!((pointing - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(means.energy_in_box, Some(0.25));
        assert_eq!(means.deletion_curve, [0.25, 0.0]);
        assert_eq!(report.agreement.spearman, [[Some(0.5)]]);
    }

    #[test]
    fn no_pictures_have_no_methods() {
        let report = Report::new(Settings::new(224), Vec::new());
        assert!(report.methods.is_empty() && report.agreement.spearman.is_empty());
    }

    #[test]
    fn json_names_units_and_leaves_maps_out() {
        let report = Report::new(Settings::new(224), vec![picture(0.5, true, None, None)]);
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains(r#""average_drop_percent":50.0"#), "{json}");
        assert!(json.contains(r#""pointing_percent":null"#), "{json}");
        assert!(!json.contains("heatmap"), "{json}");
    }
}
