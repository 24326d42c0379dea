//! Boxes in COCO annotations: <https://cocodataset.org/#format-data>.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;

use super::{Boxes, failed};
use crate::error::Result;

/// Bytes that are read at a time: the annotations of COCO 2017 have 450 MB.
const BUFFER_BYTES: usize = 1 << 20;

/// What matters here; the outlines, most of a file, are skipped as they are read.
#[derive(Deserialize)]
struct Annotations {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    category_id: Option<Id>,
    /// Left, top, width, height in pixels.
    bbox: Option<[f64; 4]>,
    iscrowd: Option<Flag>,
}

#[derive(Deserialize)]
struct Category {
    id: Id,
    name: String,
}

/// COCO has numbers, some tools write texts.
#[derive(Deserialize, PartialEq, Eq, Hash)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(Box<str>),
}

/// COCO has numbers, some tools write truth values.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Number(i64),
    Truth(bool),
}

pub(super) fn read(path: &Path, boxes: &mut Boxes) -> Result<()> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    let reader = BufReader::with_capacity(BUFFER_BYTES, file);
    let all: Annotations = serde_json::from_reader(reader).map_err(|error| failed(path, error))?;
    let files: HashMap<&Id, &str> = all
        .images
        .iter()
        .map(|image| (&image.id, image.file_name.as_str()))
        .collect();
    let names: HashMap<&Id, &str> = all
        .categories
        .iter()
        .map(|category| (&category.id, category.name.as_str()))
        .collect();
    for annotation in &all.annotations {
        let is_crowd = matches!(
            annotation.iscrowd,
            Some(Flag::Number(1) | Flag::Truth(true))
        );
        let Some([x, y, width, height]) = annotation.bbox.filter(|_| !is_crowd) else {
            continue;
        };
        // Parts of a data set often keep the annotations of the whole.
        if let Some(file) = files.get(&annotation.image_id) {
            let name = annotation.category_id.as_ref().and_then(|id| names.get(id));
            boxes.add_or_count(file, [x, y, x + width, y + height], name.copied());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{edges, read};
    use super::*;
    use crate::preprocess::ResizePolicy;

    #[test]
    fn boxes_of_coco_are_left_top_width_height() {
        let text = r#"{"info":{"year":2017},"annotations":[
            {"id":1,"image_id":7,"category_id":3,"bbox":[10,20.5,5,6],"segmentation":[[1,2,3]],"iscrowd":0},
            {"id":2,"image_id":7,"category_id":3,"bbox":[0,0,900,900],"segmentation":{"counts":[1]},"iscrowd":1},
            {"id":3,"image_id":"b","category_id":99,"bbox":[1,2,3,4],"iscrowd":false},
            {"id":4,"image_id":"b","bbox":[1,2,0,4]},
            {"id":5,"image_id":7,"caption":"a cat"},
            {"id":6,"image_id":8,"category_id":3,"bbox":[1,2,3,4]}],
            "images":[{"id":7,"file_name":"train/1.jpg","width":640},{"id":"b","file_name":"2.jpg"}],
            "categories":[{"id":3,"name":"cat","supercategory":"animal"}]}"#;
        let boxes = read(&[("a.JSON", text)]).unwrap();
        assert_eq!(edges(&boxes, "/x/train/1.jpg"), [[10.0, 20.5, 15.0, 26.5]]);
        assert_eq!(edges(&boxes, "/x/val/1.jpg"), [[0.0; 4]; 0]);
        assert_eq!(edges(&boxes, "2.jpg"), [[1.0, 2.0, 4.0, 6.0]]);
        assert_eq!(boxes.without_area(), 1);
        let is_named = |file: &str, name| {
            let found = boxes.of_class(
                Path::new(file),
                (30, 30),
                ResizePolicy::Stretch,
                30,
                |label| {
                    assert_eq!(label, name);
                    true
                },
            );
            found.len()
        };
        assert_eq!(is_named("train/1.jpg", "cat"), 1);
        assert_eq!(is_named("2.jpg", "none"), 1);
    }
}
