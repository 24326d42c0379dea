//! How long a batch takes, by the GPU's own clock.

use std::time::Instant;

use candle_core::Error;
use cudarc::driver::CudaContext;
use cudarc::driver::sys::CUevent_flags;
use half::{bf16, f16};

use super::parts;
use crate::error::Result;
use crate::model::batched::{
    BatchNetwork, Element, FoldedResNet, Question, channels_last, device_error,
};
use crate::model::{ModelInput, ModelSpec, Precision, WeightFile};

/// Batches before the clock starts: memory is reserved, kernels are loaded.
const WARM_UP: usize = 10;

/// Medians over batches, in milliseconds.
#[derive(Debug, Clone)]
pub struct BatchTime {
    /// Network and class activation maps, the pictures on the GPU already, between two events of the GPU.
    pub compute_ms: f64,
    /// What the host needs to launch that.
    pub launch_ms: f64,
    /// Upload, network and maps, download, by the wall clock, with two batches under way as in a run.
    pub whole_ms: f64,
    /// Convolutions for which cuDNN has no fused kernel, of 53.
    pub unfused: usize,
    /// Why the batch was launched kernel by kernel, if it was, though cuDNN's can be launched as a whole.
    pub unrecorded: Option<String>,
}

/// Times `rounds` batches of `input` on a GPU.
///
/// # Errors
/// As [`load`](super::load).
pub fn time_batch(
    file: &WeightFile,
    precision: Precision,
    number: usize,
    (input, batch): (&ModelInput, usize),
    rounds: usize,
) -> Result<BatchTime> {
    super::check(number, precision)?;
    match precision {
        Precision::F32 => time_as::<f32>(file, number, (input, batch), rounds),
        Precision::Bf16 => time_as::<bf16>(file, number, (input, batch), rounds),
        Precision::F16 => time_as::<f16>(file, number, (input, batch), rounds),
    }
}

fn time_as<T: Element>(
    file: &WeightFile,
    number: usize,
    (input, batch): (&ModelInput, usize),
    rounds: usize,
) -> Result<BatchTime> {
    // Held, so that the GPU is not given up between two timings.
    let _context = CudaContext::new(number).map_err(|error| device_error(Error::wrap(error)))?;
    let parts = parts::<T>(number).map_err(device_error)?;
    let device = parts.device.clone();
    let mut network = FoldedResNet::load(file, parts)?;
    let picture = channels_last::<T>(input);

    let mut compute = || -> candle_core::Result<[Vec<f64>; 2]> {
        let stream = device.as_cuda_device()?.cuda_stream();
        let now = || {
            let event = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
            event.map_err(Error::wrap)
        };
        let pictures = network.upload(&vec![&*picture; batch])?;
        let (mut times, mut launches) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
        for round in 0..WARM_UP + rounds {
            let (start, called) = (now()?, Instant::now());
            let computed = network.compute(&pictures, &[], &vec![&[][..]; batch])?;
            let launched = called.elapsed();
            let end = now()?;
            end.synchronize().map_err(Error::wrap)?;
            drop(computed);
            if round >= WARM_UP {
                times.push(f64::from(start.elapsed_ms(&end).map_err(Error::wrap)?));
                launches.push(launched.as_secs_f64() * 1e3);
            }
        }
        Ok([times, launches])
    };
    let [compute_ms, launch_ms] = compute().map_err(device_error)?.map(median);

    let question = Question::of(picture, ModelSpec::from_weights(file)?.last_layer());
    let questions = vec![&question; batch];
    let (mut whole, mut running) = (Vec::with_capacity(rounds), None);
    let mut last = Instant::now();
    for round in 0..WARM_UP + rounds {
        let next = network.launch(&questions)?;
        if let Some(running) = running.replace(next) {
            network.collect(running)?;
        }
        if round >= WARM_UP {
            whole.push(last.elapsed().as_secs_f64() * 1e3);
        }
        last = Instant::now();
    }
    if let Some(running) = running {
        network.collect(running)?;
    }
    Ok(BatchTime {
        compute_ms,
        launch_ms,
        whole_ms: median(whole),
        unfused: network.unfused(),
        unrecorded: network.unrecorded(),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
