//! cuDNN's convolutions with everything behind them in the same kernel: `y = relu(conv(x) + shortcut + bias)`.
//!
//! Channels are last in all tensors, which is what tensor cores read. Of cuDNN's algorithms, only implicit GEMM with precomputed indices takes
//! that order for all our shapes, and does without ReLU: there is nothing to choose from, and cuDNN itself picks the kernel for a
//! shape.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, DType, Error, Layout, Result, Shape, Storage,
    Tensor,
};
use cudarc::cudnn::sys::{
    cudnnActivationMode_t as Activation, cudnnConvolutionFwdAlgo_t as Algorithm,
    cudnnConvolutionMode_t as Mode, cudnnMathType_t as Math, cudnnNanPropagation_t as Nan,
    cudnnPoolingMode_t as Pooling, cudnnTensorFormat_t as Format,
};
use cudarc::cudnn::{ConvBiasActivationForward, Cudnn, PoolingForward, TensorDescriptor};
use cudarc::driver::{CudaSlice, DevicePtr};

use crate::model::batched::{Convolution, Element, Engine};

const ALGORITHM: Algorithm = Algorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
const CHANNELS_LAST: Format = Format::CUDNN_TENSOR_NHWC;

/// Runs layers with cuDNN, on the thread that made it.
pub(super) struct CudnnEngine<T> {
    cudnn: Arc<Cudnn>,
    device: CudaDevice,
    /// Scratch memory of the largest convolution so far.
    workspace: RefCell<Option<CudaSlice<u8>>>,
    element: PhantomData<T>,
}

impl<T> fmt::Debug for CudnnEngine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudnnEngine")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl<T: Element> CudnnEngine<T> {
    pub(super) fn new(device: CudaDevice) -> Result<Self> {
        Ok(Self {
            cudnn: Cudnn::new(device.cuda_stream()).map_err(Error::wrap)?,
            device,
            workspace: RefCell::new(None),
            element: PhantomData,
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

    fn convolution(
        &self,
        op: &Fused<'_, T>,
        x: &CudaSlice<T>,
        shape: [usize; 4],
    ) -> Result<Output<T>> {
        let Fused {
            convolution,
            shortcut,
            is_rectified,
            ..
        } = *op;
        let [pictures, height, width, channels] = shape;
        let Convolution { size, stride, .. } = *convolution;
        let (out, padding) = (convolution.bias.elem_count(), convolution.padding());
        let side = |length: usize| (length + 2 * padding - size) / stride + 1;
        let out_shape = [pictures, side(height), side(width), out];

        let cudnn = &self.cudnn;
        let both = |value: usize| [value as i32; 2];
        let mut conv = cudnn
            .create_conv2d::<f32>(
                both(padding),
                both(stride),
                both(1),
                Mode::CUDNN_CROSS_CORRELATION,
            )
            .map_err(Error::wrap)?;
        conv.set_math_type(Self::math()).map_err(Error::wrap)?;
        let activation = if is_rectified {
            Activation::CUDNN_ACTIVATION_RELU
        } else {
            Activation::CUDNN_ACTIVATION_IDENTITY
        };
        let activation = cudnn
            .create_activation::<f32>(activation, Nan::CUDNN_PROPAGATE_NAN, 0.0)
            .map_err(Error::wrap)?;
        let filter = [out, channels, size, size].map(|length| length as i32);
        let filter = cudnn
            .create_4d_filter::<T>(CHANNELS_LAST, filter)
            .map_err(Error::wrap)?;
        let y_descriptor = self.descriptor(out_shape)?;
        let forward = ConvBiasActivationForward {
            conv: &conv,
            act: &activation,
            x: &self.descriptor(shape)?,
            w: &filter,
            z: &y_descriptor,
            bias: &self.descriptor([1, 1, 1, out])?,
            y: &y_descriptor,
        };
        let scratch = forward.get_workspace_size(ALGORITHM).map_err(Error::wrap)?;
        let mut workspace = self.workspace.borrow_mut();
        if workspace
            .as_ref()
            .is_none_or(|memory| memory.len() < scratch)
        {
            // The old one goes first, so that both need not fit.
            *workspace = None;
            // SAFETY: cuDNN writes scratch memory before it reads it.
            *workspace = Some(unsafe { self.device.alloc::<u8>(scratch.max(1))? });
        }

        let len = out_shape.iter().product();
        // SAFETY: the convolution writes every value.
        let mut y = unsafe { self.device.alloc::<T>(len)? };
        let stream = self.device.cuda_stream();
        let address = y.device_ptr(&stream).0;
        with_slice::<T, _>(&convolution.weight, |weight| {
            with_slice::<T, _>(&convolution.bias, |bias| {
                let mut run = |summand: &CudaSlice<T>, share: f32| {
                    // SAFETY: the descriptors above are of these tensors: `x` was checked by the caller, weights and bias were loaded in this order and type, `y`
                    // was made for it, the summand has its shape or a share of 0, at which cuDNN does not read it.
                    unsafe {
                        forward.launch(
                            ALGORITHM,
                            workspace.as_mut(),
                            (T::rounded(1.0), T::rounded(share)),
                            x,
                            weight,
                            summand,
                            bias,
                            &mut y,
                        )
                    }
                    .map_err(Error::wrap)
                };
                match shortcut {
                    Some(shortcut) if shortcut.dims() == out_shape.as_slice() => {
                        with_slice::<T, _>(shortcut, |summand| run(summand, 1.0))
                    }
                    Some(shortcut) => Err(Error::Msg(format!(
                        "a shortcut of {:?} does not fit {out_shape:?}",
                        shortcut.dims()
                    ))),
                    None => {
                        // cuDNN wants an address even so; the output's is as large as it may expect.
                        // SAFETY: the alias is given up below, before `y` can be freed, and never read.
                        let alias = unsafe { stream.upgrade_device_ptr::<T>(address, len) };
                        let outcome = run(&alias, 0.0);
                        let _ = alias.leak();
                        outcome
                    }
                }
            })
        })?;
        Ok((y, out_shape))
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
                Nan::CUDNN_PROPAGATE_NAN,
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

type Output<T> = (CudaSlice<T>, [usize; 4]);

/// The tensor's values, which must lie on a GPU one after the other.
fn with_slice<T: Element, R>(
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

/// A layer as an operation on candle's tensors.
enum Operation<'a, T> {
    Convolution(Fused<'a, T>),
    MaxPool(&'a CudnnEngine<T>),
}

/// A convolution and what comes behind it.
struct Fused<'a, T> {
    engine: &'a CudnnEngine<T>,
    convolution: &'a Convolution,
    shortcut: Option<&'a Tensor>,
    is_rectified: bool,
}

impl<T: Element> CustomOp1 for Operation<'_, T> {
    fn name(&self) -> &'static str {
        match self {
            Self::Convolution(_) => "cudnn-convolution",
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
            Self::Convolution(op) => op.engine.convolution(op, x, [n, h, w, c])?,
            Self::MaxPool(engine) => engine.pooling(x, [n, h, w, c])?,
        };
        let storage = CudaStorage::wrap_cuda_slice(y, storage.device.clone());
        Ok((storage, Shape::from(&shape)))
    }
}

impl<T: Element> Engine for CudnnEngine<T> {
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
        x.apply_op1_no_bwd(&Operation::Convolution(Fused {
            engine: self,
            convolution,
            shortcut,
            is_rectified,
        }))
    }

    fn max_pool(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(&Operation::MaxPool(self))
    }
}
