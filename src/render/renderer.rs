//! From a frame's picture, its map and its label to the finished picture.

use super::layout::place_panel;
use super::{ColorMap, LabelLine, LabelPainter, Layout, Overlay, keras};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{
    ColorModel, ColorSpec, Orientation, Picture, PictureFormat, RectInFrame, Samples,
};
use crate::heatmap::NormalizedHeatmap;
use crate::picture::SampleSpace;
use crate::sink::PictureShape;
use crate::source::SourceInfo;

/// How a map is laid over a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DrawStyle {
    /// The map is upsampled, coloured, and mixed with the picture: brightness does not jump from frame to frame.
    #[default]
    Blend,
    /// As the Keras walk-through draws: the colours are upsampled, added to the picture, and the sum is stretched to full range. For RGB pictures that
    /// the map covers; without label, colour map, alpha, threshold.
    Keras,
}

/// How results are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenderOptions {
    /// How a map is laid over a picture.
    pub style: DrawStyle,
    /// Colours of the heatmap.
    pub colormap: ColorMap,
    /// Weight of the heatmap's colour in the overlay, 0..=1.
    pub alpha: f32,
    /// Evidence below this (0..=1) leaves the overlay's picture untouched.
    pub threshold: f32,
    /// Arrangement of panels.
    pub layout: Layout,
    /// How many maps of the same frame are drawn beside each other. At least 1.
    pub targets: usize,
}

/// One map of a frame, and what is written on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// None leaves the picture plain.
    pub map: Option<NormalizedHeatmap>,
    /// Lines of the label.
    pub label: Vec<LabelLine>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            style: DrawStyle::Blend,
            colormap: ColorMap::default(),
            alpha: 0.4,
            threshold: 0.0,
            layout: Layout::default(),
            targets: 1,
        }
    }
}

/// Draws the frames of one stream, each whatever was drawn before.
#[derive(Debug, Clone)]
pub struct Renderer {
    style: DrawStyle,
    layout: Layout,
    targets: usize,
    shape: PictureShape,
    orientation: Orientation,
    overlay: Overlay,
    /// Draws the heatmap alone: opaque, without threshold.
    opaque: Overlay,
    label: LabelPainter,
    /// The panel of a heatmap alone beside others, kept to be drawn anew for each frame.
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
        if options.style == DrawStyle::Keras && color.model != ColorModel::Rgb {
            let message = "the Keras recipe draws RGB pictures only";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        for (name, value) in [("alpha", options.alpha), ("threshold", options.threshold)] {
            if !(0.0..=1.0).contains(&value) {
                let message = format!("{name} must lie between 0 and 1, not at {value}");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        }
        let overlay =
            |alpha, threshold| Overlay::new(color, format, options.colormap, alpha, threshold);
        let targets = options.targets.max(1);
        let (layout, size) = (options.layout, (width, height));
        let (out_width, out_height) = layout.shape(targets, size, format, orientation);
        let is_beside = layout.panel_count(targets) > 1;
        let has_heatmap_panel = is_beside && matches!(layout, Layout::Triple | Layout::Heatmap);
        let (_, upright_height) = orientation.upright_size(width, height);
        let black = SampleSpace::new(color, format.bit_depth).encode([0.0; 3]);
        Ok(Self {
            style: options.style,
            layout,
            targets,
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
            heatmap_panel: has_heatmap_panel
                .then(|| Picture::filled(width, height, format, color, black)),
            black,
        })
    }

    /// A renderer for the pictures of a source.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_stream(options: RenderOptions, info: &SourceInfo) -> Result<Self> {
        let (width, height) = (info.width, info.height);
        Self::new(
            options,
            width,
            height,
            info.format,
            info.color,
            info.orientation,
        )
    }

    /// Shape of the finished pictures.
    pub fn shape(&self) -> PictureShape {
        self.shape
    }

    /// Draws one frame with a panel per target. Maps are upright and cover `map_in_frame` (coded pixels) of the picture; without a map
    /// the picture stays plain and a heatmap alone black. The label goes on the panel that shows the overlay, or
    /// on the only one.
    ///
    /// # Errors
    /// [`ErrorKind::Compute`] if [`DrawStyle::Keras`] cannot resize its colours.
    pub fn render(
        &mut self,
        picture: Picture,
        panels: &[Panel],
        map_in_frame: RectInFrame,
    ) -> Result<Picture> {
        let count = self.layout.panel_count(self.targets);
        if let ([panel], 1) = (panels, count) {
            return self.draw_panel(picture, panel, map_in_frame);
        }
        let mut output = self.blank_output();
        let mut places = 0..count;
        let mut place = |panel: &Picture, output: &mut Picture, orientation| {
            if let Some(index) = places.next() {
                place_panel(panel, output, (index, count), orientation);
            }
        };
        if self.layout.has_original() {
            place(&picture, &mut output, self.orientation);
        }
        for panel in panels {
            if let Some(mut alone) = self.heatmap_panel.take() {
                self.draw_alone(&mut alone, panel.map.as_ref(), map_in_frame);
                if self.layout == Layout::Heatmap {
                    self.label.draw(&mut alone, self.orientation, &panel.label);
                }
                place(&alone, &mut output, self.orientation);
                self.heatmap_panel = Some(alone);
            }
            if self.layout != Layout::Heatmap {
                let drawn = self.draw_panel(picture.clone(), panel, map_in_frame)?;
                place(&drawn, &mut output, self.orientation);
            }
        }
        Ok(output)
    }

    /// The picture with overlay, or the heatmap alone in its place, and the label.
    fn draw_panel(
        &mut self,
        mut picture: Picture,
        panel: &Panel,
        map_in_frame: RectInFrame,
    ) -> Result<Picture> {
        if let (DrawStyle::Keras, Some(map)) = (self.style, &panel.map) {
            return keras::overlay(&picture, map);
        }
        if self.layout == Layout::Heatmap {
            self.draw_alone(&mut picture, panel.map.as_ref(), map_in_frame);
        } else if let Some(map) = &panel.map {
            let map = map.to_coded(self.orientation);
            self.overlay.draw(&mut picture, &map, map_in_frame);
        }
        if self.style != DrawStyle::Keras {
            self.label
                .draw(&mut picture, self.orientation, &panel.label);
        }
        Ok(picture)
    }

    /// Makes `panel` the heatmap alone; what the map does not cover is black.
    fn draw_alone(
        &mut self,
        panel: &mut Picture,
        map: Option<&NormalizedHeatmap>,
        map_in_frame: RectInFrame,
    ) {
        for (plane, black) in panel.planes.iter_mut().zip(self.black) {
            match &mut plane.samples {
                Samples::U8(samples) => samples.fill(black as u8),
                Samples::U16(samples) => samples.fill(black),
            }
        }
        if let Some(map) = map {
            let map = map.to_coded(self.orientation);
            self.opaque.draw(panel, &map, map_in_frame);
        }
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

    fn panel(map: Option<&NormalizedHeatmap>, label: &[LabelLine]) -> Panel {
        Panel {
            map: map.cloned(),
            label: label.to_vec(),
        }
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
        let panel = panel(map, label);
        renderer(layout, &picture, Orientation::default())
            .render(picture, &[panel], rect)
            .unwrap()
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
    fn several_targets_stand_beside_each_other_as_each_would_alone() {
        let mut other = map();
        other.values.reverse();
        let panels = [panel(Some(&map()), &label()), panel(Some(&other), &[])];
        for layout in Layout::ALL {
            let options = RenderOptions {
                layout,
                threshold: 0.1,
                targets: 2,
                ..RenderOptions::default()
            };
            let picture = scene();
            let rect = whole(&picture);
            let orientation = Orientation::default();
            let (format, color) = (picture.format, picture.color);
            let mut renderer =
                Renderer::new(options, WIDTH, HEIGHT, format, color, orientation).unwrap();
            let both = renderer.render(picture, &panels, rect).unwrap();
            assert_eq!((both.width, both.height), (renderer.shape().width, HEIGHT));
            let heatmap = |map: &NormalizedHeatmap| rendered(Layout::Heatmap, Some(map), &[]);
            let expected = match layout {
                Layout::Overlay | Layout::Heatmap => Vec::new(),
                Layout::SideBySide | Layout::Triple => vec![scene()],
            };
            let expected = expected.into_iter().chain(
                [(map(), label().to_vec()), (other.clone(), Vec::new())]
                    .into_iter()
                    .flat_map(|(map, label)| {
                        let shown = match layout {
                            Layout::Heatmap => rendered(Layout::Heatmap, Some(&map), &label),
                            _ => rendered(Layout::Overlay, Some(&map), &label),
                        };
                        let alone = (layout == Layout::Triple).then(|| heatmap(&map));
                        alone.into_iter().chain([shown])
                    }),
            );
            let mut count = 0;
            for (place, expected) in expected.enumerate() {
                let got = columns(&both, place * WIDTH..(place + 1) * WIDTH);
                assert_eq!(got, expected.to_rgb8(), "{layout} {place}");
                count += 1;
            }
            assert_eq!(both.width, count * WIDTH, "{layout}");
        }
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
        let triple = renderer(Layout::Triple, &picture, Orientation::default())
            .render(picture, &[panel(Some(&map()), &[])], covered)
            .unwrap();
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
                    let drawn = renderer
                        .render(picture, &[panel(Some(&map()), &label())], rect)
                        .unwrap();
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
