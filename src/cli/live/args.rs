//! Raw arguments of `live`, as typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

use super::super::args::{
    EncodingArgs, MethodArgs, PictureArgs, ReadingArgs, ResultArgs, RunningArgs, TargetArgs,
    VerbosityArgs, first_given,
};

const KEYS: &str = "Keys in the window and on the page: Esc or q quits (window), c next class, m next method, l next layout, p next palette, \
                    space freezes, s snapshot, ? help.\n\n\
                    Exit codes: 0 a viewer quit, the source ended, or --duration is over; 1 failed; 2 usage; 130 interrupted. The recording is \
                    finished and playable in any case.";

#[derive(Debug, clap::Args)]
#[command(after_help = KEYS)]
pub(in super::super) struct LiveArgs {
    /// What to look at: a camera (0, 1, /dev/videoN), `screen` or screen:DISPLAY (X11), rtsp:// or http:// and other addresses, a file (in real time), lavfi:GRAPH, `-` for
    /// standard input [default: the first camera]
    pub(super) source: Option<OsString>,

    #[command(flatten)]
    pub(super) method: MethodArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// How much more probable another class must be before it takes over, 0 to 1
    #[arg(
        long,
        value_name = "MARGIN",
        default_value_t = super::super::explain::DEFAULT_HOLD,
        help_heading = "Explanation"
    )]
    pub(super) hold: f64,

    /// Where the picture is shown: in a window, on a page for browsers, nowhere [default: http with --listen, --token or --viewers, else window
    /// where there is a display, else none if something is recorded, else http]
    #[arg(long, value_enum, help_heading = "Preview")]
    pub(super) preview: Option<PreviewArg>,
    /// Where the page is served; port 0 takes a free one. Other addresses than this machine's own need a token [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Preview")]
    pub(super) listen: Option<String>,
    /// What viewers of the page must know [default: none on this machine, else a random one, which is printed]
    #[arg(long, value_name = "T", help_heading = "Preview")]
    pub(super) token: Option<String>,
    /// Most viewers of the page at once [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Preview")]
    pub(super) viewers: Option<u16>,

    /// Classes listed in the label
    #[arg(long, value_name = "K", default_value_t = 3, help_heading = "Picture")]
    pub(super) top_k: usize,
    #[command(flatten)]
    pub(super) picture: PictureArgs,

    /// Part of the screen in pixels
    #[arg(long, value_name = "WxH+X+Y", help_heading = "Input")]
    pub(super) region: Option<String>,
    /// Frames per second to ask a camera for, or to take of the screen [default: the camera's own; screen: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=240), help_heading = "Input")]
    pub(super) fps: Option<u32>,
    /// Size to ask a camera for [default: the camera's own]
    #[arg(long, value_name = "WxH", help_heading = "Input")]
    pub(super) size: Option<String>,
    #[command(flatten)]
    pub(super) reading: ReadingArgs,
    /// End with a failure when there has been no signal for so long [default: try again for ever]
    #[arg(long, value_name = "SECONDS", help_heading = "Input")]
    pub(super) give_up: Option<f64>,
    /// End after this time
    #[arg(long, value_name = "TIME", help_heading = "Input")]
    pub(super) duration: Option<String>,

    /// Record what is shown, without sound; the extension chooses the container
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) record: Option<OsString>,
    /// Write a header and one record per picture and class (.jsonl, .csv or .parquet); times are those of capture
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) records: Option<PathBuf>,
    #[command(flatten)]
    pub(super) encoding: EncodingArgs,
    #[command(flatten)]
    pub(super) results: ResultArgs,

    #[command(flatten)]
    pub(super) running: RunningArgs,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

impl LiveArgs {
    /// Which option the page has been given, if any.
    pub(super) fn page_option(&self) -> Option<&'static str> {
        let given = [
            ("--listen", self.listen.is_some()),
            ("--token", self.token.is_some()),
            ("--viewers", self.viewers.is_some()),
        ];
        first_given(given)
    }

    /// The encoder, if one is named.
    pub(in super::super) fn codec(&self) -> Option<&str> {
        self.encoding.codec.as_deref()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PreviewArg {
    Window,
    Http,
    None,
}
