//! How players turn a picture: display matrices.

use crate::frame::Orientation;

/// Reads a display matrix from the bytes of FFmpeg's side data.
pub(super) fn parse_display_matrix(bytes: &[u8]) -> Option<[i32; 9]> {
    let mut matrix = [0; 9];
    let (values, _) = bytes.as_chunks::<4>();
    if values.len() < matrix.len() {
        return None;
    }
    for (value, bytes) in matrix.iter_mut().zip(values) {
        *value = i32::from_ne_bytes(*bytes);
    }
    Some(matrix)
}

/// The orientation that a display matrix asks for; `None` if it is no quarter turn.
///
/// By ISO 14496-12 a point (x, y) of the coded picture, y down, is shown at
/// (a x + c y, b x + d y), where the matrix is `[a b u; c d v; x y w]`.
pub(super) fn orientation(matrix: &[i32; 9]) -> Option<Orientation> {
    let linear = [matrix[0], matrix[3], matrix[1], matrix[4]].map(f64::from);
    let largest = linear
        .iter()
        .fold(0.0, |max: f64, value| max.max(value.abs()));
    if largest == 0.0 {
        return None;
    }
    // A matrix may scale too; an entry this small against the largest counts as 0.
    const NEGLIGIBLE: f64 = 0.02;
    let signs = linear.map(|value| {
        if value.abs() < NEGLIGIBLE * largest {
            0
        } else if value > 0.0 {
            1
        } else {
            -1
        }
    });
    let (quarter_turns, is_mirrored) = match signs {
        [1, 0, 0, 1] => (0, false),
        [0, -1, 1, 0] => (1, false),
        [-1, 0, 0, -1] => (2, false),
        [0, 1, -1, 0] => (3, false),
        [-1, 0, 0, 1] => (0, true),
        [0, -1, -1, 0] => (1, true),
        [1, 0, 0, -1] => (2, true),
        [0, 1, 1, 0] => (3, true),
        _ => return None,
    };
    Some(Orientation {
        quarter_turns,
        is_mirrored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 1 << 16;

    #[test]
    fn the_matrix_moves_points_as_the_orientation_does() {
        for quarter_turns in 0..4 {
            for is_mirrored in [false, true] {
                let wanted = Orientation {
                    quarter_turns,
                    is_mirrored,
                };
                // Where do the coded unit steps right and down go in the upright picture?
                let position = |coded: (usize, usize)| {
                    let (width, height) = wanted.upright_size(3, 3);
                    (0..height)
                        .flat_map(|y| (0..width).map(move |x| (x, y)))
                        .find(|&(x, y)| wanted.coded_position(x, y, 3, 3) == coded)
                        .map(|(x, y)| (x as i32, y as i32))
                        .unwrap()
                };
                let (x0, y0) = position((1, 1));
                let right = position((2, 1));
                let down = position((1, 2));
                let (a, b) = (right.0 - x0, right.1 - y0);
                let (c, d) = (down.0 - x0, down.1 - y0);
                let matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 7, 7, 1 << 30];
                assert_eq!(orientation(&matrix), Some(wanted));
            }
        }
    }

    #[test]
    fn other_angles_and_empty_matrices_have_no_orientation() {
        let diagonal = [ONE, ONE, 0, -ONE, ONE, 0, 0, 0, 1 << 30];
        assert_eq!(orientation(&diagonal), None);
        assert_eq!(orientation(&[0; 9]), None);
    }

    #[test]
    fn short_side_data_is_no_matrix() {
        assert_eq!(parse_display_matrix(&[0; 35]), None);
        assert!(parse_display_matrix(&[0; 36]).is_some());
    }
}
