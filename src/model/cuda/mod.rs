//! NVIDIA GPUs through candle: opening them, pinned memory ([`pinned`]), cuDNN's fused convolutions ([`cudnn`]),
//! recorded ([`graph`]).
//!
//! The network itself is [`batched`](crate::model::batched)'s. One of the rooms in which `unsafe` is allowed.
#![allow(unsafe_code)]

#[cfg(feature = "cudnn")]
mod cudnn;
#[cfg(feature = "cudnn")]
mod graph;
mod pinned;
mod timing;

use std::ops::Deref;
use std::sync::Arc;

use candle_core::cuda_backend::CudaDType;
use candle_core::{CudaDevice, Device};
use cudarc::driver::{CudaContext, CudaStream, DeviceRepr, ValidAsZeroBits, result, sys};
use half::{bf16, f16};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::batched::{
    BatchSize, Batched, Element, Engine, Facts, FoldedResNet, HeadNetwork, Make, MakeHeads, Parts,
    channels_last, device_error,
};
use crate::model::{Backend, Classifier, Precision, WeightFile};
use pinned::PinnedTransfer;
pub use timing::{BatchTime, time_batch};

/// What a type needs so that its values can lie on the device.
#[cfg(not(feature = "cudnn"))]
pub trait OnDevice: CudaDType + DeviceRepr + ValidAsZeroBits + Send + Sync + 'static {}
#[cfg(not(feature = "cudnn"))]
impl<T: CudaDType + DeviceRepr + ValidAsZeroBits + Send + Sync + 'static> OnDevice for T {}
/// What a type needs so that its values can lie on the device, and cuDNN can compute with them.
#[cfg(feature = "cudnn")]
pub trait OnDevice:
    CudaDType + DeviceRepr + ValidAsZeroBits + cudarc::cudnn::CudnnDataType + Send + Sync + 'static
{
}
#[cfg(feature = "cudnn")]
impl<T> OnDevice for T where
    T: CudaDType
        + DeviceRepr
        + ValidAsZeroBits
        + cudarc::cudnn::CudnnDataType
        + Send
        + Sync
        + 'static
{
}

/// bf16 needs Ampere.
const BF16_CAPABILITY: (i32, i32) = (8, 0);

/// The number of the first GPU.
///
/// # Errors
/// [`ErrorKind::Compute`] that says why there is none.
pub fn first_gpu() -> Result<usize> {
    count().map(|_| 0)
}

/// How many GPUs there are; at least one.
fn count() -> Result<usize> {
    let none = |cause: String| {
        Error::caused_by(ErrorKind::Compute, "cannot use a GPU", cause).at_stage(Stage::Model)
    };
    match CudaContext::device_count() {
        Ok(0) => Err(none("the driver knows none".to_owned())),
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(error) => Err(none(format!("the CUDA driver says {:?}", error.0))),
    }
}

/// Builds the weight file's network on these GPUs, which share the pictures.
///
/// # Errors
/// [`ErrorKind::Compute`] if there is no such GPU, it cannot compute in `precision`, or it fails; [`ErrorKind::Weights`] if the file does
/// not fit its metadata.
pub fn load(
    file: &Arc<WeightFile>,
    precision: Precision,
    numbers: &[usize],
    size: BatchSize,
) -> Result<Box<dyn Classifier>> {
    match precision {
        Precision::F32 => load_as::<f32>(file, numbers, size),
        Precision::Bf16 => load_as::<bf16>(file, numbers, size),
        Precision::F16 => load_as::<f16>(file, numbers, size),
    }
}

fn load_as<T: Element>(
    file: &Arc<WeightFile>,
    numbers: &[usize],
    size: BatchSize,
) -> Result<Box<dyn Classifier>> {
    let mut names = Vec::with_capacity(numbers.len());
    let mut networks: Vec<Make<FoldedResNet<T>>> = Vec::with_capacity(numbers.len());
    for number in numbers.iter().copied() {
        names.push(check(number, T::PRECISION)?);
        let file = Arc::clone(file);
        networks.push(Box::new(move || {
            FoldedResNet::load(&file, parts::<T>(number).map_err(device_error)?)
        }));
    }
    let backend = Backend {
        device: names.join(", "),
        isa: ENGINE,
        precision: T::PRECISION,
        is_emulated: false,
    };
    let (numbers, for_heads) = (numbers.to_vec(), Arc::clone(file));
    // Streams and handles of their own: other threads use them than those of the passes.
    let make_heads = move || -> Vec<Make<HeadNetwork>> {
        let make = |number: usize| -> Make<HeadNetwork> {
            let file = Arc::clone(&for_heads);
            Box::new(move || {
                let _open = without_recording();
                HeadNetwork::load(&file, head_parts(number).map_err(device_error)?)
            })
        };
        numbers.iter().copied().map(make).collect()
    };
    let facts = Facts::of(file, backend)?;
    let networks = (networks, Box::new(make_heads) as MakeHeads);
    let batched = Batched::start(facts, channels_last::<T>, networks, size)?;
    Ok(Box::new(batched))
}

/// A GPU's number and name, if it can do what is asked.
fn check(number: usize, precision: Precision) -> Result<String> {
    let count = count()?;
    let refuse = |cause: String| {
        let message = format!("cannot run on cuda:{number}");
        Error::caused_by(ErrorKind::Compute, message, cause).at_stage(Stage::Model)
    };
    if number >= count {
        return Err(refuse(format!("there are {count} GPUs, counted from 0")));
    }
    let facts = || -> std::result::Result<_, cudarc::driver::DriverError> {
        let context = CudaContext::new(number)?;
        Ok((context.name()?, context.compute_capability()?))
    };
    let (name, capability) = facts().map_err(|error| refuse(error.to_string()))?;
    if precision == Precision::Bf16 && capability < BF16_CAPABILITY {
        let (major, minor) = capability;
        return Err(refuse(format!(
            "{name} (compute capability {major}.{minor}) does not multiply bf16, 8.0 does"
        )));
    }
    Ok(format!("cuda:{number} ({name})"))
}

/// A GPU with a stream of its own, and the libraries' handles for it.
#[derive(Debug)]
struct Gpu(CudaDevice);

impl Deref for Gpu {
    type Target = CudaDevice;

    fn deref(&self) -> &CudaDevice {
        &self.0
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        keep_if_lost(&self.cuda_stream(), &self.0);
    }
}

/// Keeps `handles` for ever if their GPU is lost: the libraries (cuBLAS, cuRAND, cuDNN) cannot end them then, at which cudarc panics.
fn keep_if_lost<H: Clone>(stream: &CudaStream, handles: &H) {
    if !wait_for(stream) {
        std::mem::forget(handles.clone());
    }
}

/// Opens a GPU.
fn open(number: usize) -> candle_core::Result<Gpu> {
    let device = Gpu(CudaDevice::new_with_stream(number)?);
    // SAFETY: every slice of this device is used on this one stream, which keeps its work in order; copies to and from the host have
    // events of their own ([`pinned`]), and where a second stream is in play, both are waited for in between ([`graph`]).
    unsafe { device.disable_event_tracking() };
    keep_memory(&device)?;
    Ok(device)
}

/// Memory that is given back stays with the program: else the driver would take it at every synchronisation, and give it again for the next batch.
fn keep_memory(device: &CudaDevice) -> candle_core::Result<()> {
    let Some(pool) = pool_of(device)? else {
        return Ok(());
    };
    let mut threshold = u64::MAX;
    // SAFETY: the pool is the device's own, and the attribute is a 64-bit number that is read during the call.
    unsafe {
        sys::cuMemPoolSetAttribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut threshold).cast(),
        )
        .result()
        .map_err(candle_core::Error::wrap)
    }
}

/// Ends that for what is not in use: recorded passes and the libraries have memory of their own, and find none while the program keeps it.
fn release_pool(device: &CudaDevice) {
    // It is a try: whoever needs the memory finds out whether it helped.
    if let Ok(Some(pool)) = pool_of(device) {
        // SAFETY: the pool is the device's own; what is in use stays.
        let _ = unsafe { sys::cuMemPoolTrimTo(pool, 0) };
    }
}

/// Held for writing while a stream is recorded: meanwhile the driver refused calls of a thread that opened a library and gave it up (an H100; which calls is not
/// known, presumably those that wait for the whole GPU).
static RECORDING: RwLock<()> = RwLock::new(());

/// Nothing is recorded while this is held: for what opens or ends libraries, or takes or gives back pinned memory. Who holds it may ask for it again.
fn without_recording() -> RwLockReadGuard<'static, ()> {
    RECORDING.read_recursive()
}

/// Waits until nothing is under way on this stream; says whether the GPU still works. One that is lost works on nothing.
fn wait_for(stream: &CudaStream) -> bool {
    // What failed before would be told instead of waiting.
    let _ = stream.context().check_err();
    stream.synchronize().is_ok()
}

/// Where candle's memory comes from; none where the driver has no pools.
fn pool_of(device: &CudaDevice) -> candle_core::Result<Option<sys::CUmemoryPool>> {
    let stream = device.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(None);
    }
    // SAFETY: the device is valid as long as its context.
    let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) };
    pool.map(Some).map_err(candle_core::Error::wrap)
}

/// What a network's thread needs.
fn parts<T: Element>(number: usize) -> candle_core::Result<Parts<T>> {
    let _open = without_recording();
    let device = open(number)?;
    Ok(Parts {
        engine: engine_of::<T>(number, &device)?,
        device: Device::Cuda(device.clone()),
        transfer: Box::new(PinnedTransfer::new(device)),
    })
}

/// What the thread of a network behind inner layers needs.
fn head_parts(number: usize) -> candle_core::Result<Parts<f32>> {
    let device = open(number)?;
    // What the passes hold of it and do not use: cuDNN and its kernels take what the driver has left.
    release_pool(&device);
    Ok(Parts {
        engine: head_engine(&device)?,
        device: Device::Cuda(device.clone()),
        transfer: Box::new(PinnedTransfer::new(device)),
    })
}

#[cfg(feature = "cudnn")]
const ENGINE: &str = "cudnn";
#[cfg(not(feature = "cudnn"))]
const ENGINE: &str = "candle";

#[cfg(feature = "cudnn")]
fn engine_of<T: Element>(
    number: usize,
    device: &CudaDevice,
) -> candle_core::Result<Box<dyn Engine>> {
    let engine = graph::GraphEngine::<T>::new(device.clone(), open(number)?)?;
    Ok(Box::new(engine))
}

/// Not recorded: launching takes 0.1 to 0.2 ms for each of the convolutions behind the layer, there and back, which is more than small batches compute; but what
/// asks for gradients is decoded, drawn and encoded, too.
#[cfg(feature = "cudnn")]
fn head_engine(device: &CudaDevice) -> candle_core::Result<Box<dyn Engine>> {
    Ok(Box::new(cudnn::CudnnEngine::<f32>::new(device.clone())?))
}

#[cfg(not(feature = "cudnn"))]
#[allow(clippy::unnecessary_wraps)]
fn head_engine(_: &CudaDevice) -> candle_core::Result<Box<dyn Engine>> {
    Ok(Box::new(crate::model::batched::CandleEngine))
}

/// Candle's kernels take any type.
#[cfg(not(feature = "cudnn"))]
#[allow(clippy::extra_unused_type_parameters, clippy::unnecessary_wraps)]
fn engine_of<T>(_: usize, _: &CudaDevice) -> candle_core::Result<Box<dyn Engine>> {
    Ok(Box::new(crate::model::batched::CandleEngine))
}
