//! Raw arguments of `live` become a configuration that makes sense as a whole.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use gradcam_video::Result;
use gradcam_video::records::RecordsFormat;
use gradcam_video::sink::{EncodeOptions, OutputSpec};
use gradcam_video::source::ReadOptions;

use super::super::config::{
    Picture, Question, Running, Target, all_cores, check_distinct, check_fragments, check_hold,
    encode_options, read_options,
};
use super::super::console::Console;
use super::super::values::{Scale, output_spec, parse_time, usage};
use super::args::{LiveArgs, PreviewArg};
use super::source::Sources;
use crate::cli::args::RunningArgs;

/// A GPU's batch takes no longer than a frame of 30 per second.
const LATENCY: Duration = Duration::from_millis(33);
/// A server or camera that is silent for so long is opened again: a viewer waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the page is served if nobody says.
const ADDRESS: &str = "127.0.0.1:8080";
/// Most viewers of the page if nobody says.
const MOST_VIEWERS: u16 = 16;

/// A validated request to look at something live.
pub(super) struct LiveConfig {
    pub(super) sources: Sources,
    pub(super) reading: ReadOptions,
    pub(super) question: Question,
    pub(super) target: Target,
    pub(super) hold: f64,
    pub(super) top_k: usize,
    pub(super) picture: Picture,
    /// `None`: what there is.
    pub(super) preview: Option<PreviewArg>,
    #[cfg_attr(not(feature = "http"), expect(dead_code))]
    pub(super) page: Page,
    pub(super) give_up: Option<Duration>,
    pub(super) duration: Option<Duration>,
    pub(super) record: Option<OutputSpec>,
    pub(super) records: Option<(RecordsFormat, PathBuf)>,
    pub(super) stats: Option<PathBuf>,
    pub(super) encode: EncodeOptions,
    pub(super) running: Running,
    pub(super) console: Console,
}

/// Where and to whom the page is served.
#[derive(Debug)]
#[cfg_attr(not(feature = "http"), expect(dead_code))]
pub(super) struct Page {
    pub(super) listen: SocketAddr,
    pub(super) token: Option<String>,
    pub(super) most_viewers: usize,
}

impl LiveConfig {
    /// Checks what can be checked without opening anything.
    pub(super) fn new(args: LiveArgs) -> Result<Self> {
        let reading = ReadOptions {
            network_timeout: PATIENCE,
            is_live: true,
            ..ReadOptions::default()
        };
        let preview = preview(args.preview, args.page_option())?;
        if let (None, Some(option)) = (&args.record, args.encoding.first_given()) {
            return Err(usage(format!(
                "{option} is for the recording: there is no --record"
            )));
        }
        let record = args.record.map(output_spec);
        let record_path = match &record {
            Some(OutputSpec::Path(path)) => Some(path.as_path()),
            _ => None,
        };
        check_fragments(args.encoding.frag, record_path)?;
        let stats = args.results.stats;
        check_distinct([record_path, args.records.as_deref(), stats.as_deref()])?;
        let records = match args.records {
            Some(path) => Some((RecordsFormat::of_path(&path)?, path)),
            None => None,
        };
        let picture = Picture::new(args.picture, None, false)?;
        if picture.scale == Scale::WholeVideo {
            let message = "--normalize video needs a video that has an end: not live";
            return Err(usage(message));
        }
        let secs = |name: &str, secs: f64| {
            let duration = Duration::try_from_secs_f64(secs).ok();
            duration
                .filter(|duration| !duration.is_zero())
                .ok_or_else(|| usage(format!("{name} {secs}: valid is more than 0")))
        };
        let duration = args.duration.as_deref().map(parse_time).transpose()?;
        if args.token.as_deref().is_some_and(str::is_empty) {
            return Err(usage("--token must not be empty"));
        }
        Ok(Self {
            sources: Sources::new(
                args.source,
                args.region.as_deref(),
                args.size.as_deref(),
                args.fps,
            )?,
            reading: read_options(&args.reading, reading)?,
            question: Question::new(args.method.method, args.method.score)?,
            target: Target::new(args.target)?,
            hold: check_hold(Some(args.hold))?.unwrap_or_default(),
            top_k: args.top_k,
            picture,
            preview,
            page: Page {
                listen: parse_address(args.listen.as_deref().unwrap_or(ADDRESS))?,
                token: args.token,
                most_viewers: args.viewers.unwrap_or(MOST_VIEWERS).into(),
            },
            give_up: args
                .give_up
                .map(|value| secs("--give-up", value))
                .transpose()?,
            duration: duration
                .map(|value| secs("--duration", value))
                .transpose()?,
            record,
            records,
            stats,
            encode: EncodeOptions {
                is_live: true,
                ..encode_options(args.encoding, args.results.overwrite)
            },
            running: running(args.running)?,
            console: args.verbosity.into(),
        })
    }
}

fn running(args: RunningArgs) -> Result<Running> {
    // Capture and drawing need the last core, and with few of them encoding too.
    let mut running = Running::new(args, all_cores().saturating_sub(1).max(1))?;
    running.network.batch.latency = Some(LATENCY);
    Ok(running)
}

/// The preview that was asked for; who says something about the page wants it.
fn preview(asked: Option<PreviewArg>, of_page: Option<&str>) -> Result<Option<PreviewArg>> {
    match (asked, of_page) {
        (None, Some(_)) => Ok(Some(PreviewArg::Http)),
        (Some(PreviewArg::Window | PreviewArg::None), Some(option)) => Err(usage(format!(
            "{option} is for the page: leave it out, or say --preview http"
        ))),
        _ => Ok(asked),
    }
}

fn parse_address(text: &str) -> Result<SocketAddr> {
    let found = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    found.ok_or_else(|| {
        usage(format!(
            "--listen {text:?}: valid is ADDRESS:PORT, such as 127.0.0.1:8080 or 0.0.0.0:0"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &str) -> Result<LiveConfig> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            live: LiveArgs,
        }
        let words = ["live"].into_iter().chain(arguments.split_whitespace());
        LiveConfig::new(<Line as clap::Parser>::parse_from(words).live)
    }

    #[test]
    fn who_says_something_about_the_page_gets_it() {
        for arguments in ["--listen 127.0.0.1:0", "--token t", "--viewers 3"] {
            let http = format!("{arguments} --preview http");
            for arguments in [arguments, &http] {
                let preview = config(arguments).unwrap().preview;
                assert_eq!(preview, Some(PreviewArg::Http), "{arguments}");
            }
            for other in ["window", "none"] {
                let refused = config(&format!("{arguments} --preview {other}"));
                let line = refused.err().unwrap().one_line();
                let option = arguments.split(' ').next().unwrap();
                assert!(line.starts_with(option), "{line}");
            }
        }
        let config = config("").unwrap();
        assert_eq!(config.preview, None);
        assert_eq!(config.page.listen.port(), 8080);
        assert_eq!(config.page.most_viewers, 16);
    }

    #[test]
    fn what_concerns_the_encoder_needs_a_recording() {
        for arguments in ["--codec libx265", "--preset fast", "--crf 9", "--frag"] {
            let line = config(arguments).err().unwrap().one_line();
            assert!(line.contains("--record"), "{line}");
            assert!(config(&format!("{arguments} --record a.mp4")).is_ok());
        }
        let line = config("--frag --record a.mkv").err().unwrap().one_line();
        assert_eq!(line, "--frag is for .mp4, .m4v and .mov");
    }

    #[test]
    fn addresses_have_a_port() {
        assert_eq!(
            parse_address("127.0.0.1:0").unwrap(),
            "127.0.0.1:0".parse().unwrap()
        );
        assert_eq!(parse_address("[::1]:80").unwrap().port(), 80);
        for text in ["", "127.0.0.1", ":", "127.0.0.1:99999"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
