//! Which coalitions Kernel SHAP asks for, and what each weighs.

use crate::random::Random;

/// Some of the players, and the coalition's weight in the regression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Coalition {
    /// For each player whether it takes part.
    pub(super) is_in: Vec<bool>,
    /// Shapley kernel weight, or a drawn coalition's share of the weight of all that were not taken for certain.
    pub(super) weight: f64,
}

/// At most `most` coalitions of some but not all of `players`, each with its complement: all of them if they are no more than that.
///
/// Sizes of which all coalitions fit are complete, beginning with the smallest and largest, which weigh most: a size is taken while each
/// of its coalitions would be drawn once or more on average (as in the `shap` package). The others are drawn, their sizes by the
/// kernel's total weight of each.
pub(super) fn chosen_coalitions(
    players: usize,
    most: usize,
    random: &mut Random,
) -> Vec<Coalition> {
    /// Rounding of weights must not leave out what fits exactly.
    const ROUNDING: f64 = 1e-9;
    // A level is a size with that of the complements.
    let levels = players / 2;
    let sizes = |level: usize| if 2 * level == players { 1.0 } else { 2.0 };
    // The kernel (M - 1) / (C(M, s) s (M - s)), summed over all coalitions of a level.
    let weight =
        |level: usize| sizes(level) * (players - 1) as f64 / (level * (players - level)) as f64;
    let mut chosen = Vec::new();
    let mut level = 1;
    while level <= levels {
        let rest: f64 = (level..=levels).map(weight).sum();
        let count = sizes(level) * binomial(players, level);
        let expected = (most - chosen.len()) as f64 * weight(level) / rest;
        if expected < count * (1.0 - ROUNDING) {
            break;
        }
        for is_in in subsets(players, level) {
            if 2 * level != players {
                chosen.push(complement(&is_in, weight(level) / count));
            }
            chosen.push(Coalition {
                is_in,
                weight: weight(level) / count,
            });
        }
        level += 1;
    }
    let pairs = (most - chosen.len()) / 2;
    let rest: f64 = (level..=levels).map(weight).sum();
    if level <= levels {
        for _ in 0..pairs {
            let mut place = random.fraction() * rest;
            let mut size = level;
            while size < levels && place >= weight(size) {
                place -= weight(size);
                size += 1;
            }
            let drawn = Coalition {
                is_in: random.subset(players, size),
                weight: rest / (2 * pairs) as f64,
            };
            chosen.push(complement(&drawn.is_in, drawn.weight));
            chosen.push(drawn);
        }
    }
    chosen
}

/// Those who are not in the coalition.
fn complement(is_in: &[bool], weight: f64) -> Coalition {
    Coalition {
        is_in: is_in.iter().map(|is_in| !is_in).collect(),
        weight,
    }
}

fn binomial(of: usize, size: usize) -> f64 {
    (0..size)
        .map(|index| (of - index) as f64 / (size - index) as f64)
        .product::<f64>()
        .round()
}

/// All subsets of `size` of `count` things.
fn subsets(count: usize, size: usize) -> impl Iterator<Item = Vec<bool>> {
    let mut places: Option<Vec<usize>> = (size <= count).then(|| (0..size).collect());
    std::iter::from_fn(move || {
        let current = places.take()?;
        // The last place that can move on does, and those after it follow at once.
        let movable = (0..size)
            .rev()
            .find(|index| current[*index] < count - size + index);
        places = movable.map(|movable| {
            let mut next = current.clone();
            for (next, after) in next[movable..].iter_mut().zip(1..) {
                *next = current[movable] + after;
            }
            next
        });
        let mut is_in = vec![false; count];
        for place in current {
            is_in[place] = true;
        }
        Some(is_in)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn chosen(players: usize, most: usize) -> Vec<Coalition> {
        chosen_coalitions(players, most, &mut Random::new(3, 0))
    }

    fn size(coalition: &Coalition) -> usize {
        coalition.is_in.iter().filter(|is_in| **is_in).count()
    }

    #[test]
    fn all_coalitions_are_taken_with_the_kernels_weights_if_they_fit() {
        for players in 1..=10usize {
            let all = (1usize << players) - 2;
            for most in [all, all + 1, 5000] {
                let chosen = chosen(players, most);
                let distinct: BTreeSet<_> = chosen.iter().map(|c| c.is_in.clone()).collect();
                assert_eq!((chosen.len(), distinct.len()), (all, all), "{players}");
                for coalition in &chosen {
                    let size = size(coalition);
                    let kernel = (players - 1) as f64
                        / (binomial(players, size) * (size * (players - size)) as f64);
                    assert!((coalition.weight - kernel).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_drawn_in_pairs_by_the_kernels_weight() {
        let (players, most) = (20, 20_000);
        let chosen = chosen(players, most);
        assert_eq!(chosen.len(), most);
        let weight = |size: usize| (players - 1) as f64 / (size * (players - size)) as f64;
        let total: f64 = (1..players).map(weight).sum();
        let sum: f64 = chosen.iter().map(|coalition| coalition.weight).sum();
        assert!((sum - total).abs() < 1e-9);
        for pair in chosen.chunks_exact(2) {
            assert!(
                pair[0]
                    .is_in
                    .iter()
                    .zip(&pair[1].is_in)
                    .all(|(a, b)| a != b)
            );
        }
        for wanted in 1..players {
            let of_size = chosen.iter().filter(|coalition| size(coalition) == wanted);
            let found: f64 = of_size.map(|coalition| coalition.weight).sum();
            assert!(
                (found / weight(wanted) - 1.0).abs() < 0.15,
                "{wanted}: {found}"
            );
        }
        let alone = chosen
            .iter()
            .filter(|coalition| size(coalition) == 1)
            .count();
        assert_eq!(alone, players);
    }

    #[test]
    fn small_budgets_are_kept() {
        for most in 2..40 {
            assert_eq!(chosen(12, most).len(), most / 2 * 2);
        }
    }

    #[test]
    fn subsets_are_all_different_and_complete() {
        for count in 0..7 {
            for size in 0..=count {
                let all: BTreeSet<_> = subsets(count, size).collect();
                assert_eq!(all.len(), subsets(count, size).count());
                assert_eq!(all.len() as f64, binomial(count, size));
            }
        }
    }
}
