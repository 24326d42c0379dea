//! Setting up the video encoder so that what the input says of its pictures is said of the output's.

use ffmpeg_next::format::context;
use ffmpeg_next::{Error as FfmpegError, Rational, codec, color, encoder};

use super::formats::Encoding;
use super::staging::Staging;
use crate::ffmpeg_ffi::set_encoder_details;
use crate::frame::{ColorModel, ColorSpec};
use crate::source::StreamTemplate;

/// Opens the encoder for frames like those of `staging`. The second value of the pair says whether pictures keep the input's size.
pub(super) fn open_encoder(
    encoding: &Encoding,
    output: &context::Output,
    staging: &Staging,
    time_base: Rational,
    (template, keeps_size): (Option<&StreamTemplate>, bool),
) -> Result<encoder::video::Encoder, FfmpegError> {
    let (codec, sample) = (encoding.codec, staging.sample());
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(sample.width());
    video.set_height(sample.height());
    video.set_format(sample.format());
    video.set_time_base(time_base);
    if let Some(rate) = template.and_then(|template| template.frame_rate) {
        video.set_frame_rate(Some(rate));
    }
    if let Some(aspect) = template.and_then(|template| template.pixel_aspect) {
        video.set_aspect_ratio(aspect);
    }
    let encoder_color = staging.encoder_color();
    let tags = template.map(|template| template.color);
    // Players guess an untagged matrix by the picture's size: a layout that changes the size must say which it is.
    let is_converted = staging.is_converted_from_rgb();
    let is_guess_kept =
        |space: color::Space| !is_converted && (space != color::Space::Unspecified || keeps_size);
    let space = tags
        .map(|tags| tags.space)
        .filter(|space| *space != color::Space::RGB && is_guess_kept(*space));
    video.set_colorspace(space.unwrap_or_else(|| color_space(encoder_color)));
    video.set_color_range(color_range(encoder_color, tags.map(|tags| tags.range)));
    let mut flags = codec::Flags::empty();
    if let (Some(template), Some(tags)) = (template, tags) {
        video.set_color_primaries(tags.primaries);
        video.set_color_transfer_characteristic(tags.transfer);
        set_encoder_details(
            &mut video,
            tags.chroma_location,
            template.is_top_field_first,
        );
        if template.is_top_field_first.is_some() {
            flags |= codec::Flags::INTERLACED_DCT | codec::Flags::INTERLACED_ME;
        }
    }
    if output
        .format()
        .flags()
        .contains(ffmpeg_next::format::Flags::GLOBAL_HEADER)
    {
        flags |= codec::Flags::GLOBAL_HEADER;
    }
    video.set_flags(flags);
    let mut options = encoding.dictionary();
    if encoding.name == "libx264"
        && template.is_some_and(|template| template.is_top_field_first == Some(false))
    {
        // FFmpeg tells x264 of interlacing, but not which field comes first.
        options.set("x264-params", "bff=1");
    }
    video.open_as_with(codec, options)
}

fn color_space(color: ColorSpec) -> color::Space {
    match color.model {
        ColorModel::Rgb => color::Space::Unspecified,
        ColorModel::YuvBt601 => color::Space::SMPTE170M,
        ColorModel::YuvBt709 => color::Space::BT709,
        ColorModel::YuvBt2020 => color::Space::BT2020NCL,
    }
}

/// The input's tag if it agrees with the samples; a full range that the input does not tag is tagged.
fn color_range(color: ColorSpec, tag: Option<color::Range>) -> color::Range {
    match (color.is_full_range, tag) {
        (true, _) => color::Range::JPEG,
        (false, Some(color::Range::Unspecified)) => color::Range::Unspecified,
        (false, _) => color::Range::MPEG,
    }
}
