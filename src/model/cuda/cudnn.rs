//! cuDNN's convolutions with everything behind them in the same kernel: `y = relu(conv(x) + shortcut + bias)`.
//!
//! Channels are last in all tensors, which is what tensor cores read. Of cuDNN's algorithms, only implicit GEMM with precomputed indices takes
//! that order for all our shapes, and does without ReLU: there is nothing to choose from, and cuDNN itself picks the kernel for a
//! shape. Where it has no fused kernel, the parts run one after the other.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, DType, Error, Layout, Result, Shape, Storage,
    Tensor, TensorId,
};
use cudarc::cudnn::sys::{
    cudnnActivationMode_t as Activation, cudnnConvolutionFwdAlgo_t as Algorithm,
    cudnnConvolutionMode_t as Mode, cudnnMathType_t as Math, cudnnNanPropagation_t as Nan,
    cudnnPoolingMode_t as Pooling, cudnnTensorFormat_t as Format,
};
use cudarc::cudnn::{
    ActivationDescriptor, ConvBiasActivationForward, ConvDescriptor, ConvForward, Cudnn,
    FilterDescriptor, PoolingForward, TensorDescriptor,
};
use cudarc::driver::{CudaSlice, DevicePtr};

use super::{keep_if_lost, release_pool, wait_for, without_recording};
use crate::model::TargetLayer;
use crate::model::batched::{Convolution, Element, Engine, Layers, Passed};

const ALGORITHM: Algorithm = Algorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
/// cuDNN tells what a plain convolution needs; a fused one may need more. The first that can be had.
const ROOMY_WORKSPACES: [usize; 3] = [64 << 20, 16 << 20, 4 << 20];
const CHANNELS_LAST: Format = Format::CUDNN_TENSOR_NHWC;

/// Runs layers with cuDNN, on the thread that made it.
pub(super) struct CudnnEngine<T> {
    cudnn: Arc<Cudnn>,
    device: CudaDevice,
    /// Scratch memory, of which the last is large enough for all convolutions so far. What was recorded goes on using the others.
    workspaces: RefCell<Vec<CudaSlice<u8>>>,
    plans: RefCell<Plans<T>>,
    /// None, and ReLU.
    activations: [ActivationDescriptor<f32>; 2],
}

impl<T> fmt::Debug for CudnnEngine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudnnEngine")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl<T> Drop for CudnnEngine<T> {
    fn drop(&mut self) {
        keep_if_lost(&self.device.cuda_stream(), &self.cudnn);
    }
}

impl<T: Element> CudnnEngine<T> {
    pub(super) fn new(device: CudaDevice) -> Result<Self> {
        let cudnn = Cudnn::new(device.cuda_stream()).map_err(Error::wrap)?;
        let activation = |mode| {
            let made = cudnn.create_activation::<f32>(mode, Nan::CUDNN_NOT_PROPAGATE_NAN, 0.0);
            made.map_err(Error::wrap)
        };
        Ok(Self {
            activations: [
                activation(Activation::CUDNN_ACTIVATION_IDENTITY)?,
                activation(Activation::CUDNN_ACTIVATION_RELU)?,
            ],
            cudnn,
            device,
            workspaces: RefCell::default(),
            plans: RefCell::default(),
        })
    }

    /// f32 is f32: no TensorFloat-32, whose products have 11 bits.
    fn math() -> Math {
        if T::DTYPE == DType::F32 {
            Math::CUDNN_FMA_MATH
        } else {
            Math::CUDNN_TENSOR_OP_MATH
        }
    }

    /// `[pictures, height, width, channels]`.
    fn descriptor(&self, [n, h, w, c]: [usize; 4]) -> Result<TensorDescriptor<T>> {
        let dims = [n, c, h, w].map(|length| length as i32);
        self.cudnn
            .create_4d_tensor::<T>(CHANNELS_LAST, dims)
            .map_err(Error::wrap)
    }

    /// The description of a convolution of pictures of this shape, made the first time.
    fn plan(&self, convolution: &Convolution, shape: [usize; 4]) -> Result<Rc<Plan<T>>> {
        let key = (convolution.weight.id(), shape);
        if let Some(plan) = self.plans.borrow().get(&key) {
            return Ok(Rc::clone(plan));
        }
        let plan = Rc::new(self.new_plan(convolution, shape)?);
        self.plans.borrow_mut().insert(key, Rc::clone(&plan));
        Ok(plan)
    }

    fn new_plan(
        &self,
        convolution: &Convolution,
        [pictures, height, width, channels]: [usize; 4],
    ) -> Result<Plan<T>> {
        let Convolution { size, stride, .. } = *convolution;
        let (out, padding) = (convolution.bias.elem_count(), convolution.padding());
        let side = |length: usize| (length + 2 * padding - size) / stride + 1;
        let shape = [pictures, side(height), side(width), out];
        let both = |value: usize| [value as i32; 2];
        let mut descriptor = self
            .cudnn
            .create_conv2d::<f32>(
                both(padding),
                both(stride),
                both(1),
                Mode::CUDNN_CROSS_CORRELATION,
            )
            .map_err(Error::wrap)?;
        descriptor
            .set_math_type(Self::math())
            .map_err(Error::wrap)?;
        let filter = [out, channels, size, size].map(|length| length as i32);
        let filter = self.cudnn.create_4d_filter::<T>(CHANNELS_LAST, filter);
        Ok(Plan {
            convolution: descriptor,
            filter: filter.map_err(Error::wrap)?,
            x: self.descriptor([pictures, height, width, channels])?,
            bias: self.descriptor([1, 1, 1, out])?,
            y: self.descriptor(shape)?,
            shape,
            is_fused: Cell::new(true),
            fused_bytes: OnceCell::new(),
            plain: OnceCell::new(),
        })
    }

    /// Convolutions of batches of these sizes for which cuDNN has no fused kernel.
    fn count_unfused(&self, is_asked: impl Fn(usize) -> bool) -> usize {
        let plans = self.plans.borrow();
        let unfused = plans.iter().filter(|(_, plan)| !plan.is_fused.get());
        unfused.filter(|((_, shape), _)| is_asked(shape[0])).count()
    }

    /// Whether all convolutions of so many pictures that ran so far were fused.
    pub(super) fn is_fused(&self, pictures: usize) -> bool {
        self.count_unfused(|size| size == pictures) == 0
    }

    /// Scratch memory of at least this many bytes, the last in the list.
    fn workspace(&self, bytes: usize) -> Result<RefMut<'_, Vec<CudaSlice<u8>>>> {
        let mut workspaces = self.workspaces.borrow_mut();
        if workspaces.last().is_none_or(|memory| memory.len() < bytes) {
            // SAFETY: cuDNN writes scratch memory before it reads it.
            let new = |bytes: usize| unsafe { self.device.alloc::<u8>(bytes) };
            let mut roomy = ROOMY_WORKSPACES.iter().filter(|roomy| **roomy > bytes);
            let roomy = roomy.find_map(|bytes| new(*bytes).ok());
            workspaces.push(roomy.map_or_else(|| new(bytes.max(1)), Ok)?);
        }
        Ok(workspaces)
    }

    /// The convolution, `+ bias`, `+ shortcut`, ReLU, in one kernel.
    fn fused(&self, op: &Fused<'_, T>, x: &CudaSlice<T>) -> Result<CudaSlice<T>> {
        let plan = op.plan;
        let forward = ConvBiasActivationForward {
            conv: &plan.convolution,
            act: &self.activations[usize::from(op.is_rectified)],
            x: &plan.x,
            w: &plan.filter,
            z: &plan.y,
            bias: &plan.bias,
            y: &plan.y,
        };
        let bytes = kept(&plan.fused_bytes, || {
            forward.get_workspace_size(ALGORITHM).map_err(Error::wrap)
        })?;
        let mut workspace = self.workspace(bytes)?;
        let len = plan.shape.iter().product();
        // SAFETY: the convolution writes every value.
        let mut y = unsafe { self.device.alloc::<T>(len)? };
        let stream = self.device.cuda_stream();
        let address = y.device_ptr(&stream).0;
        let mut run = |summand: &CudaSlice<T>, share: f32| {
            let Convolution { weight, bias, .. } = op.convolution;
            with_slice::<T, _>(weight, |weight| {
                with_slice::<T, _>(bias, |bias| {
                    // SAFETY: the plan is of these tensors: the caller checked `x`, weights and bias were loaded in this order and type, `y` was made
                    // for it; the summand has the shape of `y`, or a share of 0, at which cuDNN does not read it.
                    unsafe {
                        forward.launch(
                            ALGORITHM,
                            workspace.last_mut(),
                            (T::rounded(1.0), T::rounded(share)),
                            x,
                            weight,
                            summand,
                            bias,
                            &mut y,
                        )
                    }
                    .map_err(Error::wrap)
                })
            })
        };
        match op.shortcut {
            Some(shortcut) if shortcut.dims() == plan.shape.as_slice() => {
                with_slice::<T, _>(shortcut, |summand| run(summand, 1.0))?;
            }
            Some(shortcut) => {
                let (theirs, ours) = (shortcut.dims(), plan.shape);
                let message = format!("a shortcut of {theirs:?} does not fit {ours:?}");
                return Err(Error::Msg(message));
            }
            None => {
                // cuDNN wants an address even so; the output's is as large as it may expect.
                // SAFETY: the alias is given up below, before `y` can be freed, and never read.
                let alias = unsafe { stream.upgrade_device_ptr::<T>(address, len) };
                let outcome = run(&alias, 0.0);
                let _ = alias.leak();
                outcome?;
            }
        }
        Ok(y)
    }

    /// The convolution alone.
    fn plain(&self, op: &Fused<'_, T>, x: &CudaSlice<T>) -> Result<CudaSlice<T>> {
        let plan = op.plan;
        let forward = ConvForward {
            conv: &plan.convolution,
            x: &plan.x,
            w: &plan.filter,
            y: &plan.y,
        };
        let (algorithm, bytes) = kept(&plan.plain, || {
            let algorithm = forward.pick_algorithm().map_err(Error::wrap)?;
            let bytes = forward.get_workspace_size(algorithm);
            Ok((algorithm, bytes.map_err(Error::wrap)?))
        })?;
        let mut workspace = self.workspace(bytes)?;
        // SAFETY: the convolution writes every value.
        let mut y = unsafe { self.device.alloc::<T>(plan.shape.iter().product())? };
        with_slice::<T, _>(&op.convolution.weight, |weight| {
            // SAFETY: as in `fused`.
            unsafe {
                forward.launch(
                    algorithm,
                    workspace.last_mut(),
                    (T::rounded(1.0), T::rounded(0.0)),
                    x,
                    weight,
                    &mut y,
                )
            }
            .map_err(Error::wrap)
        })?;
        Ok(y)
    }

    fn pooling(&self, x: &CudaSlice<T>, shape: [usize; 4]) -> Result<Output<T>> {
        const WINDOW: usize = 3;
        let [pictures, height, width, channels] = shape;
        let side = |length: usize| (length + 2 - WINDOW) / 2 + 1;
        let out_shape = [pictures, side(height), side(width), channels];
        let pooling = self
            .cudnn
            .create_poolingnd::<T>(
                &[WINDOW as i32; 2],
                &[1; 2],
                &[2; 2],
                Pooling::CUDNN_POOLING_MAX,
                Nan::CUDNN_NOT_PROPAGATE_NAN,
            )
            .map_err(Error::wrap)?;
        let forward = PoolingForward {
            pooling: &pooling,
            x: &self.descriptor(shape)?,
            y: &self.descriptor(out_shape)?,
        };
        // SAFETY: the pooling writes every value.
        let mut y = unsafe { self.device.alloc::<T>(out_shape.iter().product())? };
        // SAFETY: the descriptors are of these tensors: `x` was checked by the caller, `y` was made for it.
        unsafe { forward.launch((T::rounded(1.0), T::rounded(0.0)), x, &mut y) }
            .map_err(Error::wrap)?;
        Ok((y, out_shape))
    }
}

/// By weights and shape of the input: making them takes the host longer than launching.
type Plans<T> = HashMap<(TensorId, [usize; 4]), Rc<Plan<T>>>;

type Output<T> = (CudaSlice<T>, [usize; 4]);

/// What cuDNN must know of a convolution.
struct Plan<T> {
    convolution: ConvDescriptor<f32>,
    filter: FilterDescriptor<T>,
    x: TensorDescriptor<T>,
    bias: TensorDescriptor<T>,
    y: TensorDescriptor<T>,
    /// Of `y`.
    shape: [usize; 4],
    /// Whether cuDNN has a fused kernel for it, as far as is known.
    is_fused: Cell<bool>,
    /// Scratch memory of the fused kernel.
    fused_bytes: OnceCell<usize>,
    /// How to run the convolution alone: the algorithm, and its scratch memory.
    plain: OnceCell<(Algorithm, usize)>,
}

/// What `ask` said the first time: cuDNN takes longer to answer than to launch.
fn kept<V: Copy>(cell: &OnceCell<V>, ask: impl FnOnce() -> Result<V>) -> Result<V> {
    if let Some(value) = cell.get() {
        return Ok(*value);
    }
    let value = ask()?;
    Ok(*cell.get_or_init(|| value))
}

/// The tensor's values, which must lie on a GPU one after the other.
pub(super) fn with_slice<T: Element, R>(
    tensor: &Tensor,
    work: impl FnOnce(&CudaSlice<T>) -> Result<R>,
) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(Error::Msg("a tensor is not on the GPU".to_owned()));
    };
    check_whole(layout)?;
    work(storage.as_cuda_slice::<T>()?)
}

/// Tensors start where their memory starts, and have no gaps.
fn check_whole(layout: &Layout) -> Result<()> {
    if layout.is_contiguous() && layout.start_offset() == 0 {
        return Ok(());
    }
    Err(Error::Msg("a tensor is a view of another one".to_owned()))
}

/// Whether cuDNN has no kernel for what was asked; nothing was launched then.
fn is_unsupported(error: &Error) -> bool {
    error.to_string().contains("NOT_SUPPORTED")
}

/// A layer as an operation on candle's tensors.
enum Operation<'a, T> {
    Fused(Fused<'a, T>),
    /// Without what comes behind the convolution.
    Plain(Fused<'a, T>),
    MaxPool(&'a CudnnEngine<T>),
}

/// A convolution and what comes behind it.
#[derive(Clone, Copy)]
struct Fused<'a, T> {
    engine: &'a CudnnEngine<T>,
    /// Made for the shape of the input.
    plan: &'a Plan<T>,
    convolution: &'a Convolution,
    shortcut: Option<&'a Tensor>,
    is_rectified: bool,
}

impl<T> Operation<'_, T> {
    fn engine(&self) -> &CudnnEngine<T> {
        match self {
            Self::Fused(op) | Self::Plain(op) => op.engine,
            Self::MaxPool(engine) => engine,
        }
    }
}

impl<T: Element> CustomOp1 for Operation<'_, T> {
    fn name(&self) -> &'static str {
        match self {
            Self::Fused(_) => "cudnn-fused-convolution",
            Self::Plain(_) => "cudnn-convolution",
            Self::MaxPool(_) => "cudnn-max-pool",
        }
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Err(Error::Msg("cuDNN runs on GPUs only".to_owned()))
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        check_whole(layout)?;
        let (n, h, w, c) = layout.shape().dims4()?;
        let x = storage.as_cuda_slice::<T>()?;
        let (y, shape) = match self {
            Self::Fused(op) => (op.engine.fused(op, x)?, op.plan.shape),
            Self::Plain(op) => (op.engine.plain(op, x)?, op.plan.shape),
            Self::MaxPool(engine) => engine.pooling(x, [n, h, w, c])?,
        };
        let storage = CudaStorage::wrap_cuda_slice(y, self.engine().device.clone());
        Ok((storage, Shape::from(&shape)))
    }
}

impl<T: Element> Engine for CudnnEngine<T> {
    fn run(&self, pictures: &Tensor, _: &[TargetLayer], layers: &Layers<'_>) -> Result<Passed> {
        layers(self, pictures)
    }

    fn alone(&self) -> Box<dyn Any> {
        Box::new(without_recording())
    }

    /// Scratch memory, and what the driver holds for this process. Nothing that was recorded may run again.
    fn give_back(&self) {
        // A kernel that found too little scratch memory may find more.
        self.plans.borrow_mut().clear();
        let stream = self.device.cuda_stream();
        wait_for(&stream);
        self.workspaces.borrow_mut().clear();
        wait_for(&stream);
        release_pool(&self.device);
    }

    fn prepare(&self, filter: &Tensor) -> Result<Tensor> {
        filter.contiguous()
    }

    fn convolve(
        &self,
        x: &Tensor,
        convolution: &Convolution,
        shortcut: Option<&Tensor>,
        is_rectified: bool,
    ) -> Result<Tensor> {
        let plan = self.plan(convolution, x.dims4()?.into())?;
        let op = Fused {
            engine: self,
            plan: &plan,
            convolution,
            shortcut,
            is_rectified,
        };
        if plan.is_fused.get() {
            match x.apply_op1_no_bwd(&Operation::Fused(op)) {
                Err(error) if is_unsupported(&error) => plan.is_fused.set(false),
                outcome => return outcome,
            }
        }
        let y = x.apply_op1_no_bwd(&Operation::Plain(op))?;
        convolution.finish(y, shortcut, is_rectified)
    }

    fn unfused(&self) -> usize {
        self.count_unfused(|_| true)
    }

    fn max_pool(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(&Operation::MaxPool(self))
    }
}
