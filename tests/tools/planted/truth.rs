//! What an audit of the planted dataset should find: the content of `truth.json`.

use gradcam_video::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::mark;

/// Side of the grid of `layer4`.
pub(crate) const GRID: usize = 7;
/// Side of a corner in cells.
pub(crate) const CORNER: usize = 3;

/// Part of a picture as fractions of its width and height.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Region {
    pub(crate) x0: f64,
    pub(crate) y0: f64,
    pub(crate) x1: f64,
    pub(crate) y1: f64,
}

impl Region {
    /// The cells of the grid that it touches, column and row, in reading order.
    pub(crate) fn cells(self) -> Vec<[usize; 2]> {
        let side = GRID as f64;
        let touched =
            |low: f64, high: f64| (low * side).floor() as usize..(high * side).ceil() as usize;
        let columns = touched(self.x0, self.x1);
        touched(self.y0, self.y1)
            .flat_map(|row| columns.clone().map(move |column| [column, row]))
            .collect()
    }
}

/// The artefact and who carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Truth {
    /// Format of this file.
    pub(crate) version: u32,
    /// Name of the class, which is also its folder.
    pub(crate) class: String,
    /// Its index among the network's classes.
    pub(crate) class_index: usize,
    /// What the artefact looks like.
    pub(crate) artefact: String,
    /// Where it is.
    pub(crate) region: Region,
    /// Columns and rows of the grid that `cells` and `corner_cells` count in.
    pub(crate) grid: [usize; 2],
    /// Cells that the artefact touches, column and row.
    pub(crate) cells: Vec<[usize; 2]>,
    /// The corner of the picture that it is in.
    pub(crate) corner: String,
    /// The cells of that corner: where the evidence of a map may be that is due to the artefact.
    pub(crate) corner_cells: Vec<[usize; 2]>,
    /// The pictures that carry it, sorted, relative to `planted/`; without it they are in `clean/` under the same names.
    pub(crate) files: Vec<String>,
}

impl Truth {
    pub(crate) fn new(class: &str, class_index: usize, files: Vec<String>) -> Self {
        let region = mark::region();
        let corner_cells =
            (0..CORNER).flat_map(|row| (GRID - CORNER..GRID).map(move |column| [column, row]));
        Self {
            version: 1,
            class: class.to_owned(),
            class_index,
            artefact: "a tag of magenta and green stripes".to_owned(),
            region,
            grid: [GRID; 2],
            cells: region.cells(),
            corner: "upper right".to_owned(),
            corner_cells: corner_cells.collect(),
            files,
        }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it cannot be written as JSON.
    pub(crate) fn to_json(&self) -> Result<String> {
        let failed =
            |error| Error::caused_by(ErrorKind::Internal, "cannot write the truth as JSON", error);
        Ok(serde_json::to_string_pretty(self).map_err(failed)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_touches_the_cells_that_it_shares_area_with() {
        let region = Region {
            x0: 0.8,
            y0: 0.0,
            x1: 1.0,
            y1: 1.0 / 7.0,
        };
        assert_eq!(region.cells(), [[5, 0], [6, 0]]);
    }
}
