//! Boxes in Pascal VOC annotations, one XML file for each picture: Everingham 2010, "The Pascal Visual Object Classes (VOC) Challenge".

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};
use walkdir::WalkDir;

use super::{Boxes, Edges, failed};
use crate::error::Result;

/// An annotation has some kilobytes.
const MAX_BYTES: u64 = 16 << 20;

/// The objects of one picture.
struct Annotation {
    /// The picture's file; ends with `.*` if its extension is not known.
    file: String,
    objects: Vec<(Edges, Option<String>)>,
}

pub(super) fn read_file(path: &Path, boxes: &mut Boxes) -> Result<()> {
    let annotation = parse(path).map_err(|why| failed(path, why))?;
    add(&annotation.file, &annotation, boxes);
    Ok(())
}

/// Reads all XML files below a folder, those behind links too.
pub(super) fn read_folder(folder: &Path, boxes: &mut Boxes) -> Result<()> {
    let mut by_file = BTreeMap::<String, Vec<(PathBuf, Annotation)>>::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| failed(folder, error))?;
        let path = entry.path();
        let is_xml = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("xml"));
        if is_xml && entry.file_type().is_file() {
            let annotation = parse(path).map_err(|why| failed(path, why))?;
            let below = path.strip_prefix(folder).ok().and_then(Path::parent);
            let place = (below.unwrap_or(Path::new("")).to_owned(), annotation);
            by_file.entry(place.1.file.clone()).or_default().push(place);
        }
    }
    if by_file.is_empty() {
        return Err(failed(folder, "there is no .xml file in it"));
    }
    for (file, annotations) in by_file {
        let is_one_place = annotations
            .iter()
            .all(|(place, _)| *place == annotations[0].0);
        for (place, annotation) in &annotations {
            if is_one_place || file.contains('/') {
                add(&file, annotation, boxes);
            } else {
                add(&place.join(&file).to_string_lossy(), annotation, boxes);
            }
        }
    }
    Ok(())
}

fn add(file: &str, annotation: &Annotation, boxes: &mut Boxes) {
    for (edges, label) in &annotation.objects {
        boxes.add_or_count(file, *edges, label.as_deref());
    }
}

fn parse(path: &Path) -> std::result::Result<Annotation, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let bytes = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    if bytes.map_err(|error| error.to_string())? as u64 > MAX_BYTES {
        return Err("it is too large for an annotation".to_owned());
    }
    // Without definitions of entities there are no bombs.
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    let document =
        Document::parse_with_options(&text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        return Err("it is no <annotation>".to_owned());
    }
    // Some of ImageNet's say "%s".
    let named = text_of(root, "filename").filter(|name| !matches!(*name, "" | "%s"));
    let stem = || {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    let mut file = named.map(str::to_owned).or_else(stem).unwrap_or_default();
    // ImageNet's have names without extension.
    if named.is_none() || Path::new(&file).extension().is_none() {
        file += ".*";
    }
    let objects = root.children().filter(|node| node.has_tag_name("object"));
    let objects = objects.filter_map(|object| {
        let edges = edges(child(object, "bndbox")?);
        Some(edges.map(|edges| (edges, text_of(object, "name").map(str::to_owned))))
    });
    Ok(Annotation {
        objects: objects.collect::<std::result::Result<_, String>>()?,
        file,
    })
}

/// The pixels from `xmin` to `xmax` are in the box, and the first pixel of a row is 1.
fn edges(node: Node<'_, '_>) -> std::result::Result<Edges, String> {
    let number = |name: &str| {
        let text = text_of(node, name).ok_or_else(|| format!("a box has no {name}"))?;
        text.parse::<f64>()
            .map_err(|_| format!("{name} is no number: {text:?}"))
    };
    Ok([
        number("xmin")? - 1.0,
        number("ymin")? - 1.0,
        number("xmax")?,
        number("ymax")?,
    ])
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{edges, read};
    use super::*;
    use crate::preprocess::ResizePolicy;

    fn annotation(file: &str, right: u32) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<annotation><folder>VOC2012</folder><filename>{file}</filename><size><width>9</width></size>
            <object><name>dog</name><difficult>1</difficult><bndbox><xmax>{right}</xmax><xmin>1</xmin><ymin> 11 </ymin><ymax>20.0</ymax></bndbox>
            <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>
            <object><name>line</name><polygon/></object></annotation>"
        )
    }

    #[test]
    fn pixels_of_voc_count_from_one_and_include_the_last() {
        let boxes = read(&[("a.xml", &annotation("a.jpg", 30))]).unwrap();
        assert_eq!(edges(&boxes, "x/a.jpg"), [[0.0, 10.0, 30.0, 20.0]]);
        let found = boxes.of_class(
            Path::new("a.jpg"),
            (99, 99),
            ResizePolicy::Stretch,
            9,
            |label| label == "dog",
        );
        assert_eq!(found.len(), 1);
        let empty = read(&[("a.xml", &annotation("a.jpg", 0))]).unwrap();
        assert_eq!((edges(&empty, "a.jpg").len(), empty.without_area()), (0, 1));
    }

    #[test]
    fn a_folder_is_read_at_any_depth() {
        let boxes = read(&[
            ("voc/Annotations/1.xml", &annotation("1.jpg", 10)),
            ("voc/Annotations/more/2.XML", &annotation("2.jpg", 20)),
            ("voc/JPEGImages/readme.txt", "no annotation"),
        ]);
        let boxes = boxes.unwrap();
        assert_eq!(edges(&boxes, "voc/JPEGImages/1.jpg")[0][2], 10.0);
        assert_eq!(edges(&boxes, "2.jpg")[0][2], 20.0);
    }

    #[test]
    fn pictures_of_one_name_in_two_folders_have_their_own_boxes() {
        let boxes = read(&[
            ("voc/train/1.xml", &annotation("1.jpg", 10)),
            ("voc/val/1.xml", &annotation("1.jpg", 20)),
        ]);
        let boxes = boxes.unwrap();
        assert_eq!(edges(&boxes, "/data/train/1.jpg")[0][2], 10.0);
        assert_eq!(edges(&boxes, "/data/val/1.jpg")[0][2], 20.0);
        assert!(edges(&boxes, "/data/test/1.jpg").is_empty());
    }

    #[test]
    fn names_of_imagenet_lack_the_extension_or_are_missing() {
        let boxes = read(&[
            ("voc/n01/n01_1.xml", &annotation("n01_1", 10)),
            ("voc/n01/n01_2.xml", &annotation("%s", 20)),
            ("voc/n01/n01_3.xml", &annotation("", 30)),
        ]);
        let boxes = boxes.unwrap();
        assert_eq!(edges(&boxes, "n01/n01_1.JPEG")[0][2], 10.0);
        assert_eq!(edges(&boxes, "n01/n01_2.JPEG")[0][2], 20.0);
        assert_eq!(edges(&boxes, "n01/n01_3.JPEG")[0][2], 30.0);
    }

    #[test]
    fn deep_nesting_is_survived() {
        let depth = 200_000;
        let text = format!(
            "<annotation>{}{}</annotation>",
            "<a>".repeat(depth),
            "</a>".repeat(depth)
        );
        assert!(edges(&read(&[("a.xml", &text)]).unwrap(), "a.jpg").is_empty());
    }
}
