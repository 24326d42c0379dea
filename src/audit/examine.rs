//! One picture: explained, measured, drawn.

use std::path::Path;

use super::dataset::DatasetFile;
use super::gray::gray_of;
use super::measure::{brightness, perceptual_hash, sharpness, small};
use super::record::{AuditRecord, Metrics};
use super::spray::{FocusMap, focus_map};
use super::thumb::{ThumbDrawer, part_size, save, thumb_name};
use crate::error::{Result, Stage};
use crate::evaluate::boxes::Boxes;
use crate::evaluate::localisation::{energy_in, points_at};
use crate::evaluate::saliency::Saliency;
use crate::evaluate::{BoxInModel, Settings};
use crate::explain::TargetMap;
use crate::frame::{FrameShape, Orientation, Picture};
use crate::heatmap::{Heatmap, NormalizedHeatmap};
use crate::model::ModelInput;
use crate::pipeline::worker::Asked;
use crate::preprocess::{Preprocessor, ResizePolicy};
use crate::records::RecordTop;

/// What is to be looked at.
pub(super) struct Subject<'a> {
    pub(super) file: &'a DatasetFile,
    /// Index and time in seconds of a frame of a video.
    pub(super) frame: Option<(u64, f64)>,
    /// The class that the dataset gives.
    pub(super) label: Option<usize>,
    pub(super) picture: &'a Picture,
    pub(super) orientation: Orientation,
    /// Width of a coded pixel divided by its height.
    pub(super) pixel_aspect: f64,
}

/// A record, and what the next frame of the same video is compared with.
pub(super) struct Examined {
    pub(super) record: AuditRecord,
    pub(super) view: View,
}

/// A picture and its map, small.
pub(super) struct View {
    /// Luma of 32x32 pixels.
    pub(super) luma: [u8; 1024],
    /// None without positive evidence.
    pub(super) map: Option<NormalizedHeatmap>,
}

/// What all workers share.
#[derive(Clone, Copy)]
pub(super) struct Examining<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) resize: ResizePolicy,
    pub(super) boxes: Option<&'a Boxes>,
    /// The report's folder.
    pub(super) report: &'a Path,
}

/// Looks at pictures, one after the other.
pub(super) struct Examiner<'a> {
    shared: Examining<'a>,
    /// For pixels of this aspect.
    preprocessor: (f64, Preprocessor),
    drawer: ThumbDrawer,
}

impl<'a> Examiner<'a> {
    pub(super) fn new(shared: Examining<'a>) -> Self {
        let spec = shared.asked.explaining.model.spec();
        Self {
            shared,
            preprocessor: (1.0, Preprocessor::new(shared.resize, spec)),
            drawer: ThumbDrawer::default(),
        }
    }

    /// The network's input for a picture.
    fn input(
        &mut self,
        picture: &Picture,
        orientation: Orientation,
        pixel_aspect: f64,
    ) -> Result<ModelInput> {
        if self.preprocessor.0 != pixel_aspect {
            let spec = self.shared.asked.explaining.model.spec();
            let other = Preprocessor::new(self.shared.resize, spec).with_pixel_aspect(pixel_aspect);
            self.preprocessor = (pixel_aspect, other);
        }
        let input = self.preprocessor.1.run(picture, orientation);
        input.map_err(|error| error.at_stage(Stage::Preprocess))
    }

    /// Looks at a picture and saves its evidence picture.
    pub(super) fn examine(&mut self, subject: &Subject<'_>) -> Result<Examined> {
        let Subject {
            file,
            frame,
            label,
            picture,
            orientation,
            pixel_aspect,
        } = *subject;
        let input = self.input(picture, orientation, pixel_aspect)?;
        let explaining = self.shared.asked.explaining;
        let (model, request) = (explaining.model, &explaining.request);
        let forward = model.forward_for(&input, &request.layers, &request.classes());
        let forward = forward.map_err(|error| error.at_stage(Stage::Model))?;
        let explanation =
            self.shared
                .asked
                .explain(explaining.explainer, &input, &forward, request);
        let explanation = explanation.map_err(|error| error.at_stage(Stage::Explain))?;
        let Some(TargetMap {
            target,
            prediction,
            heatmap,
        }) = explanation.maps.into_iter().next()
        else {
            return Err(crate::Error::new(
                crate::ErrorKind::Internal,
                "an explanation has no map",
            ));
        };

        let shape = FrameShape {
            width: picture.width,
            height: picture.height,
            pixel_aspect,
        };
        let upright = shape.upright(orientation);
        let rect = self.shared.resize.map_in_frame(upright, input.size);
        let (width, height) = (upright.width as f64, upright.height as f64);
        let map_rect = [
            rect.x0 / width,
            rect.y0 / height,
            rect.x1 / width,
            rect.y1 / height,
        ];
        let thumb = thumb_name(&file.name, frame.map(|(index, _)| index));
        let size = part_size(width * upright.pixel_aspect, height);
        let rgb = self.preprocessor.1.small_rgb(picture, orientation, size)?;
        let jpeg = self.drawer.draw(&rgb, size, &heatmap, map_rect)?;
        save(self.shared.report, &thumb, &jpeg)?;

        let gray = gray_of(picture, orientation);
        let class_of = |class: usize| {
            explanation
                .ranking
                .iter()
                .find(|prediction| prediction.index == class)
        };
        let labels = &model.spec().labels;
        let is_class = |name: &str| {
            let class = labels.find(name).ok();
            class.is_some() && (class == Some(target.class) || class == label)
        };
        let size = (upright.width, upright.height);
        let boxes = |resize| self.boxes(file, size, resize, input.size, is_class);
        let in_sight = boxes(self.shared.resize);
        let localised = if !in_sight.is_empty() {
            Some(Localised::new(&heatmap, &in_sight, input.size, map_rect))
        } else {
            // What was cropped away cannot be looked at.
            (!boxes(ResizePolicy::Stretch).is_empty()).then_some(Localised::OUT_OF_SIGHT)
        };
        let focus = focus_map(&heatmap);
        let view = View {
            luma: small(&gray),
            map: heatmap.normalized(heatmap.positive_maximum()),
        };
        let record = AuditRecord {
            path: file.name.clone(),
            frame: frame.map(|(index, _)| index),
            pts_s: frame.map(|(_, secs)| secs),
            size: [upright.width, upright.height],
            label,
            self_confidence: label
                .and_then(class_of)
                .map(|prediction| prediction.probability),
            label_rank: label.and_then(|label| {
                explanation
                    .ranking
                    .iter()
                    .position(|prediction| prediction.index == label)
            }),
            top: explanation
                .ranking
                .iter()
                .take(explaining.top_k)
                .map(|top| RecordTop {
                    index: top.index,
                    label: labels.name(top.index).to_owned(),
                    prob: top.probability,
                })
                .collect(),
            target: target.class,
            score: prediction.logit,
            prob: prediction.probability,
            peak: self
                .shared
                .resize
                .peak_in_frame(&heatmap, upright, input.size),
            map_rect,
            metrics: Metrics {
                brightness: brightness(&gray),
                sharpness: sharpness(&gray),
                hash: perceptual_hash(&gray),
                border_energy: focus.as_ref().map(border_energy),
                corner_energy: focus.as_ref().map(corner_energy),
                energy_in_box: localised.as_ref().map(|localised| localised.energy),
                box_share: localised.as_ref().map(|localised| localised.share),
                is_pointing_hit: localised.as_ref().map(|localised| localised.is_hit),
                change: None,
                flicker: None,
            },
            heatmap,
            thumb,
        };
        Ok(Examined { record, view })
    }

    fn boxes(
        &self,
        file: &DatasetFile,
        size: (usize, usize),
        resize: ResizePolicy,
        square: usize,
        is_class: impl Fn(&str) -> bool,
    ) -> Vec<BoxInModel> {
        let boxes = self.shared.boxes.filter(|_| !file.is_video);
        boxes.map_or_else(Vec::new, |boxes| {
            boxes.of_class(&file.path, size, resize, square, is_class)
        })
    }
}

/// Where a map lies against the boxes.
struct Localised {
    energy: f64,
    share: f64,
    is_hit: bool,
}

impl Localised {
    /// Of a picture whose boxes the network does not see.
    const OUT_OF_SIGHT: Self = Self {
        energy: 0.0,
        share: 0.0,
        is_hit: false,
    };

    /// `map_rect` is the part of the picture that the map covers, as fractions.
    fn new(heatmap: &Heatmap, boxes: &[BoxInModel], square: usize, map_rect: [f64; 4]) -> Self {
        let saliency = Saliency::new(heatmap, square);
        // Even over the picture; what a letterbox adds is none of it.
        let is_inside = |pixel: usize, start: f64, end: f64| {
            let at = start + (pixel as f64 + 0.5) / square as f64 * (end - start);
            (0.0..1.0).contains(&at)
        };
        let [x0, y0, x1, y1] = map_rect;
        let flat = |index: usize| {
            let is_picture = is_inside(index % square, x0, x1) && is_inside(index / square, y0, y1);
            f32::from(u8::from(is_picture))
        };
        let flat = Saliency {
            size: square,
            values: (0..square * square).map(flat).collect(),
        };
        Self {
            energy: energy_in(&saliency, boxes),
            share: energy_in(&flat, boxes),
            is_hit: points_at(
                &saliency,
                boxes,
                Settings::new(square).pointing_tolerance_px,
            ),
        }
    }
}

/// Cells of the grid's outermost ring.
fn border_energy(focus: &FocusMap) -> f64 {
    energy_where(focus, |column, row| {
        column.min(row) == 0 || column.max(row) == SIDE - 1
    })
}

/// The corner of 3x3 cells that has most.
fn corner_energy(focus: &FocusMap) -> f64 {
    let is_near = |at: usize, is_far_side: bool| if is_far_side { at >= SIDE - 3 } else { at < 3 };
    let corners = [(false, false), (true, false), (false, true), (true, true)];
    let energies = corners.map(|(right, bottom)| {
        energy_where(focus, |column, row| {
            is_near(column, right) && is_near(row, bottom)
        })
    });
    energies.into_iter().fold(0.0, f64::max)
}

const SIDE: usize = super::spray::SIDE;

fn energy_where(focus: &FocusMap, is_in: impl Fn(usize, usize) -> bool) -> f64 {
    let cells = focus
        .iter()
        .enumerate()
        .filter(|(cell, _)| is_in(cell % SIDE, cell / SIDE));
    cells.map(|(_, share)| f64::from(*share)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energies_of_border_and_corner_are_shares() {
        let mut focus = [0.0; SIDE * SIDE];
        focus[0] = 0.25;
        focus[2 * SIDE + 2] = 0.25;
        focus[3 * SIDE + 3] = 0.25;
        focus[SIDE * SIDE - 1] = 0.25;
        assert_eq!(border_energy(&focus), 0.5);
        assert_eq!(corner_energy(&focus), 0.5);
        let flat = [1.0 / 49.0; SIDE * SIDE];
        assert!((border_energy(&flat) - 24.0 / 49.0).abs() < 1e-6);
        assert!((corner_energy(&flat) - 9.0 / 49.0).abs() < 1e-6);
    }

    #[test]
    fn the_share_of_a_box_is_that_of_the_picture_not_of_the_letterbox() {
        let map = Heatmap {
            width: 1,
            height: 1,
            values: vec![1.0],
        };
        // A picture half as wide as high, in the middle of the square; the box is its lower half.
        let lower_half = [BoxInModel {
            x0: 16.0,
            y0: 32.0,
            x1: 48.0,
            y1: 64.0,
        }];
        let localised = Localised::new(&map, &lower_half, 64, [-0.5, 0.0, 1.5, 1.0]);
        assert!((localised.share - 0.5).abs() < 1e-9, "{}", localised.share);
        assert!(
            (localised.energy - 0.25).abs() < 1e-6,
            "evidence beside the picture counts"
        );
    }
}
