//! How sharp a picture is at its sharpest.

use super::Gray;

/// [`sharpness`] looks at pictures whose longer side has at most this many pixels.
const MAX_SIDE: usize = 640;

/// Variance of the Laplacian (the kernel `0 1 0, 1 -4 1, 0 1 0`, inside the picture) in squared grey levels: Pech-Pacheco 2000, "Diatom
/// autofocusing in brightfield microscopy", there with a sixth of the kernel. Low where nothing is sharp.
///
/// The picture is averaged over squares of the whole number of pixels that brings its longer side to at most 640: else a camera's noise
/// counts as sharpness, and a large photo, whose edges take several pixels each, would be blurrier than the same photo at half its size.
/// Up to as many pixels less than that number at the right and lower edge are left out. 0 for pictures under 3 pixels wide or high.
pub fn sharpness(gray: &Gray) -> f64 {
    let factor = gray.width.max(gray.height).div_ceil(MAX_SIDE);
    if factor > 1 {
        laplacian_variance(&averaged(gray, factor))
    } else {
        laplacian_variance(gray)
    }
}

fn laplacian_variance(gray: &Gray) -> f64 {
    if gray.is_empty() || gray.width < 3 || gray.height < 3 {
        return 0.0;
    }
    let inner = gray.width - 2;
    let (mut sum, mut squares) = (0_i64, 0_i64);
    for rows in gray.values.windows(3 * gray.width).step_by(gray.width) {
        let (above, rest) = rows.split_at(gray.width);
        let (row, below) = rest.split_at(gray.width);
        let vertical = above[1..=inner].iter().zip(&below[1..=inner]);
        let horizontal = row[..inner].iter().zip(&row[2..]);
        let (mut row_sum, mut row_squares) = (0_i32, 0_i32);
        for (((up, down), (left, right)), centre) in vertical.zip(horizontal).zip(&row[1..=inner]) {
            let around = i16::from(*up) + i16::from(*down) + i16::from(*left) + i16::from(*right);
            let laplacian = i32::from(around - 4 * i16::from(*centre));
            row_sum += laplacian;
            // At most 638 pixels of at most 1020^2 each.
            row_squares += laplacian * laplacian;
        }
        sum += i64::from(row_sum);
        squares += i64::from(row_squares);
    }
    let count = (inner * (gray.height - 2)) as f64;
    let mean = sum as f64 / count;
    (squares as f64 / count - mean * mean).max(0.0)
}

/// The means of squares of `factor` x `factor` pixels.
fn averaged(gray: &Gray, factor: usize) -> Gray {
    let (across, down) = (
        factor.min(gray.width).max(1),
        factor.min(gray.height).max(1),
    );
    let (width, height) = (gray.width / across, gray.height / down);
    let area = (across * down) as u32;
    let mut values = Vec::with_capacity(width * height);
    let mut columns = vec![0_u32; gray.width];
    for (y, row) in gray.rows().take(height * down).enumerate() {
        if y % down == 0 {
            columns.fill(0);
        }
        for (sum, value) in columns.iter_mut().zip(row) {
            *sum += u32::from(*value);
        }
        if y % down == down - 1 {
            let means = columns.chunks_exact(across);
            values
                .extend(means.map(|square| ((square.iter().sum::<u32>() + area / 2) / area) as u8));
        }
    }
    Gray {
        width,
        height,
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::picture;
    use super::*;

    #[test]
    fn sharpness_is_the_variance_of_the_laplacian() {
        // One white pixel: -1020 once, 255 four times, 0 in the other 4 of 9 inner pixels.
        let dot = picture(5, 5, |x, y| if (x, y) == (2, 2) { 255.0 } else { 0.0 });
        let expected = (1020.0 * 1020.0 + 4.0 * 255.0 * 255.0) / 9.0;
        assert!((sharpness(&dot) - expected).abs() < 1e-6);
        assert_eq!(
            sharpness(&picture(50, 50, |x, y| (x + y) as f64)),
            0.0,
            "a ramp has no second derivative"
        );
        assert_eq!(sharpness(&picture(2, 90, |x, _| 255.0 * x as f64)), 0.0);
    }

    #[test]
    fn large_pictures_are_averaged_before_their_sharpness_is_measured() {
        let grain = |width: usize| picture(width, 4, |x, _| (x % 2 * 100) as f64);
        assert_eq!(sharpness(&grain(640)), 200.0 * 200.0);
        assert_eq!(sharpness(&grain(1280)), 0.0, "pairs have one mean");
        let ramp = picture(7, 5, |x, y| (10 * x + y) as f64);
        assert_eq!(averaged(&ramp, 3).values, [11, 41]);
    }
}
