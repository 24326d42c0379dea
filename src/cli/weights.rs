//! `gradcam-video weights`: inspect and convert weight files.

use std::io::Write as _;

use anyhow::Context;
use gradcam_video::model::convert::{WeightDtype, convert_tfjs_folder};
use gradcam_video::model::{ModelSpec, WeightFile};
use gradcam_video::{Error, ErrorKind};

use super::Outcome;
use super::args::{DtypeArg, WeightsArgs, WeightsCommand};
use super::console::{printable, say};
use super::model::load_weights;

pub(super) fn run(args: &WeightsArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        WeightsCommand::Info(args) => {
            let text = describe(&load_weights(args.weights.weights.as_deref())?)?;
            std::io::stdout()
                .write_all(text.as_bytes())
                .context("cannot write the description")?;
        }
        WeightsCommand::Convert {
            folder,
            output,
            dtype,
            overwrite,
        } => {
            if output.symlink_metadata().is_ok() && !overwrite {
                let message = format!(
                    "cannot write {}: it exists already, use -y to overwrite it",
                    output.display()
                );
                return Err(Error::new(ErrorKind::Output, message).into());
            }
            let dtype = match dtype {
                DtypeArg::F16 => WeightDtype::F16,
                DtypeArg::F32 => WeightDtype::F32,
            };
            let summary = convert_tfjs_folder(folder, output, dtype)?;
            say(&format!(
                "wrote {}: {} tensors, {} parameters, {} bytes, {}",
                output.display(),
                summary.tensor_count,
                summary.parameter_count,
                summary.file_bytes,
                summary.dtype
            ));
        }
    }
    Ok(Outcome::Done)
}

/// Every entry in a line of its own; the long lists by their length.
fn describe(weights: &WeightFile) -> gradcam_video::Result<String> {
    let spec = ModelSpec::from_weights(weights)?;
    let mut lines = vec![
        format!("origin: {}", weights.origin()),
        format!("sha256: {}", weights.sha256()),
        format!("tensors: {}", weights.tensor_names().len()),
    ];
    for (key, value) in weights.metadata() {
        lines.push(match key.as_str() {
            "labels" | "wnids" => format!("{key}: {} entries", spec.labels.len()),
            _ => printable(&format!("{key}: {value}")),
        });
    }
    Ok(lines.join("\n") + "\n")
}
