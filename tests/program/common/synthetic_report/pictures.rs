//! Made-up evidence pictures: parts of the cat, with heatmaps of one spot.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gradcam_video::audit::report::data::Picture;
use image::imageops::{FilterType, crop_imm, replace, resize};
use image::{Rgb, RgbImage};

use super::Dice;

/// Side of the square that one of the three panels fits into, in pixels.
const PANEL: u32 = 128;

/// The pictures that were made so far.
pub struct Pictures {
    cat: RgbImage,
    pub made: Vec<Picture>,
}

impl Pictures {
    pub fn new() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/chelsea.png");
        let cat = image::open(path).expect("the cat").to_rgb8();
        Self {
            cat,
            made: Vec::new(),
        }
    }

    /// Makes one whose heatmap has its peak at these fractions of width and height; its index.
    pub fn add(&mut self, dice: &mut Dice, peak: [f64; 2], is_dark: bool, is_blank: bool) -> usize {
        let (width, height) =
            [(PANEL, 96), (PANEL, PANEL), (84, PANEL), (PANEL, 72)][dice.below(4)];
        let size = 150 + dice.below(140) as u32;
        let (x, y) = (
            dice.below((451 - size) as usize) as u32,
            dice.below((300 - size) as usize) as u32,
        );
        let part = crop_imm(&self.cat, x, y, size, size).to_image();
        let mut photo = resize(&part, width, height, FilterType::Triangle);
        if is_dark {
            photo
                .pixels_mut()
                .for_each(|pixel| pixel.0 = pixel.0.map(|value| value / 8));
        }
        let heat = RgbImage::from_fn(width, height, |x, y| {
            let [right, down] = [
                f64::from(x) / f64::from(width) - peak[0],
                f64::from(y) / f64::from(height) - peak[1],
            ];
            let value = if is_blank {
                0.0
            } else {
                (-(right.powi(2) + down.powi(2)) / 0.06).exp()
            };
            Rgb([3.0, 2.0, 1.0]
                .map(|centre| (255.0 * (1.5 - (4.0 * value - centre).abs()).clamp(0.0, 1.0)) as u8))
        });
        let mix = |one: u8, other: u8| ((u16::from(one) * 3 + u16::from(other) * 2) / 5) as u8;
        let overlay = RgbImage::from_fn(width, height, |x, y| {
            let (photo, heat) = (photo.get_pixel(x, y).0, heat.get_pixel(x, y).0);
            Rgb([0, 1, 2].map(|channel| mix(photo[channel], heat[channel])))
        });
        let mut all = RgbImage::new(3 * width, height);
        for (place, panel) in [photo, heat, overlay].iter().enumerate() {
            replace(&mut all, panel, i64::from(width) * place as i64, 0);
        }
        let mut file = std::io::Cursor::new(Vec::new());
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 85)
            .encode_image(&all)
            .expect("a JPEG");
        self.made.push(Picture {
            width: all.width(),
            height,
            uri: format!(
                "data:image/jpeg;base64,{}",
                STANDARD.encode(file.into_inner())
            ),
        });
        self.made.len() - 1
    }
}
