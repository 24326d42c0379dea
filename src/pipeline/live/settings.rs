//! What is asked and how it is drawn, as viewers may change it while a live run goes on.

use std::sync::Arc;

use super::Asking;
use crate::error::{Error, ErrorKind, Result};
use crate::explain::{
    Explainer, METHODS, Request, Score, TargetChoice, check_samples, method_by_name,
};
use crate::model::{ModelSpec, Prediction};
use crate::render::{ColorMap, Layout, RenderOptions};

/// Name of the layer where a method looks at none.
const NO_LAYER: &str = "input";

/// What a frame is to be explained as.
#[derive(Clone)]
pub struct Question {
    /// The method.
    pub explainer: &'static dyn Explainer,
    /// Targets, score, layers.
    pub request: Request,
    /// Name of the layers in records.
    pub layer_name: String,
    /// Rises whenever something else is asked.
    pub(super) number: u64,
}

impl Question {
    /// A question to begin with.
    pub fn new(explainer: &'static dyn Explainer, request: Request, layer_name: String) -> Self {
        Self {
            explainer,
            request,
            layer_name,
            number: 0,
        }
    }

    /// Whether its maps' values can be compared with those of another question.
    pub(super) fn has_units_of(&self, other: &Self) -> bool {
        let (one, two) = (&self.request, &other.request);
        self.explainer.name() == other.explainer.name()
            && (one.score, one.contrast, &one.layers) == (two.score, two.contrast, &two.layers)
    }
}

/// Something that a viewer wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Explain each frame's most probable class.
    TopClass,
    /// Explain the next of the most probable classes; after the last, the first again.
    NextClass,
    /// Explain this class: an index, a name, a WordNet id.
    Class(String),
    /// The next method that is fast enough for this.
    NextMethod,
    /// The method of this name.
    Method(String),
    /// The layer of this name.
    Layer(String),
    /// The next layout.
    NextLayout,
    /// This layout.
    Layout(Layout),
    /// The next palette.
    NextColorMap,
    /// This palette.
    ColorMap(ColorMap),
    /// Weight of the heatmap, 0 to 1.
    Alpha(f32),
    /// Keep the current frame on the screen, or go on.
    ToggleFreeze,
    /// Keep the current frame on the screen if `true`, else go on.
    Freeze(bool),
}

/// See the module.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) question: Arc<Question>,
    pub(super) render: RenderOptions,
    /// What the user chose; a method's own score if `None`.
    score: Option<Score>,
    /// What the user chose, for methods that take any.
    samples: Option<usize>,
    /// How many of the most probable classes viewers see.
    pub(super) top_k: usize,
}

impl Settings {
    /// Settings to begin with.
    ///
    /// # Errors
    /// If the question's method cannot answer it.
    pub(super) fn new(
        question: Question,
        render: RenderOptions,
        asking: &Asking<'_>,
    ) -> Result<Self> {
        let settings = Self {
            question: Arc::new(question),
            render,
            score: asking.score,
            samples: asking.samples,
            top_k: asking.top_k,
        };
        settings.check(&settings.question, asking.model.spec())?;
        Ok(settings)
    }

    fn check(&self, question: &Question, spec: &ModelSpec) -> Result<()> {
        let method = question.explainer;
        method.check(spec, &question.request)?;
        let samples = self.samples.filter(|_| method.sample_count().is_some());
        check_samples(method, samples)
    }

    /// Takes up a wish, or says why not and leaves all as it was. `ranking`: the classes of the last explanation, best first.
    pub(super) fn fulfil(
        &mut self,
        wish: &Wish,
        spec: &ModelSpec,
        ranking: &[Prediction],
    ) -> Result<()> {
        match wish {
            Wish::Layout(layout) => self.render.layout = *layout,
            Wish::NextLayout => self.render.layout = after(&Layout::ALL, &self.render.layout),
            Wish::ColorMap(colormap) => self.render.colormap = *colormap,
            Wish::NextColorMap => {
                self.render.colormap = after(&ColorMap::ALL, &self.render.colormap);
            }
            Wish::Alpha(alpha) if (0.0..=1.0).contains(alpha) => self.render.alpha = *alpha,
            Wish::Alpha(alpha) => {
                return Err(refused(format!(
                    "alpha must lie between 0 and 1, not at {alpha}"
                )));
            }
            Wish::ToggleFreeze | Wish::Freeze(_) => {}
            _ => {
                let asked = self.ask(wish, spec, ranking)?;
                self.question = Arc::new(asked);
            }
        }
        Ok(())
    }

    /// The question that a wish makes of the current one.
    fn ask(&self, wish: &Wish, spec: &ModelSpec, ranking: &[Prediction]) -> Result<Question> {
        let mut question = Question::clone(&self.question);
        question.number += 1;
        match wish {
            Wish::TopClass => self.set_class(&mut question, TargetChoice::Top1)?,
            Wish::Class(name) => {
                let class = TargetChoice::Class(spec.labels.find(name)?);
                self.set_class(&mut question, class)?;
            }
            Wish::NextClass => {
                let class = self.next_class(ranking);
                self.set_class(&mut question, class)?;
            }
            Wish::Layer(name) if question.explainer.is_model_agnostic() => {
                let method = question.explainer.name();
                return Err(refused(format!(
                    "{method} looks at no layer, not at {name}"
                )));
            }
            Wish::Layer(name) => {
                let layer = spec.layer_by_name(name)?;
                question.request.layers = vec![layer];
                question.layer_name = spec.layer_name(layer);
            }
            Wish::Method(name) => self.set_method(&mut question, method_by_name(name)?, spec),
            Wish::NextMethod => {
                let methods = self.fast_methods(&question, spec);
                let current = question.explainer.name();
                let position = methods.iter().position(|method| method.name() == current);
                let next = position.map_or(0, |position| (position + 1) % methods.len().max(1));
                let next = methods.get(next).copied();
                self.set_method(&mut question, next.unwrap_or(self.question.explainer), spec);
            }
            _ => {}
        }
        self.check(&question, spec)?;
        Ok(question)
    }

    /// Those of the current question's layers that need one pass per frame and fit what is asked.
    fn fast_methods(&self, question: &Question, spec: &ModelSpec) -> Vec<&'static dyn Explainer> {
        let fits = |method: &&'static dyn Explainer| {
            let mut tried = question.clone();
            self.set_method(&mut tried, *method, spec);
            !method.makes_many_passes(spec, &tried.request.layers)
                && self.check(&tried, spec).is_ok()
        };
        METHODS.into_iter().filter(fits).collect()
    }

    fn set_method(
        &self,
        question: &mut Question,
        method: &'static dyn Explainer,
        spec: &ModelSpec,
    ) {
        question.explainer = method;
        let request = &mut question.request;
        request.score = match (self.score, request.contrast) {
            (Some(score), _) => score,
            // Of two rare classes, probabilities hardly differ.
            (None, Some(_)) => Score::Logit,
            (None, None) => method.default_score(),
        };
        let names = request.layers.iter().map(|layer| spec.layer_name(*layer));
        question.layer_name = if method.is_model_agnostic() {
            NO_LAYER.to_owned()
        } else {
            names.collect::<Vec<_>>().join(",")
        };
    }

    /// Changes the first of the targets.
    fn set_class(&self, question: &mut Question, class: TargetChoice) -> Result<()> {
        let contrast = question.request.contrast.map(TargetChoice::Class);
        if contrast == Some(class) {
            return Err(refused("the class is the one that it is set against"));
        }
        if let Some(first) = question.request.targets.first_mut() {
            *first = class;
        }
        Ok(())
    }

    fn next_class(&self, ranking: &[Prediction]) -> TargetChoice {
        let ranking = self.question.request.candidates(ranking);
        let listed = &ranking[..ranking.len().min(self.top_k.max(1))];
        let place = match self.question.request.targets.first() {
            Some(TargetChoice::Class(class)) => listed.iter().position(|top| top.index == *class),
            _ => Some(0),
        };
        // One that is not listed is left for the top one.
        let next = place.and_then(|place| listed.get(place + 1));
        next.map_or(TargetChoice::Top1, |next| TargetChoice::Class(next.index))
    }
}

/// The member behind `current`, and the first behind the last.
fn after<T: Copy + PartialEq>(all: &[T], current: &T) -> T {
    let position = all.iter().position(|one| one == current).unwrap_or(0);
    all.get(position + 1)
        .or(all.first())
        .copied()
        .unwrap_or(*current)
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
