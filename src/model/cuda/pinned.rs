//! Copies from and to memory that the driver keeps in place: the only kind that does not make the host wait.

use std::cell::RefCell;
use std::rc::Rc;

use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Error, Result, Storage, Tensor};
use cudarc::driver::{
    CudaEvent, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, PinnedHostSlice, ValidAsZeroBits,
    result,
    sys::{self, CUevent_flags},
};

use parking_lot::RwLockReadGuard;

use super::{Gpu, without_recording};
use crate::model::batched::{Download, Element, Transfer};

/// Host memory for the copies of one batch.
struct Buffer<T> {
    memory: PinnedHostSlice<T>,
    /// Has happened when the last copy is done; must be waited for before the memory is touched again.
    copied: Option<CudaEvent>,
    /// Taken when the buffer is dropped, and dropped behind the memory.
    ending: Option<RwLockReadGuard<'static, ()>>,
}

impl<T: DeviceRepr + ValidAsZeroBits> Buffer<T> {
    fn new(stream: &CudaStream, len: usize, flags: u32) -> Result<Self> {
        let _open = without_recording();
        // SAFETY: nothing is read from the memory before something was written to it: `fill` writes all that `upload` sends, and a
        // download's values are read after the copy.
        let memory = unsafe { stream.context().alloc_pinned_with_flags(len, flags) };
        Ok(Self {
            memory: memory.map_err(Error::wrap)?,
            copied: None,
            ending: None,
        })
    }

    fn wait(&mut self) -> Result<()> {
        match self.copied.take() {
            Some(event) => event.synchronize().map_err(Error::wrap),
            None => Ok(()),
        }
    }

    fn note_copy(&mut self, stream: &CudaStream) -> Result<()> {
        // Whoever waits for it sleeps.
        let flags = CUevent_flags::CU_EVENT_BLOCKING_SYNC;
        let event = stream.record_event(Some(flags)).map_err(Error::wrap)?;
        self.copied = Some(event);
        Ok(())
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // The driver must not write to memory that is gone. If waiting fails, the device is lost, and writes no more.
        if let Some(event) = self.copied.take() {
            let _ = event.synchronize();
        }
        self.ending = Some(without_recording());
    }
}

/// Buffers that are used again and again. One batch computes while the next is launched, so that there are two of each.
type Free<T> = Rc<RefCell<Vec<Buffer<T>>>>;

/// Copies batches on the device's stream.
pub(super) struct PinnedTransfer<T> {
    device: Gpu,
    inputs: Vec<Buffer<T>>,
    /// Of the input that is used next.
    next_input: usize,
    outputs: Free<f32>,
}

/// Batches that are under way at the same time.
const IN_FLIGHT: usize = 2;

impl<T> PinnedTransfer<T> {
    pub(super) fn new(device: Gpu) -> Self {
        Self {
            device,
            inputs: Vec::new(),
            next_input: 0,
            outputs: Free::default(),
        }
    }
}

impl<T: Element> PinnedTransfer<T> {
    /// The input buffer whose turn it is, large enough.
    fn input(&mut self, len: usize) -> Result<&mut Buffer<T>> {
        let stream = self.device.cuda_stream();
        let index = self.next_input;
        // Written once, read by the device only: what write-combined memory is for.
        let new = || Buffer::new(&stream, len, sys::CU_MEMHOSTALLOC_WRITECOMBINED);
        match self.inputs.get_mut(index) {
            None => self.inputs.push(new()?),
            Some(buffer) if buffer.memory.len() < len => *buffer = new()?,
            Some(_) => {}
        }
        self.next_input = (index + 1) % IN_FLIGHT;
        self.inputs
            .get_mut(index)
            .ok_or_else(|| Error::Msg("an upload has no buffer".to_owned()))
    }
}

impl<T: Element> Transfer<T> for PinnedTransfer<T> {
    fn upload(&mut self, pictures: &[&[T]], shape: [usize; 4]) -> Result<Tensor> {
        let len = shape.iter().product();
        let (device, stream) = (CudaDevice::clone(&self.device), self.device.cuda_stream());
        let buffer = self.input(len)?;
        buffer.wait()?;
        let memory = buffer.memory.as_mut_slice().map_err(Error::wrap)?;
        let mut rest = memory
            .get_mut(..len)
            .ok_or_else(|| Error::Msg("an upload's buffer is too small".to_owned()))?;
        for picture in pictures {
            let (here, behind) = rest
                .split_at_mut_checked(picture.len())
                .ok_or_else(|| Error::Msg("pictures are larger than their tensor".to_owned()))?;
            here.copy_from_slice(picture);
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(Error::Msg("pictures do not fill their tensor".to_owned()));
        }
        // SAFETY: the copy below writes all of it before anything on the same stream reads it.
        let mut values = unsafe { device.alloc::<T>(len)? };
        {
            let memory = buffer.memory.as_slice().map_err(Error::wrap)?;
            let (target, _sync) = values.device_ptr_mut(&stream);
            // SAFETY: `target` holds `len` values; the memory stays and is not written to until `copied` has happened.
            unsafe { result::memcpy_htod_async(target, &memory[..len], stream.cu_stream()) }
                .map_err(Error::wrap)?;
        }
        buffer.note_copy(&stream)?;
        let storage = CudaStorage::wrap_cuda_slice(values, device);
        let storage = Storage::Cuda(storage);
        Ok(Tensor::from_storage(
            storage,
            &shape,
            BackpropOp::none(),
            false,
        ))
    }

    fn download(&mut self, values: &Tensor) -> Result<Download> {
        let values = values.contiguous()?;
        let len = values.elem_count();
        let stream = self.device.cuda_stream();
        let free = {
            let mut free = self.outputs.borrow_mut();
            let large_enough = free.iter().position(|buffer| buffer.memory.len() >= len);
            // A larger one takes the place of one that is too small.
            large_enough.map(|at| free.swap_remove(at)).or_else(|| {
                free.pop();
                None
            })
        };
        let mut buffer = match free {
            Some(buffer) => buffer,
            // Read by the host: cached memory.
            None => Buffer::new(&stream, len, 0)?,
        };
        buffer.wait()?;
        {
            let (storage, layout) = values.storage_and_layout();
            let Storage::Cuda(storage) = &*storage else {
                return Err(Error::Msg("a download is not on the device".to_owned()));
            };
            let slice = storage.as_cuda_slice::<f32>()?;
            let slice = slice.slice(layout.start_offset()..layout.start_offset() + len);
            let memory = buffer.memory.as_mut_slice().map_err(Error::wrap)?;
            let (source, _sync) = slice.device_ptr(&stream);
            // SAFETY: `source` holds `len` values; the memory stays and is not touched until `copied` has happened.
            unsafe {
                result::memcpy_dtoh_async(&mut memory[..len], source, stream.cu_stream())
                    .map_err(Error::wrap)?;
            }
        }
        buffer.note_copy(&stream)?;
        let outputs = Rc::clone(&self.outputs);
        Ok(Box::new(move || {
            buffer.wait()?;
            let memory = buffer.memory.as_slice().map_err(Error::wrap)?;
            let copy = memory[..len].to_vec();
            outputs.borrow_mut().push(buffer);
            Ok(copy)
        }))
    }
}
