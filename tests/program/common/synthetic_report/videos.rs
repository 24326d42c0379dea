//! Made-up timelines.

use gradcam_video::audit::report::data::{Video, VideoPoint};

use super::pictures::Pictures;
use super::{CLASSES, Dice};

pub(super) fn video(path: &str, place: usize, dice: &mut Dice, pictures: &mut Pictures) -> Video {
    let points = [200, 900, 3][place];
    let step = [0.5, 4.0, 0.5][place];
    let mut best = 0;
    let mut on_top = vec![0; 6];
    let points: Vec<VideoPoint> = (0..points)
        .map(|index| {
            if dice.fraction() < 0.06 {
                best = dice.below(6);
            }
            let share = 0.45
                + 0.5 * (0.5 + 0.5 * (index as f64 / 9.0).sin()) * (0.8 + 0.2 * dice.fraction());
            let mut top = vec![(best, share)];
            let mut left = 1.0 - share;
            for other in (0..6).filter(|class| *class != best).take(4) {
                let part = left * (0.3 + 0.4 * dice.fraction());
                left -= part;
                top.push((other, part));
            }
            top.sort_by(|one, other| other.1.total_cmp(&one.1));
            on_top[top[0].0] += 1;
            let is_flagged = place == 0 && (60..72).contains(&index);
            VideoPoint {
                frame: 15 * index as u64,
                time_s: step * index as f64,
                top,
                flicker: (index > 0).then(|| 0.2 * dice.fraction().powi(3)),
                change: (index > 0).then(|| 30.0 * dice.fraction().powi(4)),
                picture: (index % 10 == 0 || is_flagged)
                    .then(|| pictures.add(dice, [0.4, 0.5], false, false)),
                flags: if is_flagged {
                    vec!["unstable_label".to_owned()]
                } else {
                    Vec::new()
                },
            }
        })
        .collect();
    Video {
        path: path.to_owned(),
        duration_s: (place < 2).then_some(step * points.len() as f64),
        sampled: points.len() as u64,
        flagged: points
            .iter()
            .filter(|point| !point.flags.is_empty())
            .count() as u64,
        on_top,
        classes: CLASSES[..6].iter().map(|name| (*name).to_owned()).collect(),
        points,
    }
}
