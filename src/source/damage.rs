//! What was wrong with an input that could be read all the same.

use std::fmt;

/// What was wrong with an input; the default is nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Damage {
    /// Packets and frames that are marked as damaged or could not be decoded cleanly.
    pub errors: u64,
    /// Frames that the container holds and nobody will see.
    pub lost_frames: u64,
    /// Packets of audio and subtitles that the output could not take because they are malformed.
    pub bad_packets: u64,
    /// Sentences about streams of video or audio that nobody reads, because they began too late.
    pub unread_streams: Vec<String>,
    /// Where the video ends, and where the container says that it does, in seconds, if that is too early.
    pub ends_early: Option<(f64, f64)>,
    /// Why reading ended before the end of the input.
    pub read_error: Option<String>,
}

impl Damage {
    /// Whether nothing was wrong.
    pub fn is_none(&self) -> bool {
        self.count() == 0
    }

    /// How many things were wrong: the `decode_errors` of `--stats`.
    pub fn count(&self) -> u64 {
        self.errors
            + self.lost_frames
            + self.bad_packets
            + self.unread_streams.len() as u64
            + u64::from(self.ends_early.is_some())
            + u64::from(self.read_error.is_some())
    }
}

/// One line, without the name of the input.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut count = |number: u64, one: &str, many: &str| match number {
            0 => {}
            1 => parts.push(one.replace('#', "1")),
            _ => parts.push(many.replace('#', &number.to_string())),
        };
        count(
            self.errors,
            "# packet or frame could not be decoded cleanly",
            "# packets or frames could not be decoded cleanly",
        );
        count(self.lost_frames, "# frame is lost", "# frames are lost");
        count(
            self.bad_packets,
            "# packet of audio or subtitles is malformed and left out",
            "# packets of audio or subtitles are malformed and left out",
        );
        parts.extend(self.unread_streams.iter().cloned());
        if let Some((end_secs, promised_secs)) = self.ends_early {
            parts.push(format!("it ends at {end_secs:.2} of {promised_secs:.2} s"));
        }
        if let Some(cause) = &self.read_error {
            parts.push(format!("reading ended too early: {cause}"));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_counted_and_put_into_words() {
        assert!(Damage::default().is_none());
        let damage = Damage {
            errors: 3,
            lost_frames: 1,
            bad_packets: 0,
            unread_streams: vec!["video stream 2 (h264) begins later and is not read".to_owned()],
            ends_early: Some((1.25, 4.0)),
            read_error: Some("timed out".to_owned()),
        };
        assert_eq!(damage.count(), 7);
        assert_eq!(
            damage.to_string(),
            "3 packets or frames could not be decoded cleanly, 1 frame is lost, video stream 2 (h264) begins later and is not read, \
             it ends at 1.25 of 4.00 s, \
             reading ended too early: timed out"
        );
    }
}
