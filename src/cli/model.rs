//! Which weights are used (the option, the environment, or those inside the program), and what computes the network.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradcam_video::model::cpu::Isa;
use gradcam_video::model::{self, Classifier, Precision, ResNet, WeightFile};
use gradcam_video::{Error, ErrorKind, Result};

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

/// The network, computed by the fastest code of this CPU or by what `$GRADCAM_VIDEO_ISA` names.
pub(super) fn load_model(
    weights: Arc<WeightFile>,
    precision: Precision,
) -> Result<Box<dyn Classifier>> {
    let forced = std::env::var(ISA_VARIABLE).unwrap_or_default();
    let isa = match forced.as_str() {
        "" => None,
        "candle" if precision == Precision::F32 => return Ok(Box::new(ResNet::load(&weights)?)),
        "candle" => {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{ISA_VARIABLE}=candle computes in f32 only"),
            ));
        }
        name => Some(Isa::named(name)?),
    };
    model::load(weights, precision, isa)
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
