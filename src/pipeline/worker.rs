//! The worker threads: one frame each, from preprocessing to its raw maps.

use std::ops::ControlFlow;

use crossbeam_channel::{Receiver, Sender};

use crate::error::{ErrorKind, Result, Stage};
use crate::explain::{Explainer, Explanation, Queries, Request, explain_forward};
use crate::frame::{Frame, Orientation};
use crate::model::{Classifier, Forward, ModelInput};
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::report::{Reporter, StageTimes};
use crate::pipeline::{CancelToken, Explaining};
use crate::preprocess::{Preprocessor, ResizePolicy};
use crate::records::Record;
use crate::temporal::{Hold, Thumbnail};

/// A frame on its way to the ordered thread, with what is to be drawn on it.
pub(super) struct Explained {
    pub(super) frame: Frame,
    /// None: the frame was not looked at.
    pub(super) thumbnail: Option<Thumbnail>,
    pub(super) content: Content,
}

/// What is to be drawn.
pub(super) enum Content {
    /// Freshly explained.
    Made(Box<Made>),
    /// What the frame before shows.
    Carried,
    /// As it was recorded.
    Stored(Vec<Record>),
}

/// An explanation, and what another one would need.
pub(super) struct Made {
    pub(super) explanation: Explanation,
    /// Only where another class is so close that it may be explained instead.
    pub(super) pass: Option<(ModelInput, Forward)>,
}

/// Takes frames from preprocessing to the raw maps.
pub(super) struct Worker<'a> {
    pub(super) explaining: &'a Explaining<'a>,
    pub(super) resize: ResizePolicy,
    pub(super) pixel_aspect: f64,
    pub(super) orientation: Orientation,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) cancel: &'a CancelToken,
}

impl Worker<'_> {
    /// Works until the decoder is done or any thread has failed.
    pub(super) fn run(
        &self,
        frames: &Receiver<Frame>,
        to_ordered: &Sender<Explained>,
        times: &mut StageTimes,
        failure: &FirstFailure,
    ) {
        let _this_thread = keep_work_on_this_thread();
        let mut preprocessor = Preprocessor::new(self.resize, self.explaining.model.spec())
            .with_pixel_aspect(self.pixel_aspect);
        while let Some(frame) = times.preprocess.wait(|| failure.receive(frames)) {
            let is_explained = frame.index.0.is_multiple_of(self.explaining.stride.max(1));
            let explained = is_explained
                .then(|| self.explain(&frame, &mut preprocessor, times))
                .transpose();
            let (thumbnail, content) = match explained {
                Ok(Some((thumbnail, made))) => (Some(thumbnail), Content::Made(Box::new(made))),
                Ok(None) => (None, Content::Carried),
                // In the middle of an explanation of many passes: what was explained before is finished.
                Err(error) if error.kind() == ErrorKind::Cancelled => return,
                Err(error) => return failure.record(error.at_frame(frame.index)),
            };
            let item = Explained {
                frame,
                thumbnail,
                content,
            };
            if times.explain.wait(|| to_ordered.send(item).is_err()) {
                return;
            }
        }
    }

    fn explain(
        &self,
        frame: &Frame,
        preprocessor: &mut Preprocessor,
        times: &mut StageTimes,
    ) -> Result<(Thumbnail, Made)> {
        let Explaining {
            model,
            explainer,
            request,
            hold,
            ..
        } = self.explaining;
        let input = times
            .preprocess
            .measure(|| preprocessor.run(&frame.picture, self.orientation))
            .map_err(|error| error.at_stage(Stage::Preprocess))?;
        let thumbnail = times
            .preprocess
            .measure(|| Thumbnail::of(&input, &model.spec().normalization));
        let forward = times
            .model
            .measure_network(model.batch().is_some(), || {
                model.forward_for(&input, &request.layers, &request.classes())
            })
            .map_err(|error| error.at_stage(Stage::Model))?;
        let explanation = times
            .explain
            .measure(|| {
                let asked = Asked {
                    explaining: self.explaining,
                    reporter: self.reporter,
                    cancel: self.cancel,
                };
                asked.explain(*explainer, &input, &forward, request)
            })
            .map_err(|error| error.at_stage(Stage::Explain))?;
        let is_close = Hold::new(*hold).is_close(&request.candidates(&explanation.ranking));
        let pass = is_close.then_some((input, forward));
        Ok((thumbnail, Made { explanation, pass }))
    }
}

/// Until it is dropped, what the model would spread over rayon's pool stays on this thread: one frame per thread is faster than several
/// threads per frame. If that cannot be had, the work is only slower.
pub(crate) fn keep_work_on_this_thread() -> Option<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build()
        .ok()
}

/// Explains with progress, and stops when asked to.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) explaining: &'a Explaining<'a>,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) cancel: &'a CancelToken,
}

impl Asked<'_> {
    pub(crate) fn explain(
        self,
        explainer: &dyn Explainer,
        input: &ModelInput,
        forward: &Forward,
        request: &Request,
    ) -> Result<Explanation> {
        let on_pass = |done, total| {
            self.reporter.pass_done(done, total);
            if self.cancel.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let model: &dyn Classifier = self.explaining.model;
        let queries = Queries::new(model)
            .with_threads(self.explaining.query_threads())
            .with_sampling(self.explaining.samples, self.explaining.seed)
            .with_report(&on_pass);
        explain_forward(&queries, explainer, input, forward, request)
    }
}
