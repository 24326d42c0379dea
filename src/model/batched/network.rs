//! ResNet with bottleneck blocks for batches: batch normalisation folded, channels last, nothing waited for between the first layer and the
//! last.

use std::fmt;

use candle_core::{DType, Device, Tensor};

use super::BatchNetwork;
use super::class_maps::{ClassHead, Row};
use super::convolution::{CandleEngine, Convolution, Engine, Loader, Passed};
use super::picture::Element;
use super::transfer::{Download, InPlace, Transfer};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::model::bottleneck::Bottleneck;
use crate::model::spec::{BASE_CHANNELS, ModelSpec, TargetLayer};
use crate::model::weights::WeightFile;
use crate::model::{Activations, FetchActivations, Forward, FullyConnected};

/// What is asked about one picture.
#[derive(Debug, Clone)]
pub(in crate::model) struct Question<P> {
    /// The picture as the network reads it.
    pub(super) picture: P,
    /// Layers whose activations the caller may look at.
    pub(super) layers: Vec<TargetLayer>,
    /// Classes whose maps are wanted, besides those of the most probable ones.
    pub(super) classes: Vec<usize>,
}

impl<P> Question<P> {
    /// What Grad-CAM at a layer asks: the logits, the maps of the most probable classes, and the layer.
    pub(in crate::model) fn of(picture: P, layer: TargetLayer) -> Self {
        Self {
            picture,
            layers: vec![layer],
            classes: Vec::new(),
        }
    }
}

/// What a device needs to run the network.
pub(in crate::model) struct Parts<T> {
    pub(in crate::model) device: Device,
    pub(in crate::model) engine: Box<dyn Engine>,
    pub(in crate::model) transfer: Box<dyn Transfer<T>>,
}

impl<T: Element> Parts<T> {
    /// Candle's CPU backend: the same network without a GPU.
    pub(super) fn on_cpu() -> Self {
        Self {
            device: Device::Cpu,
            engine: Box::new(CandleEngine),
            transfer: Box::new(InPlace),
        }
    }

    /// Loads weights for this engine onto this device.
    pub(super) fn loader<'a>(&'a self, file: &'a WeightFile, spec: &ModelSpec) -> Loader<'a> {
        Loader {
            file,
            batch_norm_epsilon: spec.batch_norm_epsilon,
            engine: &*self.engine,
            device: &self.device,
            dtype: T::DTYPE,
        }
    }
}

/// The network on one device, for the thread that it belongs to.
pub(in crate::model) struct FoldedResNet<T> {
    input_size: usize,
    /// Before the weights, which what the engine has recorded reads: fields are dropped in this order.
    parts: Parts<T>,
    stem: Convolution,
    blocks: Vec<(TargetLayer, Bottleneck<Convolution>)>,
    head: ClassHead,
}

impl<T> fmt::Debug for FoldedResNet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoldedResNet")
            .field("engine", &self.parts.engine)
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl<T: Element> FoldedResNet<T> {
    /// Builds the network that the file's metadata describes.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if metadata or tensors are missing, malformed or of the wrong shape; as [`device_error`] if the device refuses them.
    pub(in crate::model) fn load(file: &WeightFile, parts: Parts<T>) -> Result<Self> {
        let spec = ModelSpec::from_weights(file)?;
        let loader = parts.loader(file, &spec);
        let stem = loader.convolution("conv1", "bn1", [BASE_CHANNELS, 3, 7], 2)?;
        let blocks = spec
            .target_layers()
            .into_iter()
            .map(|layer| {
                let block = Bottleneck::load(&spec, layer, |conv, norm, shape, stride| {
                    loader.convolution(conv, norm, shape, stride)
                });
                Ok((layer, block?))
            })
            .collect::<Result<Vec<_>>>()?;
        let fully_connected = FullyConnected::load(file, &spec)?;
        let head = ClassHead::new(&fully_connected, &parts.device).map_err(device_error)?;
        Ok(Self {
            input_size: spec.input_size,
            parts,
            stem,
            blocks,
            head,
        })
    }

    /// The pictures as one tensor on the device.
    ///
    /// # Errors
    /// If the device fails.
    pub(in crate::model) fn upload(&mut self, pictures: &[&[T]]) -> candle_core::Result<Tensor> {
        let size = self.input_size;
        self.parts
            .transfer
            .upload(pictures, [pictures.len(), size, size, 3])
    }

    /// Convolutions for which the engine has no fused kernel.
    #[cfg(feature = "cuda")]
    pub(in crate::model) fn unfused(&self) -> usize {
        self.parts.engine.unfused()
    }

    /// Why a batch was launched kernel by kernel though the engine can launch it as a whole.
    #[cfg(feature = "cuda")]
    pub(in crate::model) fn unrecorded(&self) -> Option<String> {
        self.parts.engine.unrecorded()
    }

    /// Everything between the copies, without waiting for it: the outputs of `layers`, and what [`ClassHead::run`] makes of the last one.
    ///
    /// # Errors
    /// If the device fails.
    pub(in crate::model) fn compute(
        &self,
        pictures: &Tensor,
        layers: &[TargetLayer],
        wanted: &[&[usize]],
    ) -> candle_core::Result<Computed> {
        let known = self.blocks.iter().map(|(layer, _)| *layer);
        let layers: Vec<TargetLayer> = known.filter(|layer| layers.contains(layer)).collect();
        let all = |engine: &dyn Engine, pictures: &Tensor| self.layers(engine, pictures, &layers);
        let Passed { kept, last } = self.parts.engine.run(pictures, &layers, &all)?;
        let (output, row) = self.head.run(&last, wanted)?;
        Ok(Computed {
            kept: layers.into_iter().zip(kept).collect(),
            output,
            row,
        })
    }

    /// From the first convolution to the last block.
    fn layers(
        &self,
        engine: &dyn Engine,
        pictures: &Tensor,
        kept: &[TargetLayer],
    ) -> candle_core::Result<Passed> {
        let mut x = engine.convolve(pictures, &self.stem, None, true)?;
        x = engine.max_pool(&x)?;
        let mut outputs = Vec::with_capacity(kept.len());
        for (layer, block) in &self.blocks {
            x = block.forward(engine, &x)?.output;
            if kept.contains(layer) {
                outputs.push(x.clone());
            }
        }
        Ok(Passed {
            kept: outputs,
            last: x,
        })
    }

    fn run(&mut self, batch: &[&Question<Vec<T>>]) -> candle_core::Result<Running> {
        let mut pictures: Vec<&[T]> = batch.iter().map(|asked| &*asked.picture).collect();
        let layers: Vec<Vec<TargetLayer>> =
            batch.iter().map(|asked| asked.layers.clone()).collect();
        // As many classes for each picture: what fills up is not asked for.
        let most = batch.iter().map(|asked| asked.classes.len()).max();
        let mut padded: Vec<Vec<usize>> = batch
            .iter()
            .map(|asked| {
                let mut classes = asked.classes.clone();
                classes.resize(most.unwrap_or(0), 0);
                classes
            })
            .collect();
        // The last picture again, as often as the engine likes; nobody collects it.
        if let (Some(picture), Some(classes)) = (pictures.last(), padded.last()) {
            let (picture, classes) = (*picture, classes.clone());
            let size = self.parts.engine.batch_for(batch.len()).max(batch.len());
            pictures.resize(size, picture);
            padded.resize(size, classes);
        }
        let wanted: Vec<&[usize]> = padded.iter().map(Vec::as_slice).collect();

        let pictures = self.upload(&pictures)?;
        let Computed { kept, output, row } = self.compute(&pictures, &layers.concat(), &wanted)?;
        Ok(Running {
            layers,
            kept,
            row,
            download: self.parts.transfer.download(&output)?,
        })
    }
}

/// What a batch's computation yields, on the device.
pub(in crate::model) struct Computed {
    kept: Vec<(TargetLayer, Tensor)>,
    /// A row of numbers for each picture.
    output: Tensor,
    row: Row,
}

/// A batch that the device computes.
pub(in crate::model) struct Running {
    /// What each picture's caller may look at.
    layers: Vec<Vec<TargetLayer>>,
    /// Outputs of all those layers for the whole batch, on the device.
    kept: Vec<(TargetLayer, Tensor)>,
    row: Row,
    download: Download,
}

impl<T: Element> BatchNetwork for FoldedResNet<T> {
    type Question = Question<Vec<T>>;
    type Answer = Forward;
    type Running = Running;

    fn launch(&mut self, batch: &[&Question<Vec<T>>]) -> Result<Running> {
        self.run(batch).map_err(device_error)
    }

    fn collect(&mut self, running: Running) -> Result<Vec<Forward>> {
        let Running {
            layers,
            kept,
            row,
            download,
        } = running;
        let values = download().map_err(device_error)?;
        let of_picture = |(index, (values, layers)): (usize, (&[f32], Vec<TargetLayer>))| {
            let (logits, maps) = row.split(values);
            let tensors = layers
                .iter()
                .filter_map(|layer| kept.iter().find(|(other, _)| other == layer))
                .map(|(_, tensor)| {
                    let tensor = OnDevice(tensor.narrow(0, index, 1)?);
                    Ok(Box::new(tensor) as Box<dyn FetchActivations>)
                })
                .collect::<candle_core::Result<Vec<_>>>();
            let tensors = tensors.map_err(device_error)?;
            if tensors.len() != layers.len() {
                return Err(
                    Error::new(ErrorKind::Compute, "unknown target layer").at_stage(Stage::Model)
                );
            }
            Ok(Forward::on_device(layers, tensors, logits, maps))
        };
        values
            .chunks_exact(row.len())
            .zip(layers)
            .enumerate()
            .map(of_picture)
            .collect()
    }

    fn give_back(&mut self) {
        self.parts.engine.give_back();
    }

    fn end(self) {
        let _alone = self.parts.engine.alone();
        drop(self);
    }
}

/// A layer's activations of one picture that stay on the device until someone looks at them: `[1, height, width, channels]`. As long as one picture's do, the
/// whole batch's do.
#[derive(Debug)]
struct OnDevice(Tensor);

impl FetchActivations for OnDevice {
    fn fetch(&self) -> Result<Activations> {
        let read = || {
            let (_, height, width, channels) = self.0.dims4()?;
            let planes = self.0.permute((0, 3, 1, 2))?.contiguous()?;
            Ok(Activations {
                channels,
                height,
                width,
                values: planes.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?,
            })
        };
        read().map_err(device_error)
    }
}

/// What a device says when memory is short: CUDA, cuBLAS, cuDNN.
const OUT_OF_MEMORY: [&str; 4] = [
    "OUT_OF_MEMORY",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
];

/// Whether a smaller batch may do where this was said.
pub(in crate::model) fn is_out_of_memory(said: &str) -> bool {
    OUT_OF_MEMORY.iter().any(|words| said.contains(words))
}

/// A candle error with the kind that tells whether a smaller batch may help.
pub(in crate::model) fn device_error(error: candle_core::Error) -> Error {
    let text = error.to_string();
    let kind = if is_out_of_memory(&text) {
        ErrorKind::OutOfMemory
    } else {
        ErrorKind::Compute
    };
    // A backtrace has many lines, the cause is in the first.
    let cause = text.lines().next().unwrap_or_default().to_owned();
    Error::caused_by(kind, "cannot run the network on the device", cause).at_stage(Stage::Model)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::batched::convolution::Layers;

    /// Prepared for batches of four only.
    #[derive(Debug)]
    struct InFours;

    impl Engine for InFours {
        fn run(
            &self,
            pictures: &Tensor,
            _: &[TargetLayer],
            layers: &Layers<'_>,
        ) -> candle_core::Result<Passed> {
            assert_eq!(pictures.dim(0)?, 4);
            layers(&CandleEngine, pictures)
        }

        fn batch_for(&self, pictures: usize) -> usize {
            pictures.next_multiple_of(4)
        }

        fn prepare(&self, filter: &Tensor) -> candle_core::Result<Tensor> {
            CandleEngine.prepare(filter)
        }

        fn convolve(
            &self,
            x: &Tensor,
            convolution: &Convolution,
            shortcut: Option<&Tensor>,
            is_rectified: bool,
        ) -> candle_core::Result<Tensor> {
            CandleEngine.convolve(x, convolution, shortcut, is_rectified)
        }

        fn max_pool(&self, x: &Tensor) -> candle_core::Result<Tensor> {
            CandleEngine.max_pool(x)
        }
    }

    #[test]
    fn what_fills_a_batch_up_is_seen_by_nobody() {
        let file = WeightFile::open(Path::new("weights/resnet50-keras-f16.safetensors")).unwrap();
        let mut exact = FoldedResNet::<f32>::load(&file, Parts::on_cpu()).unwrap();
        let parts = Parts {
            engine: Box::new(InFours),
            ..Parts::on_cpu()
        };
        let mut filled = FoldedResNet::<f32>::load(&file, parts).unwrap();
        let layer = exact.blocks.last().unwrap().0;
        let questions = [40.0, -20.0, 7.0].map(|step| {
            let picture =
                (0..3 * exact.input_size.pow(2)).map(|at| (at % 224) as f32 * step / 50.0);
            let mut question = Question::of(picture.collect(), layer);
            // One class for some, none for others.
            question.classes.extend((step > 0.0).then_some(700));
            question
        });
        let questions: Vec<_> = questions.iter().collect();
        let pass = |network: &mut FoldedResNet<f32>| {
            let running = network.launch(&questions).unwrap();
            network.collect(running).unwrap()
        };
        let (expected, got) = (pass(&mut exact), pass(&mut filled));
        assert_eq!((expected.len(), got.len()), (3, 3));
        for (expected, got) in expected.iter().zip(&got) {
            let differences = expected.logits.iter().zip(&got.logits);
            let largest = differences.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-3, "{largest}");
            let maps = |forward: &Forward| forward.class_maps().unwrap().clone();
            let (ours, theirs) = (maps(got), maps(expected));
            assert_eq!(ours.classes, theirs.classes);
            let differences = theirs.values.iter().zip(&ours.values);
            let largest = differences.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-3, "{largest}");
            let ours = got.activations_of(layer).unwrap();
            let theirs = expected.activations_of(layer).unwrap();
            let differences = theirs.values.iter().zip(&ours.values);
            let largest = differences.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-3, "{largest}");
        }
        assert_ne!(expected[1].logits, expected[2].logits);
    }

    #[test]
    fn memory_that_runs_out_is_told_from_other_failures() {
        for (text, kind) in [
            (
                "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
                ErrorKind::OutOfMemory,
            ),
            (
                "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
                ErrorKind::OutOfMemory,
            ),
            (
                "CudnnError(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)",
                ErrorKind::OutOfMemory,
            ),
            (
                "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"...\")\n  at frame 1",
                ErrorKind::Compute,
            ),
        ] {
            let error = device_error(candle_core::Error::Msg(text.to_owned()));
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!error.one_line().contains("frame 1"), "{error}");
        }
    }
}
