//! Evidence pictures: original, heatmap and overlay beside each other, small enough that a million of them fit on a disk.

use std::fs;
use std::path::Path;

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ColorSpec, Orientation, Picture, PictureFormat, RectInFrame};
use crate::heatmap::Heatmap;
use crate::render::{Layout, Panel, RenderOptions, Renderer};

/// Folder of the evidence pictures in the report's folder.
pub(super) const THUMBS: &str = "thumbs";
/// Largest width and height of one of the three parts in pixels.
const ROOM: (usize, usize) = (160, 120);
/// JPEG quality: no blocks are seen.
const QUALITY: u8 = 80;

/// Where the evidence picture of a file (or of a frame of it) goes, relative to the report's folder. It depends on the name only, so that
/// shards can be put together.
pub(super) fn thumb_name(name: &str, frame: Option<u64>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    if let Some(frame) = frame {
        hasher.update([0]);
        hasher.update(frame.to_le_bytes());
    }
    let digest: String = hasher
        .finalize()
        .iter()
        .take(10)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (folder, rest) = digest.split_at(2);
    format!("{THUMBS}/{folder}/{rest}.jpg")
}

/// The size of a part for an upright picture of this size, whose pixels are squares.
pub(super) fn part_size(width: f64, height: f64) -> (usize, usize) {
    let scale = (ROOM.0 as f64 / width).min(ROOM.1 as f64 / height);
    let length = |length: f64, most: usize| ((length * scale).round() as usize).clamp(1, most);
    (length(width, ROOM.0), length(height, ROOM.1))
}

/// Draws evidence pictures. Keeps what the next picture of the same size needs again.
#[derive(Debug, Default)]
pub(super) struct ThumbDrawer {
    renderer: Option<((usize, usize), Renderer)>,
}

impl ThumbDrawer {
    /// A JPEG file of the small picture `rgb` (interleaved bytes, `size` pixels) with its map, which covers `map_rect` (x0, y0, x1, y1 as
    /// fractions of the picture).
    pub(super) fn draw(
        &mut self,
        rgb: &[u8],
        size: (usize, usize),
        map: &Heatmap,
        map_rect: [f64; 4],
    ) -> Result<Vec<u8>> {
        let kept = self.renderer.take().filter(|(of, _)| *of == size);
        let (_, renderer) = match kept {
            Some(kept) => self.renderer.insert(kept),
            None => self.renderer.insert((size, renderer(size)?)),
        };
        let picture = Picture::from_rgb8(size.0, size.1, rgb);
        let panel = Panel {
            map: map.normalized(map.positive_maximum()),
            label: Vec::new(),
        };
        let (width, height) = (size.0 as f64, size.1 as f64);
        let rect = RectInFrame {
            x0: map_rect[0] * width,
            y0: map_rect[1] * height,
            x1: map_rect[2] * width,
            y1: map_rect[3] * height,
        };
        let drawn = renderer.render(picture, &[panel], rect)?;
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .encode(
                &drawn.to_rgb8(),
                drawn.width as u32,
                drawn.height as u32,
                ExtendedColorType::Rgb8,
            )
            .map_err(|error| {
                Error::caused_by(
                    ErrorKind::Output,
                    "cannot encode an evidence picture",
                    error,
                )
            })?;
        Ok(jpeg)
    }
}

fn renderer((width, height): (usize, usize)) -> Result<Renderer> {
    let options = RenderOptions {
        layout: Layout::Triple,
        ..RenderOptions::default()
    };
    let upright = Orientation::default();
    Renderer::new(
        options,
        width,
        height,
        PictureFormat::FULL_8,
        ColorSpec::RGB,
        upright,
    )
}

/// Writes an evidence picture into the report's folder.
pub(super) fn save(report: &Path, name: &str, jpeg: &[u8]) -> Result<()> {
    let path = report.join(name);
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, jpeg)
    };
    write().map_err(|error| {
        let message = format!("cannot write {}", path.display());
        Error::caused_by(ErrorKind::Output, message, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_shape_and_fit() {
        assert_eq!(part_size(640.0, 480.0), (160, 120));
        assert_eq!(part_size(480.0, 640.0), (90, 120));
        assert_eq!(part_size(1280.0, 720.0), (160, 90));
        assert_eq!(part_size(10000.0, 1.0), (160, 1));
        assert_eq!(part_size(8.0, 6.0), (160, 120));
    }

    #[test]
    fn the_three_parts_stand_beside_each_other() {
        let size = (40, 30);
        let rgb = vec![128; 3 * 40 * 30];
        let map = Heatmap {
            width: 2,
            height: 1,
            values: vec![1.0, 0.0],
        };
        let jpeg = ThumbDrawer::default()
            .draw(&rgb, size, &map, [0.0, 0.0, 1.0, 1.0])
            .unwrap();
        let picture = image::load_from_memory(&jpeg).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (120, 30));
        let pixel = |x, y| picture.get_pixel(x, y).0.map(i32::from);
        let [red, green, blue] = pixel(20, 15);
        assert!((red - 128).abs() < 6 && (green - 128).abs() < 6 && (blue - 128).abs() < 6);
        let [red, _, blue] = pixel(44, 15);
        assert!(red > blue + 60, "the left of the heatmap is hot");
        let [red, _, blue] = pixel(116, 15);
        assert!(blue > red + 30, "the right of the overlay is cold");
    }

    #[test]
    fn names_differ_from_file_to_file_and_from_frame_to_frame() {
        let names = [
            thumb_name("a", None),
            thumb_name("b", None),
            thumb_name("a", Some(0)),
            thumb_name("a", Some(1)),
        ];
        for (number, name) in names.iter().enumerate() {
            assert!(name.starts_with("thumbs/") && name.ends_with(".jpg"));
            assert!(!names[..number].contains(name));
        }
    }
}
