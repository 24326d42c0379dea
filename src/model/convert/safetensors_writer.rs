//! Writes a safetensors file whose bytes depend on its contents alone.
//!
//! The safetensors crate keeps metadata in a hash map, so that two of its runs differ; here keys are sorted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use safetensors::Dtype;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};

/// A tensor that is ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OutputTensor {
    /// Name, unique in its file.
    pub(super) name: String,
    /// Type of the elements.
    pub(super) dtype: Dtype,
    /// Sizes, outermost first.
    pub(super) shape: Vec<usize>,
    /// Elements, row-major, little-endian.
    pub(super) bytes: Vec<u8>,
}

/// Readable by everyone, as a file that any other program writes; the umask applies.
const FILE_MODE: u32 = 0o644;
/// Headers are padded with spaces so that the data that follows is aligned.
const HEADER_ALIGNMENT_BYTES: usize = 8;

/// Writes the file beside `output`, then renames it. Returns its size in bytes.
pub(super) fn write_file(
    output: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: Vec<OutputTensor>,
) -> Result<u64> {
    write_then_rename(output, metadata, tensors).map_err(|cause| {
        Error::caused_by(
            ErrorKind::Output,
            format!("cannot write {}", output.display()),
            cause,
        )
    })
}

fn write_then_rename(
    output: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: Vec<OutputTensor>,
) -> io::Result<u64> {
    // A rename would replace a device or a pipe with a plain file.
    if output.metadata().is_ok_and(|existing| !existing.is_file()) {
        return Err(io::Error::other("it exists and is not a plain file"));
    }
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let partial = tempfile::Builder::new()
        .prefix(".gradcam-video-")
        .suffix(".part")
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(folder)?;
    let mut writer = BufWriter::new(partial);
    let file_bytes = write_to(&mut writer, metadata, tensors)?;
    let partial = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    partial.as_file().sync_all()?;
    partial.persist(output)?;
    Ok(file_bytes)
}

/// Writes everything: tensors by falling alignment, then by name, so that each is aligned.
fn write_to(
    writer: &mut impl Write,
    metadata: &BTreeMap<String, String>,
    mut tensors: Vec<OutputTensor>,
) -> io::Result<u64> {
    tensors.sort_by(|a, b| (Reverse(a.dtype), &a.name).cmp(&(Reverse(b.dtype), &b.name)));

    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut offset = 0;
    for tensor in &tensors {
        let end = offset + tensor.bytes.len();
        let entry = json!({
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [offset, end],
        });
        header.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = serde_json::to_vec(&Value::Object(header))?;
    header.resize(header.len().next_multiple_of(HEADER_ALIGNMENT_BYTES), b' ');

    let header_length = (header.len() as u64).to_le_bytes();
    writer.write_all(&header_length)?;
    writer.write_all(&header)?;
    for tensor in &tensors {
        writer.write_all(&tensor.bytes)?;
    }
    Ok((header_length.len() + header.len() + offset) as u64)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    fn tensor(name: &str, dtype: Dtype, values: u8) -> OutputTensor {
        let size = dtype.bitsize() / 8;
        OutputTensor {
            name: name.to_owned(),
            dtype,
            shape: vec![usize::from(values)],
            bytes: (0..values).flat_map(|value| vec![value; size]).collect(),
        }
    }

    fn metadata() -> BTreeMap<String, String> {
        ["zeta", "alpha", "mid", "beta"]
            .map(|key| (key.to_owned(), format!("\"{key}\"\n")))
            .into()
    }

    #[test]
    fn the_crate_reads_what_was_written_in_the_promised_order() {
        let tensors = vec![
            tensor("b", Dtype::F16, 3),
            tensor("z", Dtype::F32, 2),
            tensor("a", Dtype::F16, 1),
            tensor("c", Dtype::F32, 5),
        ];
        let mut bytes = Vec::new();
        let length = write_to(&mut bytes, &metadata(), tensors.clone()).unwrap();
        assert_eq!(length, bytes.len() as u64);

        let (header_length, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header_length % 8, 0);
        assert_eq!(header.offset_keys(), ["c", "z", "a", "b"]);
        let read_metadata: BTreeMap<_, _> =
            header.metadata().clone().unwrap().into_iter().collect();
        assert_eq!(read_metadata, metadata());

        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), tensors.len());
        for tensor in tensors {
            let view = file.tensor(&tensor.name).unwrap();
            assert_eq!(view.dtype(), tensor.dtype);
            assert_eq!(view.shape(), tensor.shape);
            assert_eq!(view.data(), tensor.bytes);
        }
    }

    #[test]
    fn metadata_keys_are_sorted_in_the_file() {
        let mut bytes = Vec::new();
        write_to(&mut bytes, &metadata(), Vec::new()).unwrap();
        let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
        let positions =
            ["alpha", "beta", "mid", "zeta"].map(|key| text.find(&format!("\"{key}\":")).unwrap());
        assert!(positions.is_sorted(), "{text}");
    }

    #[test]
    fn the_file_is_readable_by_others_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out.safetensors");
        let length = write_file(&output, &metadata(), vec![tensor("a", Dtype::F32, 1)]).unwrap();
        let written = output.metadata().unwrap();
        assert_eq!(written.len(), length);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);

        // What the umask leaves of a plain file's mode.
        let plain = std::fs::File::create(folder.path().join("plain")).unwrap();
        let plain_mode = plain.metadata().unwrap().permissions().mode();
        assert_eq!(written.permissions().mode() & 0o777, plain_mode & FILE_MODE);
    }

    #[test]
    fn a_folder_or_a_missing_parent_is_an_output_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing_parent = folder.path().join("no/such/out");
        for output in [folder.path(), missing_parent.as_path()] {
            let error = write_file(output, &metadata(), Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Output);
            let line = error.one_line();
            assert!(
                line.starts_with(&format!("cannot write {}: ", output.display())),
                "{line}"
            );
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
