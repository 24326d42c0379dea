//! A network of two classes that knows how bright a picture is, and what goes with it: tests of the pipelines need no weights.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gradcam_video::frame::{ColorModel, ColorSpec, PictureFormat, Transfer};
use gradcam_video::model::{
    Activations, Backend, Classifier, Forward, FullyConnected, Labels, ModelInput, ModelSpec,
    Normalization, Precision, TargetLayer,
};
use gradcam_video::{Error, ErrorKind, Result};

pub const WIDTH: usize = 32;
pub const HEIGHT: usize = 24;
pub const FORMAT: PictureFormat = PictureFormat {
    chroma_shift: (1, 1),
    bit_depth: 8,
};
pub const COLOR: ColorSpec = ColorSpec {
    model: ColorModel::YuvBt601,
    is_full_range: true,
    transfer: Transfer::Sdr,
};
/// What happens to one frame.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    Fail(u64),
    Panic(u64),
}

/// Two channels of 2x2 cells; class 0 reads the first, class 1 the second. `sign` makes all evidence negative.
pub struct ToyModel {
    pub spec: ModelSpec,
    head: FullyConnected,
    pub fault: Fault,
    pub is_slow: bool,
    /// How long every pass takes besides.
    pub delay: Duration,
    /// Odd frames are a little more of the second class.
    pub is_undecided: bool,
    pub calls: AtomicU64,
}

impl ToyModel {
    pub fn new(sign: f32) -> Self {
        Self {
            spec: ModelSpec {
                arch: "toy".into(),
                blocks: [1, 1, 1, 1],
                has_stride_in_1x1: true,
                batch_norm_epsilon: 1e-5,
                normalization: Normalization {
                    channel_order: [0, 1, 2],
                    mean: [0.0; 3],
                    deviation: [1.0; 3],
                },
                input_size: 32,
                labels: Labels::from_json(r#"["alpha", "beta"]"#, r#"["n1", "n2"]"#).unwrap(),
            },
            head: FullyConnected {
                weight: vec![sign, 0.0, 0.0, sign * 0.5],
                bias: vec![0.0; 2],
                channels: 2,
            },
            fault: Fault::None,
            is_slow: false,
            delay: Duration::ZERO,
            is_undecided: false,
            calls: AtomicU64::new(0),
        }
    }
}

impl Classifier for ToyModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn backend(&self) -> Backend {
        Backend {
            device: "cpu".to_owned(),
            isa: "toy",
            precision: Precision::F32,
            is_emulated: false,
        }
    }

    fn fully_connected(&self) -> &FullyConnected {
        &self.head
    }

    fn forward(&self, input: &ModelInput, layers: &[TargetLayer]) -> Result<Forward> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let brightness = input.values[0].round();
        match self.fault {
            Fault::Fail(frame) if brightness as u64 == frame => {
                return Err(Error::new(ErrorKind::Compute, "the model broke"));
            }
            Fault::Panic(frame) if brightness as u64 == frame => panic!("the model panicked"),
            _ => {}
        }
        if self.is_slow {
            // Frames take unequal times, so that workers overtake each other.
            std::thread::sleep(Duration::from_micros((brightness as u64 * 7919) % 5 * 700));
        }
        std::thread::sleep(self.delay);
        let value = brightness + 1.0;
        let activations = Activations {
            channels: 2,
            height: 2,
            width: 2,
            values: vec![
                value,
                2.0 * value,
                3.0 * value,
                4.0 * value,
                4.0 * value,
                0.0,
                0.0,
                value,
            ],
        };
        Ok(Forward::new(
            layers.to_vec(),
            vec![activations; layers.len()],
            if self.is_undecided {
                vec![1.0, 0.9 + 0.2 * (brightness as u64 % 2) as f32]
            } else {
                vec![2.0 + brightness, 1.0]
            },
        ))
    }

    fn head(&self, _: TargetLayer, _: &Activations) -> Result<Vec<f32>> {
        Err(Error::new(ErrorKind::Compute, "the toy has no head"))
    }

    fn backpropagate(
        &self,
        forward: &Forward,
        layer: TargetLayer,
        _: &[f32],
    ) -> Result<Activations> {
        Ok(forward.activations_of(layer).unwrap().clone())
    }
}

#[derive(Clone, Default)]
pub struct SharedBytes(pub Arc<Mutex<Vec<u8>>>);

impl Write for SharedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
