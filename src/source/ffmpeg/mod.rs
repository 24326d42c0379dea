//! Videos through FFmpeg: files, standard input, addresses.

mod clock;
mod continuity;
mod convert;
mod deinterlace;
mod facts;
mod late;
mod open;
mod passthrough;
mod pipe;
mod reader;
mod rotation;
mod runway;
mod seek;
mod soundness;
mod tally;
mod template;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_next::frame::Video as DecodedFrame;
use ffmpeg_next::util::frame::side_data;
use ffmpeg_next::{Packet, Rational, media};

pub use template::{CopiedStream, StreamTemplate};

use self::clock::Window;
use self::convert::{Converter, Target};
use self::facts::{StreamFacts, has_format, without_stale_tags};
use self::open::{OpenedInput, choose_video, open_input};
use self::reader::{Reader, ReaderOptions, alpha_decoder};
use self::rotation::{orientation, parse_display_matrix};
use self::seek::{Position, seek_before};
use self::template::{
    carried_start_micros, chapters, copied_streams, left_out_streams, light_facts, view_facts,
};
use super::{FrameSource, InputSpec, ReadOptions, SourceEnd, SourceInfo, TimeRange};
use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg_ffi::{
    ColorTags, VideoParameters, captions, container_metadata, container_start_micros,
    guessed_frame_rate, guessed_pixel_aspect, has_size, initialize, may_jump, pixel_layout,
};
use crate::frame::{Frame, FrameIndex, Orientation, Passthrough, Pts, TimeBase};
use crate::pipeline::CancelToken;

/// Most pixels in a frame, 8192 squared, twice an 8K picture. More is a mistake or an attack.
const MAXIMUM_PIXELS: u64 = 1 << 26;

/// Shapes of pixels that are believed. Others come from damaged headers.
const PIXEL_ASPECTS: RangeInclusive<f64> = 0.1..=10.0;

/// A decoded video stream; audio and subtitle packets travel with its frames.
pub struct FfmpegSource {
    name: String,
    reader: Reader,
    parameters: VideoParameters,
    converter: Converter,
    info: SourceInfo,
    is_strict: bool,
    /// Of all that may wait for a sender.
    stopper: CancelToken,
    /// Of pipes: set whenever a read has to wait for the writer.
    starved: Option<Arc<AtomicBool>>,
    /// Whether the pictures' size and format are each frame's own.
    follows_frames: bool,
    /// Decoded while opening, so that size and format are a real frame's.
    first: Option<Frame>,
    next_index: u64,
}

/// No line of text is looked for that began longer before the range, in microseconds: a minute is read in a moment, an hour is not.
const LINE_MICROS: i64 = 60_000_000;

impl FfmpegSource {
    /// Opens the input, chooses the best video stream and decodes its first frame in the range.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it cannot be opened, holds no video, or no frame of it can be decoded;
    /// [`ErrorKind::InvalidArgument`] for a senseless range; [`ErrorKind::Cancelled`].
    pub fn open(input: &InputSpec, options: ReadOptions, cancel: &CancelToken) -> Result<Self> {
        let stopper = cancel.child();
        let cancel = &stopper;
        let range = options.range;
        let name = input.to_string();
        let unreadable = |cause: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Input, format!("cannot read {name}: {cause}"))
        };
        initialize().map_err(|error| unreadable(&error))?;
        let OpenedInput {
            mut context,
            is_reopenable,
            starved,
        } = open_input(input, &options, cancel)?;
        let video = choose_video(&context, &name)?;
        let start_micros = carried_start_micros(&context, video)
            .or_else(|| container_start_micros(&context))
            .unwrap_or(0);
        let has_end = has_size(&context);
        let window = Window::new(range, start_micros)?;
        // A line that is on the screen at the start may have begun long before. From an address, all since then would have to be fetched.
        let needs_lines =
            matches!(input, InputSpec::Path(_)) && !options.is_live && has_distant_lines(&context);
        let lead_micros = if needs_lines { LINE_MICROS } else { 0 };
        // A pipe cannot be opened again if the seek fails, and where clocks jump nobody knows what lies at a time.
        let can_seek = is_reopenable && !may_jump(&context);
        let position = if window.trims_start && can_seek {
            seek_before(&mut context, video, &window, start_micros, lead_micros)
        } else {
            Position::Beginning
        };
        if position == Position::Lost {
            // From the beginning it only takes longer: frames before the start are dropped anyway.
            context = open_input(input, &options, cancel)?.context;
        }
        let facts =
            StreamFacts::read(&context, video).ok_or_else(|| unreadable(&"no video stream"))?;
        let frame_rate = guessed_frame_rate(&mut context, video);
        check_size(facts.video.width as u64, facts.video.height as u64)
            .map_err(|cause| unreadable(&cause))?;
        let streams = if options.is_live {
            Vec::new()
        } else {
            copied_streams(&context, video)
        };
        let container_tags = container_metadata(&context);
        let mut notices = if options.is_live {
            Vec::new()
        } else {
            left_out_streams(&context, video)
        };
        if facts.has_alpha_beside && alpha_decoder(&facts).is_none() {
            notices.push(format!(
                "transparency is dropped: this FFmpeg reads that of {} only with libvpx",
                facts.parameters.id().name()
            ));
        }
        let chapters = if options.is_live {
            Vec::new()
        } else {
            chapters(&context, &window)
        };
        let reading = ReaderOptions {
            window,
            frame_rate,
            deinterlace: options.deinterlace,
            awaits_key_frame: position == Position::BeforeKeyFrame,
            is_live: options.is_live,
            patience: options.network_timeout,
        };
        let mut reader = Reader::new(context, video, &facts, &streams, reading, cancel)
            .map_err(|cause| unreadable(&cause))?;
        let Some((pts, duration)) = reader.next_frame(&name)? else {
            return Err(if cancel.is_cancelled() {
                Error::cancelled()
            } else if window.trims_start || window.end_micros.is_some() {
                unreadable(&"no frame lies in the range")
            } else {
                unreadable(&format!(
                    "no video frame can be decoded: they are damaged, or have more than {MAXIMUM_PIXELS} pixels"
                ))
            });
        };

        let frame = &mut reader.decoded;
        check_size(u64::from(frame.width()), u64::from(frame.height()))
            .map_err(|cause| unreadable(&cause))?;
        let target = Target::for_frame(frame, &facts.video).ok_or_else(|| {
            unreadable(&format!(
                "pixel format {:?} is not supported",
                frame.format()
            ))
        })?;
        let mut converter = Converter::new(target);
        let (picture, is_transparent) = converter
            .convert(frame, &facts.video)
            .map_err(|cause| unreadable(&cause))?;

        if is_transparent {
            notices.push("transparent pixels are laid over black".to_owned());
        }
        // A camera's still pictures say it in the frame.
        let display_matrix = facts.display_matrix.or_else(|| {
            let data = frame.side_data(side_data::Type::DisplayMatrix)?;
            parse_display_matrix(data.data())
        });
        let upright = display_matrix.as_ref().map(orientation);
        if upright == Some(None) {
            notices.push(
                "the rotation is no quarter turn: the model sees the frames as they are coded"
                    .to_owned(),
            );
        }
        let coded_aspect = guessed_pixel_aspect(&mut reader.input, video, frame);
        let pixel_aspect = coded_aspect
            .map(f64::from)
            .filter(|aspect| PIXEL_ASPECTS.contains(aspect))
            .unwrap_or(1.0);
        // A stream may begin with progressive frames: then the container knows. Live, no frame says its own later.
        let is_top_field_first = fields(frame).or(facts
            .video
            .is_top_field_first
            .filter(|_| !options.deinterlace && !options.is_live));
        let template = StreamTemplate {
            input_path: input.file_path().map(Path::to_owned),
            pixel_aspect: coded_aspect,
            frame_rate,
            display_matrix,
            color: ColorTags::of_frame(frame).or(facts.video.color),
            coded_chroma_shift: pixel_layout(frame.format())
                .filter(|layout| !layout.is_rgb)
                .map(|layout| layout.chroma_shift),
            is_top_field_first,
            has_captions: captions(frame).is_some(),
            video_metadata: facts.metadata.clone(),
            container_metadata: without_stale_tags(container_tags),
            light: light_facts(&reader.input, video, frame),
            view: view_facts(&reader.input, video, frame),
            streams,
            chapters,
        };
        let time_base = TimeBase {
            numerator: facts.time_base.numerator(),
            denominator: facts.time_base.denominator(),
        };
        let info = SourceInfo {
            width: target.width,
            height: target.height,
            format: target.format,
            color: target.color,
            pixel_aspect,
            orientation: upright.flatten().unwrap_or_else(Orientation::default),
            time_base,
            estimated_frames: estimate_frames(&facts, frame_rate, range),
            is_endless: match input {
                InputSpec::Path(_) | InputSpec::Stdin => false,
                InputSpec::Url(_) => facts.duration_secs.is_none() && !has_end,
                InputSpec::Device(device) => device.is_endless(),
            },
            clock_start_micros: Some(window.start_micros),
            notices,
            template: Some(template),
        };
        let packets = reader.take_passthrough();
        let first = Frame {
            index: FrameIndex(0),
            pts: Pts(pts),
            duration,
            picture,
            passthrough: passthrough(packets, &reader.decoded, is_top_field_first),
        };
        Ok(Self {
            name,
            reader,
            parameters: facts.video,
            converter,
            info,
            is_strict: options.is_strict,
            stopper,
            starved,
            follows_frames: options.is_live,
            first: Some(first),
            next_index: 1,
        })
    }
}

impl FrameSource for FfmpegSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if let Some(first) = self.first.take() {
            self.check_strictly()?;
            return Ok(Some(first));
        }
        let next = self.reader.next_frame(&self.name)?;
        self.check_strictly()?;
        let Some((pts, duration)) = next else {
            return Ok(None);
        };
        let index = FrameIndex(self.next_index);
        self.next_index += 1;
        let failed = |cause: &dyn std::fmt::Display| {
            let message = format!("cannot read a frame of {}: {cause}", self.name);
            Error::new(ErrorKind::Input, message).at_frame(index)
        };
        let frame = &self.reader.decoded;
        check_size(u64::from(frame.width()), u64::from(frame.height()))
            .map_err(|cause| failed(&cause))?;
        if self.follows_frames
            && let Some(target) = Target::for_frame(frame, &self.parameters)
            && target != self.converter.target()
        {
            self.converter = Converter::new(target);
            (self.info.width, self.info.height) = (target.width, target.height);
            (self.info.format, self.info.color) = (target.format, target.color);
        }
        let (picture, _) = self
            .converter
            .convert(frame, &self.parameters)
            .map_err(|cause| failed(&cause))?;
        let packets = self.reader.take_passthrough();
        let template = self.info.template.as_ref();
        let of_stream = template.and_then(|template| template.is_top_field_first);
        Ok(Some(Frame {
            index,
            pts: Pts(pts),
            duration,
            picture,
            passthrough: passthrough(packets, &self.reader.decoded, of_stream),
        }))
    }

    fn has_waited(&mut self) -> bool {
        let starved = self.starved.as_ref();
        starved.is_some_and(|starved| starved.swap(false, Ordering::Relaxed))
    }

    fn stopper(&self) -> Option<CancelToken> {
        Some(self.stopper.clone())
    }

    fn finish(&mut self) -> SourceEnd {
        let mut notices = self.reader.late_notices();
        if let jumps @ 1.. = self.reader.clock_jumps() {
            notices.push(format!(
                "the input's clock jumps ({jumps} times): its pieces are joined"
            ));
        }
        SourceEnd {
            damage: self.reader.damage(),
            notices,
            passthrough: self.reader.take_passthrough(),
        }
    }
}

impl FfmpegSource {
    /// Fails if damage is an error and there is some.
    fn check_strictly(&self) -> Result<()> {
        if !self.is_strict {
            return Ok(());
        }
        let damage = self.reader.damage();
        if damage.is_none() {
            return Ok(());
        }
        let message = format!("cannot read {}: it is damaged: {damage}", self.name);
        Err(Error::new(ErrorKind::Input, message))
    }
}

/// Whether a seek may go past subtitles that are still shown: MP4's goes to the last one of each stream.
fn has_distant_lines(context: &ffmpeg_next::format::context::Input) -> bool {
    let mut streams = context.streams();
    streams.any(|stream| stream.parameters().medium() == media::Type::Subtitle)
        && !has_format(context, "mov")
}

/// The order of a frame's fields; `None` if it is progressive.
fn fields(frame: &DecodedFrame) -> Option<bool> {
    frame.is_interlaced().then(|| frame.is_top_first())
}

/// What travels with a frame of a stream whose fields are in the order `of_stream`.
fn passthrough(
    packets: Vec<Packet>,
    frame: &DecodedFrame,
    of_stream: Option<bool>,
) -> Vec<Passthrough> {
    let mut items: Vec<_> = packets.into_iter().map(Passthrough::Packet).collect();
    items.extend(captions(frame).map(Passthrough::Captions));
    let fields = fields(frame);
    if fields != of_stream {
        items.push(Passthrough::Fields(fields));
    }
    items
}

/// Refuses sizes before memory for them is taken.
fn check_size(width: u64, height: u64) -> Result<(), String> {
    if width.saturating_mul(height) > MAXIMUM_PIXELS {
        return Err(format!(
            "a frame of {width}x{height} is too large, the limit is {MAXIMUM_PIXELS} pixels"
        ));
    }
    Ok(())
}

/// How many frames the container promises in the range.
fn estimate_frames(facts: &StreamFacts, rate: Option<Rational>, range: TimeRange) -> Option<u64> {
    let start_secs = range.start_secs.unwrap_or(0.0);
    if let (Some(count), 0.0, None) = (facts.frame_count, start_secs, range.end_secs) {
        return Some(count);
    }
    let rate = f64::from(rate?);
    let total_secs = facts.duration_secs.unwrap_or(f64::INFINITY);
    let length_secs = range.end_secs.unwrap_or(total_secs).min(total_secs) - start_secs;
    (length_secs.is_finite() && length_secs > 0.0).then(|| (length_secs * rate).round() as u64)
}
