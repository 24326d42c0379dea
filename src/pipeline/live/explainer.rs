//! The worker threads: the freshest frame, explained, and again.

use std::ops::ControlFlow;

use super::Asking;
use super::desk::Desk;
use super::messages::{LiveExplanation, Task};
use crate::error::{ErrorKind, Result, Stage};
use crate::explain::{Explanation, Queries, Request, TargetChoice, explain_forward};
use crate::model::{Forward, ModelInput, ranked};
use crate::pipeline::report::StageTimes;
use crate::preprocess::{Preprocessor, ResizePolicy};
use crate::temporal::{Hold, SceneCuts, Thumbnail};

/// Which class the workers keep to while two are of nearly equal probability.
pub(super) struct Keeping {
    hold: Hold,
    cuts: SceneCuts,
    question: u64,
}

impl Keeping {
    pub(super) fn new(margin: f64) -> Self {
        Self {
            hold: Hold::new(margin),
            cuts: SceneCuts::default(),
            question: 0,
        }
    }
}

/// Explains until the run is over.
pub(super) struct LiveWorker<'a> {
    pub(super) asking: &'a Asking<'a>,
    pub(super) resize: ResizePolicy,
    pub(super) desk: &'a Desk,
    pub(super) keeping: &'a std::sync::Mutex<Keeping>,
}

impl LiveWorker<'_> {
    /// Works until the run is over.
    ///
    /// # Errors
    /// As the model and the explainer.
    pub(super) fn run(&self, times: &mut StageTimes) -> Result<()> {
        // As in the offline run: one frame per thread.
        let _this_thread = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
            .build();
        let mut preprocessor = None;
        loop {
            let task = times.preprocess.wait(|| self.desk.take_task());
            let Some(task) = task else {
                return Ok(());
            };
            match self.explain(&task, &mut preprocessor, times) {
                Ok(explanation) => self.desk.put_explanation(explanation),
                // Something else was asked meanwhile.
                Err(error) if error.kind() == ErrorKind::Cancelled => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn explain(
        &self,
        task: &Task,
        preprocessor: &mut Option<(f64, Preprocessor)>,
        times: &mut StageTimes,
    ) -> Result<LiveExplanation> {
        let model = self.asking.model;
        let (frame, question) = (&task.frame, &task.question);
        let aspect = frame.pixel_aspect;
        let (_, preprocessor) = match preprocessor {
            Some(ready) if ready.0 == aspect => ready,
            other => other.insert((
                aspect,
                Preprocessor::new(self.resize, model.spec()).with_pixel_aspect(aspect),
            )),
        };
        let (input, thumbnail) = times
            .preprocess
            .measure(|| {
                let input = preprocessor.run(&frame.picture, frame.orientation)?;
                let thumbnail = Thumbnail::of(&input, &model.spec().normalization);
                Ok((input, thumbnail))
            })
            .map_err(|error: crate::Error| error.at_stage(Stage::Preprocess))?;
        let forward = times
            .model
            .measure_network(model.batch().is_some(), || {
                let request = &question.request;
                model.forward_for(&input, &request.layers, &request.classes())
            })
            .map_err(|error| error.at_stage(Stage::Model))?;
        let request = self.settled(task, &forward, &thumbnail);
        let explanation = times
            .explain
            .measure(|| self.ask(task, &input, &forward, &request))
            .map_err(|error| error.at_stage(Stage::Explain))?;
        Ok(LiveExplanation {
            frame: std::sync::Arc::clone(frame),
            question: std::sync::Arc::clone(question),
            thumbnail,
            explanation,
        })
    }

    /// The request with the class of this frame in the place of "the most probable one".
    fn settled(&self, task: &Task, forward: &Forward, thumbnail: &Thumbnail) -> Request {
        let mut request = task.question.request.clone();
        let mut keeping = self
            .keeping
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Frames are left out between two that are explained.
        let is_cut = keeping.cuts.is_cut(thumbnail.clone(), false);
        let is_new = keeping.question != task.question.number;
        keeping.question = task.question.number;
        let ranking = ranked(&forward.logits);
        let class = keeping
            .hold
            .choose(&request.candidates(&ranking), is_cut || is_new);
        for target in &mut request.targets {
            if *target == TargetChoice::Top1 {
                *target = TargetChoice::Class(class);
            }
        }
        request
    }

    fn ask(
        &self,
        task: &Task,
        input: &ModelInput,
        forward: &Forward,
        request: &Request,
    ) -> Result<Explanation> {
        let on_pass = |done, total| {
            self.desk.note_passes(task, done, total);
            if self.desk.is_outdated(task) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let Asking {
            model,
            samples,
            seed,
            ..
        } = *self.asking;
        let explainer = task.question.explainer;
        let samples = samples.filter(|_| explainer.sample_count().is_some());
        let queries = Queries::new(model)
            .with_sampling(samples, seed)
            .with_report(&on_pass);
        explain_forward(&queries, explainer, input, forward, request)
    }
}
