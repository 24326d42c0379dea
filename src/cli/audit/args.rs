//! Arguments of `gradcam-video audit`, as typed.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use gradcam_video::audit::{Severity, Shard};
use gradcam_video::model::DeviceChoice;

use crate::cli::args::{MethodArgs, ResizeArg, RunningArgs, VerbosityArgs, WeightsFileArg};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(super) command: Option<AuditCommand>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Put shards together: the same report as of one run over all
    Merge(Box<MergeArgs>),
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// Folder with images and videos, at any depth; or one file
    #[arg(required = true)]
    pub(super) dataset: Option<PathBuf>,
    /// Folder for the report: report.html, findings.json, records.parquet, thumbs, manifest.json
    #[arg(long, value_name = "DIR", required = true, help_heading = "Output")]
    pub(super) out: Option<PathBuf>,
    /// Where the classes come from: `folders` named after classes (name, WordNet id or index), `none`, or a CSV file with the columns
    /// path,label
    #[arg(
        long,
        value_name = "folders|none|FILE",
        default_value = "folders",
        help_heading = "Dataset"
    )]
    pub(super) labels: String,
    /// Boxes of objects in the images: COCO .json, Pascal VOC .xml or a folder of them, or .csv with the columns file,x0,y0,x1,y1
    #[arg(long, value_name = "FILE", help_heading = "Dataset")]
    pub(super) boxes: Option<PathBuf>,
    /// Frames of videos that are looked at, per second
    #[arg(
        long,
        value_name = "FPS",
        default_value_t = 1.0,
        help_heading = "Dataset"
    )]
    pub(super) sample_fps: f64,
    /// Look only at the Ith of N parts of the dataset; `audit merge` puts them together
    #[arg(long, value_name = "I/N", value_parser = parse_shard, help_heading = "Dataset")]
    pub(super) shard: Option<Shard>,
    /// Deinterlace videos before all else
    #[arg(long, help_heading = "Dataset")]
    pub(super) deinterlace: bool,
    #[command(flatten)]
    pub(super) method: MethodArgs,
    /// How a picture becomes the model's square
    #[arg(
        long,
        value_enum,
        default_value = "stretch",
        help_heading = "Explanation"
    )]
    pub(super) resize: ResizeArg,
    /// Classes kept for each picture
    #[arg(long, value_name = "K", default_value = "5", value_parser = clap::value_parser!(u16).range(2..), help_heading = "Explanation")]
    pub(super) top_k: u16,
    /// Go on where a run into the same folder was stopped or killed
    #[arg(long, conflicts_with = "overwrite", help_heading = "Output")]
    pub(super) resume: bool,
    #[command(flatten)]
    pub(super) results: ResultArgs,
    #[command(flatten)]
    pub(super) running: RunningArgs,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct MergeArgs {
    /// Folders of all shards
    #[arg(required = true, value_name = "DIR")]
    pub(super) shards: Vec<PathBuf>,
    /// Folder for the report
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) results: ResultArgs,
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Running")]
    pub(super) workers: Option<u16>,
    /// Where the network runs for trials of suspicious clusters; shards in f16 need a GPU or a CPU with AVX512_FP16
    #[arg(
        long,
        value_name = "auto|cpu|cuda[:N,...]",
        default_value = "auto",
        help_heading = "Running"
    )]
    pub(super) device: DeviceChoice,
    #[command(flatten)]
    pub(super) weights: WeightsFileArg,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResultArgs {
    /// Exit with 4 if there is a finding at least as bad
    #[arg(long, value_name = "error|warning|info", value_parser = parse_severity, help_heading = "Output")]
    pub(super) fail_on: Option<Severity>,
    /// What is printed: a summary, or all findings as JSON
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(super) format: FormatArg,
    /// Overwrite an existing report
    #[arg(short = 'y', long = "yes", help_heading = "Output")]
    pub(super) overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    Text,
    Json,
}

fn parse_severity(text: &str) -> Result<Severity, String> {
    let all = [Severity::Error, Severity::Warning, Severity::Info];
    let found = all.into_iter().find(|severity| severity.name() == text);
    found.ok_or_else(|| "valid are error, warning and info".to_owned())
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let numbers = text.split_once('/').and_then(|(number, count)| {
        let shard = Shard {
            number: number.parse().ok()?,
            count: count.parse().ok()?,
        };
        (1..=shard.count).contains(&shard.number).then_some(shard)
    });
    numbers.ok_or_else(|| "write I/N, such as 1/4 to 4/4".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_numbered_from_one() {
        assert_eq!(
            parse_shard("2/4"),
            Ok(Shard {
                number: 2,
                count: 4
            })
        );
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", ""] {
            assert!(parse_shard(wrong).is_err(), "{wrong}");
        }
    }
}
