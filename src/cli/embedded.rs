//! Which weights are used: the option, the environment, or those inside the program.

use std::path::{Path, PathBuf};

use gradcam_video::Result;
use gradcam_video::model::WeightFile;

/// Names the weight file where the option does not.
const WEIGHTS_VARIABLE: &str = "GRADCAM_VIDEO_WEIGHTS";

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

#[cfg(feature = "embed-weights")]
fn built_in() -> Result<WeightFile> {
    WeightFile::from_bytes(EMBEDDED, "(built in)")
}

#[cfg(not(feature = "embed-weights"))]
fn built_in() -> Result<WeightFile> {
    Err(gradcam_video::Error::new(
        gradcam_video::ErrorKind::Weights,
        format!(
            "this program was built without weights (feature embed-weights): give --weights FILE or set {WEIGHTS_VARIABLE}"
        ),
    ))
}
