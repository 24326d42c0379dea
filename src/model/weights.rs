//! Reading weight files: safetensors whose metadata says which network they belong to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// Largest file that is read: four times the largest ResNet in f32.
const MAXIMUM_FILE_BYTES: u64 = 1 << 30;
/// What a user can do about a bad weight file.
const REMEDY: &str = "make a good one with `gradcam-video weights convert FOLDER OUT.safetensors`, \
                      or leave out --weights to use the built-in weights";

/// Where a tensor lies in the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Range<usize>,
}

/// A weight file in memory. Tensors stay as they are stored, and are widened to f32 when asked for.
#[derive(Debug)]
pub struct WeightFile {
    origin: String,
    sha256: String,
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Entry>,
    bytes: Cow<'static, [u8]>,
}

/// Batch normalisation, together with the bias of the convolution before it, as one multiplication and one addition
/// per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm<T = f32> {
    /// What each output channel of the convolution is multiplied by.
    pub scale: Vec<T>,
    /// What is added then.
    pub shift: Vec<T>,
}

impl BatchNorm<f64> {
    /// The nearest f32 of each number.
    pub fn rounded(&self) -> BatchNorm {
        let rounded = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        BatchNorm {
            scale: rounded(&self.scale),
            shift: rounded(&self.shift),
        }
    }
}

impl WeightFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it cannot be read or is not a whole safetensors file of f16, bf16 or f32 tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        // Some files have no end.
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(path)?
                .take(MAXIMUM_FILE_BYTES + 1)
                .read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MAXIMUM_FILE_BYTES {
                let limit = MAXIMUM_FILE_BYTES >> 20;
                return Err(io::Error::other(format!("it is larger than {limit} MiB")));
            }
            Ok(bytes)
        };
        let bytes = read().map_err(|error| {
            Error::caused_by(
                ErrorKind::Weights,
                format!("cannot read weights {origin} ({REMEDY})"),
                error,
            )
        })?;
        Self::from_bytes(bytes, &origin)
    }

    /// Parses a file that is already in memory. `origin` is named in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, origin: &str) -> Result<Self> {
        let bytes = bytes.into();
        let damaged = |error| {
            Error::caused_by(
                ErrorKind::Weights,
                format!("weights {origin} are truncated or no safetensors file ({REMEDY})"),
                error,
            )
        };
        let (header_len, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        // Checks all offsets against the file's length.
        SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let first_byte = header_len + size_of::<u64>();
        let mut tensors = BTreeMap::new();
        for (name, info) in header.tensors() {
            if !matches!(info.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32) {
                return Err(Error::new(
                    ErrorKind::Weights,
                    format!(
                        "weights {origin}: tensor {name} has type {:?}, expected F16, BF16 or F32 ({REMEDY})",
                        info.dtype
                    ),
                ));
            }
            let (start, end) = info.data_offsets;
            let entry = Entry {
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: first_byte + start..first_byte + end,
            };
            tensors.insert(name, entry);
        }
        Ok(Self {
            origin: origin.to_owned(),
            sha256: sha256_of(&bytes),
            metadata: header
                .metadata()
                .iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            tensors,
            bytes,
        })
    }

    /// A copy in memory whose bytes `change` changes; it is told where the tensors lie.
    pub(super) fn rewritten(
        &self,
        change: impl FnOnce(&mut [u8], &BTreeMap<String, Entry>),
    ) -> Self {
        let mut bytes = self.bytes.clone().into_owned();
        change(&mut bytes, &self.tensors);
        Self {
            origin: self.origin.clone(),
            sha256: sha256_of(&bytes),
            metadata: self.metadata.clone(),
            tensors: self.tensors.clone(),
            bytes: Cow::Owned(bytes),
        }
    }

    /// The file, if it is part of the program.
    pub(crate) fn built_in_bytes(&self) -> Option<&'static [u8]> {
        match self.bytes {
            Cow::Borrowed(bytes) => Some(bytes),
            Cow::Owned(_) => None,
        }
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
        self.tensors.keys().map(String::as_str).collect()
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

    /// The values, row-major, of a required tensor of exactly this shape (`[out, in, height, width]` for convolutions).
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it is missing, has another shape, or holds what is no finite number.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let entry = self
            .tensors
            .get(name)
            .ok_or_else(|| self.error(format!("tensor {name} is missing")))?;
        if entry.shape != shape {
            return Err(self.error(format!(
                "tensor {name} has shape {:?}, expected {shape:?}",
                entry.shape
            )));
        }
        let bytes = self.bytes.get(entry.bytes.clone()).unwrap_or_default();
        let values = widen(entry.dtype, bytes);
        // Not left to the results: ReLU makes 0 of NaN, and nobody would notice.
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(self.error(format!("tensor {name} holds {value}"))),
            None => Ok(values),
        }
    }

    /// The batch normalisation `norm` behind the convolution `conv` (tensor name prefixes; the convolution may have a bias `b`).
    /// With the normalisation's `g`, `beta`, mean `m` and variance `v`: scale = g / sqrt(v + epsilon),
    /// shift = beta + (b - m) scale.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn batch_norm(
        &self,
        conv: &str,
        norm: &str,
        channels: usize,
        epsilon: f64,
    ) -> Result<BatchNorm<f64>> {
        let vector = |name: String| self.tensor(&name, &[channels]);
        let bias_name = format!("{conv}.bias");
        let bias = if self.tensors.contains_key(&bias_name) {
            vector(bias_name)?
        } else {
            vec![0.0; channels]
        };
        let (gamma, beta) = (
            vector(format!("{norm}.weight"))?,
            vector(format!("{norm}.bias"))?,
        );
        let mean = vector(format!("{norm}.running_mean"))?;
        let variance = vector(format!("{norm}.running_var"))?;
        let (mut scales, mut shifts) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
        for channel in 0..channels {
            let value = |values: &[f32]| f64::from(values[channel]);
            let scale = value(&gamma) / (value(&variance) + epsilon).sqrt();
            scales.push(scale);
            if !scale.is_finite() {
                return Err(self.error(format!(
                    "{norm}.running_var[{channel}] is {}, which has no square root",
                    variance[channel]
                )));
            }
            shifts.push(value(&beta) + (value(&bias) - value(&mean)) * scale);
        }
        Ok(BatchNorm {
            scale: scales,
            shift: shifts,
        })
    }

    /// An error about this file that says what to do.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::Weights,
            format!("weights {}: {what} ({REMEDY})", self.origin),
        )
    }
}

fn sha256_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Little-endian numbers of a type that [`WeightFile::from_bytes`] lets through.
fn widen(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let pairs = bytes.as_chunks::<2>().0.iter().copied();
    match dtype {
        Dtype::F16 => pairs
            .map(|pair| f16::from_le_bytes(pair).to_f32())
            .collect(),
        Dtype::BF16 => pairs
            .map(|pair| bf16::from_le_bytes(pair).to_f32())
            .collect(),
        _ => {
            let quads = bytes.as_chunks::<4>().0.iter();
            quads.map(|quad| f32::from_le_bytes(*quad)).collect()
        }
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
        let file = WeightFile::from_bytes(tiny_file("F16", &halves), "toy").unwrap();
        assert_eq!(file.tensor("w", &[2]).unwrap(), [1.5, -2.0]);
        assert_eq!(file.entry("arch").unwrap(), "toy");
        assert_eq!(file.sha256().len(), 64);
    }

    #[test]
    fn errors_name_the_file_the_fault_and_the_remedy() {
        let good = tiny_file("F32", &[0; 8]);
        let truncated =
            WeightFile::from_bytes(good[..good.len() - 3].to_vec(), "w.st").unwrap_err();
        let missing = WeightFile::open(Path::new("/nowhere/w.st")).unwrap_err();
        let integers = WeightFile::from_bytes(tiny_file("I32", &[0; 8]), "w.st").unwrap_err();
        let file = WeightFile::from_bytes(good, "w.st").unwrap();
        let shape = file.tensor("w", &[3]).unwrap_err();
        let nan = [1.0f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
        let nan = WeightFile::from_bytes(tiny_file("F32", &nan), "w.st").unwrap();
        let infinity = [f16::NEG_INFINITY.to_le_bytes(), [0; 2]].concat();
        let infinity = WeightFile::from_bytes(tiny_file("F16", &infinity), "w.st").unwrap();
        let absent = file.tensor("v", &[3]).unwrap_err();
        for (error, what) in [
            (truncated, "truncated"),
            (missing, "cannot read weights /nowhere/w.st"),
            (integers, "type I32"),
            (shape, "shape [2], expected [3]"),
            (absent, "tensor v is missing"),
            (nan.tensor("w", &[2]).unwrap_err(), "tensor w holds NaN"),
            (
                infinity.tensor("w", &[2]).unwrap_err(),
                "tensor w holds -inf",
            ),
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
