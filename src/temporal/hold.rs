//! Hysteresis of the class that a frame is explained for, so that two classes of nearly equal probability do not take turns.

use crate::model::Prediction;

/// A class that is less than this share as probable as the top one is not kept: where all are improbable, a margin means little.
const LEAST_SHARE: f64 = 0.75;

/// Keeps to a class until another one is clearly more probable, or the scene changes.
#[derive(Debug)]
pub struct Hold {
    margin: f64,
    class: Option<usize>,
}

impl Hold {
    /// Another class takes over when its probability is more than `margin` or more than a third above that of the class so far; at 0, every frame
    /// has its own top class.
    pub fn new(margin: f64) -> Self {
        Self {
            margin,
            class: None,
        }
    }

    /// Whether a class other than the first of `ranking`, which begins with the most probable, could be kept.
    pub fn is_close(&self, ranking: &[Prediction]) -> bool {
        match ranking {
            [first, second, ..] => self.is_near(first, second),
            _ => false,
        }
    }

    fn is_near(&self, top: &Prediction, other: &Prediction) -> bool {
        let least = (top.probability - self.margin).max(LEAST_SHARE * top.probability);
        other.probability >= least
    }

    /// The class to explain the next frame for.
    pub fn choose(&mut self, ranking: &[Prediction], is_cut: bool) -> usize {
        let top = ranking.first();
        let kept = self.class.filter(|_| !is_cut && self.margin > 0.0);
        let kept = kept.filter(|class| {
            let found = ranking.iter().find(|other| other.index == *class);
            found
                .zip(top)
                .is_some_and(|(kept, top)| self.is_near(top, kept))
        });
        let class = kept.or(top.map(|top| top.index)).unwrap_or_default();
        self.class = Some(class);
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(probabilities: &[(usize, f64)]) -> Vec<Prediction> {
        let classes = probabilities.iter().map(|(index, probability)| Prediction {
            index: *index,
            logit: probability.ln() as f32,
            probability: *probability,
        });
        classes.collect()
    }

    #[test]
    fn a_class_is_kept_until_another_is_ahead_by_the_margin() {
        let mut hold = Hold::new(0.1);
        assert_eq!(hold.choose(&ranking(&[(1, 0.5), (2, 0.4)]), false), 1);
        let close = ranking(&[(2, 0.48), (1, 0.4)]);
        assert!(hold.is_close(&close));
        assert_eq!(hold.choose(&close, false), 1);
        let clear = ranking(&[(2, 0.6), (1, 0.3)]);
        assert!(!hold.is_close(&clear));
        assert_eq!(hold.choose(&clear, false), 2);
        assert_eq!(hold.choose(&close, false), 2);
    }

    #[test]
    fn where_all_are_improbable_a_class_is_not_kept_for_its_margin() {
        let mut hold = Hold::new(0.05);
        hold.choose(&ranking(&[(1, 0.1), (2, 0.08)]), false);
        assert_eq!(hold.choose(&ranking(&[(2, 0.1), (1, 0.08)]), false), 1);
        assert_eq!(hold.choose(&ranking(&[(2, 0.1), (1, 0.07)]), false), 2);
    }

    #[test]
    fn a_cut_and_a_margin_of_0_let_every_frame_choose() {
        let (one, two) = (
            ranking(&[(1, 0.41), (2, 0.4)]),
            ranking(&[(2, 0.41), (1, 0.4)]),
        );
        let mut hold = Hold::new(0.1);
        hold.choose(&one, false);
        assert_eq!(hold.choose(&two, true), 2);
        let mut off = Hold::new(0.0);
        off.choose(&one, false);
        assert_eq!(off.choose(&two, false), 2);
    }
}
