//! A colour map in the sample space of a picture.

use super::ColorMap;
use crate::frame::ColorSpec;
use crate::picture::SampleSpace;

/// For each plane the sample code of every colour-map entry, so that a heatmap is drawn without
/// leaving the picture's own colour space.
#[derive(Debug, Clone, PartialEq)]
pub struct Palette {
    /// `planes[plane][index]` is the code for evidence `index / 255`.
    pub planes: [[u16; 256]; 3],
}

impl Palette {
    /// The colour map for pictures of this colour and depth (in bits, 8 to 16).
    pub fn new(colormap: ColorMap, color: ColorSpec, bit_depth: u8) -> Self {
        let space = SampleSpace::new(color, bit_depth);
        let codes = colormap
            .table()
            .map(|rgb| space.encode(rgb.map(|channel| f64::from(channel) / 255.0)));
        Self {
            planes: std::array::from_fn(|plane| codes.map(|code| code[plane])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorModel, Transfer};

    #[test]
    fn rgb_pictures_take_the_colours_as_they_are() {
        let palette = Palette::new(ColorMap::Jet, ColorSpec::RGB, 8);
        for (index, rgb) in ColorMap::Jet.table().into_iter().enumerate() {
            let codes = [0, 1, 2].map(|plane: usize| palette.planes[plane][index]);
            assert_eq!(codes, rgb.map(u16::from));
        }
    }

    #[test]
    fn grey_stays_neutral_and_within_the_limited_range() {
        let color = ColorSpec {
            model: ColorModel::YuvBt709,
            is_full_range: false,
            transfer: Transfer::Sdr,
        };
        let palette = Palette::new(ColorMap::Gray, color, 10);
        assert_eq!((palette.planes[0][0], palette.planes[0][255]), (64, 940));
        assert_eq!(palette.planes[1], [512; 256]);
        assert_eq!(palette.planes[2], [512; 256]);
    }

    #[test]
    fn hdr_pictures_get_colours_no_brighter_than_sdr_white() {
        for (transfer, white) in [(Transfer::Pq, 573), (Transfer::Hlg, 721)] {
            let color = ColorSpec {
                model: ColorModel::YuvBt2020,
                is_full_range: false,
                transfer,
            };
            for colormap in ColorMap::ALL {
                let [luma, ..] = Palette::new(colormap, color, 10).planes;
                assert!(luma.iter().all(|code| (64..=white).contains(code)));
            }
        }
    }
}
