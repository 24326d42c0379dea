//! Made-up clusters.

use gradcam_video::audit::report::data::{Cluster, ClusteredClass, MaskTest, PictureRef};

use super::Dice;
use super::findings::reference;
use super::pictures::Pictures;

pub(super) fn clustered(dice: &mut Dice, pictures: &mut Pictures) -> Vec<ClusteredClass> {
    let spot = |x: f64, y: f64| -> Vec<Vec<f64>> {
        let cell =
            |row: f64, column: f64| (-((column - x).powi(2) + (row - y).powi(2)) / 3.0).exp();
        (0..7)
            .map(|row| {
                (0..7)
                    .map(|column| cell(f64::from(row), f64::from(column)))
                    .collect()
            })
            .collect()
    };
    let corner: Vec<usize> = [4, 5, 6]
        .iter()
        .flat_map(|row| [0, 1, 2].map(|column| row * 7 + column))
        .collect();
    let ring: Vec<usize> = (0..49)
        .filter(|cell| cell / 7 % 6 == 0 || cell % 7 % 6 == 0)
        .collect();
    let mut members = |peak: [f64; 2]| -> Vec<PictureRef> {
        (0..8)
            .map(|_| PictureRef {
                picture: Some(pictures.add(dice, peak, false, false)),
                ..reference(dice, pictures)
            })
            .collect()
    };
    let mut class = |name: &str, suspicion: Option<(&str, &[usize], Option<MaskTest>)>| {
        let odd = suspicion.map(|(text, region, test)| Cluster {
            count: 46,
            share: 0.23,
            map: if region.len() > 9 {
                spot(3.0, -0.5)
            } else {
                spot(0.6, 5.4)
            },
            region: region.to_vec(),
            purity: Some(0.93),
            suspicion: Some(text.to_owned()),
            test,
            members: members([0.08, 0.9]),
        });
        let plain = [(3.0, 3.0, 0.5), (4.2, 2.1, 0.27)].map(|(x, y, share)| Cluster {
            count: (200.0 * share) as u64,
            share,
            map: spot(x, y),
            purity: Some(0.98),
            members: members([x / 7.0, y / 7.0]),
            ..Cluster::default()
        });
        let clusters: Vec<Cluster> = plain.into_iter().chain(odd).collect();
        ClusteredClass {
            class: name.to_owned(),
            items: 200,
            eigenvalues: (0..12)
                .map(|place| {
                    if place < clusters.len() {
                        0.02 * place as f64
                    } else {
                        0.25 + 0.04 * place as f64
                    }
                })
                .collect(),
            eigengap_after: clusters.len(),
            clusters,
        }
    };
    let test = |region_hidden, is_confirmed| MaskTest {
        pictures: 20,
        before: 0.912,
        region_hidden,
        random_hidden: 0.881,
        is_confirmed,
    };
    vec![
        class("tiger_cat", None),
        class(
            "lynx",
            Some((
                "81 % of its evidence lies on the border, of all other heatmaps of the class 22 %.",
                &ring,
                Some(test(0.874, false)),
            )),
        ),
        class(
            "Pembroke",
            Some((
                "88 % of its evidence lies in the bottom left corner, of all other heatmaps of the class 6 %.",
                &corner,
                Some(test(0.34, true)),
            )),
        ),
        class(
            "red_fox",
            Some((
                "64 % of its evidence lies in the bottom left corner, of all other heatmaps of the class 9 %.",
                &corner,
                None,
            )),
        ),
        class("tabby", None),
    ]
}
