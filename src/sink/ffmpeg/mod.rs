//! Video out through FFmpeg: encode, copy the other streams, mux.

mod formats;
mod staging;

use std::collections::HashMap;

use ffmpeg_next::format::{context, output_to_stream};
use ffmpeg_next::{
    Dictionary, Error as FfmpegError, Packet, Rational, codec, color, encoder, media, picture,
};

use self::formats::{check_preset, container_for, encoder_options, find_encoder};
use self::staging::Staging;
use super::{FrameSink, OutputSpec, PartialFile, PictureShape};
use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg_ffi::{
    accepts_codec, flush_output, initialize, open_output, set_codec_tag, set_container_metadata,
    set_display_matrix, set_disposition, set_encoder_details, set_frame_field_order,
    set_pixel_aspect, set_stream_metadata,
};
use crate::frame::{ColorModel, ColorSpec, Frame};
use crate::source::{SourceEnd, SourceInfo, StreamTemplate};

/// How the output is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    /// FFmpeg's name of the encoder.
    pub codec: String,
    /// Speed against size, in the encoder's own words.
    pub preset: String,
    /// Constant rate factor: lower is better and larger.
    pub crf: u8,
    /// Whether audio is copied.
    pub keep_audio: bool,
    /// Whether MP4 and MOV are written in fragments, which survive a crash.
    pub is_fragmented: bool,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            codec: "libx264".to_owned(),
            preset: "veryfast".to_owned(),
            crf: 20,
            keep_audio: true,
            is_fragmented: false,
            overwrite: false,
        }
    }
}

/// Where packets of a copied stream go.
struct CopiedOutput {
    output_index: usize,
    input_time_base: Rational,
}

/// Encodes frames and writes them beside the copied streams.
pub struct FfmpegSink {
    name: String,
    output: context::Output,
    encoder: encoder::video::Encoder,
    staging: Staging,
    /// Unit of frame times.
    time_base: Rational,
    is_top_field_first: Option<bool>,
    copied: HashMap<usize, CopiedOutput>,
    /// Durations of frames inside the encoder, by time: packets come out without.
    durations: HashMap<i64, i64>,
    frames_written: u64,
    notices: Vec<String>,
    /// Dropped after `output`, so that the file is closed before it is removed.
    file: Option<PartialFile>,
}

impl FfmpegSink {
    /// Creates the output and writes its header. The streams that cannot be carried over are in [`notices`](Self::notices).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an unknown container or encoder, [`ErrorKind::Output`] if the file cannot
    /// be created or the encoder refuses.
    pub fn create(
        output: &OutputSpec,
        source: &SourceInfo,
        shape: PictureShape,
        options: &EncodeOptions,
    ) -> Result<Self> {
        let name = match output {
            OutputSpec::Path(path) => path.display().to_string(),
            OutputSpec::Stdout => "standard output".to_owned(),
        };
        let failed = |cause: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Output, format!("cannot write {name}: {cause}"))
        };
        initialize().map_err(|error| failed(&error))?;
        let codec = find_encoder(&options.codec)?;
        check_preset(options)?;
        let template = source.template.as_ref();
        let (file, mut context, muxer) = match output {
            OutputSpec::Path(path) => {
                let muxer = container_for(path)?;
                let input = template.and_then(|template| template.input_path.as_deref());
                let file = PartialFile::create(path, options.overwrite, input)?;
                let context = open_output(muxer, file.path()).map_err(|error| failed(&error))?;
                (Some(file), context, muxer)
            }
            OutputSpec::Stdout => {
                let context = context::StreamIo::from_write(std::io::stdout())
                    .and_then(|io| output_to_stream(io, None, Some("mp4")))
                    .map_err(|error| failed(&error))?;
                (None, context, "mp4")
            }
        };
        if accepts_codec(&context, codec.id()) == Some(false) {
            return Err(failed(&format!(
                "{muxer} does not take {}, choose another --codec{}",
                codec.id().name(),
                if muxer == "webm" {
                    " such as libvpx-vp9"
                } else {
                    ""
                }
            )));
        }

        let is_top_field_first = template.and_then(|template| template.is_top_field_first);
        let staging = Staging::new(shape, codec, is_top_field_first.is_some())
            .map_err(|cause| failed(&cause))?;
        let time_base = Rational(source.time_base.numerator, source.time_base.denominator);
        let keeps_size = (shape.width, shape.height) == (source.width, source.height);
        let encoder = open_encoder(
            codec,
            &context,
            &staging,
            time_base,
            (template, keeps_size),
            options,
        )
        .map_err(|error| failed(&format!("{} refuses: {error}", options.codec)))?;
        add_video(&mut context, codec, &encoder, time_base, muxer, template)
            .map_err(|error| failed(&error))?;
        let (copied, mut notices) = match template {
            Some(template) => add_copied(&mut context, template, muxer, options.keep_audio)
                .map_err(|error| failed(&error))?,
            None => Default::default(),
        };
        let (width, height) = (encoder.width(), encoder.height());
        if (width as usize, height as usize) != (shape.width, shape.height) {
            notices.push(format!(
                "{}x{} is padded to {width}x{height}: the pixel format wants even sizes, of each field if interlaced",
                shape.width, shape.height
            ));
        }
        let is_fragmented = options.is_fragmented || file.is_none();
        context
            .write_header_with(muxer_options(muxer, is_fragmented))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            name,
            output: context,
            encoder,
            staging,
            time_base,
            is_top_field_first,
            copied,
            durations: HashMap::new(),
            frames_written: 0,
            notices,
            file,
        })
    }

    /// What could not be carried over.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    fn failed(&self, error: FfmpegError) -> Error {
        Error::caused_by(
            ErrorKind::Output,
            format!("cannot write {}", self.name),
            error,
        )
    }

    /// Writes what the encoder has finished.
    fn drain(&mut self) -> Result<(), FfmpegError> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(FfmpegError::Eof) => return Ok(()),
                Err(FfmpegError::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let duration = packet.pts().and_then(|pts| self.durations.remove(&pts));
            if packet.duration() == 0 {
                packet.set_duration(duration.unwrap_or(0));
            }
            packet.set_stream(0);
            // The muxer may have changed the stream's unit when it wrote the header.
            let unit = self.output_time_base(0)?;
            packet.rescale_ts(self.time_base, unit);
            packet.write_interleaved(&mut self.output)?;
            self.frames_written += 1;
        }
    }

    fn copy(&mut self, packets: Vec<Packet>) -> Result<(), FfmpegError> {
        for mut packet in packets {
            let Some(copied) = self.copied.get(&packet.stream()) else {
                continue;
            };
            let (index, from) = (copied.output_index, copied.input_time_base);
            let to = self.output_time_base(index)?;
            packet.rescale_ts(from, to);
            packet.set_position(-1);
            packet.set_stream(index);
            packet.write_interleaved(&mut self.output)?;
        }
        Ok(())
    }

    fn output_time_base(&self, index: usize) -> Result<Rational, FfmpegError> {
        let stream = self
            .output
            .stream(index)
            .ok_or(FfmpegError::StreamNotFound)?;
        Ok(stream.time_base())
    }

    fn encode(&mut self, frame: Frame) -> Result<(), FfmpegError> {
        self.copy(frame.passthrough)?;
        let staged = self.staging.fill(&frame.picture)?;
        staged.set_pts(Some(frame.pts.0));
        // Else the encoder would repeat the input's choice of frame types.
        staged.set_kind(picture::Type::None);
        set_frame_field_order(staged, self.is_top_field_first);
        self.durations.insert(frame.pts.0, frame.duration);
        self.encoder.send_frame(staged)?;
        self.drain()
    }

    fn close(&mut self, end: SourceEnd) -> Result<(), FfmpegError> {
        self.copy(end.passthrough)?;
        self.encoder.send_eof()?;
        self.drain()?;
        self.output.write_trailer()?;
        flush_output(&mut self.output)
    }
}

impl FrameSink for FfmpegSink {
    fn write(&mut self, frame: Frame) -> Result<()> {
        self.encode(frame).map_err(|error| self.failed(error))
    }

    fn finish(mut self: Box<Self>, end: SourceEnd) -> Result<u64> {
        self.close(end).map_err(|error| self.failed(error))?;
        let Self {
            output,
            file,
            frames_written,
            ..
        } = *self;
        drop(output);
        if let Some(file) = file {
            file.commit()?;
        }
        Ok(frames_written)
    }
}

fn open_encoder(
    codec: ffmpeg_next::Codec,
    output: &context::Output,
    staging: &Staging,
    time_base: Rational,
    (template, keeps_size): (Option<&StreamTemplate>, bool),
    options: &EncodeOptions,
) -> Result<encoder::video::Encoder, FfmpegError> {
    let sample = staging.sample();
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
    let is_guess_kept = |space: color::Space| space != color::Space::Unspecified || keeps_size;
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
    video.open_as_with(codec, encoder_options(options))
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

fn add_video(
    output: &mut context::Output,
    codec: ffmpeg_next::Codec,
    encoder: &encoder::video::Encoder,
    time_base: Rational,
    muxer: &str,
    template: Option<&StreamTemplate>,
) -> Result<(), FfmpegError> {
    let mut stream = output.add_stream(codec)?;
    stream.set_parameters(encoder);
    stream.set_time_base(time_base);
    if codec.id() == codec::Id::HEVC && matches!(muxer, "mp4" | "mov") {
        set_codec_tag(&mut stream, *b"hvc1"); // else Apple's players show nothing
    }
    let Some(template) = template else {
        return Ok(());
    };
    if let Some(rate) = template.frame_rate {
        stream.set_avg_frame_rate(rate);
    }
    if let Some(aspect) = template.pixel_aspect {
        set_pixel_aspect(&mut stream, aspect);
    }
    if let Some(matrix) = &template.display_matrix {
        set_display_matrix(&mut stream, matrix)?;
    }
    set_stream_metadata(&mut stream, &template.video_metadata)?;
    set_container_metadata(output, &template.container_metadata)
}

/// Adds a stream for each one that is copied; what the container does not take is named.
fn add_copied(
    output: &mut context::Output,
    template: &StreamTemplate,
    muxer: &str,
    keep_audio: bool,
) -> Result<(HashMap<usize, CopiedOutput>, Vec<String>), FfmpegError> {
    let (mut copied, mut notices) = (HashMap::new(), Vec::new());
    for input in &template.streams {
        let id = input.parameters.id();
        if input.medium == media::Type::Audio && !keep_audio {
            continue;
        }
        // MPEG-TS does not say: it writes any audio, but subtitles in text become noise.
        let is_taken = accepts_codec(output, id)
            .unwrap_or(input.medium == media::Type::Audio || id == codec::Id::DVB_SUBTITLE);
        if !is_taken {
            let medium = if input.medium == media::Type::Audio {
                "audio"
            } else {
                "subtitle"
            };
            notices.push(format!(
                "{medium} stream {} ({}) is dropped: {muxer} does not take it",
                input.input_index,
                id.name()
            ));
            continue;
        }
        let mut stream = output.add_stream(encoder::find(codec::Id::None))?;
        stream.set_parameters(input.parameters.clone());
        stream.set_time_base(input.time_base);
        set_codec_tag(&mut stream, [0; 4]);
        set_stream_metadata(&mut stream, &input.metadata)?;
        set_disposition(&mut stream, input.disposition);
        let output_index = stream.index();
        copied.insert(
            input.input_index,
            CopiedOutput {
                output_index,
                input_time_base: input.time_base,
            },
        );
    }
    Ok((copied, notices))
}

fn muxer_options(muxer: &str, is_fragmented: bool) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    if matches!(muxer, "mp4" | "mov") {
        if is_fragmented {
            // `empty_moov` in place of `delay_moov` would shift video with B-frames.
            options.set("movflags", "frag_keyframe+delay_moov+default_base_moof");
            options.set("frag_duration", "1000000");
            options.set("flush_packets", "1");
        } else {
            options.set("movflags", "faststart");
        }
    }
    options
}
