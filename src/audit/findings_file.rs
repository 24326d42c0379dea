//! `findings.json`: every finding, by kind, the worst first.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::kinds::{FindingKind, Severity};
use super::report::data::Measure;
use super::review::{Counts, Found, record_of, related};
use super::rows::Rows;
use super::rules::how;
use super::settings::AuditSettings;
use super::words::Words;
use crate::error::{Error, ErrorKind, Result};

/// Other records that are named with a finding: of a cluster of hundreds, the most typical.
const MOST_RELATED: usize = 50;

/// What stands before the findings.
#[derive(Debug, Serialize)]
struct Head<'a> {
    version: &'a str,
    settings: &'a AuditSettings,
    counts: &'a Counts,
    findings_by_severity: BTreeMap<&'a str, u64>,
    findings_by_kind: BTreeMap<&'a str, u64>,
    /// How each kind is computed.
    kinds: BTreeMap<&'a str, KindHead>,
    /// What the reader must know.
    notices: &'a [String],
}

#[derive(Debug, Serialize)]
struct KindHead {
    title: &'static str,
    how: String,
    ranked_by: &'static str,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    id: String,
    kind: FindingKind,
    severity: Severity,
    rank: u64,
    path: &'a str,
    frame: Option<u64>,
    pts_s: Option<f64>,
    label: Option<&'a str>,
    /// Some classes share their name.
    label_index: Option<usize>,
    predicted: Option<&'a str>,
    predicted_index: Option<usize>,
    confidence: Option<f64>,
    value: f64,
    message: String,
    values: BTreeMap<String, Option<f64>>,
    picture: Option<&'a str>,
    /// How many others it is about; the first of them are named.
    related_count: usize,
    related: Vec<RelatedEntry>,
}

#[derive(Debug, Serialize)]
struct RelatedEntry {
    path: String,
    frame: Option<u64>,
    pts_s: Option<f64>,
    picture: String,
}

/// Numbers the findings within their kinds from 1, the worst first.
#[derive(Debug, Default)]
pub(super) struct Ranks(BTreeMap<FindingKind, u64>);

impl Ranks {
    /// The rank of the next finding.
    pub(super) fn next(&mut self, found: &Found) -> u64 {
        let rank = self.0.entry(found.verdict.kind).or_default();
        *rank += 1;
        *rank
    }
}

/// Writes them all, one per line.
pub(super) fn write(
    output: &mut dyn Write,
    rows: &mut Rows,
    words: Words<'_>,
    settings: &AuditSettings,
    notices: &[String],
) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::caused_by(ErrorKind::Output, "cannot write findings.json", error)
    };
    let review = words.review;
    let by_kind = review.by_kind();
    let by_severity = review.by_severity();
    let all = [Severity::Error, Severity::Warning, Severity::Info];
    let head = Head {
        version: &settings.version,
        settings,
        counts: &review.counts,
        findings_by_severity: all
            .into_iter()
            .map(|severity| {
                (
                    severity.name(),
                    by_severity.get(&severity).copied().unwrap_or(0),
                )
            })
            .collect(),
        findings_by_kind: by_kind
            .iter()
            .map(|(kind, count)| (kind.name(), *count))
            .collect(),
        kinds: FindingKind::ALL
            .into_iter()
            .map(|kind| {
                let head = KindHead {
                    title: kind.title(),
                    how: how(kind),
                    ranked_by: super::words::ranked_by(kind).0,
                };
                (kind.name(), head)
            })
            .collect(),
        notices,
    };
    let head = to_json(&head)?;
    // The head is an object: the findings are its last entry.
    let open = head.strip_suffix('}').unwrap_or(&head);
    write!(output, "{open},\"findings\":[").map_err(failed)?;
    let mut ranks = Ranks::default();
    for (number, found) in review.found.iter().enumerate() {
        let rank = ranks.next(found);
        let line = entry(rows, words, found, rank)?;
        let separator = if number == 0 { "" } else { "," };
        write!(output, "{separator}\n{line}").map_err(failed)?;
    }
    writeln!(output, "\n]}}").map_err(failed)
}

fn entry(rows: &mut Rows, words: Words<'_>, found: &Found, rank: u64) -> Result<String> {
    let record = record_of(rows, found)?;
    let item = rows.item(found.item)?;
    let described = words.describe(found, record.as_ref(), &item);
    let related = related(words.review, found);
    let mut others = Vec::new();
    for row in related.iter().take(MOST_RELATED) {
        let other = rows.record(*row)?;
        others.push(RelatedEntry {
            path: other.path,
            frame: other.frame,
            pts_s: other.pts_s,
            picture: other.thumb,
        });
    }
    let label = record.as_ref().map_or(item.label, |record| record.label);
    let verdict = found.verdict;
    let top = record.as_ref().and_then(|record| record.top.first());
    to_json(&Entry {
        id: format!("{}-{rank}", verdict.kind.name()),
        kind: verdict.kind,
        severity: verdict.severity,
        rank,
        path: &item.path,
        frame: record.as_ref().and_then(|record| record.frame),
        pts_s: record.as_ref().and_then(|record| record.pts_s),
        label: label.map(|label| words.labels.name(label)),
        label_index: label,
        predicted: top.map(|top| top.label.as_str()),
        predicted_index: top.map(|top| top.index),
        confidence: record.as_ref().map(|record| record.prob),
        value: verdict.value,
        message: described.message,
        values: described.values.into_iter().map(named).collect(),
        picture: record.as_ref().map(|record| record.thumb.as_str()),
        related_count: related.len(),
        related: others,
    })
}

/// `Evidence in a corner` becomes `evidence_in_a_corner`.
fn named(measure: Measure) -> (String, Option<f64>) {
    (
        measure.name.to_lowercase().replace([' ', '-'], "_"),
        measure.value,
    )
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::caused_by(ErrorKind::Internal, "cannot serialise a finding", error))
}
