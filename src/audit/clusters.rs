//! Which classes are clustered, from which of their maps, and what the trials of their suspicious clusters say.

use std::collections::{BTreeMap, BinaryHeap, HashSet};

use super::record::AuditRecord;
use super::rereading::Remembered;
use super::rows::Rows;
use super::spray::{
    self, ClusterView, Clustering, FEWEST_MEMBERS, FocusMap, MOST_ITEMS_PER_CLASS, focus_map,
};
use super::trial::{MOST_PICTURES, Trial, Trying, region_to_mask};
use crate::error::Result;

/// A class is clustered if it is predicted for pictures of at least so many files: frames of one video are no independent pictures.
pub(super) const FEWEST_FILES: usize = 20;

/// Chooses the maps that are clustered: of each class those with the smallest names' hashes, so that the choice does not depend on the order
/// or on shards. No file gets a further map before all have had as many, so that a long video does not crowd the others out.
#[derive(Debug, Default)]
pub(super) struct MapSampler {
    classes: BTreeMap<usize, ClassMaps>,
    all: MapSum,
}

#[derive(Debug, Default)]
struct ClassMaps {
    /// (how many maps its file had before, hash, row), the largest on top.
    chosen: BinaryHeap<(u32, u64, usize)>,
    /// The file that was added last, and how many maps it has so far.
    last: Option<(usize, u32)>,
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
    /// Takes a record of a file in; those of one file come one after the other.
    pub(super) fn add(&mut self, row: usize, item: usize, record: &AuditRecord) {
        let Some(map) = focus_map(&record.heatmap) else {
            return;
        };
        self.all.add(&map);
        let class = self.classes.entry(record.target).or_default();
        class.sum.add(&map);
        let before = match class.last {
            Some((last, count)) if last == item => count,
            _ => 0,
        };
        class.last = Some((item, before + 1));
        class.chosen.push((before, hash_of(&record.thumb), row));
        if class.chosen.len() > MOST_ITEMS_PER_CLASS {
            class.chosen.pop();
        }
    }

    /// The classes with maps of enough files.
    pub(super) fn into_large_classes(self, rows: &Rows) -> Vec<LargeClass> {
        let mut large = Vec::new();
        for (class, maps) in self.classes {
            let mut chosen: Vec<usize> = maps.chosen.into_iter().map(|(.., row)| row).collect();
            chosen.sort_unstable();
            if one_per_file(rows, &chosen).len() >= FEWEST_FILES {
                large.push(LargeClass {
                    class,
                    rows: chosen,
                    background: self.all.mean_without(&maps.sum),
                });
            }
        }
        large
    }

    /// Clusters every class that has enough maps, and tests what is suspicious.
    pub(super) fn cluster(
        self,
        rows: &mut Rows,
        seed: u64,
        trying: &Trying<'_>,
    ) -> Result<Vec<ClusteredMaps>> {
        let mut clustered = Vec::new();
        for large in self.into_large_classes(rows) {
            trying.check()?;
            let LargeClass {
                class,
                rows: chosen,
                background,
            } = large;
            let mut focus = Vec::with_capacity(chosen.len());
            for row in &chosen {
                // Only rows with a focus were chosen.
                focus.extend(focus_map(&rows.record(*row)?.heatmap));
            }
            let clustering = spray::cluster(&focus, seed);
            let views = spray::suspicions(&focus, &clustering, &background);
            let mut clusters = Vec::with_capacity(views.len());
            for (number, mut view) in views.into_iter().enumerate() {
                let members = typical_members(&focus, &clustering, number, &view, &chosen);
                let independent = one_per_file(rows, &members);
                if independent.len() < FEWEST_MEMBERS {
                    view.suspicion = None;
                }
                let region = region_to_mask(&view.region, &view.mean);
                let trial = match &view.suspicion {
                    None => None,
                    Some(_) => {
                        let asked = evenly(&independent, MOST_PICTURES);
                        let asked: Result<Vec<Remembered>> =
                            asked.iter().map(|row| remembered(rows, *row)).collect();
                        trying.run(&asked?, class, &region)?
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

/// A class that is clustered.
#[derive(Debug)]
pub(super) struct LargeClass {
    pub(super) class: usize,
    /// Those of the chosen maps, ascending.
    rows: Vec<usize>,
    /// Mean map of other classes.
    background: FocusMap,
}

/// The first of each file's rows.
fn one_per_file(rows: &Rows, of: &[usize]) -> Vec<usize> {
    let mut files = HashSet::new();
    let first = of.iter().filter(|row| files.insert(rows.item_of(**row)));
    first.copied().collect()
}

fn remembered(rows: &mut Rows, row: usize) -> Result<Remembered> {
    let item = rows.item_of(row);
    Ok(Remembered {
        record: rows.record(row)?,
        digest: rows.item(item)?.digest,
    })
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
        "The maps of every predicted class with pictures of at least {FEWEST_FILES} different files are clustered (SpRAy; of a larger class {MOST_ITEMS_PER_CLASS}, chosen by the hash of their names). A \
         cluster is suspicious if its maps are of at least {FEWEST_MEMBERS} files and agree on a small region in a corner or at an edge that holds at least twice as much of their \
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
    use crate::audit::journal::segments;
    use crate::audit::test_journal::{append, begin};
    use crate::audit::test_records::record;

    #[test]
    fn the_choice_of_maps_does_not_depend_on_the_order() {
        let records: Vec<AuditRecord> = (0..MOST_ITEMS_PER_CLASS + 50)
            .map(|number| record(&format!("{number}.jpg"), 5, 0.9))
            .collect();
        let choose = |order: &mut dyn Iterator<Item = usize>| {
            let mut sampler = MapSampler::default();
            for row in order {
                sampler.add(row, row, &records[row]);
            }
            let mut rows: Vec<usize> = sampler.classes[&5]
                .chosen
                .iter()
                .map(|(.., row)| *row)
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
    fn a_long_video_does_not_crowd_the_photos_out() {
        let mut sampler = MapSampler::default();
        for row in 0..3 * MOST_ITEMS_PER_CLASS {
            sampler.add(row, 0, &record(&format!("frame {row}"), 5, 0.9));
        }
        let photos = 3 * MOST_ITEMS_PER_CLASS..3 * MOST_ITEMS_PER_CLASS + 30;
        for row in photos.clone() {
            sampler.add(row, row, &record(&format!("{row}.jpg"), 5, 0.9));
        }
        let chosen = &sampler.classes[&5].chosen;
        assert_eq!(chosen.len(), MOST_ITEMS_PER_CLASS);
        let kept = chosen.iter().filter(|(.., row)| photos.contains(row));
        assert_eq!(kept.count(), 30);
    }

    #[test]
    fn the_most_typical_picture_of_each_file_is_asked_about() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = begin(folder.path());
        for (name, records) in [("a.mp4", 3), ("b.jpg", 1), ("c.mp4", 2)] {
            append(&mut journal, name, records);
        }
        drop(journal);
        let rows = Rows::open(&segments(folder.path()).unwrap()).unwrap();
        assert_eq!(one_per_file(&rows, &[5, 2, 3, 0, 4, 1]), [5, 2, 3]);
        assert_eq!(one_per_file(&rows, &[0, 1, 2]), [0]);
    }

    #[test]
    fn the_background_is_the_mean_of_the_others() {
        let mut sampler = MapSampler::default();
        let mut other = record("b", 6, 0.9);
        other.heatmap.values = vec![0.0; 49];
        other.heatmap.values[3] = 2.0;
        sampler.add(0, 0, &record("a", 5, 0.9));
        sampler.add(1, 1, &other);
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
