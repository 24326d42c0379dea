//! A weight file as `--weights` takes it: safetensors, metadata, labels, the network's tensors.
#![no_main]

use std::sync::Arc;

use gradcam_video::model::{self, ModelSpec, Precision, ResNet, WeightFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = WeightFile::from_bytes(bytes.to_vec(), "fuzzed") else {
        return;
    };
    for name in file.tensor_names() {
        // Tensors of these shapes are tried because the network asks for vectors and for matrices.
        let _ = file.tensor(name, &[1]);
        let _ = file.tensor(name, &[1, 1]);
        if let Some(norm) = name.strip_suffix(".running_var") {
            let _ = file.batch_norm("conv", norm, 1, 1e-5);
        }
    }
    let Ok(spec) = ModelSpec::from_weights(&file) else {
        return;
    };
    for class in ["0", "n1", "a"] {
        let _ = spec.labels.find(class);
    }
    // An input has no room for a whole network: these end with an error, the reference and the executor each with its own.
    let _ = ResNet::load(&file);
    let file = Arc::new(file);
    let _ = model::load(Arc::clone(&file), Precision::F32, None);
    let _ = model::load(file, Precision::Bf16, None);
});
