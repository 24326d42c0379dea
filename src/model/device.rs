//! Which device runs the network.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::batched::BatchSize;
use crate::model::cpu::Isa;
use crate::model::{Classifier, Precision, WeightFile};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A GPU if this program can use one and there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs by number, at least one, none twice; they share the pictures.
    Cuda(Vec<usize>),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    /// `auto`, `cpu`, `cuda` (the first GPU), `cuda:1`, `cuda:0,1`.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            let message =
                format!("{text:?} is no device: valid are auto, cpu, cuda, cuda:N, cuda:N,M");
            Error::new(ErrorKind::InvalidArgument, message)
        };
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(vec![0])),
            _ => {}
        }
        let mut numbers = Vec::new();
        for number in text.strip_prefix("cuda:").ok_or_else(invalid)?.split(',') {
            let number: usize = number.parse().map_err(|_| invalid())?;
            if numbers.contains(&number) {
                return Err(invalid());
            }
            numbers.push(number);
        }
        Ok(Self::Cuda(numbers))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(numbers) => {
                let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
                write!(f, "cuda:{}", numbers.join(","))
            }
        }
    }
}

/// A network, and what its user should hear about the choice of its device.
pub struct Loaded {
    /// The network.
    pub model: Box<dyn Classifier>,
    /// Why [`DeviceChoice::Auto`] did not take a GPU though this program could use one.
    pub notice: Option<String>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("backend", &self.model.backend())
            .field("notice", &self.notice)
            .finish()
    }
}

/// Builds the network of a weight file on a device; on a CPU as [`load`](crate::model::load) does, where `isa` forces the instruction set.
///
/// # Errors
/// As [`load`](crate::model::load). If a GPU is asked for by name: [`ErrorKind::Compute`] if there is none, or it fails,
/// [`ErrorKind::OutOfMemory`] if it has no room, [`ErrorKind::InvalidArgument`] if this program was built without the feature `cuda`.
pub fn load_on(
    file: Arc<WeightFile>,
    precision: Precision,
    choice: &DeviceChoice,
    size: BatchSize,
    isa: Option<Isa>,
) -> Result<Loaded> {
    let mut notice = None;
    match choice {
        DeviceChoice::Cpu => {}
        DeviceChoice::Cuda(numbers) => {
            let model = on_gpus(&file, precision, numbers, size)?;
            return Ok(Loaded {
                model,
                notice: None,
            });
        }
        // Who names an instruction set means the CPU.
        DeviceChoice::Auto if isa.is_some() => {}
        DeviceChoice::Auto => match on_first_gpu(&file, precision, size) {
            Ok(None) => {}
            Ok(Some(model)) => {
                return Ok(Loaded {
                    model,
                    notice: None,
                });
            }
            Err(error) if error.kind() == ErrorKind::Weights => return Err(error),
            Err(error) => {
                notice = Some(format!("the network runs on the CPU: {}", error.one_line()));
            }
        },
    }
    match crate::model::load(file, precision, isa) {
        Ok(model) => Ok(Loaded { model, notice }),
        // What the GPU lacks is the first cause.
        Err(error) => Err(match notice {
            None => error,
            Some(notice) => Error::new(error.kind(), format!("{}; {notice}", error.one_line())),
        }),
    }
}

/// None without CUDA in the program, where nobody misses a GPU.
fn on_first_gpu(
    file: &Arc<WeightFile>,
    precision: Precision,
    size: BatchSize,
) -> Result<Option<Box<dyn Classifier>>> {
    first_gpu()?
        .map(|number| on_gpus(file, precision, &[number], size))
        .transpose()
}

#[cfg(feature = "cuda")]
fn first_gpu() -> Result<Option<usize>> {
    crate::model::cuda::first_gpu().map(Some)
}

#[cfg(not(feature = "cuda"))]
#[allow(clippy::unnecessary_wraps)]
fn first_gpu() -> Result<Option<usize>> {
    Ok(None)
}

#[cfg(feature = "cuda")]
fn on_gpus(
    file: &Arc<WeightFile>,
    precision: Precision,
    numbers: &[usize],
    size: BatchSize,
) -> Result<Box<dyn Classifier>> {
    crate::model::cuda::load(file, precision, numbers, size)
}

#[cfg(not(feature = "cuda"))]
fn on_gpus(
    _: &Arc<WeightFile>,
    _: Precision,
    _: &[usize],
    _: BatchSize,
) -> Result<Box<dyn Classifier>> {
    let message = "cannot run on a GPU: this program was built without CUDA (feature cuda)";
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_on_the_command_line() {
        let cases = [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(vec![0])),
            ("cuda:3", DeviceChoice::Cuda(vec![3])),
            ("cuda:0,1", DeviceChoice::Cuda(vec![0, 1])),
        ];
        for (text, choice) in cases {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
        }
        for text in [
            "", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0,", "cuda:1,1", "CPU",
        ] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.one_line().contains("is no device"), "{text}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_gpu_needs_a_program_that_can_use_one() {
        let file = WeightFile::open("weights/resnet50-keras-f16.safetensors".as_ref()).unwrap();
        let choice = DeviceChoice::Cuda(vec![0]);
        let size = BatchSize::default();
        let loaded = load_on(file.into(), Precision::F32, &choice, size, None);
        let error = loaded.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.one_line().contains("built without CUDA"));
    }
}
