//! Boxes in a CSV file.

use std::fs::File;
use std::path::Path;

use serde::Deserialize;

use super::{Boxes, failed};
use crate::error::Result;

const COLUMNS: [&str; 5] = ["file", "x0", "y0", "x1", "y1"];

/// One line: edges in pixels of the upright picture.
#[derive(Debug, Deserialize)]
struct Row {
    file: String,
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
    #[serde(default)]
    label: Option<String>,
}

pub(super) fn read(path: &Path, boxes: &mut Boxes) -> Result<()> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(file);
    let header = reader.headers().map_err(|error| failed(path, error))?;
    let is_there = |column: &&str| header.iter().any(|name| name == *column);
    if let Some(column) = COLUMNS.iter().find(|column| !is_there(column)) {
        return Err(failed(path, format!("there is no column {column:?}")));
    }
    for row in reader.deserialize() {
        let row: Row = row.map_err(|error| failed(path, error))?;
        let edges = [row.x0, row.y0, row.x1, row.y1];
        if !boxes.add(&row.file, edges, row.label.as_deref()) {
            return Err(failed(path, format!("{} has a box without area", row.file)));
        }
    }
    Ok(())
}
