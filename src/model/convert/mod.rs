//! Turns the Keras ResNet50 in TensorFlow.js layers format into this program's weight file.
//!
//! ```text
//! folder ──► tfjs (manifest, shards) ──► keras (names, shapes) ──► transpose, round ──► safetensors
//! ```
//!
//! The folder is foreign: every number in it is checked before it is used, and anything that this
//! program does not understand is an error, never a guess.

mod keras;
mod metadata;
mod safetensors_writer;
mod tfjs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use half::f16;
use safetensors::Dtype;

use crate::error::{Error, ErrorKind, Result};
use keras::{Architecture, KerasWeight, Layout};
use safetensors_writer::OutputTensor;
use tfjs::{Manifest, TfjsTensor};

/// How convolution and classifier weights are stored. Biases and batch normalisation are always
/// f32: one of the running variances is beyond the range of f16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WeightDtype {
    /// 16-bit floats, rounded to the nearest, ties to even.
    #[default]
    F16,
    /// 32-bit floats, as in the source.
    F32,
}

impl fmt::Display for WeightDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        })
    }
}

/// What a conversion wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertSummary {
    /// Tensors in the file.
    pub tensor_count: usize,
    /// Numbers in all tensors together, running statistics included, as Keras counts parameters.
    pub parameter_count: u64,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Storage of the convolution and classifier weights.
    pub dtype: WeightDtype,
}

/// Converts `folder` (`model.json` and its shards, all float32) to a safetensors file at `output`.
///
/// Tensors get torchvision's names and layouts: convolutions `[out, in, height, width]`, `fc.weight`
/// `[classes, features]`. The metadata carries what the network needs to be run: topology,
/// preprocessing, labels, WordNet ids. Two runs write the same bytes. An existing `output` is
/// replaced once the new file is complete; on an error nothing appears under that name.
///
/// # Errors
/// [`ErrorKind::Weights`] if the folder is not a complete, unquantized float32 Keras ResNet50, or a
/// weight does not fit `dtype`; [`ErrorKind::InvalidArgument`] if `output` is one of the files to be
/// read; [`ErrorKind::Output`] if `output` cannot be written.
pub fn convert_tfjs_folder(
    folder: &Path,
    output: &Path,
    dtype: WeightDtype,
) -> Result<ConvertSummary> {
    convert(folder, output, dtype, &Architecture::resnet50())
}

fn convert(
    folder: &Path,
    output: &Path,
    dtype: WeightDtype,
    architecture: &Architecture,
) -> Result<ConvertSummary> {
    let refuse = |cause: String| {
        Error::caused_by(
            ErrorKind::Weights,
            format!("cannot convert {}", folder.display()),
            cause,
        )
    };
    let manifest = Manifest::read(folder).map_err(refuse)?;
    let expected = architecture.weights();
    manifest.check_against(&expected).map_err(refuse)?;
    refuse_to_overwrite_inputs(&manifest, folder, output)?;

    let mut loaded = manifest.load(folder).map_err(refuse)?;
    let tensors = expected
        .iter()
        .map(|weight| output_tensor(weight, &mut loaded, dtype))
        .collect::<Result<Vec<_>, String>>()
        .map_err(refuse)?;

    let metadata = metadata::entries(dtype).map_err(refuse)?;
    let parameter_count = expected.iter().map(KerasWeight::value_count).sum();
    let tensor_count = tensors.len();
    let file_bytes = safetensors_writer::write_file(output, &metadata, tensors)?;
    Ok(ConvertSummary {
        tensor_count,
        parameter_count,
        file_bytes,
        dtype,
    })
}

fn refuse_to_overwrite_inputs(manifest: &Manifest, folder: &Path, output: &Path) -> Result<()> {
    let Ok(existing) = output.canonicalize() else {
        return Ok(());
    };
    for name in manifest.file_names() {
        if folder
            .join(name)
            .canonicalize()
            .is_ok_and(|input| input == existing)
        {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("cannot write {}: it is part of the input", output.display()),
            ));
        }
    }
    Ok(())
}

fn output_tensor(
    weight: &KerasWeight,
    loaded: &mut BTreeMap<String, TfjsTensor>,
    dtype: WeightDtype,
) -> Result<OutputTensor, String> {
    let source = loaded
        .remove(&weight.keras_name)
        .ok_or_else(|| format!("weight {} is missing", weight.keras_name))?;
    if let Some(value) = source.values.iter().find(|value| !value.is_finite()) {
        return Err(format!("weight {} holds {value}", weight.keras_name));
    }
    let (shape, values) = weight.layout.to_torch(&source.shape, source.values);
    let stored_as = match (weight.layout, dtype) {
        (Layout::Vector, _) | (_, WeightDtype::F32) => Dtype::F32,
        (Layout::Convolution | Layout::Dense, WeightDtype::F16) => Dtype::F16,
    };
    let bytes = if stored_as == Dtype::F16 {
        f16_bytes(&values)
            .map_err(|value| format!("weight {} holds {value}, beyond f16", weight.keras_name))?
    } else {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    };
    Ok(OutputTensor {
        name: weight.torch_name.clone(),
        dtype: stored_as,
        shape,
        bytes,
    })
}

/// Little-endian f16, rounded to nearest even; the first value that becomes infinite is the error.
fn f16_bytes(values: &[f32]) -> Result<Vec<u8>, f32> {
    let mut bytes = Vec::with_capacity(values.len() * 2);
    for &value in values {
        let rounded = f16::from_f32(value);
        if rounded.is_infinite() {
            return Err(value);
        }
        bytes.extend(rounded.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
