//! Which channels an encoder takes in place of those that come in.

use ffmpeg_next::ChannelLayout;

/// Layouts that every AAC decoder knows: they need no description inside the stream.
pub(super) const AAC_LAYOUTS: [ChannelLayout; 7] = [
    ChannelLayout::MONO,
    ChannelLayout::STEREO,
    ChannelLayout::SURROUND,
    ChannelLayout::_4POINT0,
    ChannelLayout::_5POINT0_BACK,
    ChannelLayout::_5POINT1_BACK,
    ChannelLayout::_7POINT1,
];

/// The layouts of Opus' mapping family 1.
pub(super) const OPUS_LAYOUTS: [ChannelLayout; 8] = [
    ChannelLayout::MONO,
    ChannelLayout::STEREO,
    ChannelLayout::SURROUND,
    ChannelLayout::QUAD,
    ChannelLayout::_5POINT0_BACK,
    ChannelLayout::_5POINT1_BACK,
    ChannelLayout::_6POINT1,
    ChannelLayout::_7POINT1,
];

/// Layouts that decoders deliver and the resampler mixes by its own rules.
const KNOWN_LAYOUTS: [ChannelLayout; 24] = [
    ChannelLayout::MONO,
    ChannelLayout::STEREO,
    ChannelLayout::STEREO_DOWNMIX,
    ChannelLayout::_2POINT1,
    ChannelLayout::_2_1,
    ChannelLayout::SURROUND,
    ChannelLayout::_3POINT1,
    ChannelLayout::_4POINT0,
    ChannelLayout::_4POINT1,
    ChannelLayout::_2_2,
    ChannelLayout::QUAD,
    ChannelLayout::_5POINT0,
    ChannelLayout::_5POINT1,
    ChannelLayout::_5POINT0_BACK,
    ChannelLayout::_5POINT1_BACK,
    ChannelLayout::_6POINT0,
    ChannelLayout::HEXAGONAL,
    ChannelLayout::_6POINT1,
    ChannelLayout::_6POINT1_BACK,
    ChannelLayout::_7POINT0,
    ChannelLayout::_7POINT1,
    ChannelLayout::_7POINT1_WIDE,
    ChannelLayout::_7POINT1_WIDE_BACK,
    ChannelLayout::OCTAGONAL,
];

/// `layout` if it is a usual one for this number of channels, else the usual one; `None` if there is none.
pub(super) fn usual_layout(layout: ChannelLayout, channels: u16) -> Option<ChannelLayout> {
    let channels = i32::from(channels);
    let fits = |layout: &ChannelLayout| channels > 0 && layout.channels() == channels;
    if fits(&layout) && KNOWN_LAYOUTS.contains(&layout) {
        return Some(layout);
    }
    Some(ChannelLayout::default(channels)).filter(|usual| fits(usual) && !usual.is_empty())
}

/// The member of `choices` that is `wanted`, else has as many channels, else the most of those with fewer.
pub(super) fn closest_layout(choices: &[ChannelLayout], wanted: ChannelLayout) -> ChannelLayout {
    if choices.contains(&wanted) {
        return wanted;
    }
    choices
        .iter()
        .filter(|choice| choice.channels() <= wanted.channels())
        .max_by_key(|choice| choice.channels())
        .copied()
        .unwrap_or(ChannelLayout::MONO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_lose_as_few_channels_as_possible() {
        let closest = |wanted| closest_layout(&AAC_LAYOUTS, wanted);
        assert_eq!(
            closest(ChannelLayout::_5POINT1_BACK),
            ChannelLayout::_5POINT1_BACK
        );
        assert_eq!(
            closest(ChannelLayout::_5POINT1),
            ChannelLayout::_5POINT1_BACK,
            "side and back channels are the same speakers"
        );
        assert_eq!(
            closest(ChannelLayout::_6POINT1),
            ChannelLayout::_5POINT1_BACK
        );
        assert_eq!(
            closest(ChannelLayout::HEXADECAGONAL),
            ChannelLayout::_7POINT1
        );
    }

    #[test]
    fn a_missing_layout_follows_from_the_number_of_channels() {
        let none = ChannelLayout::default(0);
        assert_eq!(usual_layout(none, 2), Some(ChannelLayout::STEREO));
        assert_eq!(usual_layout(ChannelLayout::MONO, 0), None);
        assert_eq!(usual_layout(none, 11), None, "no layout has 11 channels");
        assert_eq!(
            usual_layout(ChannelLayout::QUAD, 4),
            Some(ChannelLayout::QUAD)
        );
    }
}
