//! Which weights are used (the option, the environment, or those inside the program), and what computes the network.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradcam_video::model::cpu::Isa;
use gradcam_video::model::{
    Classifier, DeviceChoice, Loaded, Precision, ResNet, WeightFile, load_on,
};
use gradcam_video::{Error, ErrorKind, Result};

use super::config::{BATCH_IS_FOR_GPUS, NetworkChoice};
use super::console::Console;

/// Names the weight file where the option does not.
const WEIGHTS_VARIABLE: &str = "GRADCAM_VIDEO_WEIGHTS";

/// Forces an instruction set (`scalar`, `avx2`, `avx512`), or the reference (`candle`).
const ISA_VARIABLE: &str = "GRADCAM_VIDEO_ISA";

#[cfg(feature = "embed-weights")]
static EMBEDDED: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/weights/resnet50-keras-f16.safetensors"
));

/// Loads `--weights FILE`, else `$GRADCAM_VIDEO_WEIGHTS`, else the built-in weights.
pub(super) fn load_weights(option: Option<&Path>) -> Result<WeightFile> {
    let variable = std::env::var_os(WEIGHTS_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    match option.or(variable.as_deref()) {
        Some(path) => WeightFile::open(path),
        None => built_in(),
    }
}

/// The network, computed as was asked for; says where if that was left open.
pub(super) fn load_model(
    weights: Arc<WeightFile>,
    choice: &NetworkChoice,
    console: Console,
) -> Result<Box<dyn Classifier>> {
    let Loaded { model, notice } = load_quietly(weights, choice)?;
    if let Some(notice) = notice {
        console.note(&notice);
    }
    let backend = model.backend();
    match model.batch() {
        Some(batch) => console.info(&format!(
            "the network runs on {}, at most {batch} pictures at a time",
            backend.device
        )),
        None => {
            console.detail(&format!("the network runs on {}", backend.device));
            if choice.batch.most.is_some() {
                console.note(BATCH_IS_FOR_GPUS);
            }
        }
    }
    Ok(model)
}

/// [`load_model`] without a word. On a CPU, the fastest code it has, or what `$GRADCAM_VIDEO_ISA` names.
pub(super) fn load_quietly(weights: Arc<WeightFile>, choice: &NetworkChoice) -> Result<Loaded> {
    let NetworkChoice {
        precision,
        device,
        batch,
    } = choice;
    let forced = std::env::var(ISA_VARIABLE).unwrap_or_default();
    let isa = match forced.as_str() {
        "" => None,
        // It is about CPUs.
        _ if matches!(device, DeviceChoice::Cuda(_)) => None,
        "candle" if *precision == Precision::F32 => {
            return Ok(Loaded {
                model: Box::new(ResNet::load(&weights)?),
                notice: None,
            });
        }
        "candle" => {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{ISA_VARIABLE}=candle computes in f32 only"),
            ));
        }
        name => Some(Isa::named(name)?),
    };
    load_on(weights, *precision, device, *batch, isa)
}

/// Says that a GPU could not hold as many pictures as at first.
pub(super) fn note_batch(console: Console, before: Option<usize>, model: &dyn Classifier) {
    match (before, model.batch()) {
        (Some(before), Some(after)) if after < before => console.note(&format!(
            "the GPU's memory ran out: batches of {before} pictures became batches of {after}"
        )),
        _ => {}
    }
}

#[cfg(feature = "embed-weights")]
fn built_in() -> Result<WeightFile> {
    WeightFile::from_bytes(EMBEDDED, "(built in)")
}

#[cfg(not(feature = "embed-weights"))]
fn built_in() -> Result<WeightFile> {
    Err(Error::new(
        ErrorKind::Weights,
        format!(
            "this program was built without weights (feature embed-weights): give --weights FILE or set {WEIGHTS_VARIABLE}"
        ),
    ))
}
