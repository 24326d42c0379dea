//! JPEG files of what is shown, fast enough for every frame: FFmpeg's encoder takes a few milliseconds.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec, encoder};

use super::picture::{JPEG_COLOR, Painter, fit, upright_size};
use crate::ffmpeg_picture::Rescaler;
use crate::frame::{Orientation, Picture};
use crate::pipeline::live::Shown;

/// Pictures are scaled down to at most this, in pixels: browsers show no more.
const LARGEST: (usize, usize) = (1920, 1080);
/// FFmpeg's quality scale, 1 (best) to 31: blocks are not seen, letters stay crisp.
const QUALITY: i32 = 4;

/// Encodes pictures one by one.
pub(super) struct JpegEncoder {
    painter: Painter,
    rescaler: Rescaler,
    encoder: Option<((usize, usize), encoder::video::Encoder)>,
    next_pts: i64,
}

impl JpegEncoder {
    pub(super) fn new() -> Self {
        Self {
            painter: Painter::new(),
            rescaler: Rescaler::new(),
            encoder: None,
            next_pts: 0,
        }
    }

    /// The upright picture as a JPEG file.
    pub(super) fn encode(&mut self, shown: &Shown) -> Result<Vec<u8>, FfmpegError> {
        let whole = upright_size(shown);
        let room = (whole.0.min(LARGEST.0), whole.1.min(LARGEST.1));
        let size = fit(whole, room);
        let kept = self.encoder.take().filter(|(of, _)| *of == size);
        let (_, encoder) = match kept {
            Some(kept) => self.encoder.insert(kept),
            None => self.encoder.insert((size, open_encoder(size)?)),
        };
        let frame = if shown.orientation == Orientation::default() {
            self.painter.frame(shown, size, Pixel::YUVJ420P)?
        } else {
            let bytes = self.painter.rgb(shown, size)?;
            let upright = Picture::from_rgb8(size.0, size.1, &bytes);
            self.rescaler
                .run(&upright, size, Pixel::YUVJ420P, JPEG_COLOR)?
        };
        frame.set_pts(Some(self.next_pts));
        self.next_pts += 1;
        encoder.send_frame(frame)?;
        let mut packet = Packet::empty();
        encoder.receive_packet(&mut packet)?;
        Ok(packet.data().unwrap_or_default().to_vec())
    }
}

fn open_encoder(size: (usize, usize)) -> Result<encoder::video::Encoder, FfmpegError> {
    let codec = encoder::find(codec::Id::MJPEG).ok_or(FfmpegError::EncoderNotFound)?;
    let mut context = codec::Context::new_with_codec(codec);
    context.set_flags(codec::Flags::QSCALE);
    let mut video = context.encoder().video()?;
    video.set_width(size.0 as u32);
    video.set_height(size.1 as u32);
    video.set_format(Pixel::YUVJ420P);
    video.set_time_base(Rational(1, 30));
    video.set_global_quality(QUALITY * ffmpeg_next::ffi::FF_QP2LAMBDA);
    video.open_as(codec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorSpec, PictureFormat};

    #[test]
    fn pictures_stand_upright_with_square_pixels() {
        let mut bytes = vec![0; 3 * 32 * 16];
        // The left half is red: after a clockwise turn, the upper one.
        for pixel in bytes.chunks_exact_mut(3 * 32) {
            for red in pixel[..3 * 16].chunks_exact_mut(3) {
                red[0] = 255;
            }
        }
        let picture = Picture::from_rgb8(32, 16, &bytes);
        let mut encoder = JpegEncoder::new();
        let turned = Orientation {
            quarter_turns: 1,
            is_mirrored: false,
        };
        let shown = Shown::new(0, picture, turned, 2.0);
        let jpeg = image::load_from_memory(&encoder.encode(&shown).unwrap()).unwrap();
        let jpeg = jpeg.to_rgb8();
        assert_eq!(jpeg.dimensions(), (16, 64));
        let (upper, lower) = (jpeg.get_pixel(8, 8).0, jpeg.get_pixel(8, 56).0);
        assert!(
            upper[0] > 240 && upper[1] < 20 && lower[0] < 20,
            "{upper:?} {lower:?}"
        );

        let grey = Picture::filled(20, 10, PictureFormat::FULL_8, ColorSpec::RGB, [128; 3]);
        let shown = Shown::new(1, grey, Orientation::default(), 1.0);
        let jpeg = image::load_from_memory(&encoder.encode(&shown).unwrap()).unwrap();
        let pixel = jpeg.to_rgb8().get_pixel(5, 5).0;
        assert!(
            pixel.iter().all(|value| value.abs_diff(128) < 3),
            "{pixel:?}"
        );
    }
}
