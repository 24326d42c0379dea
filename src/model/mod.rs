//! The classifier: weights, labels, named layers, and the split at a target layer.
//!
//! ```text
//! ModelInput ──► features ──► Activations (target layer) ──► head ──► Logits
//! ```

pub mod batched;
mod bottleneck;
pub mod convert;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod labels;
mod randomize;
mod resnet;
pub mod spec;
pub mod summary;
pub mod weights;

pub use device::{DeviceChoice, Loaded, load_on};
pub use labels::Labels;
pub use resnet::ResNet;
pub use spec::{ModelSpec, Normalization, TargetLayer};
pub use weights::WeightFile;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::{Error, ErrorKind, Result, Stage};
use cpu::{Isa, ReluMasks};

/// Arithmetic of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// Activations and weights rounded to bfloat16 (8 bits of precision), sums in f32.
    Bf16,
    /// Activations and weights rounded to IEEE half precision (11 bits), sums in f32, on a CPU every 64 products. On GPUs, and on CPUs
    /// with AVX512_FP16.
    F16,
}

impl Precision {
    /// As on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What computes a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Such as `cpu` or `cuda:0 (NVIDIA H100)`.
    pub device: String,
    /// Instruction set or library of the kernels: `avx512`, `cudnn`; `candle` where it is left to candle.
    pub isa: &'static str,
    /// The arithmetic.
    pub precision: Precision,
    /// Whether that arithmetic is done in steps because the device does not have it: the same result up to rounding, slower than f32.
    pub is_emulated: bool,
}

/// Builds the network of a weight file with the fastest code that this CPU can run: the fused executor ([`cpu`]) where it has vector
/// instructions for it, else candle ([`ResNet`]). `isa` forces the executor and its instruction set.
///
/// # Errors
/// [`ErrorKind::Weights`] if the file does not fit its metadata; [`ErrorKind::InvalidArgument`] if `precision` needs what the CPU or
/// the network does not have.
pub fn load(
    file: Arc<WeightFile>,
    precision: Precision,
    isa: Option<Isa>,
) -> Result<Box<dyn Classifier>> {
    if let Some(isa) = isa {
        return cpu::load(file, isa, precision);
    }
    let is_supported = cpu::supports(&ModelSpec::from_weights(&file)?);
    match Isa::fastest_vectors().filter(|_| is_supported) {
        Some(isa) => cpu::load(file, isa, precision),
        None if precision == Precision::F32 => Ok(Box::new(ResNet::load(&file)?)),
        None => {
            let reason = if !is_supported {
                "the fused executor does not run this network"
            } else if precision == Precision::F16 {
                cpu::NO_F16
            } else {
                "this CPU has neither AVX2 nor AVX-512"
            };
            Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("cannot compute in {precision}: {reason}"),
            ))
        }
    }
}

/// A normalised picture: `[3, size, size]`, row-major, channels as the network wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Side of the square in pixels.
    pub size: usize,
    /// `3 * size * size` values.
    pub values: Vec<f32>,
}

/// Output of a layer for one picture (or a gradient with respect to it): `[channels, height, width]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `channels * height * width` values.
    pub values: Vec<f32>,
}

impl Activations {
    /// The cells of every channel, one slice of `height * width` values each.
    pub fn planes(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.height * self.width)
    }
}

/// What one forward pass yields.
#[derive(Debug)]
pub struct Forward {
    /// The requested layers.
    pub layers: Vec<TargetLayer>,
    /// One score per class, before softmax.
    pub logits: Vec<f32>,
    /// Of each layer.
    activations: Vec<StoredActivations>,
    /// What a device has computed besides.
    class_maps: Option<ClassMaps>,
    /// What the executor needs to go back; empty where candle ran.
    pub(crate) masks: ReluMasks,
}

/// Activations of a layer that stay where they were computed until somebody looks at them.
pub(crate) trait FetchActivations: fmt::Debug + Send + Sync {
    /// Copies them.
    ///
    /// # Errors
    /// If the device fails.
    fn fetch(&self) -> Result<Activations>;
}

/// Activations of a layer, here or on a device.
#[derive(Debug)]
struct StoredActivations {
    /// Once somebody has looked at them.
    values: OnceLock<Activations>,
    /// Where they are until then, and not longer: its memory is wanted.
    device: Mutex<Option<Box<dyn FetchActivations>>>,
}

impl StoredActivations {
    fn here(values: Activations) -> Self {
        Self {
            values: OnceLock::from(values),
            device: Mutex::new(None),
        }
    }

    fn on_device(device: Box<dyn FetchActivations>) -> Self {
        Self {
            values: OnceLock::new(),
            device: Mutex::new(Some(device)),
        }
    }

    /// None if they are nowhere. Who comes while they are fetched waits for them.
    fn values(&self) -> Result<Option<&Activations>> {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fetch) = &*device {
            let fetched = fetch.fetch()?;
            self.values.get_or_init(|| fetched);
            *device = None;
        }
        Ok(self.values.get())
    }
}

/// Class activation maps at the last layer (Zhou et al., 2016): `sum_k W[c,k] A_k` for some classes `c`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassMaps {
    pub(crate) classes: Vec<usize>,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// `[classes, height, width]`.
    pub(crate) values: Vec<f32>,
}

impl ClassMaps {
    /// Of one class, if it was computed.
    pub(crate) fn of(&self, class: usize) -> Option<&[f32]> {
        let index = self.classes.iter().position(|other| *other == class)?;
        let cells = self.height * self.width;
        self.values.get(index * cells..(index + 1) * cells)
    }
}

impl Forward {
    /// A pass of a network of one's own, which finds its way back without help.
    pub fn new(layers: Vec<TargetLayer>, activations: Vec<Activations>, logits: Vec<f32>) -> Self {
        Self {
            layers,
            logits,
            activations: activations
                .into_iter()
                .map(StoredActivations::here)
                .collect(),
            class_maps: None,
            masks: ReluMasks::default(),
        }
    }

    /// A pass on a device, where the activations of each layer stay for now.
    pub(crate) fn on_device(
        layers: Vec<TargetLayer>,
        devices: Vec<Box<dyn FetchActivations>>,
        logits: Vec<f32>,
        class_maps: ClassMaps,
    ) -> Self {
        Self {
            activations: devices
                .into_iter()
                .map(StoredActivations::on_device)
                .collect(),
            layers,
            logits,
            class_maps: Some(class_maps),
            masks: ReluMasks::default(),
        }
    }

    /// The same pass, if its logits are numbers: see [`checked_logits`].
    pub(crate) fn checked(mut self) -> Result<Self> {
        self.logits = checked_logits(self.logits)?;
        Ok(self)
    }

    /// The same pass, with another way to fetch what stays on the device.
    pub(crate) fn fetched_by(
        mut self,
        wrap: impl Fn(Box<dyn FetchActivations>) -> Box<dyn FetchActivations>,
    ) -> Self {
        for stored in &mut self.activations {
            let device = stored.device.get_mut();
            let device = device.unwrap_or_else(PoisonError::into_inner);
            *device = device.take().map(&wrap);
        }
        self
    }

    /// Activations of a requested layer.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if the layer was not requested, or the device that has them fails; [`ErrorKind::OutOfMemory`] if that has not the memory to copy
    /// them.
    pub fn activations_of(&self, layer: TargetLayer) -> Result<&Activations> {
        let not_kept = || {
            let message = format!(
                "the activations of {} were not kept in the forward pass",
                layer.torch_name()
            );
            Error::new(ErrorKind::Compute, message).at_stage(Stage::Model)
        };
        let index = self.layers.iter().position(|other| *other == layer);
        let index = index.ok_or_else(not_kept)?;
        let stored = self.activations.get(index).ok_or_else(not_kept)?;
        stored.values()?.ok_or_else(not_kept)
    }

    /// Class activation maps that came with the pass.
    pub(crate) fn class_maps(&self) -> Option<&ClassMaps> {
        self.class_maps.as_ref()
    }
}

/// The final fully connected layer: `logits = weight * pooled + bias`.
#[derive(Debug, Clone)]
pub struct FullyConnected {
    /// `[classes, channels]`, row-major.
    pub weight: Vec<f32>,
    /// `[classes]`.
    pub bias: Vec<f32>,
    /// Length of a row of `weight`.
    pub channels: usize,
}

impl FullyConnected {
    /// Reads `fc.weight` and `fc.bias`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if one is missing or has another shape than the network needs.
    pub(crate) fn load(file: &WeightFile, spec: &ModelSpec) -> Result<Self> {
        let (classes, channels) = (spec.labels.len(), spec.last_layer().shape().output);
        Ok(Self {
            weight: file.tensor("fc.weight", &[classes, channels])?,
            bias: file.tensor("fc.bias", &[classes])?,
            channels,
        })
    }

    /// The gradient of `sum_j logit_weights[j] * logit_j` with respect to the pooled features: `sum_j logit_weights[j] W[j,k]`
    /// per channel `k`, in f64.
    pub(crate) fn gradient(&self, logit_weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        let rows = self.weight.chunks_exact(self.channels).zip(logit_weights);
        for (row, weight) in rows.filter(|(_, weight)| *weight != 0.0) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * f64::from(*value);
            }
        }
        sums
    }
}

/// A network that ends in global average pooling and one fully connected layer.
pub trait Classifier: Send + Sync {
    /// Topology, input, labels.
    fn spec(&self) -> &ModelSpec;

    /// What computes it.
    fn backend(&self) -> Backend;

    /// The final layer, for closed forms.
    fn fully_connected(&self) -> &FullyConnected;

    /// Runs the network once and keeps the activations of `layers`.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails, the input has the wrong size, or a logit is no finite number.
    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward>;

    /// [`forward`](Self::forward), knowing that Grad-CAM at the last layer will be asked about `classes`, and about those that turn out most
    /// probable: a device that is far away computes their maps itself.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    fn forward_for(
        &self,
        input: &ModelInput,
        layers: &[TargetLayer],
        classes: &[usize],
    ) -> Result<Forward> {
        let _ = classes;
        self.forward(input, layers)
    }

    /// Passes that should be asked for at the same time, by as many threads, to keep what computes them busy; 1 if every thread computes
    /// its own.
    fn concurrency(&self) -> usize {
        1
    }

    /// Pictures that are computed together at most, where they are at all; if passes and what comes behind a layer differ, the fewer. It shrinks when
    /// the device's memory runs out.
    fn batch(&self) -> Option<usize> {
        None
    }

    /// The logits that the rest of the network makes of these activations of `layer`.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails, the network has no such layer, the activations do not have
    /// its shape, or a logit is no finite number.
    fn head(&self, layer: TargetLayer, activations: &Activations) -> Result<Vec<f32>>;

    /// The vector-Jacobian product of the rest of the network: the gradient with respect to the activations of `layer` of
    /// `sum_j logit_weights[j] * logit_j`. `forward` is a pass of this network in which `layer` was requested.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`](crate::ErrorKind::Compute) if the backend fails or `forward` is none of its own with this layer.
    fn backpropagate(
        &self,
        forward: &Forward,
        layer: TargetLayer,
        logit_weights: &[f32],
    ) -> Result<Activations>;
}

/// Whether `input` is what the network reads.
///
/// # Errors
/// [`ErrorKind::Compute`] if its size is wrong.
pub(crate) fn check_input(spec: &ModelSpec, input: &ModelInput) -> Result<()> {
    if input.size == spec.input_size && input.values.len() == 3 * input.size * input.size {
        return Ok(());
    }
    let message = format!(
        "the network wants 3x{0}x{0} values, got {1} for size {2}",
        spec.input_size,
        input.values.len(),
        input.size
    );
    Err(Error::new(ErrorKind::Compute, message).at_stage(Stage::Model))
}

/// Whether `activations` are what `layer` puts out.
///
/// # Errors
/// [`ErrorKind::Compute`] if the network has no such layer or its output has another shape.
pub(crate) fn check_activations(
    spec: &ModelSpec,
    layer: TargetLayer,
    activations: &Activations,
) -> Result<()> {
    let is_known = spec.target_layers().contains(&layer);
    let (channels, side) = (layer.shape().output, (spec.input_size / 4) >> layer.stage);
    let Activations {
        height,
        width,
        values,
        ..
    } = activations;
    if is_known
        && (activations.channels, *height, *width) == (channels, side, side)
        && values.len() == channels * side * side
    {
        return Ok(());
    }
    let message = format!(
        "layer {} has no activations of {}x{height}x{width}",
        layer.torch_name(),
        activations.channels
    );
    Err(Error::new(ErrorKind::Compute, message).at_stage(Stage::Model))
}

/// The logits, if all are numbers. Others come from activations beyond what the precision holds: they have no order, and no map is true.
///
/// # Errors
/// [`ErrorKind::Compute`] if one is NaN or infinite.
pub(crate) fn checked_logits(logits: Vec<f32>) -> Result<Vec<f32>> {
    let Some(class) = logits.iter().position(|logit| !logit.is_finite()) else {
        return Ok(logits);
    };
    let message = format!(
        "the network's score of class {class} is {}: its activations overflow",
        logits[class]
    );
    Err(Error::new(ErrorKind::Compute, message).at_stage(Stage::Model))
}

/// Softmax in f64, so that probabilities near 0 and 1 keep their distance.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits
        .iter()
        .map(|logit| f64::from(logit - maximum).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

/// One class of a prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Class index.
    pub index: usize,
    /// Score before softmax.
    pub logit: f32,
    /// Softmax probability.
    pub probability: f64,
}

/// All classes by falling logit; equal logits by rising index.
pub fn ranked(logits: &[f32]) -> Vec<Prediction> {
    let mut predictions: Vec<_> = softmax(logits)
        .into_iter()
        .zip(logits)
        .enumerate()
        .map(|(index, (probability, logit))| Prediction {
            index,
            logit: *logit,
            probability,
        })
        .collect();
    predictions.sort_by(|a, b| b.logit.total_cmp(&a.logit));
    predictions
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let probabilities = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((probabilities[0] - 1.0 / (1.0 + (-1.0f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error() {
        assert_eq!(checked_logits(vec![1.0, -2.0]).unwrap(), [1.0, -2.0]);
        for bad in [f32::NAN, f32::INFINITY] {
            let error = checked_logits(vec![1.0, bad]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Compute);
            assert!(error.one_line().contains("class 1"), "{}", error.one_line());
        }
    }

    #[test]
    fn predictions_are_ranked_by_logit() {
        let order: Vec<_> = ranked(&[1.0, 3.0, 2.0, 3.0])
            .iter()
            .map(|p| p.index)
            .collect();
        assert_eq!(order, [1, 3, 2, 0]);
    }

    /// Fails the first time; counts those that are no more.
    #[derive(Debug)]
    struct Far {
        asked: AtomicUsize,
        gone: Arc<AtomicUsize>,
    }

    impl FetchActivations for Far {
        fn fetch(&self) -> Result<Activations> {
            if self.asked.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(Error::new(ErrorKind::OutOfMemory, "full"));
            }
            Ok(Activations {
                channels: 1,
                height: 1,
                width: 1,
                values: vec![7.0],
            })
        }
    }

    impl Drop for Far {
        fn drop(&mut self) {
            self.gone.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_device_keeps_activations_until_they_are_fetched_and_not_longer() {
        let gone = Arc::new(AtomicUsize::new(0));
        let far = || -> Box<dyn FetchActivations> {
            Box::new(Far {
                asked: AtomicUsize::new(0),
                gone: Arc::clone(&gone),
            })
        };
        let layers = vec![
            TargetLayer { stage: 2, block: 1 },
            TargetLayer { stage: 3, block: 2 },
        ];
        let maps = ClassMaps {
            classes: Vec::new(),
            height: 0,
            width: 0,
            values: Vec::new(),
        };
        let pass = Forward::on_device(layers.clone(), vec![far(), far()], vec![0.0], maps);
        let error = pass.activations_of(layers[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(gone.load(Ordering::Relaxed), 0);
        // Fetched once, however many ask, and only what was asked for.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(pass.activations_of(layers[0]).unwrap().values, [7.0]));
            }
        });
        assert_eq!(gone.load(Ordering::Relaxed), 1);
        let unknown = TargetLayer { stage: 0, block: 0 };
        assert!(pass.activations_of(unknown).is_err());
        drop(pass);
        assert_eq!(gone.load(Ordering::Relaxed), 2);
    }
}
