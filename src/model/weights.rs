//! Reading weight files: safetensors whose metadata says which network they belong to.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// What a user can do about a bad weight file.
const REMEDY: &str = "make a good one with `gradcam-video weights convert FOLDER OUT.safetensors`, \
                      or leave out --weights to use the built-in weights";

/// One tensor, widened to f32, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTensor {
    /// Sizes of the dimensions: `[out, in, height, width]` for convolutions.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Vec<f32>,
}

/// A weight file in memory.
#[derive(Debug)]
pub struct WeightFile {
    origin: String,
    sha256: String,
    metadata: BTreeMap<String, String>,
    tensors: HashMap<String, WeightTensor>,
}

impl WeightFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it cannot be read or is not a whole safetensors file of f16, bf16 or f32 tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| {
            Error::caused_by(
                ErrorKind::Weights,
                format!("cannot read weights {origin} ({REMEDY})"),
                error,
            )
        })?;
        Self::from_bytes(&bytes, &origin)
    }

    /// Parses a file that is already in memory. `origin` is named in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self> {
        let damaged = |error| {
            Error::caused_by(
                ErrorKind::Weights,
                format!("weights {origin} are truncated or no safetensors file ({REMEDY})"),
                error,
            )
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let views = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut tensors = HashMap::with_capacity(views.len());
        for (name, view) in views.iter() {
            let values = widen(view.dtype(), view.data()).ok_or_else(|| {
                Error::new(
                    ErrorKind::Weights,
                    format!(
                        "weights {origin}: tensor {name} has type {:?}, expected F16, BF16 or F32 ({REMEDY})",
                        view.dtype()
                    ),
                )
            })?;
            let shape = view.shape().to_vec();
            tensors.insert(name.to_owned(), WeightTensor { shape, values });
        }
        Ok(Self {
            origin: origin.to_owned(),
            sha256: Sha256::digest(bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            metadata: header
                .metadata()
                .iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            tensors,
        })
    }

    /// Where the file came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// SHA-256 of the whole file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// All metadata entries, sorted by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Names of all tensors, sorted.
    pub fn tensor_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// A required metadata entry.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it is missing.
    pub fn entry(&self, key: &str) -> Result<&str> {
        self.metadata
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| self.error(format!("metadata entry {key:?} is missing")))
    }

    /// A required tensor of exactly this shape.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&WeightTensor> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| self.error(format!("tensor {name} is missing")))?;
        if tensor.shape != shape {
            return Err(self.error(format!(
                "tensor {name} has shape {:?}, expected {shape:?}",
                tensor.shape
            )));
        }
        Ok(tensor)
    }

    /// A tensor that a variant of the network may lack.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it is there with another shape.
    pub fn optional_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<&WeightTensor>> {
        if self.tensors.contains_key(name) {
            self.tensor(name, shape).map(Some)
        } else {
            Ok(None)
        }
    }

    /// An error about this file that says what to do.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::Weights,
            format!("weights {}: {what} ({REMEDY})", self.origin),
        )
    }
}

fn widen(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let halves = |to_f32: fn([u8; 2]) -> f32| {
        bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| to_f32(*pair))
            .collect()
    };
    match dtype {
        Dtype::F16 => Some(halves(|pair| f16::from_le_bytes(pair).to_f32())),
        Dtype::BF16 => Some(halves(|pair| bf16::from_le_bytes(pair).to_f32())),
        Dtype::F32 => Some(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|quad| f32::from_le_bytes(*quad))
                .collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny_file(dtype: &str, data: &[u8]) -> Vec<u8> {
        let header = format!(
            r#"{{"__metadata__":{{"arch":"toy"}},"w":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{}]}}}}"#,
            data.len()
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn f16_and_f32_are_widened_and_metadata_is_kept() {
        let halves = [
            f16::from_f32(1.5).to_le_bytes(),
            f16::from_f32(-2.0).to_le_bytes(),
        ]
        .concat();
        let file = WeightFile::from_bytes(&tiny_file("F16", &halves), "toy").unwrap();
        assert_eq!(file.tensor("w", &[2]).unwrap().values, [1.5, -2.0]);
        assert_eq!(file.entry("arch").unwrap(), "toy");
        assert_eq!(file.sha256().len(), 64);
    }

    #[test]
    fn errors_name_the_file_the_fault_and_the_remedy() {
        let good = tiny_file("F32", &[0; 8]);
        let truncated = WeightFile::from_bytes(&good[..good.len() - 3], "w.st").unwrap_err();
        let missing = WeightFile::open(Path::new("/nowhere/w.st")).unwrap_err();
        let integers = WeightFile::from_bytes(&tiny_file("I32", &[0; 8]), "w.st").unwrap_err();
        let file = WeightFile::from_bytes(&good, "w.st").unwrap();
        let shape = file.tensor("w", &[3]).unwrap_err();
        let absent = file.tensor("v", &[3]).unwrap_err();
        for (error, what) in [
            (truncated, "truncated"),
            (missing, "cannot read weights /nowhere/w.st"),
            (integers, "type I32"),
            (shape, "shape [2], expected [3]"),
            (absent, "tensor v is missing"),
        ] {
            let line = error.one_line();
            assert!(
                line.contains(what) && line.contains("weights convert"),
                "{line}"
            );
            assert_eq!(error.kind(), ErrorKind::Weights);
        }
    }
}
