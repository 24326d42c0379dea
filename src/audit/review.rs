//! From records to findings: a pass over all of them for what they say together, then a pass that judges each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::clusters::ClusteredMaps;
use super::duplicates::Groups;
use super::kinds::{FindingKind, Severity};
use super::originals::originals;
use super::record::{AuditItem, AuditRecord};
use super::rows::Rows;
use super::rules::{Verdict, judge};
use super::statistics::Statistics;
use super::survey::Survey;
use super::table::AuditTable;
use super::trial::Trying;
use crate::error::Result;

/// A finding, small enough that a million of them fit into memory; the words are found when it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) verdict: Verdict,
    /// The file.
    pub(super) item: usize,
    /// The record that stands for it; none for files without records.
    pub(super) row: Option<usize>,
    pub(super) detail: Detail,
}

/// What else there is to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Detail {
    None,
    /// Of a video.
    Numbers([f64; 2]),
    /// A group of exact duplicates.
    Exact(usize),
    /// A group of near duplicates.
    Near(usize),
    /// A cluster of a class, by their places.
    Cluster(usize, usize),
}

/// How many files of which sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Images that were read.
    pub images: u64,
    /// Videos that were read, at least in part.
    pub videos: u64,
    /// Sampled frames of videos.
    pub frames: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Videos that could be read in part or with errors only.
    pub damaged: u64,
    /// Images and frames with a label.
    pub labelled: u64,
}

impl Counts {
    pub(super) fn add(&mut self, item: &AuditItem) {
        match (item.records, item.is_video) {
            (0, _) => self.unreadable += 1,
            (frames, true) => {
                self.videos += 1;
                self.frames += frames;
                self.damaged += u64::from(item.fault.is_some());
            }
            (_, false) => self.images += 1,
        }
    }
}

/// All that an audit found.
#[derive(Debug, Default)]
pub(super) struct Review {
    pub(super) statistics: Statistics,
    pub(super) counts: Counts,
    pub(super) groups: Groups,
    pub(super) clustered: Vec<ClusteredMaps>,
    /// Videos that could be read, by their numbers as files.
    pub(super) videos: Vec<usize>,
    /// By kind, the worst first.
    pub(super) found: Vec<Found>,
}

impl Review {
    /// Reviews all records. What concerns more than one of them is found first.
    pub(super) fn new(rows: &mut Rows, seed: u64, trying: &Trying<'_>) -> Result<Self> {
        let mut survey = Survey::default();
        for item in 0..rows.item_count() {
            trying.check()?;
            survey.add(rows, item)?;
        }
        let Survey {
            statistics,
            counts,
            sampler,
            duplicates,
            videos,
            mut found,
            ..
        } = survey;
        let groups = duplicates.into_groups();
        let groups = Groups {
            near: joined_by_files(rows, groups.near),
            ..groups
        };
        let clustered = sampler.cluster(rows, seed, trying)?;
        for (number, group) in groups.exact.iter().enumerate() {
            found.push(of_group(rows, group, Detail::Exact(number))?);
        }
        for (number, group) in groups.near.iter().enumerate() {
            found.push(of_group(rows, group, Detail::Near(number))?);
        }
        for (place, class) in clustered.iter().enumerate() {
            found.extend(of_clusters(rows, place, class));
        }
        Ok(Self {
            counts: Counts {
                labelled: statistics.labelled,
                ..counts
            },
            statistics,
            groups,
            clustered,
            videos,
            found,
        })
    }

    /// Judges every record, writes it to the table, and puts the findings into their order.
    pub(super) fn judge_all(
        &mut self,
        rows: &mut Rows,
        table: &mut AuditTable<'_>,
        trying: &Trying<'_>,
    ) -> Result<()> {
        let marks = self.marks();
        let originals = originals(&self.groups, rows);
        for item_number in 0..rows.item_count() {
            trying.check()?;
            let item = rows.item(item_number)?;
            for row in rows.rows_of(item_number) {
                let record = rows.record(row)?;
                let verdicts = judge(&record, &self.statistics);
                let mut flags: Vec<FindingKind> = marks.get(&row).cloned().unwrap_or_default();
                flags.extend(verdicts.iter().map(|verdict| verdict.kind));
                if item.fault.is_some() {
                    flags.push(FindingKind::Damaged);
                }
                flags.sort_unstable();
                flags.dedup();
                let names: Vec<&str> = flags.into_iter().map(FindingKind::name).collect();
                let original = originals.get(&row).map(|first| rows.item_of(*first));
                let original = original.map(|item| rows.item(item)).transpose()?;
                let original = original.as_ref().map(|item| item.path.as_str());
                table.write(&record, original, &names, item.fault.as_deref())?;
                self.found.extend(verdicts.into_iter().map(|verdict| Found {
                    verdict,
                    item: item_number,
                    row: Some(row),
                    detail: Detail::None,
                }));
            }
            if let (Some(fault), 0) = (&item.fault, item.records) {
                let names = [FindingKind::Unreadable.name()];
                table.write_unreadable(&item.path, item.label, &names, fault)?;
            }
        }
        self.found.sort_by_key(order);
        Ok(())
    }

    /// What the records are part of.
    fn marks(&self) -> HashMap<usize, Vec<FindingKind>> {
        let mut marks: HashMap<usize, Vec<FindingKind>> = HashMap::new();
        let mut mark = |row: usize, kind: FindingKind| marks.entry(row).or_default().push(kind);
        for found in &self.found {
            let kind = found.verdict.kind;
            match found.detail {
                Detail::Exact(group) => self.groups.exact[group]
                    .iter()
                    .for_each(|row| mark(*row as usize, kind)),
                Detail::Near(group) => self.groups.near[group]
                    .iter()
                    .for_each(|row| mark(*row as usize, kind)),
                Detail::Cluster(class, cluster) => {
                    let members = &self.clustered[class].clusters[cluster].members;
                    members.iter().for_each(|row| mark(*row, kind));
                }
                Detail::Numbers([frames, _]) if kind == FindingKind::FrozenFrames => {
                    let first = found.row.unwrap_or_default();
                    (first..first + frames as usize).for_each(|row| mark(row, kind));
                }
                Detail::Numbers(_) | Detail::None => {
                    found.row.into_iter().for_each(|row| mark(row, kind))
                }
            }
        }
        marks
    }

    /// How many findings of each kind.
    pub(super) fn by_kind(&self) -> BTreeMap<FindingKind, u64> {
        let mut counts = BTreeMap::new();
        for found in &self.found {
            *counts.entry(found.verdict.kind).or_default() += 1;
        }
        counts
    }

    /// How many findings of each severity.
    pub(super) fn by_severity(&self) -> BTreeMap<Severity, u64> {
        let mut counts = BTreeMap::new();
        for found in &self.found {
            *counts.entry(found.verdict.severity).or_default() += 1;
        }
        counts
    }
}

/// By kind, then the worst first: a milder finding never stands before an error, whatever its value.
fn order(found: &Found) -> (FindingKind, Reverse<Severity>, u64, u64, usize, usize) {
    // Floats in an order that integers have, too.
    let sortable = |value: f64| {
        let bits = (value + 0.0).to_bits();
        if bits >> 63 == 1 {
            !bits
        } else {
            bits | 1 << 63
        }
    };
    let Verdict {
        kind,
        severity,
        value,
        second_value,
    } = found.verdict;
    let value = if kind.is_worst_high() { -value } else { value };
    (
        kind,
        Reverse(severity),
        sortable(value),
        sortable(second_value),
        found.item,
        found.row.unwrap_or(usize::MAX),
    )
}

/// Groups of the same files as one: two cuts of a video are alike in many frames, but that is one finding.
fn joined_by_files(rows: &Rows, groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let mut joined: Vec<Vec<u32>> = Vec::new();
    let mut of_files: HashMap<Vec<usize>, usize> = HashMap::new();
    for group in groups {
        let mut files: Vec<usize> = group
            .iter()
            .map(|row| rows.item_of(*row as usize))
            .collect();
        files.dedup();
        let place = *of_files.entry(files).or_insert(joined.len());
        match joined.get_mut(place) {
            Some(known) => known.extend(group),
            None => joined.push(group),
        }
    }
    joined.iter_mut().for_each(|group| group.sort_unstable());
    joined
}

/// Worse if the same picture has several labels.
fn of_group(rows: &mut Rows, group: &[u32], detail: Detail) -> Result<Found> {
    let mut labels = Vec::with_capacity(group.len());
    for row in group {
        labels.extend(rows.record(*row as usize)?.label);
    }
    labels.sort_unstable();
    labels.dedup();
    let is_exact = matches!(detail, Detail::Exact(_));
    let (kind, severity) = match (is_exact, labels.len() > 1) {
        (true, true) => (FindingKind::ExactDuplicate, Severity::Error),
        (true, false) => (FindingKind::ExactDuplicate, Severity::Warning),
        (false, true) => (FindingKind::NearDuplicate, Severity::Warning),
        (false, false) => (FindingKind::NearDuplicate, Severity::Info),
    };
    let row = group.first().map_or(0, |row| *row as usize);
    Ok(Found {
        verdict: Verdict::new(kind, severity, group.len() as f64),
        item: rows.item_of(row),
        row: Some(row),
        detail,
    })
}

/// An error if the network relies on the region, a warning if that could not be tested, else for information.
fn of_clusters<'a>(
    rows: &'a Rows,
    place: usize,
    class: &'a ClusteredMaps,
) -> impl Iterator<Item = Found> + 'a {
    let clusters = class.clusters.iter().enumerate();
    clusters
        .filter(|(_, cluster)| cluster.view.suspicion.is_some())
        .map(move |(number, cluster)| {
            let (severity, drop) = match &cluster.trial {
                Some(trial) if trial.is_confirmed => {
                    (Severity::Error, trial.prob - trial.prob_masked)
                }
                Some(trial) => (Severity::Info, trial.prob - trial.prob_masked),
                None => (Severity::Warning, 0.0),
            };
            let row = cluster.members.first().copied().unwrap_or_default();
            Found {
                verdict: Verdict::new(FindingKind::SuspiciousCluster, severity, drop),
                item: rows.item_of(row),
                row: Some(row),
                detail: Detail::Cluster(place, number),
            }
        })
}

/// The records of a finding besides the one that stands for it.
pub(super) fn related(review: &Review, found: &Found) -> Vec<usize> {
    let all: Vec<usize> = match found.detail {
        Detail::Exact(group) => review.groups.exact[group]
            .iter()
            .map(|row| *row as usize)
            .collect(),
        Detail::Near(group) => review.groups.near[group]
            .iter()
            .map(|row| *row as usize)
            .collect(),
        Detail::Cluster(class, cluster) => {
            review.clustered[class].clusters[cluster].members.clone()
        }
        Detail::None | Detail::Numbers(_) => Vec::new(),
    };
    all.into_iter()
        .filter(|row| Some(*row) != found.row)
        .collect()
}

/// The record that stands for a finding.
pub(super) fn record_of(rows: &mut Rows, found: &Found) -> Result<Option<AuditRecord>> {
    found.row.map(|row| rows.record(row)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::journal::segments;
    use crate::audit::test_journal::{append, begin};

    fn found(kind: FindingKind, value: f64, second_value: f64, item: usize) -> Found {
        Found {
            verdict: Verdict {
                second_value,
                ..Verdict::new(kind, Severity::Warning, value)
            },
            item,
            row: None,
            detail: Detail::None,
        }
    }

    #[test]
    fn the_worst_of_a_kind_comes_first() {
        use FindingKind::{AttentionInCorner, LabelDisagrees};
        // Labels as cleanlab ranks them: by self-confidence, then by margin; negative margins too.
        let mut all = [
            found(AttentionInCorner, 0.8, 0.0, 0),
            found(LabelDisagrees, 0.2, -0.9, 1),
            found(LabelDisagrees, 0.1, -0.3, 2),
            found(LabelDisagrees, 0.1, -0.7, 3),
            found(AttentionInCorner, 0.9, 0.0, 4),
            found(LabelDisagrees, 0.1, 0.05, 5),
            found(LabelDisagrees, 0.1, -0.7, 0),
        ];
        all.sort_by_key(order);
        let items: Vec<usize> = all.iter().map(|found| found.item).collect();
        assert_eq!(items, [0, 3, 2, 5, 1, 4, 0]);
    }

    #[test]
    fn errors_come_before_milder_findings_of_their_kind() {
        let with = |kind, value, severity, item| Found {
            verdict: Verdict::new(kind, severity, value),
            ..found(kind, value, 0.0, item)
        };
        let copies =
            |copies, severity, item| with(FindingKind::ExactDuplicate, copies, severity, item);
        let mut all = vec![
            with(FindingKind::Damaged, 0.0, Severity::Error, 4),
            copies(2.0, Severity::Error, 2),
            copies(3.0, Severity::Error, 1),
            with(FindingKind::OddSize, 40.0, Severity::Warning, 3),
            with(FindingKind::OddSize, 10.0, Severity::Info, 3),
        ];
        // More than the page shows.
        all.extend((0..60).map(|_| copies(9.0, Severity::Warning, 0)));
        all.sort_by_key(order);
        assert_eq!((all[0].item, all[1].item, all[2].item), (1, 2, 0));
        let rest: Vec<Severity> = all[62..].iter().map(|one| one.verdict.severity).collect();
        assert_eq!(rest, [Severity::Warning, Severity::Info, Severity::Error]);
    }

    #[test]
    fn two_cuts_of_a_video_are_one_finding() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = begin(folder.path());
        for (name, records) in [("a.mp4", 3), ("b.mp4", 3), ("c.jpg", 1)] {
            append(&mut journal, name, records);
        }
        drop(journal);
        let rows = Rows::open(&segments(folder.path()).unwrap()).unwrap();
        let groups = vec![vec![0, 3], vec![1, 4, 6], vec![2, 5]];
        assert_eq!(
            joined_by_files(&rows, groups),
            [vec![0, 2, 3, 5], vec![1, 4, 6]]
        );
    }
}
