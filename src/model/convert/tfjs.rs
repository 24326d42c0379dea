//! Reads a TensorFlow.js layers model: `model.json` with its weight manifest, and the shards.
//!
//! Errors are causes without the folder's name: the caller names it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::keras::KerasWeight;

const MODEL_FILE: &str = "model.json";
const FORMAT: &str = "layers-model";
/// A ResNet50's is 110 KB; the limit keeps a wrong file from filling the memory.
const MODEL_JSON_MAX_BYTES: u64 = 16 << 20;
/// How many names an error lists before it only counts.
const LISTED_NAMES: usize = 3;

/// One weight as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TfjsTensor {
    /// Sizes, outermost first, in Keras' layout.
    pub(super) shape: Vec<usize>,
    /// Row-major values.
    pub(super) values: Vec<f32>,
}

#[derive(Deserialize)]
struct ModelJson {
    format: Option<String>,
    #[serde(rename = "weightsManifest")]
    weights_manifest: Option<Vec<Group>>,
}

/// Weights that lie one after the other in the concatenation of some shards.
#[derive(Debug, Deserialize)]
struct Group {
    paths: Vec<String>,
    weights: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<IgnoredAny>,
}

/// What a model says that it has. Nothing in it is trusted before [`Manifest::check_against`].
#[derive(Debug)]
pub(super) struct Manifest {
    groups: Vec<Group>,
}

impl Manifest {
    /// Reads `model.json` of `folder` and checks what can be checked without knowing the network.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let text = read_model_json(folder).map_err(|cause| format!("{MODEL_FILE}: {cause}"))?;
        Self::parse(&text).map_err(|cause| format!("{MODEL_FILE}: {cause}"))
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let model: ModelJson = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match model.format.as_deref() {
            Some(FORMAT) => {}
            Some(other) => return Err(format!("format is {other:?}, not {FORMAT:?}")),
            None => return Err(format!("format is missing, not {FORMAT:?}")),
        }
        let groups = model.weights_manifest.ok_or("weightsManifest is missing")?;
        let manifest = Self { groups };
        manifest.check_entries()?;
        manifest.check_shard_names()?;
        Ok(manifest)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.groups.iter().flat_map(|group| &group.weights)
    }

    fn shard_names(&self) -> impl Iterator<Item = &str> {
        self.groups
            .iter()
            .flat_map(|group| group.paths.iter().map(String::as_str))
    }

    /// Names of all files that are read.
    pub(super) fn file_names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(MODEL_FILE).chain(self.shard_names())
    }

    fn check_entries(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for entry in self.entries() {
            let name = &entry.name;
            if !seen.insert(name) {
                return Err(format!("weight {name:?} is listed twice"));
            }
            if entry.quantization.is_some() {
                return Err(format!(
                    "weight {name:?} is quantized; export the model without quantization"
                ));
            }
            if entry.dtype != "float32" {
                return Err(format!(
                    "weight {name:?} has dtype {:?}, not \"float32\"",
                    entry.dtype
                ));
            }
        }
        Ok(())
    }

    fn check_shard_names(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for name in self.shard_names() {
            if !is_plain_file_name(name) {
                return Err(format!("shard {name:?} is not a plain file name"));
            }
            if !seen.insert(name) {
                return Err(format!("shard {name:?} is listed twice"));
            }
        }
        Ok(())
    }

    /// Checks that exactly the `expected` weights are there, in their shapes.
    pub(super) fn check_against(&self, expected: &[KerasWeight]) -> Result<(), String> {
        let listed: BTreeMap<&str, &Entry> = self
            .entries()
            .map(|entry| (entry.name.as_str(), entry))
            .collect();
        let known: BTreeSet<&str> = expected.iter().map(|w| w.keras_name.as_str()).collect();

        let missing = known
            .iter()
            .filter(|name| !listed.contains_key(*name))
            .copied();
        let unexpected = listed.keys().filter(|name| !known.contains(*name)).copied();
        let missing = list_names("missing", missing);
        let unexpected = list_names("unexpected", unexpected);
        let problems: Vec<String> = missing.into_iter().chain(unexpected).collect();
        if !problems.is_empty() {
            return Err(format!("not a Keras ResNet50: {}", problems.join("; ")));
        }
        for weight in expected {
            if let Some(entry) = listed.get(weight.keras_name.as_str())
                && entry.shape != weight.keras_shape
            {
                return Err(format!(
                    "weight {:?} has shape {:?}, not {:?}",
                    entry.name, entry.shape, weight.keras_shape
                ));
            }
        }
        Ok(())
    }

    /// Reads all shards. To be called after [`check_against`](Self::check_against), which bounds the size.
    pub(super) fn load(&self, folder: &Path) -> Result<BTreeMap<String, TfjsTensor>, String> {
        let mut tensors = BTreeMap::new();
        for group in &self.groups {
            let bytes = group.read_shards(folder)?;
            let mut rest = bytes.as_slice();
            for entry in &group.weights {
                let (own, behind) = rest
                    .split_at_checked(entry.byte_length()?)
                    .ok_or_else(|| format!("weight {:?} lies behind the last shard", entry.name))?;
                rest = behind;
                let tensor = TfjsTensor {
                    shape: entry.shape.clone(),
                    values: f32_values(own),
                };
                tensors.insert(entry.name.clone(), tensor);
            }
        }
        Ok(tensors)
    }
}

impl Group {
    /// The group's shards one after the other, exactly as long as its weights.
    fn read_shards(&self, folder: &Path) -> Result<Vec<u8>, String> {
        let mut wanted = 0_usize;
        for entry in &self.weights {
            wanted = wanted
                .checked_add(entry.byte_length()?)
                .ok_or("the weights' sizes overflow")?;
        }

        // Sizes first: nothing is allocated for shards that do not fit.
        let mut present = 0_u64;
        for name in &self.paths {
            let length = plain_file_length(&folder.join(name))
                .map_err(|cause| format!("shard {name}: {cause}"))?;
            present = present.saturating_add(length);
        }
        if present != wanted as u64 {
            return Err(format!(
                "shards hold {present} bytes, but the weights need {wanted}"
            ));
        }

        let mut bytes = Vec::with_capacity(wanted);
        for name in &self.paths {
            let left = wanted.saturating_sub(bytes.len()) as u64;
            File::open(folder.join(name))
                .and_then(|file| file.take(left).read_to_end(&mut bytes))
                .map_err(|error| format!("shard {name}: {error}"))?;
        }
        Ok(bytes)
    }
}

impl Entry {
    fn byte_length(&self) -> Result<usize, String> {
        self.shape
            .iter()
            .try_fold(size_of::<f32>(), |bytes, &size| bytes.checked_mul(size))
            .ok_or_else(|| format!("weight {:?} is too large: {:?}", self.name, self.shape))
    }
}

fn read_model_json(folder: &Path) -> Result<Vec<u8>, String> {
    let path = folder.join(MODEL_FILE);
    let length = plain_file_length(&path)?;
    if length > MODEL_JSON_MAX_BYTES {
        return Err(format!("{length} bytes are too many for a manifest"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// Also keeps pipes and devices out, which might never end.
fn plain_file_length(path: &Path) -> Result<u64, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err("not a plain file".to_owned())
    }
}

/// Whether `name` can only mean a file in the folder itself.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let only = (components.next(), components.next());
    matches!(only, (Some(Component::Normal(part)), None) if part == name)
        && !name.contains(['\\', '\0'])
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks();
    values.iter().copied().map(f32::from_le_bytes).collect()
}

/// "2 weights missing (a, b)"; `None` for no names.
fn list_names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return None;
    }
    let mut shown = names[..names.len().min(LISTED_NAMES)].join(", ");
    if names.len() > LISTED_NAMES {
        shown += ", ...";
    }
    let weights = if names.len() == 1 {
        "weight"
    } else {
        "weights"
    };
    Some(format!("{} {weights} {what} ({shown})", names.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_files_in_the_folder_itself_are_plain() {
        for good in ["group1-shard1of25.bin", "a", "..a", "a b.bin"] {
            assert!(is_plain_file_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../a",
            "/etc/passwd",
            "a/b",
            "a/",
            "./a",
            "a/../b",
            "a\\b",
            "C:\\a",
            "a\0b",
        ] {
            assert!(!is_plain_file_name(bad), "{bad}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let names = ["a", "b", "c", "d"];
        let cut = list_names("missing", names.into_iter()).unwrap();
        assert_eq!(cut, "4 weights missing (a, b, c, ...)");
        let one = list_names("unexpected", names.into_iter().take(1)).unwrap();
        assert_eq!(one, "1 weight unexpected (a)");
        assert_eq!(list_names("missing", std::iter::empty()), None);
    }
}
