//! From a frame's picture, its map and its label to the finished picture.

use super::layout::place_panel;
use super::{ColorMap, LabelLine, LabelPainter, Layout, Overlay};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ColorSpec, Orientation, Picture, PictureFormat, RectInFrame, Samples};
use crate::heatmap::NormalizedHeatmap;
use crate::picture::SampleSpace;
use crate::sink::PictureShape;

/// How results are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenderOptions {
    /// Colours of the heatmap.
    pub colormap: ColorMap,
    /// Weight of the heatmap's colour in the overlay, 0..=1.
    pub alpha: f32,
    /// Evidence below this (0..=1) leaves the overlay's picture untouched.
    pub threshold: f32,
    /// Arrangement of panels.
    pub layout: Layout,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            colormap: ColorMap::default(),
            alpha: 0.4,
            threshold: 0.0,
            layout: Layout::default(),
        }
    }
}

/// Draws the frames of one stream.
#[derive(Debug)]
pub struct Renderer {
    layout: Layout,
    shape: PictureShape,
    orientation: Orientation,
    overlay: Overlay,
    /// Draws the heatmap alone: opaque, without threshold.
    opaque: Overlay,
    label: LabelPainter,
    /// The heatmap panel of the triple layout, kept to be drawn anew for each frame.
    heatmap_panel: Option<Picture>,
    black: [u16; 3],
}

impl Renderer {
    /// A renderer for pictures coded with this size (pixels), format, colour and orientation.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if alpha or threshold is outside 0..=1.
    pub fn new(
        options: RenderOptions,
        width: usize,
        height: usize,
        format: PictureFormat,
        color: ColorSpec,
        orientation: Orientation,
    ) -> Result<Self> {
        for (name, value) in [("alpha", options.alpha), ("threshold", options.threshold)] {
            if !(0.0..=1.0).contains(&value) {
                let message = format!("{name} must lie between 0 and 1, not at {value}");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        }
        let overlay =
            |alpha, threshold| Overlay::new(color, format, options.colormap, alpha, threshold);
        let (out_width, out_height) = options.layout.shape(width, height, format, orientation);
        let (_, upright_height) = orientation.upright_size(width, height);
        let black = SampleSpace::new(color, format.bit_depth).encode([0.0; 3]);
        Ok(Self {
            layout: options.layout,
            shape: PictureShape {
                width: out_width,
                height: out_height,
                format,
                color,
            },
            orientation,
            overlay: overlay(options.alpha, options.threshold),
            opaque: overlay(1.0, 0.0),
            label: LabelPainter::new(upright_height)?,
            heatmap_panel: (options.layout == Layout::Triple)
                .then(|| Picture::filled(width, height, format, color, black)),
            black,
        })
    }

    /// Shape of the finished pictures.
    pub fn shape(&self) -> PictureShape {
        self.shape
    }

    /// Draws one frame. `map` is upright and covers `map_in_frame` (coded pixels) of the picture; without a map
    /// the picture stays plain and a heatmap panel black. The label goes on the panel that shows the overlay, or
    /// on the only one.
    pub fn render(
        &mut self,
        mut picture: Picture,
        map: Option<&NormalizedHeatmap>,
        map_in_frame: RectInFrame,
        label: &[LabelLine],
    ) -> Picture {
        let map = map.map(|map| map.to_coded(self.orientation));
        let map = map.as_ref();
        if self.layout == Layout::Heatmap {
            draw_alone(
                &mut self.opaque,
                self.black,
                &mut picture,
                map,
                map_in_frame,
            );
            self.label.draw(&mut picture, self.orientation, label);
            return picture;
        }
        let count = self.layout.panel_count();
        let mut output = (count > 1).then(|| self.blank_output());
        if let Some(output) = &mut output {
            place_panel(&picture, output, (0, count), self.orientation);
            if let Some(panel) = &mut self.heatmap_panel {
                draw_alone(&mut self.opaque, self.black, panel, map, map_in_frame);
                place_panel(panel, output, (1, count), self.orientation);
            }
        }
        if let Some(map) = map {
            self.overlay.draw(&mut picture, map, map_in_frame);
        }
        self.label.draw(&mut picture, self.orientation, label);
        let Some(mut output) = output else {
            return picture;
        };
        place_panel(&picture, &mut output, (count - 1, count), self.orientation);
        output
    }

    fn blank_output(&self) -> Picture {
        let PictureShape {
            width,
            height,
            format,
            color,
        } = self.shape;
        Picture::filled(width, height, format, color, self.black)
    }
}

/// Makes `panel` the heatmap alone; what the map does not cover is black.
fn draw_alone(
    opaque: &mut Overlay,
    black: [u16; 3],
    panel: &mut Picture,
    map: Option<&NormalizedHeatmap>,
    map_in_frame: RectInFrame,
) {
    for (plane, black) in panel.planes.iter_mut().zip(black) {
        match &mut plane.samples {
            Samples::U8(samples) => samples.fill(black as u8),
            Samples::U16(samples) => samples.fill(black),
        }
    }
    if let Some(map) = map {
        opaque.draw(panel, map, map_in_frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 64;
    const HEIGHT: usize = 48;

    fn scene() -> Picture {
        let bytes: Vec<u8> = (0..WIDTH * HEIGHT * 3)
            .map(|index| (index * 7 % 251) as u8)
            .collect();
        Picture::from_rgb8(WIDTH, HEIGHT, &bytes)
    }

    fn map() -> NormalizedHeatmap {
        NormalizedHeatmap {
            width: 3,
            height: 2,
            values: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        }
    }

    fn label() -> [LabelLine; 1] {
        [LabelLine {
            text: "cat".to_owned(),
            fraction: Some(0.7),
        }]
    }

    fn whole(picture: &Picture) -> RectInFrame {
        RectInFrame {
            x0: 0.0,
            y0: 0.0,
            x1: picture.width as f64,
            y1: picture.height as f64,
        }
    }

    fn renderer(layout: Layout, picture: &Picture, orientation: Orientation) -> Renderer {
        let options = RenderOptions {
            layout,
            threshold: 0.1,
            ..RenderOptions::default()
        };
        Renderer::new(
            options,
            picture.width,
            picture.height,
            picture.format,
            picture.color,
            orientation,
        )
        .unwrap()
    }

    fn rendered(layout: Layout, map: Option<&NormalizedHeatmap>, label: &[LabelLine]) -> Picture {
        let picture = scene();
        let rect = whole(&picture);
        renderer(layout, &picture, Orientation::default()).render(picture, map, rect, label)
    }

    /// The RGB columns `range` of a picture.
    fn columns(picture: &Picture, range: std::ops::Range<usize>) -> Vec<u8> {
        picture
            .to_rgb8()
            .chunks(3 * picture.width)
            .flat_map(|row| row[3 * range.start..3 * range.end].to_vec())
            .collect()
    }

    #[test]
    fn panels_are_original_heatmap_alone_and_overlay_with_label() {
        let triple = rendered(Layout::Triple, Some(&map()), &label());
        assert_eq!((triple.width, triple.height), (3 * WIDTH, HEIGHT));
        let overlay = rendered(Layout::Overlay, Some(&map()), &label());
        let heatmap = rendered(Layout::Heatmap, Some(&map()), &[]);
        assert_eq!(columns(&triple, 0..WIDTH), scene().to_rgb8());
        assert_eq!(columns(&triple, WIDTH..2 * WIDTH), heatmap.to_rgb8());
        assert_eq!(columns(&triple, 2 * WIDTH..3 * WIDTH), overlay.to_rgb8());
        let pair = rendered(Layout::SideBySide, Some(&map()), &label());
        assert_eq!(columns(&pair, 0..WIDTH), scene().to_rgb8());
        assert_eq!(columns(&pair, WIDTH..2 * WIDTH), overlay.to_rgb8());
        assert_ne!(overlay, rendered(Layout::Overlay, Some(&map()), &[]));
        assert_eq!(
            heatmap.to_rgb8()[..3],
            [0, 0, 127],
            "the threshold is for the overlay"
        );
    }

    #[test]
    fn without_a_map_the_frame_is_plain_the_heatmap_black_and_the_label_stays() {
        assert_eq!(rendered(Layout::Overlay, None, &[]), scene());
        let labelled = rendered(Layout::Overlay, None, &label());
        assert_ne!(labelled, scene());
        let triple = rendered(Layout::Triple, None, &label());
        assert_eq!(columns(&triple, 0..WIDTH), scene().to_rgb8());
        assert!(
            columns(&triple, WIDTH..2 * WIDTH)
                .iter()
                .all(|byte| *byte == 0)
        );
        assert_eq!(columns(&triple, 2 * WIDTH..3 * WIDTH), labelled.to_rgb8());
        let heatmap = rendered(Layout::Heatmap, None, &[]);
        assert!(heatmap.to_rgb8().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_the_map_does_not_cover_is_plain_or_black() {
        let covered = RectInFrame {
            x0: 16.0,
            x1: 48.0,
            y0: 0.0,
            y1: 48.0,
        };
        let picture = scene();
        let triple = renderer(Layout::Triple, &picture, Orientation::default()).render(
            picture,
            Some(&map()),
            covered,
            &[],
        );
        let black = columns(&triple, WIDTH..WIDTH + 16);
        assert!(black.iter().all(|byte| *byte == 0));
        let plain = columns(&scene(), 0..16);
        assert_eq!(columns(&triple, 2 * WIDTH..2 * WIDTH + 16), plain);
    }

    #[test]
    fn a_turned_stream_looks_upright_like_the_upright_one() {
        for layout in Layout::ALL {
            let want = rendered(layout, Some(&map()), &label()).to_rgb8();
            for quarter_turns in 0..4 {
                for is_mirrored in [false, true] {
                    let orientation = Orientation {
                        quarter_turns,
                        is_mirrored,
                    };
                    let pixels = scene().to_rgb8();
                    let coded = orientation.to_coded(pixels.as_chunks::<3>().0, WIDTH, HEIGHT);
                    let (width, height) = orientation.upright_size(WIDTH, HEIGHT);
                    let picture = Picture::from_rgb8(width, height, coded.as_flattened());
                    let rect = whole(&picture);
                    let mut renderer = renderer(layout, &picture, orientation);
                    let drawn = renderer.render(picture, Some(&map()), rect, &label());
                    assert_eq!(
                        (drawn.width, drawn.height),
                        (renderer.shape().width, renderer.shape().height)
                    );
                    let pixels = drawn.to_rgb8();
                    let upright = orientation.to_upright(
                        pixels.as_chunks::<3>().0,
                        drawn.width,
                        drawn.height,
                    );
                    let difference = upright
                        .as_flattened()
                        .iter()
                        .zip(&want)
                        .map(|(got, want)| got.abs_diff(*want))
                        .max();
                    // Mirrored ramps may round to the neighbouring palette index: up to 4 levels of jet.
                    assert!(
                        difference <= Some(4),
                        "{layout} {orientation:?}: {difference:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn alpha_outside_its_range_is_refused() {
        for (alpha, threshold) in [(1.5, 0.0), (f32::NAN, 0.0), (0.4, -0.1)] {
            let options = RenderOptions {
                alpha,
                threshold,
                ..RenderOptions::default()
            };
            let picture = scene();
            let error = Renderer::new(
                options,
                WIDTH,
                HEIGHT,
                picture.format,
                picture.color,
                Orientation::default(),
            )
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
