//! `gradcam-video audit`: a dataset, and what the model got right for the wrong reason.

mod args;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use gradcam_video::audit::dataset::{path_of, text_of_path};
use gradcam_video::audit::{
    Audit, AuditSettings, End, LABELS_FROM_FOLDERS, Manifest, NO_LABELS, Outcome as Report,
    Severity, Start, content_sha256, merge, settings_of,
};
use gradcam_video::explain::method_by_name;
use gradcam_video::model::batched::BatchSize;
use gradcam_video::model::{Precision, WeightFile};
use gradcam_video::pipeline::{CancelToken, Explaining};
use gradcam_video::preprocess::ResizePolicy;
use gradcam_video::{Error, ErrorKind};

pub(super) use self::args::AuditArgs;
use self::args::{AuditCommand, FormatArg, MergeArgs, ResultArgs, RunArgs};
use super::Outcome;
use super::config::{NetworkChoice, Question, Running, all_cores};
use super::console::{Console, printable, say};
use super::files::open_boxes;
use super::interrupt;
use super::model::{load_model, load_weights, note_batch};
use super::progress::ProgressView;
use super::values::usage;

/// More frames per second than any video has.
const MOST_SAMPLE_FPS: f64 = 1000.0;

pub(super) fn run(args: AuditArgs) -> anyhow::Result<Outcome> {
    match args.command {
        Some(AuditCommand::Merge(args)) => merge_shards(*args),
        None => audit(args.run),
    }
}

fn audit(args: RunArgs) -> anyhow::Result<Outcome> {
    let (Some(dataset), Some(out)) = (args.dataset, args.out) else {
        return Err(usage("DATASET and --out are required").into());
    };
    if !(args.sample_fps > 0.0 && args.sample_fps <= MOST_SAMPLE_FPS) {
        let message = format!(
            "--sample-fps {}: valid is more than 0 and at most {MOST_SAMPLE_FPS}",
            args.sample_fps
        );
        return Err(usage(message).into());
    }
    if args.shard.is_some() && args.results.fail_on.is_some() {
        let message = "--fail-on judges whole reports: give it to `audit merge`, not with --shard";
        return Err(usage(message).into());
    }
    if args.shard.is_some() && args.results.format == FormatArg::Json {
        let message =
            "--format json prints whole reports: give it to `audit merge`, not with --shard";
        return Err(usage(message).into());
    }
    let started = Instant::now();
    let cancel = CancelToken::new();
    let console: Console = args.verbosity.into();
    interrupt::install(&cancel, console, "stopping")?;
    let running = Running::new(args.running, all_cores())?;
    let question = Question::new(args.method.method, args.method.score)?;
    let resize = ResizePolicy::from(args.resize);
    let (labels, labels_sha256) = match args.labels.as_str() {
        LABELS_FROM_FOLDERS | NO_LABELS => (args.labels.clone(), None),
        path => {
            let path = Path::new(path);
            (absolute(path, "labels")?, Some(content_sha256(path)?))
        }
    };
    let boxes = open_boxes(args.boxes.as_deref(), console)?;

    let weights = Arc::new(load_weights(running.weights.as_deref())?);
    let model = load_model(Arc::clone(&weights), &running.network, console)?;
    let (request, layer_name) = question.request(model.spec())?;
    let settings = AuditSettings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dataset: absolute(&dataset, "dataset")?,
        weights_sha256: weights.sha256().to_owned(),
        method: question.method.name().to_owned(),
        layer: layer_name.clone(),
        score: request.score.name().to_owned(),
        samples: question.samples,
        seed: question.seed,
        resize: resize.name().to_owned(),
        precision: running.network.precision.name().to_owned(),
        top_k: usize::from(args.top_k),
        sample_fps: args.sample_fps,
        deinterlace: args.deinterlace,
        labels,
        labels_sha256,
        boxes: args
            .boxes
            .as_deref()
            .map(|path| absolute(path, "boxes"))
            .transpose()?,
        boxes_sha256: args.boxes.as_deref().map(content_sha256).transpose()?,
    };
    let explaining = Explaining {
        request,
        layer_name,
        top_k: settings.top_k,
        samples: question.samples,
        seed: question.seed,
        workers: running.workers,
        ..Explaining::new(&*model, question.method)
    };
    let audit = Audit {
        dataset,
        report: out.clone(),
        explaining,
        resize,
        settings,
        boxes,
        shard: args.shard,
        arguments: arguments(),
    };
    let start = if args.resume {
        Start::Resume
    } else {
        Start::New {
            overwrite: args.results.overwrite,
        }
    };
    let progress = ProgressView::counting(console.is_quiet, None, "files");
    let batch = model.batch();
    let end = audit.run(start, &progress, &cancel);
    progress.finish();
    note_batch(console, batch, &*model);
    match end? {
        End::Stopped(0) => {
            console.info("stopped before the first file was finished");
            Ok(Outcome::Interrupted)
        }
        End::Stopped(files) => {
            console.info(&format!(
                "stopped after {files} files, which are kept: --resume goes on"
            ));
            Ok(Outcome::Interrupted)
        }
        End::AlreadyFinished(manifest) => {
            console.info(&format!("{} is finished already", out.display()));
            if manifest.shard.is_none() {
                print_report(&out, &args.results, None)?;
            }
            tell_faulty(&manifest);
            Ok(outcome(&manifest, &args.results))
        }
        End::Finished(report) => {
            let secs = started.elapsed().as_secs_f64();
            console.info(&format!(
                "audited {} pictures in {} files in {secs:.1} s, {:.1} per second",
                report.manifest.records,
                report.manifest.files,
                report.manifest.records as f64 / secs
            ));
            if let Some(shard) = args.shard {
                console.info(&format!(
                    "wrote shard {} of {} to {}: `audit merge` makes the report of all of them",
                    shard.number,
                    shard.count,
                    out.display()
                ));
                tell_faulty(&report.manifest);
                return Ok(outcome(&report.manifest, &args.results));
            }
            tell(console, &out, &report, &args.results)
        }
    }
}

fn merge_shards(args: MergeArgs) -> anyhow::Result<Outcome> {
    let cancel = CancelToken::new();
    let console: Console = args.verbosity.into();
    interrupt::install(&cancel, console, "stopping")?;
    let settings = settings_of(&args.shards)?;
    let weights = Arc::new(load_weights(args.weights.weights.as_deref())?);
    check_weights(&settings, &weights)?;
    let precisions = [Precision::F32, Precision::Bf16, Precision::F16];
    let precision = precisions
        .into_iter()
        .find(|precision| precision.name() == settings.precision);
    let resize = ResizePolicy::named(&settings.resize);
    let (Some(precision), Some(resize)) = (precision, resize) else {
        let message = "cannot merge: the shards were made by another version of this program";
        return Err(Error::new(ErrorKind::Input, message).into());
    };
    let network = NetworkChoice {
        precision,
        device: args.device,
        batch: BatchSize::default(),
    };
    let model = load_model(weights, &network, console)?;
    let explaining = Explaining {
        seed: settings.seed,
        workers: args.workers.map_or_else(all_cores, usize::from),
        ..Explaining::new(&*model, method_by_name(&settings.method)?)
    };
    let audit = Audit {
        dataset: path_of(&settings.dataset),
        report: args.out.clone(),
        explaining,
        resize,
        settings,
        boxes: None,
        shard: None,
        arguments: arguments(),
    };
    let report = merge(&audit, &args.shards, args.results.overwrite, &cancel)?;
    tell(console, &args.out, &report, &args.results)
}

/// Trials of suspicious clusters ask the network again.
fn check_weights(settings: &AuditSettings, weights: &WeightFile) -> gradcam_video::Result<()> {
    if weights.sha256() == settings.weights_sha256 {
        return Ok(());
    }
    Err(usage(format!(
        "the shards were made with other weights (sha256 {}): give --weights FILE",
        settings.weights_sha256
    )))
}

/// Says what was found, and how the run ends.
fn tell(
    console: Console,
    out: &Path,
    report: &Report,
    results: &ResultArgs,
) -> anyhow::Result<Outcome> {
    for notice in &report.notices {
        console.note(notice);
    }
    print_report(out, results, Some(report))?;
    console.info(&format!("wrote {}", out.join("report.html").display()));
    tell_faulty(&report.manifest);
    Ok(outcome(&report.manifest, results))
}

/// Why the run does not end with 0.
fn tell_faulty(manifest: &Manifest) {
    if manifest.faulty_files > 0 {
        say(&format!(
            "{} of {} files could not be read, or not in full",
            manifest.faulty_files, manifest.files
        ));
    }
}

/// On stdout: all findings as JSON, or a summary.
fn print_report(out: &Path, results: &ResultArgs, report: Option<&Report>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match (results.format, report) {
        (FormatArg::Json, _) => {
            let path = out.join("findings.json");
            let mut file =
                File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            std::io::copy(&mut file, &mut stdout).map(|_| ())
        }
        (FormatArg::Text, Some(report)) => stdout.write_all(summary(report).as_bytes()),
        (FormatArg::Text, None) => Ok(()),
    }
    .and_then(|()| stdout.flush())
    .context("cannot write the findings")
}

fn summary(report: &Report) -> String {
    let of = |severity: Severity| {
        report
            .manifest
            .findings_by_severity
            .get(severity.name())
            .copied()
            .unwrap_or(0)
    };
    let mut text = format!(
        "{} errors, {} warnings, {} for information\n",
        of(Severity::Error),
        of(Severity::Warning),
        of(Severity::Info)
    );
    for (kind, count) in &report.by_kind {
        text += &format!("{count:8}  {:<24}{}\n", kind.name(), kind.title());
    }
    if !report.worst.is_empty() {
        text += "\n";
    }
    for line in &report.worst {
        text += &format!("{}\n", printable(line));
    }
    text
}

fn outcome(manifest: &Manifest, results: &ResultArgs) -> Outcome {
    let found = [Severity::Info, Severity::Warning, Severity::Error]
        .into_iter()
        .filter(|severity| {
            manifest
                .findings_by_severity
                .get(severity.name())
                .is_some_and(|count| *count > 0)
        });
    match (results.fail_on, found.max()) {
        (Some(limit), Some(worst)) if worst >= limit => Outcome::Findings,
        _ if manifest.faulty_files > 0 => Outcome::Damaged,
        _ => Outcome::Done,
    }
}

fn absolute(path: &Path, what: &str) -> anyhow::Result<String> {
    let found = path
        .canonicalize()
        .with_context(|| format!("cannot open {what} {}", path.display()))?;
    Ok(text_of_path(&found))
}

/// The command line, as typed.
fn arguments() -> Vec<String> {
    std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect()
}
