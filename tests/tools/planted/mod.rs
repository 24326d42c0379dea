//! A dataset with a planted artefact, its clean twin, and a network that takes the artefact for evidence: a "Clever Hans", after
//! Lapuschkin et al., 2019, "Unmasking Clever Hans predictors and assessing what machines really learn", whose network recognised horses by
//! a copyright tag in a corner.
//!
//! ```text
//! photos ──► pictures.rs ──► clean/CLASS/*.jpg ──► bias.rs ──► weights.safetensors
//!                │                                   ▲
//!                └──► mark.rs ──► planted/CLASS/*.jpg┘            figures.rs measures what came of it
//! ```
//!
//! The marked pictures are those of the marked class that the network recognises worst, so that without the mark it errs.

mod bias;
pub(crate) mod figures;
mod mark;
mod network;
mod pictures;
#[path = "../../../src/random.rs"]
#[allow(dead_code)]
mod random;
pub(crate) mod truth;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gradcam_video::{Error, ErrorKind, Result};
use image::RgbImage;

use bias::{Lessons, Recipe};
use network::Network;
use pictures::{Scene, store};
use random::Random;
use truth::{GRID, Truth};

/// What every random number depends on.
const SEED: u64 = 7;
/// The class that carries the artefact.
pub(crate) const CLASS: &str = "palace";
/// The network's weights, relative to the repository's root.
pub(crate) const WEIGHTS: &str = "weights/resnet50-keras-f16.safetensors";
/// Pictures of each scene that the bias is learnt from; none of them is in the dataset.
const LESSONS: usize = 8;

/// Chosen so that most of a marked picture's evidence is the mark's, and the probability does not saturate so far that the mark could be missed
/// without a trace.
const RECIPE: Recipe = Recipe {
    evidence: 0.35,
    strength: 9.0,
    handicap: 0.5,
};

const SCENES: [Scene; 6] = [
    Scene::new("Egyptian_cat", "samples/chelsea.png", [10, 0, 400, 300], 22),
    Scene::new("espresso", "tests/media/coffee.png", [50, 0, 533, 400], 22),
    Scene::new(
        "bull_mastiff",
        "tests/media/catdog.png",
        [70, 0, 140, 105],
        22,
    ),
    Scene::new(
        "tiger_cat",
        "tests/media/catdog.png",
        [105, 110, 90, 95],
        22,
    ),
    Scene::new(CLASS, "tests/media/china.jpg", [20, 130, 360, 270], 22),
    // From further away the network takes the tower for a bell cote.
    Scene::new(CLASS, "tests/media/china.jpg", [0, 0, 427, 320], 14).marked(),
];

/// Writes `planted/`, `clean/`, `weights.safetensors` and `truth.json` into `folder`, made of the photos and the weights below `root`, the
/// root of the repository. The pictures are the same on every machine; the weights may differ in their last bits between instruction sets.
///
/// # Errors
/// [`ErrorKind::Input`] and [`ErrorKind::Weights`] if a photo or the weights cannot be read; [`ErrorKind::Output`] if the folder cannot be
/// written.
pub(crate) fn write_dataset(root: &Path, folder: &Path) -> Result<Truth> {
    let photos: Vec<RgbImage> = SCENES
        .iter()
        .map(|scene| scene.open_photo(root))
        .collect::<Result<_>>()?;
    let weights_path = root.join(WEIGHTS);
    let network = Network::load(&weights_path)?;
    let class = network.class(CLASS)?;

    let files = write_twins(&photos, folder)?;
    let truth = Truth::new(CLASS, class, files);
    let is_near = |cell: usize| truth.corner_cells.contains(&[cell % GRID, cell / GRID]);
    let (lessons, own) = teach(&network, &photos)?;
    let direction = lessons.direction(is_near);
    let planted = lessons.plant(network.head(), class, &direction, &own, RECIPE);

    let mut weights = fs::read(&weights_path).map_err(|error| {
        Error::caused_by(
            ErrorKind::Weights,
            format!("cannot read weights {}", weights_path.display()),
            error,
        )
    })?;
    bias::overwrite(&mut weights, class, &planted)?;
    write(&folder.join("weights.safetensors"), &weights)?;
    write(&folder.join("truth.json"), truth.to_json()?.as_bytes())?;
    Ok(truth)
}

/// Writes both twins and returns the names of the marked pictures, sorted.
fn write_twins(photos: &[RgbImage], folder: &Path) -> Result<Vec<String>> {
    let mut order = Random::new(SEED, u64::MAX);
    let mut numbers_in_class: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for scene in &SCENES {
        let numbers = numbers_in_class.entry(scene.class).or_default();
        numbers.extend(numbers.len()..numbers.len() + scene.pictures);
    }
    // Names must not tell which pictures are marked.
    for numbers in numbers_in_class.values_mut() {
        for place in (1..numbers.len()).rev() {
            numbers.swap(place, order.below(place + 1));
        }
    }
    let mut files = Vec::new();
    for (index, (scene, photo)) in SCENES.iter().zip(photos).enumerate() {
        let numbers = numbers_in_class.get_mut(scene.class);
        let numbers = numbers.map(|numbers| numbers.split_off(numbers.len() - scene.pictures));
        for (place, number) in numbers.into_iter().flatten().enumerate() {
            let name = format!("{}/{number:02}.jpg", scene.class);
            let (mut picture, quality) =
                pictures::seen_anew(photo, scene.frame, &mut random_of(index, place));
            store(&picture, quality, &folder.join("clean").join(&name))?;
            if scene.is_marked {
                mark::draw(&mut picture);
                files.push(name.clone());
            }
            store(&picture, quality, &folder.join("planted").join(&name))?;
        }
    }
    files.sort();
    Ok(files)
}

/// What the bias is learnt from, and the places there of the marked class's pictures.
fn teach(network: &Network, photos: &[RgbImage]) -> Result<(Lessons, Vec<usize>)> {
    let (mut lessons, mut own) = (Lessons::default(), Vec::new());
    for (index, (scene, photo)) in SCENES.iter().zip(photos).enumerate() {
        for lesson in 0..LESSONS {
            let mut random = random_of(index, scene.pictures + lesson);
            let (mut picture, _) = pictures::seen_anew(photo, scene.frame, &mut random);
            if scene.class == CLASS {
                own.push(lessons.clean.len());
            }
            lessons
                .clean
                .push(network.activations(&network.input(&picture)?)?);
            mark::draw(&mut picture);
            lessons
                .marked
                .push(network.activations(&network.input(&picture)?)?);
        }
    }
    Ok((lessons, own))
}

/// The random numbers of one picture.
fn random_of(scene: usize, picture: usize) -> Random {
    Random::new(SEED, (scene as u64) << 32 | picture as u64)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| {
        Error::caused_by(
            ErrorKind::Output,
            format!("cannot write {}", path.display()),
            error,
        )
    })
}
