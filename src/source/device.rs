//! What delivers frames as they happen, besides streams: cameras, the screen, FFmpeg's own pictures.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// A device that FFmpeg reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A Video4Linux camera.
    Camera {
        /// Such as `/dev/video0`.
        path: PathBuf,
        /// Width and height in pixels to ask for; the driver's own if `None`.
        size: Option<(u32, u32)>,
        /// Frames per second to ask for; the driver's own if `None`.
        rate: Option<u32>,
    },
    /// An X11 screen, or a part of it.
    Screen {
        /// The display, as `$DISPLAY` names it.
        display: String,
        /// The part; all of it if `None`.
        region: Option<Region>,
        /// Pictures per second.
        rate: u32,
    },
    /// A graph of FFmpeg's filters, such as `testsrc`.
    Graph(String),
}

/// A part of a screen in pixels, written `WIDTHxHEIGHT+LEFT+TOP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Distance from the screen's left edge.
    pub left: u32,
    /// Distance from the screen's top edge.
    pub top: u32,
}

impl FromStr for Region {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let mut parts = text.split('+');
            let size = parse_size(parts.next()?)?;
            let left = parts.next().map_or(Some(0), |left| left.parse().ok())?;
            let top = parts.next().map_or(Some(0), |top| top.parse().ok())?;
            let region = Self {
                width: size.0,
                height: size.1,
                left,
                top,
            };
            parts.next().is_none().then_some(region)
        };
        parse().ok_or_else(|| {
            let message = format!("{text:?} is no region: write WIDTHxHEIGHT+LEFT+TOP");
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }
}

/// Reads `WIDTHxHEIGHT`; neither may be 0.
pub fn parse_size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    (width > 0 && height > 0).then_some((width, height))
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Camera { path, .. } => write!(f, "camera {}", path.display()),
            Self::Screen { display, .. } => write!(f, "screen {display}"),
            Self::Graph(graph) => write!(f, "lavfi:{graph}"),
        }
    }
}

impl Device {
    /// FFmpeg's name of the kind.
    pub(crate) fn format_name(&self) -> &'static str {
        match self {
            Self::Camera { .. } => "video4linux2",
            Self::Screen { .. } => "x11grab",
            Self::Graph(_) => "lavfi",
        }
    }

    /// What FFmpeg is to open.
    pub(crate) fn address(&self) -> PathBuf {
        match self {
            Self::Camera { path, .. } => path.clone(),
            Self::Screen { display, .. } => display.into(),
            Self::Graph(graph) => graph.into(),
        }
    }

    /// FFmpeg's options.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = self.own_options();
        // Else twenty frames are read at first to find out their rate, which devices say themselves.
        options.push(("fpsprobesize", "0".to_owned()));
        options
    }

    fn own_options(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Camera { size, rate, .. } => {
                let size = size.map(|(width, height)| ("video_size", format!("{width}x{height}")));
                let rate = rate.map(|rate| ("framerate", rate.to_string()));
                // Else times are those since the machine started.
                let clock = ("timestamps", "abs".to_owned());
                size.into_iter().chain(rate).chain([clock]).collect()
            }
            Self::Screen { region, rate, .. } => {
                let mut options = vec![("framerate", rate.to_string())];
                if let Some(region) = region {
                    let Region {
                        width,
                        height,
                        left,
                        top,
                    } = region;
                    options.push(("video_size", format!("{width}x{height}")));
                    options.push(("grab_x", left.to_string()));
                    options.push(("grab_y", top.to_string()));
                }
                options
            }
            Self::Graph(_) => Vec::new(),
        }
    }

    /// Whether it goes on until it breaks: a graph may end.
    pub(crate) fn is_endless(&self) -> bool {
        !matches!(self, Self::Graph(_))
    }
}

/// The cameras of this machine by rising number.
pub fn cameras() -> Vec<PathBuf> {
    let number = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("video")?.parse::<u32>().ok()
    };
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((number(&entry.path())?, entry.path())))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read() {
        let region = |width, height, left, top| Region {
            width,
            height,
            left,
            top,
        };
        let parsed: Region = "640x480+10+20".parse().unwrap();
        assert_eq!(parsed, region(640, 480, 10, 20));
        assert_eq!("1x2".parse::<Region>().unwrap(), region(1, 2, 0, 0));
        for text in ["", "640", "640x", "0x480", "640x480+1+2+3", "640x480+-1+2"] {
            assert!(text.parse::<Region>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_screen_is_grabbed_where_the_region_says() {
        let screen = Device::Screen {
            display: ":99".into(),
            region: "64x48+1+2".parse().ok(),
            rate: 25,
        };
        let options: Vec<String> = screen
            .options()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            options.join(" "),
            "framerate=25 video_size=64x48 grab_x=1 grab_y=2 fpsprobesize=0"
        );
    }
}
