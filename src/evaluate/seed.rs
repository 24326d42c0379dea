//! Seeds of pictures.

use crate::model::ModelInput;

/// A seed of this picture's own, so that no two pictures share their random numbers, in whatever order they come: FNV-1a over the
/// bits of all values.
pub(super) fn picture_seed(seed: u64, input: &ModelInput) -> u64 {
    input
        .values
        .iter()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, value| {
            (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_seeds_of_their_own() {
        let picture = |value| ModelInput {
            size: 1,
            values: vec![value; 3],
        };
        assert_eq!(
            picture_seed(3, &picture(1.0)),
            picture_seed(3, &picture(1.0))
        );
        assert_ne!(
            picture_seed(3, &picture(1.0)),
            picture_seed(3, &picture(2.0))
        );
    }
}
