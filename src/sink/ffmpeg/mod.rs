//! Video out through FFmpeg: encode, copy the other streams, mux.

mod audio;
mod conversion;
mod copied;
mod crew;
mod encoder;
mod formats;
#[cfg(test)]
mod round_trip;
mod spacing;
mod staging;
mod subtitle;
mod tags;
mod turn;

use std::collections::HashMap;

use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::{context, output_to_stream};
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec, encoder as encoders, picture};

use self::conversion::takes_video;
use self::copied::Copied;
use self::crew::Crew;
use self::encoder::open_encoder;
use self::formats::{Encoding, container_for, muxer_options};
use self::spacing::Spacing;
use self::staging::Staging;
use self::tags::dropped_tags;
use self::turn::{Turn, keeps_rotation, turns};
use super::{FrameSink, OutputSpec, PartialFile, PictureShape, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg_ffi::{
    accepts_codec, allow_packet_conversion, flush_output, has_option, initialize, open_output,
    set_captions, set_codec_tag, set_container_metadata, set_display_matrix, set_frame_field_order,
    set_pixel_aspect, set_side_data, set_stream_metadata,
};
use crate::frame::{Frame, Passthrough};
use crate::source::{SourceEnd, SourceInfo, StreamTemplate};

pub use self::formats::EncodeOptions;

/// Encodes frames and writes them beside the copied streams.
pub struct FfmpegSink {
    name: String,
    output: context::Output,
    encoder: encoders::video::Encoder,
    /// The encoder's own threads.
    crew: Crew,
    /// For containers that cannot tell players to turn the picture.
    turn: Option<Turn>,
    staging: Staging,
    /// Unit of frame times.
    time_base: Rational,
    spacing: Spacing,
    /// Of the input, before any turn.
    is_top_field_first: Option<bool>,
    copied: Copied,
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
        let muxer = match output {
            OutputSpec::Path(path) => container_for(path)?,
            OutputSpec::Stdout => "mp4",
        };
        let encoding = Encoding::choose(options, muxer)?;
        let codec = encoding.codec;
        let template = source.template.as_ref();
        let (file, mut context) = match output {
            OutputSpec::Path(path) => {
                let input = template.and_then(|template| template.input_path.as_deref());
                let file = PartialFile::create(path, options.overwrite, input)?;
                let context = open_output(muxer, file.path()).map_err(|error| failed(&error))?;
                (Some(file), context)
            }
            OutputSpec::Stdout => {
                let context = context::StreamIo::from_write(std::io::stdout())
                    .and_then(|io| output_to_stream(io, None, Some(muxer)))
                    .map_err(|error| failed(&error))?;
                (None, context)
            }
        };
        if !takes_video(muxer, codec.id(), accepts_codec(&context, codec.id())) {
            return Err(failed(&format!(
                "{muxer} does not take {}, choose another --codec{}",
                codec.id().name(),
                if muxer == "webm" {
                    " such as libvpx-vp9"
                } else {
                    " such as libx264"
                }
            )));
        }

        let turn = Turn::for_muxer(muxer, source.orientation);
        let is_as_coded =
            turn.is_none() && (shape.width, shape.height) == (source.width, source.height);
        let is_top_field_first = template.and_then(|template| template.is_top_field_first);
        let mut notices = Vec::new();
        if let Some(template) = template {
            notices.extend(lost_facts(template, (turn, is_as_coded), codec, muxer));
            notices.extend(dropped_tags(&template.container_metadata, muxer));
        }
        let changed = template.filter(|_| !is_as_coded).map(|template| {
            let turned = turn.map(|turn| turn.template(template, shape.height));
            turned.unwrap_or_else(|| template.clone()).without_view()
        });
        let template = changed.as_ref().or(template);
        let shape = turn.map_or(shape, |turn| turn.shape(shape));
        let is_size_of_input = (shape.width, shape.height) == (source.width, source.height);
        let coded_chroma_shift = template.and_then(|template| template.coded_chroma_shift);
        let is_interlaced = template.is_some_and(|template| template.is_top_field_first.is_some());
        let staging = Staging::new(shape, codec, is_interlaced, coded_chroma_shift)
            .map_err(|cause| failed(&cause))?;
        let time_base = Rational(source.time_base.numerator, source.time_base.denominator);
        let (encoder, crew) = Crew::gather(|| {
            let input = (template, is_size_of_input);
            open_encoder(&encoding, &context, &staging, time_base, input)
        });
        let encoder = encoder.map_err(|error| {
            let (name, sample) = (&encoding.name, staging.sample());
            let (width, height) = (sample.width(), sample.height());
            let rate = template.and_then(|template| template.frame_rate);
            let rate = rate.map_or(String::new(), |rate| format!(" at {rate} frames/s"));
            failed(&format!(
                "{name} refuses {width}x{height}{rate} in units of {time_base} s: {error}"
            ))
        })?;
        add_video(&mut context, codec, &encoder, time_base, muxer, template)
            .map_err(|error| failed(&error))?;
        let copied = match template {
            Some(template) => {
                let wanted = (options.keep_audio, options.is_strict);
                let (copied, lost) = Copied::add(&mut context, template, muxer, wanted)
                    .map_err(|error| failed(&error))?;
                notices.extend(lost);
                copied
            }
            None => Copied::none(options.is_strict),
        };
        if let Some(template) = template {
            notices.extend(
                add_chapters(&mut context, template, muxer).map_err(|error| failed(&error))?,
            );
        }
        let (width, height) = (encoder.width(), encoder.height());
        if (width as usize, height as usize) != (shape.width, shape.height) {
            notices.push(format!(
                "{}x{} is padded to {width}x{height}: the pixel format wants even sizes, of each field if interlaced",
                shape.width, shape.height
            ));
        }
        let is_fragmented = options.is_fragmented || file.is_none();
        context
            .write_header_with(muxer_options(muxer, is_fragmented, options.is_live))
            .map_err(|error| failed(&error))?;
        allow_packet_conversion(&mut context);
        // The muxer may have changed the stream's unit when it wrote the header.
        let muxer_unit = context
            .stream(0)
            .map_or(time_base, |stream| stream.time_base());
        Ok(Self {
            name,
            output: context,
            encoder,
            crew,
            turn,
            staging,
            time_base,
            spacing: Spacing::new(time_base, muxer_unit),
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
            let stream = self.output.stream(0).ok_or(FfmpegError::StreamNotFound)?;
            let unit = stream.time_base();
            packet.rescale_ts(self.time_base, unit);
            packet.write_interleaved(&mut self.output)?;
            self.frames_written += 1;
        }
    }

    fn encode(&mut self, frame: Frame) -> Result<(), FfmpegError> {
        let (mut packets, mut captions) = (Vec::new(), None);
        let mut fields = self.is_top_field_first;
        for item in frame.passthrough {
            match item {
                Passthrough::Packet(packet) => packets.push(packet),
                Passthrough::Captions(bytes) => captions = Some(bytes),
                Passthrough::Fields(own) => fields = own,
            }
        }
        self.copied.write(packets, &mut self.output)?;
        let mut of_stream = self.is_top_field_first;
        let staged = match self.turn {
            None => self.staging.fill(&frame.picture)?,
            Some(turn) => {
                let height = frame.picture.height;
                (fields, of_stream) = (turn.fields(fields, height), turn.fields(of_stream, height));
                self.staging.fill(&frame.picture.turned(turn.0))?
            }
        };
        let pts = self.spacing.place(frame.pts.0);
        staged.set_pts(Some(pts));
        // Else the encoder would repeat the input's choice of frame types.
        staged.set_kind(picture::Type::None);
        set_frame_field_order(staged, fields, of_stream);
        set_captions(staged, captions.as_deref())?;
        self.durations.insert(pts, frame.duration);
        self.encoder.send_frame(staged)?;
        self.drain()
    }

    fn close(&mut self, end: SourceEnd) -> Result<(), FfmpegError> {
        self.copied.write(end.passthrough, &mut self.output)?;
        self.copied.finish(&mut self.output)?;
        // x264's thread that looks ahead ends with the input.
        self.crew.take_note();
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

    fn finish(mut self: Box<Self>, end: SourceEnd) -> Result<Written> {
        self.close(end).map_err(|error| self.failed(error))?;
        let encoder_threads_cpu_ms = self.crew.cpu_ms();
        let Self {
            output,
            file,
            frames_written,
            copied,
            ..
        } = *self;
        drop(output);
        if let Some(file) = file {
            file.commit()?;
        }
        Ok(Written {
            frames: frames_written,
            bad_packets: copied.bad_packets,
            encoder_threads_cpu_ms,
        })
    }
}

fn add_video(
    output: &mut context::Output,
    codec: ffmpeg_next::Codec,
    encoder: &encoders::video::Encoder,
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
    if let Some(matrix) = &template.display_matrix
        && keeps_rotation(muxer)
    {
        set_display_matrix(&mut stream, matrix)?;
    }
    for (kind, bytes) in &template.light {
        set_side_data(&mut stream, *kind, bytes)?;
    }
    for (kind, bytes) in &template.view {
        if keeps_view(muxer, *kind) {
            set_side_data(&mut stream, *kind, bytes)?;
        }
    }
    set_stream_metadata(&mut stream, &template.video_metadata)?;
    set_container_metadata(output, &template.container_metadata)
}

/// Whether the muxer writes what is known of a picture that is a sphere or has two views.
fn keeps_view(muxer: &str, kind: side_data::Type) -> bool {
    match kind {
        side_data::Type::DataSpherical => matches!(muxer, "mp4" | "matroska" | "webm"),
        _ => muxer == "mp4",
    }
}

/// A notice for each fact about the pictures that is lost or said in another way.
fn lost_facts(
    template: &StreamTemplate,
    (turn, is_as_coded): (Option<Turn>, bool),
    codec: ffmpeg_next::Codec,
    muxer: &str,
) -> Vec<String> {
    let mut notices = Vec::new();
    if turn.is_some() {
        notices.push(format!(
            "the pictures are written upright: {muxer} does not tell players to turn them"
        ));
    } else if !keeps_rotation(muxer) && template.display_matrix.as_ref().is_some_and(turns) {
        notices.push(format!(
            "the rotation is dropped: {muxer} does not tell players to turn pictures"
        ));
    }
    for (kind, _) in &template.view {
        let (name, is_tagged) = match kind {
            side_data::Type::DataSpherical => ("spherical projection", false),
            // Matroska's own way, which is a tag to FFmpeg.
            _ => {
                let mut tags = template.video_metadata.iter();
                let is_tagged = tags.any(|(key, _)| key.to_bytes() == b"stereo_mode");
                (
                    "stereoscopic layout",
                    is_tagged && matches!(muxer, "matroska" | "webm"),
                )
            }
        };
        if !is_as_coded {
            notices.push(format!(
                "the {name} is dropped: the picture has another shape"
            ));
        } else if !keeps_view(muxer, *kind) && !is_tagged {
            notices.push(format!("the {name} is dropped: {muxer} does not take it"));
        }
    }
    if template.has_captions && !has_option(codec, c"a53cc") {
        notices.push(format!(
            "closed captions are dropped: {} does not write them",
            codec.name()
        ));
    }
    notices
}

/// Adds the chapters, or says why not.
fn add_chapters(
    output: &mut context::Output,
    template: &StreamTemplate,
    muxer: &str,
) -> Result<Option<String>, FfmpegError> {
    let chapters = &template.chapters;
    if muxer == "mpegts" {
        let count = chapters.len();
        return Ok((count > 0).then(|| format!("{count} chapters are dropped: {muxer} has none")));
    }
    for (id, chapter) in (1..).zip(chapters) {
        let (start, end) = (chapter.start_micros, chapter.end_micros);
        output.add_chapter(id, Rational(1, 1_000_000), start, end, &chapter.title)?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{
        ColorModel, ColorSpec, FrameIndex, Orientation, Picture, PictureFormat, Pts, TimeBase,
        Transfer,
    };

    #[test]
    fn live_frames_are_not_held_back_by_any_number_of_threads() {
        let format = PictureFormat {
            chroma_shift: (1, 1),
            bit_depth: 8,
        };
        let color = ColorSpec {
            model: ColorModel::YuvBt709,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        let (width, height) = (320, 240);
        let info = SourceInfo {
            width,
            height,
            format,
            color,
            pixel_aspect: 1.0,
            orientation: Orientation::default(),
            time_base: TimeBase {
                numerator: 1,
                denominator: 25,
            },
            estimated_frames: None,
            is_endless: true,
            clock_start_micros: None,
            notices: Vec::new(),
            template: None,
        };
        let shape = PictureShape {
            width,
            height,
            format,
            color,
        };
        let folder = tempfile::tempdir().unwrap();
        let output = OutputSpec::Path(folder.path().join("o.mkv"));
        for codec in ["libx264", "libx265", "libvpx-vp9", "libaom-av1", "ffv1"] {
            for threads in [1, 3, 16] {
                let options = EncodeOptions {
                    codec: Some(codec.to_owned()),
                    threads,
                    is_live: true,
                    overwrite: true,
                    ..EncodeOptions::default()
                };
                let mut sink = FfmpegSink::create(&output, &info, shape, &options).unwrap();
                for index in 0..10 {
                    sink.write(Frame {
                        index: FrameIndex(index),
                        pts: Pts(index as i64),
                        duration: 1,
                        picture: Picture::filled(
                            width,
                            height,
                            format,
                            color,
                            [index as u16 * 20, 90, 90],
                        ),
                        passthrough: Vec::new(),
                    })
                    .unwrap();
                    assert_eq!(sink.frames_written, index + 1, "{codec}, {threads} threads");
                }
            }
        }
    }
}
