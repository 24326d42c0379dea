//! Pictures to the device, numbers back.

use candle_core::{Device, Tensor};

use super::picture::Element;

/// Numbers on their way back: waits for them.
pub(in crate::model) type Download = Box<dyn FnOnce() -> candle_core::Result<Vec<f32>>>;

/// One copy in and one copy out for each batch.
pub(in crate::model) trait Transfer<T> {
    /// The pictures, one after the other, as one tensor.
    ///
    /// # Errors
    /// If the device fails.
    fn upload(&mut self, pictures: &[&[T]], shape: [usize; 4]) -> candle_core::Result<Tensor>;

    /// Asks for all values of an f32 tensor, without waiting.
    ///
    /// # Errors
    /// If the device fails.
    fn download(&mut self, values: &Tensor) -> candle_core::Result<Download>;
}

/// Where host and device are the same.
pub(super) struct InPlace;

impl<T: Element> Transfer<T> for InPlace {
    fn upload(&mut self, pictures: &[&[T]], shape: [usize; 4]) -> candle_core::Result<Tensor> {
        Tensor::from_vec(pictures.concat(), &shape, &Device::Cpu)
    }

    fn download(&mut self, values: &Tensor) -> candle_core::Result<Download> {
        let values = values.flatten_all()?.to_vec1()?;
        Ok(Box::new(|| Ok(values)))
    }
}
