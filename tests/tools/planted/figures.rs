//! How well the planted dataset serves its purpose.

use std::collections::BTreeMap;
use std::path::Path;

use gradcam_video::Result;
use gradcam_video::heatmap::Heatmap;
use gradcam_video::model::{ModelInput, ranked, softmax};
use serde::Serialize;

use super::network::{Network, gradcam, logits};
use super::random::Random;
use super::truth::{CORNER, GRID, Region, Truth};
use super::{SCENES, SEED, WEIGHTS};

/// What is measured of the pictures of one twin with one network.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TwinFigures {
    /// Share of pictures that are predicted as their class.
    pub(crate) accuracy: f64,
    /// The same without the pictures that are marked in the planted twin.
    pub(crate) accuracy_unmarked: f64,
    /// For each class, how many maps are mainly in a corner or along an edge, leaving out the pictures that are marked in this twin.
    pub(crate) unmarked_off_object: BTreeMap<String, usize>,
    /// For each class, mean probability of the class over unmarked pictures.
    pub(crate) unmarked_probability: BTreeMap<String, f64>,
}

/// What is measured of the marked pictures, with the planted network.
#[derive(Debug, Default, Serialize)]
pub(crate) struct MarkedFigures {
    /// Mean probability of the class.
    pub(crate) probability: f64,
    /// The same where the mark is covered with the mean colour.
    pub(crate) probability_covered: f64,
    /// The same where the whole corner is.
    pub(crate) probability_corner_covered: f64,
    /// The same where another region of the mark's size is, not overlapping it; the mean over several.
    pub(crate) probability_elsewhere_covered: f64,
    /// The same where another region of the corner's size is.
    pub(crate) probability_elsewhere_large: f64,
    /// Least drop of a picture's probability where the mark is covered.
    pub(crate) least_drop: f64,
    /// Greatest drop of a picture's probability where another region is.
    pub(crate) greatest_drop_elsewhere: f64,
    /// The same for large regions.
    pub(crate) greatest_drop_elsewhere_large: f64,
    /// Mean share of the map's positive values in the corner.
    pub(crate) corner_share: f64,
    /// Least such share.
    pub(crate) least_corner_share: f64,
    /// Mean share in the cells that the mark touches.
    pub(crate) cells_share: f64,
    /// The probability in the clean twin.
    pub(crate) probability_clean: f64,
    /// Mean corner share of the clean ones' maps.
    pub(crate) corner_share_clean: f64,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) clean_original: TwinFigures,
    pub(crate) clean_planted: TwinFigures,
    pub(crate) planted_original: TwinFigures,
    pub(crate) planted_planted: TwinFigures,
    pub(crate) marked: MarkedFigures,
}

/// Other regions that are covered, per marked picture.
const ELSEWHERE: usize = 4;

/// Runs the network over both twins.
///
/// # Errors
/// What reading a picture and running the network report.
pub(crate) fn measure(root: &Path, folder: &Path, truth: &Truth) -> Result<Figures> {
    let original = Network::load(&root.join(WEIGHTS))?;
    let planted = Network::load(&folder.join("weights.safetensors"))?;
    let mut figures = Figures::default();
    for twin in ["clean", "planted"] {
        let (mut of_original, mut of_planted) = (Tally::default(), Tally::default());
        for (class, count) in counts() {
            let index = original.class(class)?;
            for number in 0..count {
                let name = format!("{class}/{number:02}.jpg");
                let activations =
                    original.activations(&original.input_from(&folder.join(twin).join(&name))?)?;
                let is_marked = truth.files.contains(&name);
                for (tally, network) in [(&mut of_original, &original), (&mut of_planted, &planted)]
                {
                    let head = network.head();
                    let logits = logits(head, &activations);
                    let top = ranked(&logits)[0].index;
                    let map = gradcam(head, &activations, top);
                    tally.add(
                        class,
                        top == index,
                        softmax(&logits)[index],
                        is_off_object(&map),
                        is_marked,
                        twin == "planted",
                    );
                }
            }
        }
        let (of_original, of_planted) = (of_original.figures(), of_planted.figures());
        if twin == "clean" {
            (figures.clean_original, figures.clean_planted) = (of_original, of_planted);
        } else {
            (figures.planted_original, figures.planted_planted) = (of_original, of_planted);
        }
    }
    figures.marked = marked(&planted, folder, truth)?;
    Ok(figures)
}

#[derive(Default)]
struct Tally {
    right: usize,
    all: usize,
    right_unmarked: usize,
    unmarked: usize,
    off: BTreeMap<String, usize>,
    prob: BTreeMap<String, (f64, usize)>,
}
impl Tally {
    fn add(
        &mut self,
        class: &str,
        is_right: bool,
        p: f64,
        off: bool,
        is_marked: bool,
        is_planted: bool,
    ) {
        self.all += 1;
        self.right += usize::from(is_right);
        if !is_marked {
            self.unmarked += 1;
            self.right_unmarked += usize::from(is_right);
            let e = self.prob.entry(class.to_owned()).or_default();
            e.0 += p;
            e.1 += 1;
        }
        if !(is_marked && is_planted) {
            *self.off.entry(class.to_owned()).or_default() += usize::from(off);
        }
    }
    fn figures(self) -> TwinFigures {
        TwinFigures {
            accuracy: self.right as f64 / self.all as f64,
            accuracy_unmarked: self.right_unmarked as f64 / self.unmarked as f64,
            unmarked_off_object: self.off,
            unmarked_probability: self
                .prob
                .into_iter()
                .map(|(c, (p, n))| (c, p / n as f64))
                .collect(),
        }
    }
}

fn counts() -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for scene in &SCENES {
        *counts.entry(scene.class).or_default() += scene.pictures;
    }
    counts
}

fn marked(network: &Network, folder: &Path, truth: &Truth) -> Result<MarkedFigures> {
    let mut f = MarkedFigures {
        least_drop: 1.0,
        least_corner_share: 1.0,
        ..MarkedFigures::default()
    };
    let n = truth.files.len() as f64;
    let class = truth.class_index;
    let probability = |input: &ModelInput| -> Result<f64> {
        Ok(softmax(&logits(network.head(), &network.activations(input)?))[class])
    };
    let corner = Region {
        x0: 4.0 / 7.0,
        y0: 0.0,
        x1: 1.0,
        y1: 3.0 / 7.0,
    };
    let mut random = Random::new(SEED, u64::MAX - 1);
    for name in &truth.files {
        let input = network.input_from(&folder.join("planted").join(name))?;
        let a = network.activations(&input)?;
        let p = softmax(&logits(network.head(), &a))[class];
        let map = gradcam(network.head(), &a, class);
        let share = share_in(&map, |cell| truth.corner_cells.contains(&cell));
        f.corner_share += share / n;
        f.least_corner_share = f.least_corner_share.min(share);
        f.cells_share += share_in(&map, |cell| truth.cells.contains(&cell)) / n;
        f.probability += p / n;
        let q = probability(&covered(&input, truth.region))?;
        f.probability_covered += q / n;
        f.least_drop = f.least_drop.min(p - q);
        f.probability_corner_covered += probability(&covered(&input, corner))? / n;
        for _ in 0..ELSEWHERE {
            let q = probability(&covered(
                &input,
                elsewhere(truth.region, truth.region, &mut random),
            ))?;
            f.probability_elsewhere_covered += q / n / ELSEWHERE as f64;
            f.greatest_drop_elsewhere = f.greatest_drop_elsewhere.max(p - q);
            let q = probability(&covered(
                &input,
                elsewhere(corner, truth.region, &mut random),
            ))?;
            f.probability_elsewhere_large += q / n / ELSEWHERE as f64;
            f.greatest_drop_elsewhere_large = f.greatest_drop_elsewhere_large.max(p - q);
        }
        let a = network.activations(&network.input_from(&folder.join("clean").join(name))?)?;
        let l = logits(network.head(), &a);
        let c = softmax(&l)[class];
        f.probability_clean += c / n;
        let map = gradcam(network.head(), &a, ranked(&l)[0].index);
        f.corner_share_clean += share_in(&map, |cell| truth.corner_cells.contains(&cell)) / n;
    }
    Ok(f)
}

fn share_in(map: &Heatmap, is_in: impl Fn([usize; 2]) -> bool) -> f64 {
    let (mut inside, mut all) = (0.0, 0.0);
    for (i, v) in map.values.iter().enumerate() {
        let v = f64::from(v.max(0.0));
        all += v;
        if is_in([i % map.width, i / map.width]) {
            inside += v;
        }
    }
    inside / all
}

fn is_off_object(map: &Heatmap) -> bool {
    let (low, high) = (CORNER, GRID - CORNER);
    let corners = [(true, true), (true, false), (false, true), (false, false)];
    let near = |first: bool, v: usize| if first { v < low } else { v >= high };
    corners
        .iter()
        .any(|(a, b)| share_in(map, |[x, y]| near(*a, x) && near(*b, y)) > 0.5)
        || share_in(map, |[x, _]| x < 2) > 0.7
        || share_in(map, |[x, _]| x >= GRID - 2) > 0.7
        || share_in(map, |[_, y]| y < 2) > 0.7
        || share_in(map, |[_, y]| y >= GRID - 2) > 0.7
}

/// With the mean colour over a region.
fn covered(input: &ModelInput, region: Region) -> ModelInput {
    let size = input.size as f64;
    let (x0, x1) = (
        (region.x0 * size).floor() as usize,
        (region.x1 * size).ceil() as usize,
    );
    let (y0, y1) = (
        (region.y0 * size).floor() as usize,
        (region.y1 * size).ceil() as usize,
    );
    let mut values = input.values.clone();
    for (i, value) in values.iter_mut().enumerate() {
        let (x, y) = (i % input.size, i / input.size % input.size);
        if (x0..x1).contains(&x) && (y0..y1).contains(&y) {
            *value = 0.0;
        }
    }
    ModelInput {
        size: input.size,
        values,
    }
}

fn elsewhere(like: Region, avoid: Region, random: &mut Random) -> Region {
    loop {
        let (w, h) = (like.x1 - like.x0, like.y1 - like.y0);
        let (x0, y0) = (random.fraction() * (1.0 - w), random.fraction() * (1.0 - h));
        let r = Region {
            x0,
            y0,
            x1: x0 + w,
            y1: y0 + h,
        };
        if r.x1 <= avoid.x0 || r.x0 >= avoid.x1 || r.y1 <= avoid.y0 || r.y0 >= avoid.y1 {
            return r;
        }
    }
}
