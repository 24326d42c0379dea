//! What of an audit stands in the report: the worst of each kind, some videos, some classes, and the pictures for all of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::data::{
    Accuracy, Cluster, ClusteredClass, Finding, MaskTest, Picture, PictureRef, ReportData,
    Severity, Video,
};
use super::figures::{
    class_counts, confidence_bins, confusion, shown_counts, shown_kinds, shown_settings,
};
use crate::audit::clusters::{ClusteredMaps, TestedCluster};
use crate::audit::findings_file::Ranks;
use crate::audit::kinds::{self, FindingKind};
use crate::audit::record::AuditRecord;
use crate::audit::review::{Found, record_of, related};
use crate::audit::rows::Rows;
use crate::audit::settings::AuditSettings;
use crate::audit::spray::SIDE;
use crate::audit::words::{Words, name};
use crate::error::Result;

/// Findings of each kind: what a person looks through. The others are in `findings.json`.
pub(super) const MOST_FINDINGS: u64 = 50;
/// Pictures beside a finding.
const MOST_RELATED: usize = 6;
/// Videos with a timeline.
const MOST_VIDEOS: usize = 20;
/// Classes whose clusters are shown though nothing about them is suspicious.
const MOST_SOUND_CLASSES: usize = 12;
/// Pictures of a cluster.
const MOST_MEMBERS: usize = 8;
/// Eigenvalues that are shown: those before and after the gap.
const MOST_EIGENVALUES: usize = 12;

/// Collects the report's content.
pub(in crate::audit) struct Content<'a> {
    pub(in crate::audit) rows: &'a mut Rows,
    pub(in crate::audit) words: Words<'a>,
    /// The report's folder.
    pub(in crate::audit) folder: &'a Path,
    pub(in crate::audit) pictures: Pictures,
}

/// The pictures of the report, each of them once.
#[derive(Default)]
pub(in crate::audit) struct Pictures {
    all: Vec<Picture>,
    by_name: HashMap<String, Option<usize>>,
}

impl Pictures {
    /// The number of an evidence picture; none if its file is not there.
    fn add(&mut self, folder: &Path, thumb: &str) -> Option<usize> {
        if let Some(known) = self.by_name.get(thumb) {
            return *known;
        }
        let number = read_picture(&folder.join(thumb)).map(|picture| {
            self.all.push(picture);
            self.all.len() - 1
        });
        self.by_name.insert(thumb.to_owned(), number);
        number
    }
}

fn read_picture(path: &Path) -> Option<Picture> {
    let bytes = std::fs::read(path).ok()?;
    let reader =
        image::ImageReader::with_format(std::io::Cursor::new(&bytes), image::ImageFormat::Jpeg);
    let (width, height) = reader.into_dimensions().ok()?;
    Some(Picture {
        width,
        height,
        uri: format!("data:image/jpeg;base64,{}", STANDARD.encode(&bytes)),
    })
}

impl Content<'_> {
    /// All of it.
    pub(in crate::audit) fn collect(
        mut self,
        settings: &AuditSettings,
        notices: Vec<String>,
    ) -> Result<ReportData> {
        let review = self.words.review;
        let dataset = Path::new(&settings.dataset).file_name();
        let dataset = dataset.map_or(settings.dataset.clone(), |name| {
            name.to_string_lossy().into_owned()
        });
        let findings = self.findings()?;
        let videos = self.videos()?;
        let clustered = self.clustered()?;
        let statistics = &review.statistics;
        let lengths = review
            .videos
            .iter()
            .map(|item| self.rows.rows_of(*item).len());
        let longest_video = lengths.max().unwrap_or(0);
        Ok(ReportData {
            title: format!("Audit of {dataset}"),
            dataset,
            version: settings.version.clone(),
            settings: shown_settings(settings, review),
            counts: shown_counts(review),
            notices,
            kinds: shown_kinds(review, longest_video),
            classes: class_counts(statistics, self.words.labels),
            confidence: confidence_bins(statistics),
            accuracy: (statistics.labelled > 0).then(|| Accuracy {
                top1: statistics.top1_right as f64 / statistics.labelled as f64,
                top5: statistics.top5_right as f64 / statistics.labelled as f64,
                pictures: statistics.labelled,
            }),
            confusion: (statistics.labelled > 0).then(|| confusion(statistics, self.words.labels)),
            findings,
            videos,
            clustered,
            pictures: self.pictures.all,
        })
    }

    pub(super) fn class(&self, class: usize) -> String {
        name(self.words.labels.name(class))
    }

    pub(super) fn picture(&mut self, record: &AuditRecord) -> Option<usize> {
        self.pictures.add(self.folder, &record.thumb)
    }

    fn picture_refs(&mut self, rows: &[usize]) -> Result<Vec<PictureRef>> {
        let mut refs = Vec::with_capacity(rows.len());
        for row in rows {
            let record = self.rows.record(*row)?;
            refs.push(PictureRef {
                time_s: record.pts_s,
                picture: self.picture(&record),
                path: record.path,
            });
        }
        Ok(refs)
    }

    fn findings(&mut self) -> Result<Vec<Finding>> {
        let (review, mut ranks) = (self.words.review, Ranks::default());
        let mut findings = Vec::new();
        for found in &review.found {
            let rank = ranks.next(found);
            if rank <= MOST_FINDINGS {
                findings.push(self.finding(found, rank)?);
            }
        }
        Ok(findings)
    }

    fn finding(&mut self, found: &Found, rank: u64) -> Result<Finding> {
        let record = record_of(self.rows, found)?;
        let item = self.rows.item(found.item)?;
        let described = self.words.describe(found, record.as_ref(), &item);
        let mut others = related(self.words.review, found);
        others.truncate(MOST_RELATED);
        let label = record.as_ref().map_or(item.label, |record| record.label);
        let record = record.as_ref();
        Ok(Finding {
            kind: found.verdict.kind.name().to_owned(),
            severity: shown_severity(found.verdict.severity),
            rank,
            path: item.path,
            frame: record.and_then(|record| record.frame),
            time_s: record.and_then(|record| record.pts_s),
            label: label.map(|label| self.class(label)),
            predicted: record
                .and_then(|record| record.top.first())
                .map(|top| name(&top.label)),
            confidence: record.map(|record| record.prob),
            value: Some(found.verdict.value),
            message: described.message,
            values: described.values,
            picture: record.and_then(|record| self.picture(record)),
            related: self.picture_refs(&others)?,
        })
    }

    /// Those with most findings first.
    fn videos(&mut self) -> Result<Vec<Video>> {
        let mut findings: BTreeMap<usize, Vec<(usize, FindingKind)>> = BTreeMap::new();
        for found in &self.words.review.found {
            if let Some(row) = found.row {
                findings
                    .entry(found.item)
                    .or_default()
                    .push((row, found.verdict.kind));
            }
        }
        let mut videos: Vec<usize> = self.words.review.videos.clone();
        videos.sort_by_key(|item| {
            (
                std::cmp::Reverse(findings.get(item).map_or(0, Vec::len)),
                *item,
            )
        });
        videos.truncate(MOST_VIDEOS);
        let shown = videos.into_iter().map(|item| {
            let flags = findings.remove(&item).unwrap_or_default();
            self.video(item, &flags)
        });
        shown.collect()
    }

    /// All suspicious classes, and the largest of the others.
    fn clustered(&mut self) -> Result<Vec<ClusteredClass>> {
        let clustered: &[ClusteredMaps] = &self.words.review.clustered;
        let is_suspicious = |class: &ClusteredMaps| {
            class
                .clusters
                .iter()
                .any(|one| one.view.suspicion.is_some())
        };
        let (mut shown, mut sound): (Vec<&ClusteredMaps>, Vec<&ClusteredMaps>) =
            clustered.iter().partition(|class| is_suspicious(class));
        sound.sort_by_key(|class| (std::cmp::Reverse(class.items), class.class));
        sound.truncate(MOST_SOUND_CLASSES);
        shown.extend(sound);
        shown
            .into_iter()
            .map(|class| self.clustered_class(class))
            .collect()
    }

    fn clustered_class(&mut self, class: &ClusteredMaps) -> Result<ClusteredClass> {
        let clusters: Result<Vec<Cluster>> = class
            .clusters
            .iter()
            .map(|cluster| self.cluster(cluster))
            .collect();
        let eigenvalues = class.clustering.eigenvalues.iter().take(MOST_EIGENVALUES);
        Ok(ClusteredClass {
            class: self.class(class.class),
            items: class.items as u64,
            eigenvalues: eigenvalues.copied().collect(),
            eigengap_after: class.clusters.len(),
            clusters: clusters?,
        })
    }

    fn cluster(&mut self, cluster: &TestedCluster) -> Result<Cluster> {
        let view = &cluster.view;
        let purity = self.purity(&cluster.members)?;
        let members: Vec<usize> = cluster.members.iter().copied().take(MOST_MEMBERS).collect();
        let rows = view.mean.chunks_exact(SIDE);
        Ok(Cluster {
            count: view.count as u64,
            share: view.share,
            map: rows
                .map(|row| row.iter().map(|value| f64::from(*value)).collect())
                .collect(),
            region: view
                .suspicion
                .as_ref()
                .map_or_else(Vec::new, |_| cluster.region.clone()),
            purity,
            suspicion: view
                .suspicion
                .as_ref()
                .map(|suspicion| suspicion.reason.clone()),
            test: cluster.trial.as_ref().map(|trial| MaskTest {
                pictures: trial.pictures as u64,
                before: trial.prob,
                region_hidden: trial.prob_masked,
                random_hidden: trial.prob_random,
                is_confirmed: trial.is_confirmed,
            }),
            members: self.picture_refs(&members)?,
        })
    }

    /// Share of the labelled records among these whose label is the most frequent; none without labels.
    fn purity(&mut self, rows: &[usize]) -> Result<Option<f64>> {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for row in rows {
            if let Some(label) = self.rows.record(*row)?.label {
                *counts.entry(label).or_default() += 1;
            }
        }
        let (most, all) = (counts.values().max(), counts.values().sum::<u64>());
        Ok(most.map(|most| *most as f64 / all as f64))
    }
}

fn shown_severity(severity: kinds::Severity) -> Severity {
    match severity {
        kinds::Severity::Error => Severity::Error,
        kinds::Severity::Warning => Severity::Warning,
        kinds::Severity::Info => Severity::Info,
    }
}
