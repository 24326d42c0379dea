//! Maps of the input's pixels at the resolution of a heatmap.

use crate::heatmap::Heatmap;

/// Rows and columns of the maps of methods that look at pixels and not at a layer.
pub(super) const GRID: usize = 28;

/// For each of [`GRID`] equal parts of a line of pixels: which pixels it covers, and the share of the part that each fills. The shares of
/// a part add up to 1.
pub(super) fn parts_of_line(pixels: usize) -> Vec<Vec<(usize, f64)>> {
    // In units of 1 / GRID of a pixel all borders are whole numbers: a part is `pixels` long, a pixel GRID.
    (0..GRID)
        .map(|part| {
            let (start, end) = (part * pixels, (part + 1) * pixels);
            (start / GRID..end.div_ceil(GRID))
                .map(|pixel| {
                    let covered = end.min((pixel + 1) * GRID) - start.max(pixel * GRID);
                    (pixel, covered as f64 / pixels as f64)
                })
                .collect()
        })
        .collect()
}

/// The mean of a signed map of `size * size` pixels over each of [`GRID`] x [`GRID`] equal areas.
pub(super) fn area_averaged(pixels: &[f64], size: usize) -> Heatmap {
    let parts = parts_of_line(size);
    let mut values = Vec::with_capacity(GRID * GRID);
    for rows in &parts {
        for columns in &parts {
            let mut mean = 0.0;
            for (row, height) in rows {
                for (column, width) in columns {
                    mean += height * width * pixels[row * size + column];
                }
            }
            values.push(mean as f32);
        }
    }
    Heatmap {
        width: GRID,
        height: GRID,
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_the_means_of_their_pixels() {
        let size = 2 * GRID;
        let pixels: Vec<f64> = (0..size * size).map(|pixel| -(pixel as f64)).collect();
        let map = area_averaged(&pixels, size);
        let first = -(0.0 + 1.0 + size as f32 + (size + 1) as f32) / 4.0;
        assert_eq!(map.values[0], first);
        assert_eq!(map.values[1], first - 2.0);
        assert_eq!(map.values[GRID], first - 2.0 * size as f32);
    }

    #[test]
    fn sizes_that_the_grid_does_not_divide_keep_the_mean() {
        for size in [1, 20, 32, 224, 256] {
            for part in parts_of_line(size) {
                let sum: f64 = part.iter().map(|(_, share)| share).sum();
                assert!((sum - 1.0).abs() < 1e-12, "{size}");
            }
            let pixels: Vec<f64> = (0..size * size).map(|pixel| (pixel % 7) as f64).collect();
            let map = area_averaged(&pixels, size);
            let mean = pixels.iter().sum::<f64>() / pixels.len() as f64;
            let of_map = map
                .values
                .iter()
                .map(|value| f64::from(*value))
                .sum::<f64>();
            assert!(
                (of_map / (GRID * GRID) as f64 - mean).abs() < 1e-5,
                "{size}"
            );
        }
    }
}
