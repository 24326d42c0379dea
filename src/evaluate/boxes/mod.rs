//! Boxes of objects in pictures, from a CSV file, COCO annotations or Pascal VOC annotations.

mod coco;
mod csv;
mod lookup;
mod voc;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::BoxInModel;
use crate::frame::FrameShape;
use crate::preprocess::ResizePolicy;
use lookup::ByFile;

/// Left, top, right, bottom edge in pixels of the upright picture.
type Edges = [f64; 4];

#[derive(Debug, Clone, PartialEq)]
struct Labelled {
    edges: Edges,
    /// Name of the object's class.
    label: Option<Arc<str>>,
}

/// The boxes of many pictures.
#[derive(Debug, Clone, Default)]
pub struct Boxes {
    by_file: ByFile<Labelled>,
    labels: BTreeSet<Arc<str>>,
    without_area: usize,
}

impl Boxes {
    /// Reads boxes. A picture may have several, each with or without the name of a class.
    ///
    /// - `.json`: COCO annotations; crowds are left out.
    /// - `.xml`, or a folder with such files at any depth: Pascal VOC annotations, whose pixels count from 1 and of which the last belongs to
    ///   the box. If XML files in different folders name the same picture, each is for the picture in a folder of the same name.
    /// - else a CSV file with the columns `file,x0,y0,x1,y1` and optionally `label` (others are ignored): a picture's file name, with or
    ///   without folders, and the edges of a box in pixels of the upright picture.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it cannot be read, is damaged, lacks something, or a CSV file has a box without area; those of COCO and VOC,
    /// whose own files have some, are [counted](Self::without_area) and left out.
    pub fn open(path: &Path) -> Result<Self> {
        let mut boxes = Self::default();
        let extension = path
            .extension()
            .map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => voc::read_folder(path, &mut boxes)?,
            Some("json") => coco::read(path, &mut boxes)?,
            Some("xml") => voc::read_file(path, &mut boxes)?,
            _ => csv::read(path, &mut boxes)?,
        }
        Ok(boxes)
    }

    /// How many boxes of COCO or VOC annotations were left out as they have no area.
    pub fn without_area(&self) -> usize {
        self.without_area
    }

    /// The boxes of the picture at `path` of `width` x `height` pixels, in the network's square of `square` pixels; without those that lie
    /// outside it.
    ///
    /// Found by the path as it is written, else by the longest end of the absolute path that the annotations have: `train/a.jpg` is for
    /// `/data/train/a.jpg` and not for `/data/val/a.jpg`, `a.jpg` is for both.
    pub fn of(
        &self,
        path: &Path,
        size: (usize, usize),
        resize: ResizePolicy,
        square: usize,
    ) -> Vec<BoxInModel> {
        self.of_class(path, size, resize, square, |_| false)
    }

    /// As [`of`](Self::of), but if `is_class` holds for the name of one of the picture's boxes, inside the square or not, only boxes for
    /// which it holds.
    pub fn of_class(
        &self,
        path: &Path,
        (width, height): (usize, usize),
        resize: ResizePolicy,
        square: usize,
        is_class: impl Fn(&str) -> bool,
    ) -> Vec<BoxInModel> {
        let all = self.by_file.find(path);
        let is_of_class = |one: &&Labelled| one.label.as_deref().is_some_and(&is_class);
        let has_class = all.iter().any(|one| is_of_class(&one));
        let map = resize.map_in_frame(FrameShape::square_pixels(width, height), square);
        let across = |x: f64| (x - map.x0) / (map.x1 - map.x0) * square as f64;
        let down = |y: f64| (y - map.y0) / (map.y1 - map.y0) * square as f64;
        let in_model = |one: &Labelled| {
            let [x0, y0, x1, y1] = one.edges;
            BoxInModel {
                x0: across(x0),
                y0: down(y0),
                x1: across(x1),
                y1: down(y1),
            }
        };
        let is_inside = |edges: &BoxInModel| {
            let square = square as f64;
            edges.x0 < square && edges.y0 < square && edges.x1 > 0.0 && edges.y1 > 0.0
        };
        all.iter()
            .filter(|one| !has_class || is_of_class(one))
            .map(in_model)
            .filter(is_inside)
            .collect()
    }

    /// Adds a box; `false` if it has no area.
    fn add(&mut self, file: &str, edges: Edges, label: Option<&str>) -> bool {
        let [x0, y0, x1, y1] = edges;
        let is_box = edges.iter().all(|edge| edge.is_finite()) && x0 < x1 && y0 < y1;
        if is_box {
            let label = label
                .map(str::trim)
                .filter(|label| !label.is_empty())
                .map(|label| self.interned(label));
            self.by_file.push(file, Labelled { edges, label });
        }
        is_box
    }

    fn add_or_count(&mut self, file: &str, edges: Edges, label: Option<&str>) {
        if !self.add(file, edges, label) {
            self.without_area += 1;
        }
    }

    fn interned(&mut self, label: &str) -> Arc<str> {
        if let Some(known) = self.labels.get(label) {
            return known.clone();
        }
        let label = Arc::<str>::from(label);
        self.labels.insert(label.clone());
        label
    }
}

fn failed(path: &Path, why: impl Display) -> Error {
    let message = format!("cannot read boxes {}", path.display());
    Error::caused_by(
        ErrorKind::Input,
        message,
        why.to_string().replace('\n', " "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files below a new folder and opens the first part of the first path.
    pub(super) fn read(files: &[(&str, &str)]) -> Result<Boxes> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let top = files[0].0.split('/').next().unwrap();
        Boxes::open(&folder.path().join(top))
    }

    /// All boxes of a picture, in its own pixels.
    pub(super) fn edges(boxes: &Boxes, path: &str) -> Vec<Edges> {
        let found = boxes.of(Path::new(path), (1000, 1000), ResizePolicy::Stretch, 1000);
        found
            .iter()
            .map(|one| [one.x0, one.y0, one.x1, one.y1])
            .collect()
    }

    #[test]
    fn boxes_are_found_by_name_and_scaled_to_the_square() {
        let boxes = read(&[(
            "boxes.csv",
            "file,x0,y0,x1,y1,label\na.png, 10,0,20,50,cat\nb/a.png,0,0,1,1,x\na.png,0,0,100,50,dog\n",
        )]);
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
    fn boxes_of_the_class_count_if_there_are_some() {
        let boxes = read(&[(
            "boxes.csv",
            "label,file,x0,y0,x1,y1\ncat,a,0,0,9,9\n,a,0,0,5,5\ndog,a,70,0,90,90\n",
        )]);
        let boxes = boxes.unwrap();
        let of = |class: &str, resize| {
            boxes
                .of_class(Path::new("a"), (90, 30), resize, 30, |label| label == class)
                .len()
        };
        assert_eq!(of("cat", ResizePolicy::Stretch), 1);
        assert_eq!(of("bird", ResizePolicy::Stretch), 3);
        assert_eq!(
            of("", ResizePolicy::Stretch),
            3,
            "a box without label has no name"
        );
        assert_eq!(
            of("dog", ResizePolicy::Crop),
            0,
            "the dog is cut off, and others are no dogs"
        );
    }

    #[test]
    fn bad_files_are_one_line() {
        let xml = |inner: &str| format!("<annotation><object>{inner}</object></annotation>");
        let image = r#""images":[{"id":1,"file_name":"a"}]"#;
        for (name, text) in [
            ("boxes.csv", "a,b\n1,2\n"),
            ("boxes.csv", ""),
            ("boxes.csv", "[1, 2]"),
            ("boxes.csv", "file,x0,y0,x1,y1\na,1,2,x,3\n"),
            ("boxes.csv", "file,x0,y0,x1,y1\na,5,2,5,3\n"),
            ("boxes.json", "{\n"),
            ("boxes.json", r#"{"images":[]}"#),
            (
                "boxes.json",
                &format!(r#"{{{image},"annotations":[{{"image_id":1,"bbox":[1,2,3]}}]}}"#),
            ),
            ("boxes.xml", "<annotation><filename>a</annotation>"),
            ("boxes.xml", "<html/>"),
            (
                "boxes.xml",
                &xml("<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax></bndbox>"),
            ),
            (
                "boxes.xml",
                &xml("<bndbox><xmin>1</xmin><ymin>x\n</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"),
            ),
            (
                "boxes.xml",
                "<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;'>]><annotation>&d;</annotation>",
            ),
            ("folder/readme.txt", "no annotations"),
        ] {
            let line = read(&[(name, text)]).unwrap_err().one_line();
            let name = name.split('/').next().unwrap();
            assert!(
                line.starts_with("cannot read boxes ")
                    && line.contains(name)
                    && !line.contains('\n'),
                "{text}: {line}"
            );
        }
        let missing = Boxes::open(Path::new("missing.json"))
            .unwrap_err()
            .one_line();
        assert!(missing.starts_with("cannot read boxes missing.json: "));
    }
}
