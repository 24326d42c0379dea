//! Which of the input's tags a container has a place for.

use crate::ffmpeg_ffi::Metadata;

/// What FFmpeg writes into MP4. With its option `use_metadata_tags` it would write all, but also those that players know in another place than they look.
const OF_MP4: &str = "title artist album_artist composer album date comment genre copyright grouping lyrics description synopsis show episode_id \
    network keywords episode_sort season_number media_type hd_video gapless_playback compilation track disc tmpo location creation_time timecode";
const OF_MOV: &str = "title artist author album date comment genre copyright make model keywords location creation_time timecode";

/// Names of programs, which every muxer sets anew.
const OF_MUXERS: [&str; 2] = ["encoder", "software"];

/// A notice that names the container's tags that `muxer` leaves out without a word.
pub(super) fn dropped_tags(tags: &Metadata, muxer: &str) -> Option<String> {
    let known = match muxer {
        "mp4" => OF_MP4,
        "mov" => OF_MOV,
        _ => return None,
    };
    let dropped: Vec<_> = tags
        .iter()
        .map(|(key, _)| key.to_string_lossy())
        .filter(|key| {
            // A language may follow the name.
            let name = key.split('-').next().unwrap_or_default();
            !known
                .split(' ')
                .chain(OF_MUXERS)
                .any(|known| known.eq_ignore_ascii_case(name))
        })
        .collect();
    (!dropped.is_empty()).then(|| {
        let names = dropped.join(", ");
        format!("tags are dropped, {muxer} has no place for them: {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_container_has_no_place_for_is_named() {
        let tags = ["TITLE", "location-eng", "Software", "make", "foo"];
        let tags = tags.map(|key| (std::ffi::CString::new(key).unwrap(), c"x".to_owned()));
        let dropped = |muxer| dropped_tags(&tags.to_vec(), muxer);
        assert!(
            dropped("mp4")
                .unwrap()
                .ends_with("mp4 has no place for them: make, foo")
        );
        assert!(
            dropped("mov")
                .unwrap()
                .ends_with("mov has no place for them: foo")
        );
        assert_eq!(dropped("matroska"), None);
    }
}
