//! The luma of a picture as bytes: what measures look at.

use crate::audit::measure::Gray;
use crate::frame::{ColorModel, Orientation, Picture, Samples};

/// The upright luma in full range, rounded to 8 bits; of RGB pictures by the weights of BT.601.
pub(super) fn gray_of(picture: &Picture, orientation: Orientation) -> Gray {
    let (width, height) = (picture.width, picture.height);
    let coded: Vec<u8> = if picture.color.model == ColorModel::Rgb {
        let [red, green, blue] = [0, 1, 2].map(|plane| bytes(picture, plane));
        let pixels = red.iter().zip(green.iter()).zip(blue.iter());
        pixels
            .map(|((red, green), blue)| {
                let sum = 77 * u32::from(*red) + 150 * u32::from(*green) + 29 * u32::from(*blue);
                ((sum + 128) >> 8) as u8
            })
            .collect()
    } else if picture.color.is_full_range {
        bytes(picture, 0).into_owned()
    } else {
        let stretched = |code: u8| {
            ((f32::from(code) - 16.0) * (255.0 / 219.0))
                .round()
                .clamp(0.0, 255.0) as u8
        };
        let table: [u8; 256] = std::array::from_fn(|code| stretched(code as u8));
        bytes(picture, 0)
            .iter()
            .map(|code| table[usize::from(*code)])
            .collect()
    };
    if orientation == Orientation::default() {
        return Gray {
            width,
            height,
            values: coded,
        };
    }
    let (up_width, up_height) = orientation.upright_size(width, height);
    Gray {
        width: up_width,
        height: up_height,
        values: orientation.to_upright(&coded, width, height),
    }
}

/// The samples of a plane, the upper 8 bits of each.
fn bytes(picture: &Picture, plane: usize) -> std::borrow::Cow<'_, [u8]> {
    match &picture.planes[plane].samples {
        Samples::U8(samples) => samples.as_slice().into(),
        Samples::U16(samples) => {
            let shift = picture.format.bit_depth.saturating_sub(8);
            let upper = samples
                .iter()
                .map(|sample| (sample >> shift).min(255) as u8);
            upper.collect::<Vec<u8>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorSpec, PictureFormat, Transfer};

    #[test]
    fn luma_is_in_full_range_whatever_the_coding() {
        let rgb = Picture::from_rgb8(1, 1, &[255, 0, 0]);
        assert_eq!(gray_of(&rgb, Orientation::default()).values, [77]);
        let limited = ColorSpec {
            model: ColorModel::YuvBt601,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        for (code, gray) in [(16, 0), (235, 255), (126, 128), (0, 0)] {
            let picture = Picture::filled(2, 2, PictureFormat::FULL_8, limited, [code, 128, 128]);
            assert_eq!(gray_of(&picture, Orientation::default()).values, [gray; 4]);
        }
    }

    #[test]
    fn turned_pictures_stand_upright() {
        let picture = Picture::from_rgb8(2, 1, &[0, 0, 0, 255, 255, 255]);
        let turned = Orientation {
            quarter_turns: 1,
            is_mirrored: false,
        };
        let gray = gray_of(&picture, turned);
        assert_eq!((gray.width, gray.height, gray.values), (1, 2, vec![0, 255]));
    }
}
