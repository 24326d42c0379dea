//! Which classes are clustered, from which of their maps, and what the trials of their suspicious clusters say.

use std::collections::{BTreeMap, BinaryHeap};

use super::record::AuditRecord;
use super::rows::Rows;
use super::spray::{self, ClusterView, Clustering, FocusMap, MOST_ITEMS_PER_CLASS, focus_map};
use super::trial::{MOST_PICTURES, Trial, Trying, region_to_mask};
use crate::error::Result;

/// A class is clustered if it is predicted for at least so many pictures.
pub(super) const FEWEST_ITEMS: usize = 20;

/// Chooses the maps that are clustered: of each class those with the smallest names' hashes, so that the choice does not depend on the order
/// or on shards.
#[derive(Debug, Default)]
pub(super) struct MapSampler {
    classes: BTreeMap<usize, ClassMaps>,
    all: MapSum,
}

#[derive(Debug, Default)]
struct ClassMaps {
    /// (hash, row), the largest hash on top.
    chosen: BinaryHeap<(u64, usize)>,
    sum: MapSum,
}

/// Sum of focus maps.
#[derive(Debug, Clone)]
struct MapSum {
    sums: [f64; spray::SIDE * spray::SIDE],
    count: u64,
}

impl Default for MapSum {
    fn default() -> Self {
        Self {
            sums: [0.0; spray::SIDE * spray::SIDE],
            count: 0,
        }
    }
}

impl MapSum {
    fn add(&mut self, map: &FocusMap) {
        self.count += 1;
        for (sum, value) in self.sums.iter_mut().zip(map) {
            *sum += f64::from(*value);
        }
    }

    /// Mean of what is in this sum but not in `part`; even if nothing is.
    fn mean_without(&self, part: &Self) -> FocusMap {
        let count = self.count - part.count;
        std::array::from_fn(|cell| match count {
            0 => 1.0 / (spray::SIDE * spray::SIDE) as f32,
            _ => ((self.sums[cell] - part.sums[cell]) / count as f64).max(0.0) as f32,
        })
    }
}

impl MapSampler {
    /// Takes a record in.
    pub(super) fn add(&mut self, row: usize, record: &AuditRecord) {
        let Some(map) = focus_map(&record.heatmap) else {
            return;
        };
        self.all.add(&map);
        let class = self.classes.entry(record.target).or_default();
        class.sum.add(&map);
        class.chosen.push((hash_of(&record.thumb), row));
        if class.chosen.len() > MOST_ITEMS_PER_CLASS {
            class.chosen.pop();
        }
    }

    /// Clusters every class that has enough maps, and tests what is suspicious.
    pub(super) fn cluster(
        self,
        rows: &mut Rows,
        seed: u64,
        trying: &Trying<'_>,
    ) -> Result<Vec<ClusteredMaps>> {
        let mut clustered = Vec::new();
        for (class, maps) in self.classes {
            if maps.chosen.len() < FEWEST_ITEMS {
                continue;
            }
            trying.check()?;
            let mut chosen: Vec<usize> = maps.chosen.into_iter().map(|(_, row)| row).collect();
            chosen.sort_unstable();
            let mut focus = Vec::with_capacity(chosen.len());
            for row in &chosen {
                // Only rows with a focus were chosen.
                focus.extend(focus_map(&rows.record(*row)?.heatmap));
            }
            let clustering = spray::cluster(&focus, seed);
            let background = self.all.mean_without(&maps.sum);
            let views = spray::suspicions(&focus, &clustering, &background);
            let mut clusters = Vec::with_capacity(views.len());
            for (number, view) in views.into_iter().enumerate() {
                let members = typical_members(&focus, &clustering, number, &view, &chosen);
                let region = region_to_mask(&view.region, &view.mean);
                let trial = match &view.suspicion {
                    None => None,
                    Some(_) => {
                        let asked = evenly(&members, MOST_PICTURES);
                        let records: Result<Vec<AuditRecord>> =
                            asked.iter().map(|row| rows.record(*row)).collect();
                        trying.run(&records?, class, &region)?
                    }
                };
                clusters.push(TestedCluster {
                    view,
                    region,
                    members,
                    trial,
                });
            }
            clustered.push(ClusteredMaps {
                class,
                items: focus.len(),
                clustering,
                clusters,
            });
        }
        Ok(clustered)
    }
}

/// The clusters of one class.
#[derive(Debug)]
pub(super) struct ClusteredMaps {
    pub(super) class: usize,
    /// How many maps were clustered.
    pub(super) items: usize,
    pub(super) clustering: Clustering,
    pub(super) clusters: Vec<TestedCluster>,
}

/// A cluster, its members and what masking its region did.
#[derive(Debug)]
pub(super) struct TestedCluster {
    pub(super) view: ClusterView,
    /// Cells that are masked to test it.
    pub(super) region: Vec<usize>,
    /// Rows, the nearest to the mean map first.
    pub(super) members: Vec<usize>,
    /// None if the cluster is not suspicious or too few pictures could be read.
    pub(super) trial: Option<Trial>,
}

/// Rows of a cluster's members, the nearest to its mean map first.
fn typical_members(
    focus: &[FocusMap],
    clustering: &Clustering,
    cluster: usize,
    view: &ClusterView,
    chosen: &[usize],
) -> Vec<usize> {
    let distance = |map: &FocusMap| -> f64 {
        let differences = map
            .iter()
            .zip(&view.mean)
            .map(|(a, b)| f64::from(a - b).powi(2));
        differences.sum()
    };
    let members = clustering
        .assignment
        .iter()
        .enumerate()
        .filter(|(_, of)| **of == cluster);
    let mut members: Vec<(f64, usize)> = members
        .map(|(index, _)| (distance(&focus[index]), chosen[index]))
        .collect();
    members.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    members.into_iter().map(|(_, row)| row).collect()
}

/// How suspicious clusters are found and tested.
pub(super) fn how() -> String {
    format!(
        "The maps of every predicted class with at least {FEWEST_ITEMS} pictures are clustered (SpRAy; of a larger class {MOST_ITEMS_PER_CLASS}, chosen by the hash of their names). A \
         cluster is suspicious if its maps agree on a small region in a corner or at an edge that holds at least twice as much of their \
         evidence as of the class's other pictures' and of other classes'. {}",
        super::trial::how()
    )
}

/// At most so many, spread over all.
pub(super) fn evenly(rows: &[usize], most: usize) -> Vec<usize> {
    let count = rows.len().min(most);
    (0..count)
        .map(|index| rows[index * rows.len() / count])
        .collect()
}

/// The first 64 bits of the hash in an evidence picture's name.
fn hash_of(thumb: &str) -> u64 {
    let digits = thumb
        .bytes()
        .skip(super::thumb::THUMBS.len())
        .filter_map(|byte| (byte as char).to_digit(16));
    digits
        .take(16)
        .fold(0, |hash, digit| hash << 4 | u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::test_records::record;

    #[test]
    fn the_choice_of_maps_does_not_depend_on_the_order() {
        let records: Vec<AuditRecord> = (0..MOST_ITEMS_PER_CLASS + 50)
            .map(|number| record(&format!("{number}.jpg"), 5, 0.9))
            .collect();
        let choose = |order: &mut dyn Iterator<Item = usize>| {
            let mut sampler = MapSampler::default();
            for row in order {
                sampler.add(row, &records[row]);
            }
            let mut rows: Vec<usize> = sampler.classes[&5]
                .chosen
                .iter()
                .map(|(_, row)| *row)
                .collect();
            rows.sort_unstable();
            rows
        };
        let forwards = choose(&mut (0..records.len()));
        assert_eq!(forwards.len(), MOST_ITEMS_PER_CLASS);
        assert_eq!(forwards, choose(&mut (0..records.len()).rev()));
        assert!(
            forwards.iter().any(|row| *row >= MOST_ITEMS_PER_CLASS),
            "not simply the first"
        );
    }

    #[test]
    fn the_background_is_the_mean_of_the_others() {
        let mut sampler = MapSampler::default();
        let mut other = record("b", 6, 0.9);
        other.heatmap.values = vec![0.0; 49];
        other.heatmap.values[3] = 2.0;
        sampler.add(0, &record("a", 5, 0.9));
        sampler.add(1, &other);
        let background = sampler.all.mean_without(&sampler.classes[&5].sum);
        assert!((background[3] - 1.0).abs() < 1e-6 && background[24].abs() < 1e-6);
        let alone = sampler.all.mean_without(&sampler.all.clone());
        assert!((alone[0] - 1.0 / 49.0).abs() < 1e-6);
    }

    #[test]
    fn a_few_of_many_are_spread_over_all() {
        assert_eq!(evenly(&[1, 2, 3], 5), [1, 2, 3]);
        assert_eq!(evenly(&(0..100).collect::<Vec<_>>(), 4), [0, 25, 50, 75]);
        assert_eq!(evenly(&[], 4), [0; 0]);
    }
}
