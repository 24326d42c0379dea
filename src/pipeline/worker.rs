//! The worker threads: one frame each, from preprocessing to its raw map.

use crossbeam_channel::{Receiver, Sender};

use crate::error::{Result, Stage};
use crate::explain::{Explainer, Explanation, explain_forward};
use crate::frame::{Frame, Orientation};
use crate::model::Classifier;
use crate::pipeline::Options;
use crate::pipeline::failure::FirstFailure;
use crate::pipeline::report::StageTimes;
use crate::preprocess::Preprocessor;
use crate::temporal::Thumbnail;

/// A frame on its way from a worker to the ordered thread; without an explanation it carries the last one on.
pub(super) struct Explained {
    pub(super) frame: Frame,
    pub(super) explanation: Option<(Explanation, Thumbnail)>,
}

/// Takes frames from preprocessing to the raw map.
pub(super) struct Worker<'a> {
    pub(super) model: &'a dyn Classifier,
    pub(super) explainer: &'a dyn Explainer,
    pub(super) options: &'a Options,
    pub(super) orientation: Orientation,
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
        // One frame per thread is faster than several threads per frame: what the model would spread over rayon's pool stays on
        // this thread. If that cannot be had, the work is only slower.
        let _this_thread = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
            .build();
        let mut preprocessor = Preprocessor::new(self.options.resize, self.model.spec());
        while let Some(frame) = times.preprocess.wait(|| failure.receive(frames)) {
            let is_explained = frame.index.0.is_multiple_of(self.options.stride.max(1));
            let explanation = is_explained
                .then(|| self.explain(&frame, &mut preprocessor, times))
                .transpose();
            match explanation {
                Ok(explanation) => {
                    let item = Explained { frame, explanation };
                    if times.explain.wait(|| to_ordered.send(item).is_err()) {
                        return;
                    }
                }
                Err(error) => return failure.record(error.at_frame(frame.index)),
            }
        }
    }

    fn explain(
        &self,
        frame: &Frame,
        preprocessor: &mut Preprocessor,
        times: &mut StageTimes,
    ) -> Result<(Explanation, Thumbnail)> {
        let options = self.options;
        let input = times
            .preprocess
            .measure(|| preprocessor.run(&frame.picture, self.orientation))
            .map_err(|error| error.at_stage(Stage::Preprocess))?;
        let thumbnail = times
            .preprocess
            .measure(|| Thumbnail::of(&input, &self.model.spec().normalization));
        let forward = times
            .model
            .measure(|| self.model.forward(&input, &options.layers))
            .map_err(|error| error.at_stage(Stage::Model))?;
        let explanation = times
            .explain
            .measure(|| {
                explain_forward(
                    self.model,
                    self.explainer,
                    &forward,
                    &options.layers,
                    options.target,
                    options.score,
                )
            })
            .map_err(|error| error.at_stage(Stage::Explain))?;
        Ok((explanation, thumbnail))
    }
}
