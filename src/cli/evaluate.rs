//! `gradcam-video evaluate`: how faithful heatmaps are, in numbers.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use gradcam_video::evaluate::plot::plot;
use gradcam_video::evaluate::randomisation::{
    CASCADE, Explained, RandomisationScores, randomisation,
};
use gradcam_video::evaluate::{PictureReport, Report, Settings, Subject, evaluate_picture};
use gradcam_video::explain::{Explainer, Queries, TargetChoice};
use gradcam_video::heatmap::Heatmap;
use gradcam_video::model::{Classifier, ModelInput, Precision, TargetLayer, WeightFile, ranked};
use gradcam_video::pipeline::{CancelToken, Reporter};
use gradcam_video::preprocess::{Preprocessor, ResizePolicy};
use gradcam_video::sink::PartialFile;
use gradcam_video::source::{FrameSource, StillSource};
use gradcam_video::{Error, ErrorKind};

use super::Outcome;
use super::args::EvaluateArgs;
use super::config::{NetworkChoice, Question, Running, all_cores};
use super::console::{Console, say};
use super::evaluation::{Evaluation, ExplainerSettings};
use super::files::open_boxes;
use super::interrupt;
use super::model::{load_model, load_quietly, load_weights};
use super::progress::ProgressView;

/// Evaluates all pictures; those that cannot be read are named and left out.
pub(super) fn run(args: EvaluateArgs) -> anyhow::Result<Outcome> {
    let cancel = CancelToken::new();
    let console: Console = args.verbosity.into();
    interrupt::install(&cancel, console, "stopping")?;
    let running = Running::new(args.running, all_cores())?;
    let resize = ResizePolicy::from(args.resize);
    let question = Question::of_several(&args.method, args.score)?;
    let boxes = open_boxes(args.boxes.as_deref(), console)?;
    let plot_file = args.plot.as_deref().map(|path| {
        let is_svg = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
        if !is_svg {
            let message = format!("--plot {}: the extension must be .svg", path.display());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        PartialFile::create(path, args.overwrite, None)
    });
    let plot_file = plot_file.transpose()?;

    let weights = Arc::new(load_weights(running.weights.as_deref())?);
    let model = load_model(Arc::clone(&weights), &running.network, console)?;
    let spec = model.spec();
    let choice = match args.class.as_str() {
        "top1" => TargetChoice::Top1,
        class => TargetChoice::Class(spec.labels.find(class)?),
    };
    let mut explainers: Vec<&dyn Explainer> = Vec::new();
    for method in args.method {
        if !explainers.iter().any(|other| other.name() == method.name()) {
            explainers.push(method);
        }
    }
    let (request, layer_name) = question.request(spec)?;
    let explain_scores = explainers.iter().any(|other| other.explains_score());
    for explainer in &explainers {
        let mut request = request.clone();
        // Meant for the others, if there are some.
        let is_meant = explainer.explains_score() || !explain_scores;
        let asked = question.score.filter(|_| is_meant);
        request.score = asked.unwrap_or(explainer.default_score());
        explainer.check(spec, &request)?;
    }
    let settings = Settings {
        explained_score: question.score,
        seed: question.seed,
        pixels_per_step: args
            .pixels_per_step
            .map_or(spec.input_size, |pixels| pixels as usize),
        ..Settings::new(spec.input_size)
    };

    let progress = ProgressView::new(console.is_quiet, None);
    let on_pass = |done, total| {
        progress.pass_done(done, total);
        if cancel.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let queries = Queries::new(&*model)
        .with_threads(running.workers)
        .with_sampling(question.samples, question.seed)
        .with_report(&on_pass);
    let mut preprocessor = Preprocessor::new(resize, spec);
    let (mut inputs, mut reports, mut failures) = (Vec::new(), Vec::new(), 0u64);
    let mut is_interrupted = false;
    for (number, path) in args.images.iter().enumerate() {
        let read = read_picture(path, &mut preprocessor);
        let (input, size) = match read {
            Ok(read) => read,
            Err(error) => {
                say(&error.one_line());
                failures += 1;
                continue;
            }
        };
        console.info(&format!(
            "evaluating {} ({} of {}): {} maps, {} passes each besides their own",
            path.display(),
            number + 1,
            args.images.len(),
            explainers.len() + 2,
            settings.passes_per_map(spec.input_size)
        ));
        // Which boxes count depends on the class.
        let choice = match (&boxes, choice) {
            (Some(_), TargetChoice::Top1) => TargetChoice::Class(top_class(&*model, &input)?),
            _ => choice,
        };
        let is_class = |name: &str| {
            let found = spec.labels.find(name);
            found.is_ok_and(|class| choice == TargetChoice::Class(class))
        };
        let of_boxes = boxes.as_ref().map_or_else(Vec::new, |boxes| {
            boxes.of_class(path, size, resize, spec.input_size, is_class)
        });
        if boxes.is_some() && of_boxes.is_empty() {
            console.note(&format!("there is no box in sight for {}", path.display()));
        }
        let name = path.display().to_string();
        let subject = Subject {
            name: &name,
            input: &input,
            choice,
            boxes: &of_boxes,
        };
        match evaluate_picture(&queries, &explainers, subject, &request.layers, &settings) {
            Ok(report) => reports.push(report),
            // What is finished is kept.
            Err(error) if error.kind() == ErrorKind::Cancelled && !reports.is_empty() => {
                is_interrupted = true;
                break;
            }
            Err(error) => return Err(error.into()),
        }
        inputs.push(input);
    }
    if reports.is_empty() {
        return Err(Error::new(ErrorKind::Input, "no picture could be evaluated").into());
    }
    let randomised = if args.no_randomisation || is_interrupted {
        None
    } else {
        console.info("checking the maps of networks with random weights");
        let checked = check_randomised(
            &queries,
            &weights,
            &running,
            &explainers,
            (&inputs, &reports),
            &question,
            (&request.layers, settings.agreement_cells),
        );
        match checked {
            Ok(scores) => Some(scores),
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                is_interrupted = true;
                None
            }
            Err(error) => return Err(error.into()),
        }
    };
    progress.finish();
    if is_interrupted {
        let (done, all) = (reports.len(), args.images.len());
        let left_out = if args.no_randomisation {
            ""
        } else {
            ", without the check with random weights"
        };
        console.info(&format!("stopped after {done} of {all} pictures{left_out}"));
    }
    let evaluation = Evaluation {
        version: env!("CARGO_PKG_VERSION"),
        weights_sha256: weights.sha256(),
        precision: running.network.precision.name(),
        layer: &layer_name,
        resize: resize.name(),
        explainers: explainers
            .iter()
            .map(|explainer| ExplainerSettings::new(*explainer, &question))
            .collect(),
        report: Report::new(settings, reports),
        randomisation: randomised,
    };
    if let Some(file) = plot_file {
        let svg = plot(&evaluation.report.methods)?;
        std::fs::write(file.path(), svg)
            .with_context(|| format!("cannot write {}", file.path().display()))?;
        file.commit()?;
    }
    let text = if args.json {
        serde_json::to_string(&evaluation).context("cannot serialise the evaluation")? + "\n"
    } else {
        evaluation.text()
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write the evaluation")?;
    if failures > 0 {
        say(&format!(
            "{failures} of {} pictures could not be evaluated",
            args.images.len()
        ));
    }
    Ok(match failures {
        _ if is_interrupted => Outcome::Interrupted,
        0 => Outcome::Done,
        _ => Outcome::Damaged,
    })
}

/// The network's input and the size of the upright picture.
fn read_picture(
    path: &Path,
    preprocessor: &mut Preprocessor,
) -> gradcam_video::Result<(ModelInput, (usize, usize))> {
    let mut source = StillSource::open(path)?;
    let orientation = source.info().orientation;
    let Some(frame) = source.next_frame()? else {
        let message = format!("{} holds no picture", path.display());
        return Err(Error::new(ErrorKind::Input, message));
    };
    let size = (frame.picture.width, frame.picture.height);
    Ok((preprocessor.run(&frame.picture, orientation)?, size))
}

fn top_class(model: &dyn Classifier, input: &ModelInput) -> gradcam_video::Result<usize> {
    let top = ranked(&model.forward(input, &[])?.logits)
        .into_iter()
        .next();
    Ok(top.map_or(0, |top| top.index))
}

fn check_randomised(
    queries: &Queries<'_>,
    weights: &WeightFile,
    running: &Running,
    explainers: &[&dyn Explainer],
    (inputs, reports): (&[ModelInput], &[PictureReport]),
    question: &Question,
    (layers, side): (&[TargetLayer], usize),
) -> gradcam_video::Result<Vec<RandomisationScores>> {
    let heatmaps: Vec<Vec<Heatmap>> = reports
        .iter()
        .map(|report| {
            let methods = report.methods.iter().filter(|scores| !scores.is_baseline);
            methods.map(|scores| scores.heatmap.clone()).collect()
        })
        .collect();
    let explained: Vec<Explained<'_>> = inputs
        .iter()
        .zip(reports)
        .zip(&heatmaps)
        .map(|((input, report), heatmaps)| Explained {
            input,
            class: report.class,
            heatmaps,
        })
        .collect();
    // Random weights make activations grow from block to block, beyond what f16 holds.
    let precision = match running.network.precision {
        Precision::F16 => Precision::F32,
        precision => precision,
    };
    let network = NetworkChoice {
        precision,
        ..running.network.clone()
    };
    let randomized = |step: usize| -> gradcam_video::Result<Box<dyn Classifier>> {
        // The last step has everything random.
        let parts: Option<Vec<&str>> =
            (step + 1 < CASCADE.len()).then(|| CASCADE[step].split(", ").collect());
        let is_random = |name: &str| {
            let part = name.split('.').next().unwrap_or_default();
            parts.as_ref().is_none_or(|parts| parts.contains(&part))
        };
        let file = weights.randomized(is_random, question.seed);
        Ok(load_quietly(Arc::new(file), &network)?.model)
    };
    randomisation(
        queries,
        &randomized,
        explainers,
        &explained,
        layers,
        question.score,
        side,
    )
}
