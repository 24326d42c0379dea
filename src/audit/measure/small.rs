//! A small copy of a picture.

use super::Gray;

/// Side of the copy in cells.
pub(super) const SIDE: usize = 32;
/// log2 of the parts into which [`cells`] divides a grey level.
pub(super) const LEVEL_BITS: u32 = 8;

/// The picture stretched to 32x32 cells, row-major: each is the mean of the pixels that it covers, whole or in part.
pub fn small(gray: &Gray) -> [u8; SIDE * SIDE] {
    let half = 1 << (LEVEL_BITS - 1);
    cells(gray).map(|level| ((level + half) >> LEVEL_BITS) as u8)
}

/// [`small`] in steps of `2^-LEVEL_BITS` grey levels.
pub(super) fn cells(gray: &Gray) -> [i64; SIDE * SIDE] {
    let mut means = [0; SIDE * SIDE];
    if gray.is_empty() {
        return means;
    }
    let area = gray.width as u64 * gray.height as u64;
    let mut columns = vec![0_u32; gray.width];
    for (cell_row, means) in means.chunks_exact_mut(SIDE).enumerate() {
        columns.fill(0);
        for (y, weight) in covered(cell_row, gray.height) {
            let row = &gray.values[y * gray.width..][..gray.width];
            for (sum, value) in columns.iter_mut().zip(row) {
                *sum += u32::from(*value) * weight;
            }
        }
        for (cell, mean) in means.iter_mut().enumerate() {
            let sum: u64 = covered(cell, gray.width)
                .map(|(x, weight)| u64::from(columns[x]) * u64::from(weight))
                .sum();
            *mean = ((sum << LEVEL_BITS) / area) as i64;
        }
    }
    means
}

/// The pixels that a cell of a row (or column) of `length` pixels covers, and how much of each in parts of 32: `length` in all.
fn covered(cell: usize, length: usize) -> impl Iterator<Item = (usize, u32)> {
    let (start, end) = (cell * length, (cell + 1) * length);
    (start / SIDE..end.div_ceil(SIDE)).map(move |pixel| {
        let covered = end.min((pixel + 1) * SIDE) - start.max(pixel * SIDE);
        (pixel, covered as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::picture;
    use super::*;

    #[test]
    fn cells_are_means_of_the_area_that_they_cover() {
        let ramp = picture(64, 32, |x, _| (2 * x) as f64);
        assert_eq!(small(&ramp)[..4], [1, 5, 9, 13]);
        // 48 pixels: a cell is a pixel and a half.
        let stripes = picture(48, 1, |x, _| [30.0, 60.0, 90.0][x % 3]);
        assert_eq!(small(&stripes)[SIDE * 9..][..4], [40, 80, 40, 80]);
        assert_eq!(small(&picture(1, 1, |_, _| 77.0)), [77; SIDE * SIDE]);
    }
}
