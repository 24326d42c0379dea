//! Boxes of objects in pictures, from a CSV file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::BoxInModel;
use crate::frame::FrameShape;
use crate::preprocess::ResizePolicy;

/// One line: edges in pixels of the upright picture.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Row {
    file: String,
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
}

/// The boxes of many pictures.
#[derive(Debug, Clone, Default)]
pub struct Boxes {
    by_file: BTreeMap<String, Vec<[f64; 4]>>,
}

impl Boxes {
    /// Reads a CSV file with the columns `file,x0,y0,x1,y1` (others are ignored): a picture's file name, with or without folders, and the edges
    /// of a box in pixels of the upright picture. A picture may have several boxes.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it cannot be read, lacks a column, or has a box without area.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |cause: String| {
            let message = format!("cannot read boxes {}", path.display());
            Error::caused_by(ErrorKind::Input, message, cause)
        };
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut boxes = Self::default();
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(file);
        for row in reader.deserialize() {
            let row: Row = row.map_err(|error| failed(error.to_string().replace('\n', " ")))?;
            let edges = [row.x0, row.y0, row.x1, row.y1];
            let has_area = row.x0 < row.x1 && row.y0 < row.y1;
            if !has_area || !edges.iter().all(|edge| edge.is_finite()) {
                return Err(failed(format!("{} has a box without area", row.file)));
            }
            boxes.by_file.entry(row.file).or_default().push(edges);
        }
        Ok(boxes)
    }

    /// The boxes of the picture at `path` of `width` x `height` pixels, in the network's square of `size` pixels; without those that lie
    /// outside it. Found by the path as it is written, else by the file's name.
    pub fn of(
        &self,
        path: &Path,
        (width, height): (usize, usize),
        resize: ResizePolicy,
        size: usize,
    ) -> Vec<BoxInModel> {
        let name = path.file_name().map(|name| name.to_string_lossy());
        let found = self
            .by_file
            .get(path.to_string_lossy().as_ref())
            .or_else(|| self.by_file.get(name?.as_ref()));
        let square = resize.map_in_frame(FrameShape::square_pixels(width, height), size);
        let across = |x: f64| (x - square.x0) / (square.x1 - square.x0) * size as f64;
        let down = |y: f64| (y - square.y0) / (square.y1 - square.y0) * size as f64;
        found
            .into_iter()
            .flatten()
            .map(|[x0, y0, x1, y1]| BoxInModel {
                x0: across(*x0),
                y0: down(*y0),
                x1: across(*x1),
                y1: down(*y1),
            })
            .filter(|edges| {
                let square = size as f64;
                edges.x0 < square && edges.y0 < square && edges.x1 > 0.0 && edges.y1 > 0.0
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Boxes> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.csv");
        std::fs::write(&path, text).unwrap();
        Boxes::open(&path)
    }

    #[test]
    fn boxes_are_found_by_name_and_scaled_to_the_square() {
        let boxes = read(
            "file,x0,y0,x1,y1,label\na.png, 10,0,20,50,cat\nb/a.png,0,0,1,1,x\na.png,0,0,100,50,dog\n",
        );
        let boxes = boxes.unwrap();
        let found = boxes.of(Path::new("c/a.png"), (100, 50), ResizePolicy::Stretch, 200);
        assert_eq!(found.len(), 2);
        let first = found[0];
        assert_eq!(
            (first.x0, first.y0, first.x1, first.y1),
            (20.0, 0.0, 40.0, 200.0)
        );
        let exact = boxes.of(Path::new("b/a.png"), (100, 50), ResizePolicy::Stretch, 200);
        assert_eq!(exact.len(), 1);
        let cropped = boxes.of(Path::new("a.png"), (100, 50), ResizePolicy::Crop, 50);
        assert_eq!(cropped.len(), 1, "the other is cut off");
        assert_eq!((cropped[0].x0, cropped[0].x1), (-25.0, 75.0));
        let none = boxes.of(Path::new("z.png"), (1, 1), ResizePolicy::Stretch, 1);
        assert!(none.is_empty());
    }

    #[test]
    fn bad_files_are_one_line() {
        for text in [
            "a,b\n1,2\n",
            "file,x0,y0,x1,y1\na,1,2,x,3\n",
            "file,x0,y0,x1,y1\na,5,2,5,3\n",
        ] {
            let line = read(text).unwrap_err().one_line();
            assert!(line.contains("boxes.csv") && !line.contains('\n'), "{line}");
        }
    }
}
