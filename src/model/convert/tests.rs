//! Conversions of a tiny network in a folder that each test spoils in its own way.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn tiny() -> Architecture {
    Architecture {
        stem_kernel: 2,
        stem_width: 2,
        blocks_per_stage: vec![2, 1],
        classes: 3,
    }
}

/// A TF.js folder of the tiny network. Weight `n` holds `n + i / 64` at position `i`.
struct Fixture {
    folder: TempDir,
    model: Value,
}

const SHARD_BYTES: usize = 100;

impl Fixture {
    fn new() -> Self {
        let mut data: Vec<u8> = Vec::new();
        let mut entries = Vec::new();
        for (number, weight) in tiny().weights().iter().enumerate() {
            for position in 0..weight.value_count() {
                data.extend((number as f32 + position as f32 / 64.0).to_le_bytes());
            }
            entries.push(json!({
                "name": weight.keras_name, "shape": weight.keras_shape, "dtype": "float32",
            }));
        }
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (number, shard) in data.chunks(SHARD_BYTES).enumerate() {
            let name = format!("shard{number}.bin");
            fs::write(folder.path().join(&name), shard).unwrap();
            paths.push(name);
        }
        let model = json!({
            "format": "layers-model",
            "modelTopology": {"ignored": [1, 2, 3]},
            "weightsManifest": [{"paths": paths, "weights": entries}],
        });
        Self { folder, model }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn output(&self) -> PathBuf {
        self.path().join("out.safetensors")
    }

    fn group(&mut self) -> &mut Value {
        &mut self.model["weightsManifest"][0]
    }

    fn entry(&mut self, keras_name: &str) -> &mut Value {
        let entries = self.group()["weights"].as_array_mut().unwrap();
        let found = entries.iter_mut().find(|entry| entry["name"] == keras_name);
        found.unwrap()
    }

    fn convert(&self, dtype: WeightDtype) -> Result<ConvertSummary> {
        fs::write(self.path().join("model.json"), self.model.to_string()).unwrap();
        convert(self.path(), &self.output(), dtype, &tiny())
    }

    /// Converts, and expects a one-line error about the folder that contains `cause`, and no output.
    #[track_caller]
    fn expect_refusal(&self, cause: &str) {
        let error = self.convert(WeightDtype::F16).unwrap_err();
        self.check_refusal(&error, cause);
    }

    #[track_caller]
    fn check_refusal(&self, error: &Error, cause: &str) {
        assert_eq!(error.kind(), ErrorKind::Weights);
        let line = error.one_line();
        let start = format!("cannot convert {}: ", self.path().display());
        assert!(line.starts_with(&start), "{line}");
        assert!(line.contains(cause), "{line}");
        assert!(!line.contains('\n'), "{line}");
        let left_over = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            name.ends_with(".safetensors") || name.ends_with(".part")
        };
        let mut entries = self
            .path()
            .read_dir()
            .unwrap()
            .map(std::result::Result::unwrap);
        assert!(!entries.any(left_over));
    }
}

#[test]
fn every_weight_arrives_in_the_wanted_type() {
    for (dtype, kernels) in [
        (WeightDtype::F16, Dtype::F16),
        (WeightDtype::F32, Dtype::F32),
    ] {
        let fixture = Fixture::new();
        let summary = fixture.convert(dtype).unwrap();
        let bytes = fs::read(fixture.output()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();

        let weights = tiny().weights();
        let parameters: u64 = weights.iter().map(KerasWeight::value_count).sum();
        let expected = ConvertSummary {
            tensor_count: weights.len(),
            parameter_count: parameters,
            file_bytes: bytes.len() as u64,
            dtype,
        };
        assert_eq!(summary, expected);
        assert_eq!(file.len(), weights.len());
        for (number, weight) in weights.iter().enumerate() {
            let view = file.tensor(&weight.torch_name).unwrap();
            let is_kernel = weight.keras_name.ends_with("/kernel");
            assert_eq!(view.dtype(), if is_kernel { kernels } else { Dtype::F32 });
            let first = match view.dtype() {
                Dtype::F16 => f16::from_le_bytes(view.data()[..2].try_into().unwrap()).to_f32(),
                _ => f32::from_le_bytes(view.data()[..4].try_into().unwrap()),
            };
            assert_eq!(first, number as f32, "{}", weight.torch_name);
        }
        // The stem's kernel is weight 0. Output 1, input 0, row 1, column 0 lay at ((1*2 + 0)*3 + 0)*2 + 1.
        let stem = file.tensor("conv1.weight").unwrap();
        assert_eq!(stem.shape(), [2, 3, 2, 2]);
        let size = kernels.bitsize() / 8;
        let at = 14 * size; // ((1*3 + 0)*2 + 1)*2 + 0
        let value = &stem.data()[at..at + size];
        let expected = 13.0_f32 / 64.0;
        match kernels {
            Dtype::F16 => assert_eq!(value, f16::from_f32(expected).to_le_bytes()),
            _ => assert_eq!(value, expected.to_le_bytes()),
        }
        assert_eq!(file.tensor("fc.weight").unwrap().shape(), [3, 16]);
    }
}

#[test]
fn rounding_to_f16_goes_to_the_nearest_and_ties_to_even() {
    // Between 2048 and 4096 neighbours are 2 apart: 2049 and 2051 are ties.
    let bytes = f16_bytes(&[2049.0, 2051.0, 2048.9, 2049.1, 65519.0]).unwrap();
    let values: Vec<f32> = bytes
        .chunks(2)
        .map(|pair| f16::from_le_bytes(pair.try_into().unwrap()).to_f32())
        .collect();
    assert_eq!(values, [2048.0, 2052.0, 2048.0, 2050.0, 65504.0]);
    assert_eq!(f16_bytes(&[1.0, -65520.0]), Err(-65520.0));
}

#[test]
fn several_groups_are_read_each_from_its_own_shards() {
    let mut fixture = Fixture::new();
    fixture.convert(WeightDtype::F32).unwrap();
    let expected = fs::read(fixture.output()).unwrap();

    // Weight 0 (24 values) moves to a group of its own, and so do its bytes.
    let mut all = Vec::new();
    for name in fixture.group()["paths"].as_array().unwrap().clone() {
        all.extend(fs::read(fixture.path().join(name.as_str().unwrap())).unwrap());
    }
    fs::write(fixture.path().join("first.bin"), &all[..96]).unwrap();
    fs::write(fixture.path().join("rest.bin"), &all[96..]).unwrap();
    let mut entries = fixture.group()["weights"].as_array().unwrap().clone();
    let first = entries.remove(0);
    fixture.model["weightsManifest"] = json!([
        {"paths": ["rest.bin"], "weights": entries},
        {"paths": ["first.bin"], "weights": [first]},
    ]);
    fixture.convert(WeightDtype::F32).unwrap();
    assert_eq!(fs::read(fixture.output()).unwrap(), expected);
}

#[test]
fn other_formats_and_broken_manifests_are_refused() {
    let mut fixture = Fixture::new();
    fixture.model["format"] = json!("graph-model");
    fixture.expect_refusal(r#"format is "graph-model", not "layers-model""#);
    fixture.model["format"] = Value::Null;
    fixture.expect_refusal("format is missing");

    let mut fixture = Fixture::new();
    fixture.model["weightsManifest"] = Value::Null;
    fixture.expect_refusal("weightsManifest is missing");
    fixture.model["weightsManifest"] = json!({"paths": 1});
    fixture.expect_refusal("model.json: invalid type");

    let folder = Fixture::new();
    for text in [&b""[..], b"{", b"\xff\xfe", &[b'['; 100_000]] {
        fs::write(folder.path().join("model.json"), text).unwrap();
        let error =
            convert(folder.path(), &folder.output(), WeightDtype::F16, &tiny()).unwrap_err();
        folder.check_refusal(&error, "model.json: ");
    }
}

#[test]
fn a_missing_folder_names_the_folder_and_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    let error = convert_tfjs_folder(&missing, &folder.path().join("out"), WeightDtype::F16);
    let line = error.unwrap_err().one_line();
    let start = format!(
        "cannot convert {}: model.json: No such file",
        missing.display()
    );
    assert!(line.starts_with(&start), "{line}");
}

#[test]
fn a_model_json_that_is_a_folder_is_refused() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path().join("model.json")).unwrap();
    let error = convert(fixture.path(), &fixture.output(), WeightDtype::F16, &tiny()).unwrap_err();
    fixture.check_refusal(&error, "model.json: not a plain file");
}

#[test]
fn quantized_and_other_types_are_refused_by_name() {
    let mut fixture = Fixture::new();
    fixture.entry("fc3/kernel")["quantization"] =
        json!({"dtype": "uint8", "scale": 0.1, "min": 0.0});
    fixture.expect_refusal(r#"weight "fc3/kernel" is quantized"#);

    let mut fixture = Fixture::new();
    fixture.entry("conv1/bias")["dtype"] = json!("int32");
    fixture.expect_refusal(r#"weight "conv1/bias" has dtype "int32", not "float32""#);
}

#[test]
fn missing_unexpected_and_double_weights_are_named() {
    let mut fixture = Fixture::new();
    fixture.entry("res2b_branch2c/kernel")["name"] = json!("res2z_branch2c/kernel");
    fixture.expect_refusal("1 weight missing (res2b_branch2c/kernel)");
    fixture.expect_refusal("1 weight unexpected (res2z_branch2c/kernel)");

    let mut fixture = Fixture::new();
    fixture.entry("conv1/bias")["name"] = json!("conv1/kernel");
    fixture.expect_refusal(r#"weight "conv1/kernel" is listed twice"#);
}

#[test]
fn wrong_shapes_are_refused() {
    let mut fixture = Fixture::new();
    fixture.entry("conv1/kernel")["shape"] = json!([2, 2, 2, 3]);
    fixture.expect_refusal(r#"weight "conv1/kernel" has shape [2, 2, 2, 3], not [2, 2, 3, 2]"#);
    fixture.entry("conv1/kernel")["shape"] = json!([u64::MAX, u64::MAX, 2, 2]);
    fixture.expect_refusal("conv1/kernel");
    fixture.entry("conv1/kernel")["shape"] = json!([-1, 2, 2, 2]);
    fixture.expect_refusal("model.json: invalid value");
}

#[test]
fn shards_must_be_there_and_of_the_right_size() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.path().join("shard2.bin")).unwrap();
    fixture.expect_refusal("shard shard2.bin: No such file");
    fs::create_dir(fixture.path().join("shard2.bin")).unwrap();
    fixture.expect_refusal("shard shard2.bin: not a plain file");

    for length in [SHARD_BYTES - 1, SHARD_BYTES + 4] {
        let fixture = Fixture::new();
        fs::write(fixture.path().join("shard0.bin"), vec![0; length]).unwrap();
        fixture.expect_refusal("bytes, but the weights need");
    }

    let mut fixture = Fixture::new();
    fixture.group()["paths"].as_array_mut().unwrap().pop();
    fixture.expect_refusal("bytes, but the weights need");
}

#[test]
fn shards_outside_the_folder_are_never_opened() {
    for name in ["../shard0.bin", "/dev/zero", "sub/shard0.bin", ""] {
        let mut fixture = Fixture::new();
        fixture.group()["paths"][0] = json!(name);
        fixture.expect_refusal(&format!("shard {name:?} is not a plain file name"));
    }
    let mut fixture = Fixture::new();
    fixture.group()["paths"][1] = json!("shard0.bin");
    fixture.expect_refusal(r#"shard "shard0.bin" is listed twice"#);
}

#[test]
fn values_that_are_no_numbers_or_do_not_fit_are_refused() {
    for (value, cause) in [
        (f32::NAN, "weight conv1/kernel holds NaN"),
        (f32::INFINITY, "weight conv1/kernel holds inf"),
        (70_000.0, "weight conv1/kernel holds 70000, beyond f16"),
    ] {
        let fixture = Fixture::new();
        let path = fixture.path().join("shard0.bin");
        let mut bytes = fs::read(&path).unwrap();
        bytes[4..8].copy_from_slice(&value.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        fixture.expect_refusal(cause);
        assert_eq!(fixture.convert(WeightDtype::F32).is_ok(), value.is_finite());
    }
}

#[test]
fn the_input_is_never_overwritten() {
    let fixture = Fixture::new();
    fixture.convert(WeightDtype::F16).unwrap();
    for name in ["model.json", "shard1.bin"] {
        let target = fixture.path().join(name);
        let before = fs::read(&target).unwrap();
        let error = convert(fixture.path(), &target, WeightDtype::F16, &tiny()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.one_line().contains("part of the input"));
        assert_eq!(fs::read(&target).unwrap(), before);
    }
}

#[test]
fn an_existing_output_is_replaced_only_by_a_complete_file() {
    let fixture = Fixture::new();
    fixture.convert(WeightDtype::F16).unwrap();
    let before = fs::read(fixture.output()).unwrap();
    fs::remove_file(fixture.path().join("shard0.bin")).unwrap();
    fixture.convert(WeightDtype::F32).unwrap_err();
    assert_eq!(fs::read(fixture.output()).unwrap(), before);
}
