//! The model-parameter randomisation check (Adebayo 2018): does the map change when the network forgets what it learnt?
//!
//! Weights are replaced by random ones from the output to the input, more at every step ("cascading"). The *same class* is explained
//! with each network, and the new map is compared with the first. A method whose maps stay as they were shows the picture, or the
//! architecture, but not what the network learnt. Low correlation is a pass.

use serde::Serialize;

use crate::error::Result;
use crate::evaluate::agreement::spearman;
use crate::evaluate::means::mean;
use crate::evaluate::saliency::Saliency;
use crate::evaluate::{raw_map, request};
use crate::explain::{Explainer, Queries, Score};
use crate::heatmap::Heatmap;
use crate::model::{Classifier, ModelInput, TargetLayer};

/// What has random weights at each step.
pub const CASCADE: [&str; 5] = [
    "fc",
    "fc, layer4",
    "fc, layer4, layer3",
    "fc, layer4, layer3, layer2",
    "all",
];

/// The network in which that of a step (an index of [`CASCADE`]) is random.
pub type RandomizedModel<'a> = &'a dyn Fn(usize) -> Result<Box<dyn Classifier>>;

/// One picture as the trained network explains it.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    /// What the network read.
    pub input: &'a ModelInput,
    /// The class that is explained.
    pub class: usize,
    /// The raw map of every explainer, in their order.
    pub heatmaps: &'a [Heatmap],
}

/// How much of a method's maps is left at every step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomisationScores {
    /// The explainer.
    pub method: &'static str,
    /// One per entry of [`CASCADE`].
    pub steps: Vec<RandomisationStep>,
}

/// Spearman correlations with the trained network's maps, mean over the pictures in which they are defined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomisationStep {
    /// What is random.
    pub randomised: &'static str,
    /// Of the signed maps.
    pub spearman: Option<f64>,
    /// Of the maps' absolute values: a map that only changed its sign counts as the same.
    pub spearman_of_absolute: Option<f64>,
}

/// Explains all pictures with the network of every step, each of which is made once; without a score, each method explains its own. `side` is that of the grid on which maps are
/// compared.
///
/// # Errors
/// As the explainers and `randomized` report.
pub fn randomisation(
    queries: &Queries<'_>,
    randomized: RandomizedModel<'_>,
    explainers: &[&dyn Explainer],
    pictures: &[Explained<'_>],
    layers: &[TargetLayer],
    score: Option<Score>,
    side: usize,
) -> Result<Vec<RandomisationScores>> {
    let mut scores: Vec<_> = explainers
        .iter()
        .map(|explainer| RandomisationScores {
            method: explainer.name(),
            steps: Vec::new(),
        })
        .collect();
    for (step, randomised) in CASCADE.into_iter().enumerate() {
        let model = randomized(step)?;
        let queries = queries.with_model(&*model);
        let mut signed = vec![Vec::new(); explainers.len()];
        let mut absolute = signed.clone();
        for picture in pictures {
            let forward = model.forward(picture.input, layers)?;
            for (index, (explainer, before)) in explainers.iter().zip(picture.heatmaps).enumerate()
            {
                let score = score.unwrap_or(explainer.default_score());
                let request = request(picture.class, layers, score);
                let after = raw_map(&queries, *explainer, picture.input, &forward, &request)?;
                let (maps, size) = ([before, &after], picture.input.size);
                signed[index].extend(correlation(maps, size, side, |value| value));
                absolute[index].extend(correlation(maps, size, side, f32::abs));
            }
        }
        for ((scores, signed), absolute) in scores.iter_mut().zip(signed).zip(absolute) {
            scores.steps.push(RandomisationStep {
                randomised,
                spearman: mean(signed),
                spearman_of_absolute: mean(absolute),
            });
        }
    }
    Ok(scores)
}

fn correlation(
    maps: [&Heatmap; 2],
    size: usize,
    side: usize,
    change: fn(f32) -> f32,
) -> Option<f64> {
    let [a, b] = maps.map(|map| {
        let values = map.values.iter().copied().map(change).collect();
        Saliency::new(&Heatmap { values, ..*map }, size).reduced(side)
    });
    spearman(&a, &b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::test_model::{ClassMap, PatchModel};

    fn check(weights_of_step: impl Fn(usize) -> Vec<f32>) -> RandomisationScores {
        let model = PatchModel::new();
        let queries = Queries::new(&model);
        let layers = [model.spec().last_layer()];
        let forward = model.forward(&model.picture, &layers).unwrap();
        let request = request(0, &layers, Score::Logit);
        let heatmap = raw_map(&queries, &ClassMap, &model.picture, &forward, &request);
        let picture = Explained {
            input: &model.picture,
            class: 0,
            heatmaps: &[heatmap.unwrap()],
        };
        let randomized = |step: usize| -> Result<Box<dyn Classifier>> {
            Ok(Box::new(PatchModel::with_weights(weights_of_step(step))))
        };
        let scores = randomisation(
            &queries,
            &randomized,
            &[&ClassMap],
            &[picture],
            &layers,
            None,
            28,
        );
        scores.unwrap().remove(0)
    }

    #[test]
    fn the_same_network_makes_the_same_map() {
        let scores = check(|_| vec![1.0, 0.0, 0.0, 1.0]);
        assert_eq!(scores.method, "class-map");
        assert_eq!(scores.steps.len(), CASCADE.len());
        for step in scores.steps {
            assert_eq!(
                (step.spearman, step.spearman_of_absolute),
                (Some(1.0), Some(1.0))
            );
        }
    }

    #[test]
    fn another_network_makes_another_map() {
        // Step 0 flips the sign, step 1 looks at the other channel, and later ones at nothing.
        let scores = check(|step| match step {
            0 => vec![-1.0, 0.0, 0.0, 1.0],
            1 => vec![0.0, 1.0, 1.0, 0.0],
            _ => vec![0.0; 4],
        });
        let step = |index: usize| {
            let step = &scores.steps[index];
            (step.spearman, step.spearman_of_absolute)
        };
        assert_eq!(step(0), (Some(-1.0), Some(1.0)));
        assert!(step(1).0.unwrap() < 0.5);
        assert_eq!(step(2), (None, None));
    }
}
