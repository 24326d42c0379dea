//! What a batch launches is recorded as a CUDA graph, and launched as a whole from the second time on.
//!
//! cuDNN looks up its kernels anew whenever a fused convolution is called, which takes the host 0.1 to 0.2 ms (cuDNN 9.19): 7 to 14 ms for all of
//! ResNet50, whose kernels take 1.3 ms for 32 pictures on an H100. A graph takes the host some microseconds.
//!
//! A stream that is recorded takes down whatever any thread does on it, such as giving back memory. So recording has a stream
//! of its own, which nobody else knows; what it took down runs on the stream of all other work.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use candle_core::backend::BackendDevice;
use candle_core::{CudaDevice, Device, Error, Result, Tensor};
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaGraph, CudaStream, DevicePtr, result, sys};

use super::cudnn::{CudnnEngine, with_slice};
use super::{Gpu, RECORDING, wait_for, without_recording};
use crate::model::TargetLayer;
use crate::model::batched::{Convolution, Element, Engine, Layers, Passed, is_out_of_memory};

/// Recorded passes at most: all sizes of batches up to 128, for eight choices of layers. Others are launched kernel by kernel.
const MOST_RECORDED: usize = 64;

/// Shape of the pictures, and the layers that are kept.
type Key = (Vec<usize>, Vec<TargetLayer>);

/// Runs layers with cuDNN, all at once where they were run before.
pub(super) struct GraphEngine<T> {
    device: CudaDevice,
    direct: CudnnEngine<T>,
    recorder: CudnnEngine<T>,
    recorder_stream: Arc<CudaStream>,
    /// Ends the recorder's libraries, or keeps them.
    _recorder_gpu: Gpu,
    /// Passes so far, or why they could not be recorded.
    recorded: RefCell<HashMap<Key, std::result::Result<Recorded, String>>>,
}

/// A pass, and the memory it works on.
struct Recorded {
    graph: CudaGraph,
    input: Tensor,
    kept: Vec<Tensor>,
    last: Tensor,
}

impl<T> fmt::Debug for GraphEngine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphEngine")
            .field("direct", &self.direct)
            .finish_non_exhaustive()
    }
}

impl<T: Element> GraphEngine<T> {
    /// `device` has the stream of the network, `recorder` is the same GPU with a stream of its own.
    pub(super) fn new(device: CudaDevice, recorder: Gpu) -> Result<Self> {
        Ok(Self {
            direct: CudnnEngine::new(device.clone())?,
            device,
            recorder_stream: recorder.cuda_stream(),
            recorder: CudnnEngine::new(recorder.clone())?,
            _recorder_gpu: recorder,
            recorded: RefCell::default(),
        })
    }

    /// Runs the layers once, for plans, kernels and scratch memory, which cannot be had while recording, then records them.
    fn record(&self, pictures: &Tensor, layers: &Layers<'_>) -> Result<Recorded> {
        if !self.recorder_stream.context().has_async_alloc() {
            let message = "the driver has no memory pools, without which nothing can be recorded";
            return Err(Error::Msg(message.to_owned()));
        }
        let input = pictures.copy()?;
        // The recorder's stream reads what this one has written.
        self.device.synchronize()?;
        let outcome = self.record_from(&input, layers);
        // Whatever became of it, nobody may write to this memory before the recorder's stream is done with it.
        let is_done = self.recorder_stream.synchronize().map_err(Error::wrap);
        let (graph, kept, last) = outcome?;
        is_done?;
        Ok(Recorded {
            graph,
            input,
            kept,
            last,
        })
    }

    fn record_from(
        &self,
        input: &Tensor,
        layers: &Layers<'_>,
    ) -> Result<(CudaGraph, Vec<Tensor>, Tensor)> {
        let stream = &self.recorder_stream;
        let made = layers(&self.recorder, input)?;
        if !self.recorder.is_fused(input.dim(0)?) {
            let message = "candle's operations between the convolutions cannot be recorded";
            return Err(Error::Msg(message.to_owned()));
        }
        let device = Device::Cuda(self.device.clone());
        let like = |tensor: &Tensor| Tensor::zeros(tensor.shape(), T::DTYPE, &device);
        let kept = made.kept.iter().map(like).collect::<Result<Vec<_>>>()?;
        let last = like(&made.last)?;
        drop(made);
        stream.synchronize().map_err(Error::wrap)?;
        self.device.synchronize()?;

        let _recording = RECORDING.write();
        // Relaxed: what other threads and streams compute meanwhile is their own affair.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        stream.begin_capture(mode).map_err(Error::wrap)?;
        let outcome = layers(&self.recorder, input).and_then(|made| {
            for (from, to) in made.kept.iter().zip(&kept) {
                copy::<T>(from, to, stream)?;
            }
            copy::<T>(&made.last, &last, stream)
            // What the pass made is given back here, in the recording.
        });
        if outcome.is_err() {
            // What failed beside it would keep the recording from ending.
            let _ = stream.context().check_err();
        }
        let graph = stream.end_capture(CUgraphInstantiate_flags(0));
        outcome?;
        let graph = graph.map_err(Error::wrap)?;
        let graph = graph.ok_or_else(|| Error::Msg("nothing was recorded".to_owned()))?;
        Ok((graph, kept, last))
    }

    fn replay(&self, recorded: &Recorded, pictures: &Tensor) -> Result<Passed> {
        let stream = self.device.cuda_stream();
        copy::<T>(pictures, &recorded.input, &stream)?;
        // SAFETY: the graph is valid; its input and outputs live as long as it does, scratch memory until `give_back` ends all recordings, weights longer than this
        // engine (`Engine::run`); all launches are on one stream, from one thread.
        unsafe { result::graph::launch(recorded.graph.cu_graph_exec(), stream.cu_stream()) }
            .map_err(Error::wrap)?;
        Ok(Passed {
            // Whoever looks at them may do so after the next launch.
            kept: recorded
                .kept
                .iter()
                .map(Tensor::copy)
                .collect::<Result<Vec<_>>>()?,
            last: recorded.last.clone(),
        })
    }
}

impl<T> Drop for GraphEngine<T> {
    fn drop(&mut self) {
        // Memory is given back on another stream than the one that may still work on it.
        wait_for(&self.device.cuda_stream());
        wait_for(&self.recorder_stream);
    }
}

/// Copies a tensor's values into another one of the same shape, which is written to even though candle shares it.
fn copy<T: Element>(from: &Tensor, to: &Tensor, stream: &Arc<CudaStream>) -> Result<()> {
    with_slice::<T, _>(from, |from| {
        with_slice::<T, _>(to, |to| {
            if from.len() != to.len() {
                let message = format!("cannot copy {} values to {}", from.len(), to.len());
                return Err(Error::Msg(message));
            }
            let (source, _from) = from.device_ptr(stream);
            let (target, _to) = to.device_ptr(stream);
            let context = stream.context();
            context.bind_to_thread().map_err(Error::wrap)?;
            // SAFETY: both hold this many values; readers of the target come before or after on the same stream.
            unsafe {
                let bytes = from.num_bytes();
                result::memcpy_dtod_async(target, source, bytes, stream.cu_stream())
            }
            .map_err(Error::wrap)
        })
    })
}

impl<T: Element> Engine for GraphEngine<T> {
    fn run(&self, pictures: &Tensor, kept: &[TargetLayer], layers: &Layers<'_>) -> Result<Passed> {
        // The first time by recording it.
        let key = (pictures.dims().to_vec(), kept.to_vec());
        let is_new = {
            let recorded = self.recorded.borrow();
            !recorded.contains_key(&key) && recorded.len() < MOST_RECORDED
        };
        if is_new {
            let outcome = match self.record(pictures, layers) {
                // A picture that is alone has no smaller batch; unrecorded it needs less.
                Err(error) if is_out_of_memory(&error.to_string()) && pictures.dim(0)? > 1 => {
                    return Err(error);
                }
                outcome => outcome.map_err(|error| error.to_string()),
            };
            self.recorded.borrow_mut().insert(key.clone(), outcome);
        }
        match self.recorded.borrow().get(&key) {
            Some(Ok(recorded)) => self.replay(recorded, pictures),
            _ => layers(&self.direct, pictures),
        }
    }

    fn alone(&self) -> Box<dyn Any> {
        Box::new(without_recording())
    }

    /// What recorded passes hold, too.
    fn give_back(&self) {
        wait_for(&self.device.cuda_stream());
        wait_for(&self.recorder_stream);
        self.recorded.borrow_mut().clear();
        let device = self.recorder_stream.context().cu_device();
        // SAFETY: the device is valid as long as its context; no recorded pass is left whose memory this could be.
        let _ = unsafe { sys::cuDeviceGraphMemTrim(device) };
        self.recorder.give_back();
        self.direct.give_back();
    }

    /// Powers of two: few to record, and those that are measured at the start.
    fn batch_for(&self, pictures: usize) -> usize {
        pictures.next_power_of_two()
    }

    fn prepare(&self, filter: &Tensor) -> Result<Tensor> {
        self.direct.prepare(filter)
    }

    fn convolve(
        &self,
        x: &Tensor,
        convolution: &Convolution,
        shortcut: Option<&Tensor>,
        is_rectified: bool,
    ) -> Result<Tensor> {
        self.direct.convolve(x, convolution, shortcut, is_rectified)
    }

    fn unfused(&self) -> usize {
        self.direct.unfused().max(self.recorder.unfused())
    }

    fn unrecorded(&self) -> Option<String> {
        let recorded = self.recorded.borrow();
        let mut failures = recorded
            .values()
            .filter_map(|outcome| outcome.as_ref().err());
        failures.next().cloned()
    }

    fn max_pool(&self, x: &Tensor) -> Result<Tensor> {
        self.direct.max_pool(x)
    }
}
