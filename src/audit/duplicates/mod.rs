//! Groups of exact and near duplicates among many pictures.
//!
//! A group is a star: all its rows are duplicates of its first. So a chain (A like B, B like C, C unlike A) makes no group of unlike pictures, and
//! two members differ by at most twice the distance. Rows have their turn in ascending order: one that is in no group yet takes all later
//! ones that are its duplicates and in no group yet. Whoever keeps the first row of each group and every row that is in none therefore
//! keeps no two duplicates, and drops no row without keeping a duplicate of it.

mod near;

/// Rows that are duplicates: ascending within a group, groups ascending by their first row. No row is in two groups of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// Rows with the digest of the first.
    pub exact: Vec<Vec<u32>>,
    /// Rows whose hashes are at most the maximal distance from that of the first. Of an exact group, only the first row takes part.
    pub near: Vec<Vec<u32>>,
}

/// Collects pictures, then groups them; the order in which they are added does not matter. Takes about 60 bytes for each.
#[derive(Debug, Clone)]
pub struct Duplicates {
    max_distance: u32,
    digests: Vec<Digest>,
    hashes: Vec<Hashed>,
}

/// The order of the fields is that in which they are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Digest {
    /// Two halves, as a `u128` would be padded to 32 bytes.
    digest: [u64; 2],
    row: u32,
    source: u32,
}

/// The order of the fields is that in which they are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hashed {
    hash: u64,
    source: u32,
    row: u32,
}

impl Duplicates {
    /// Hashes of near duplicates differ in at most `max_distance` bits.
    ///
    /// A million unlike pictures take about 6 seconds at 6 bits, 20 at 8, and minutes from 10 on. The worst case is quadratic in the number of
    /// hashes that have a band of 16 bits in common and yet are no near duplicates, or are frames of one video: 6 seconds for 100,000.
    pub fn new(max_distance: u32) -> Self {
        Self {
            max_distance,
            digests: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// Adds a picture under a `row` that no other has. Those of one `source`, such as the frames of a video, are no duplicates of each
    /// other. Without `digest` it has no exact duplicates, without `hash` no near ones.
    pub fn add(&mut self, row: u32, digest: Option<u128>, hash: Option<u64>, source: u32) {
        if let Some(digest) = digest {
            let digest = [(digest >> u64::BITS) as u64, digest as u64];
            self.digests.push(Digest {
                digest,
                row,
                source,
            });
        }
        if let Some(hash) = hash {
            self.hashes.push(Hashed { hash, source, row });
        }
    }

    /// All groups of two or more rows.
    pub fn into_groups(self) -> Groups {
        let exact = exact_groups(self.digests);
        let mut hashes = self.hashes;
        let mut copies: Vec<u32> = exact
            .iter()
            .flat_map(|group| &group[1..])
            .copied()
            .collect();
        copies.sort_unstable();
        hashes.retain(|one| copies.binary_search(&one.row).is_err());
        drop(copies);
        let near = near::groups(hashes, self.max_distance);
        Groups { exact, near }
    }
}

fn exact_groups(mut digests: Vec<Digest>) -> Vec<Vec<u32>> {
    digests.sort_unstable();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for same in digests.chunk_by(|one, other| one.digest == other.digest) {
        let (first, rest) = (same[0], &same[1..]);
        let others = rest.iter().filter(|one| one.source != first.source);
        let group: Vec<u32> = [first].iter().chain(others).map(|one| one.row).collect();
        if group.len() > 1 {
            groups.push(group);
        }
    }
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Added {
        row: u32,
        digest: Option<u128>,
        hash: Option<u64>,
        source: u32,
    }

    fn added(row: u32, digest: u128, hash: u64) -> Added {
        let (digest, hash) = (Some(digest), Some(hash));
        Added {
            row,
            digest,
            hash,
            source: row,
        }
    }

    fn groups(max_distance: u32, all: &[Added]) -> Groups {
        let mut duplicates = Duplicates::new(max_distance);
        for one in all {
            duplicates.add(one.row, one.digest, one.hash, one.source);
        }
        duplicates.into_groups()
    }

    /// The definition, by looking at all pairs.
    fn stars(all: &[Added], is_duplicate: impl Fn(&Added, &Added) -> bool) -> Vec<Vec<u32>> {
        let mut rest = all.to_vec();
        rest.sort_unstable_by_key(|one| one.row);
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let first = rest.remove(0);
            let is_taken =
                |other: &mut Added| first.source != other.source && is_duplicate(&first, other);
            let taken = rest.extract_if(.., is_taken);
            let group: Vec<u32> = [first.row]
                .into_iter()
                .chain(taken.map(|one| one.row))
                .collect();
            if group.len() > 1 {
                groups.push(group);
            }
        }
        groups
    }

    #[test]
    fn equal_files_are_exact_and_take_part_in_near_groups_as_one() {
        let all = [
            added(7, 1, 0b11),
            added(2, 1, 0b11),
            added(3, 2, 0b111),
            added(9, 3, u64::MAX),
            added(4, 3, u64::MAX),
        ];
        let found = groups(1, &all);
        assert_eq!(found.exact, [[2, 7], [4, 9]]);
        assert_eq!(found.near, [[2, 3]]);
    }

    #[test]
    fn chains_end_at_the_distance_from_the_first_row() {
        let chain: Vec<Added> = (0..5)
            .map(|row| added(row, row.into(), (1 << (2 * row)) - 1))
            .collect();
        assert_eq!(groups(4, &chain).near, [vec![0, 1, 2], vec![3, 4]]);
    }

    #[test]
    fn frames_of_one_video_are_no_duplicates_of_each_other() {
        let frame = |row: u32, source| Added {
            row,
            digest: Some(5),
            hash: Some(8),
            source,
        };
        let near = |one: Added| Added {
            digest: None,
            ..one
        };
        let video = [frame(0, 1), frame(1, 1), frame(2, 1)];
        assert_eq!(groups(3, &video), Groups::default());
        assert_eq!(groups(3, &video.map(near)), Groups::default());
        let with_photo = [frame(5, 1), frame(6, 1), frame(3, 2)];
        assert_eq!(groups(3, &with_photo).exact, [[3, 5, 6]]);
        assert_eq!(groups(3, &with_photo.map(near)).near, [[3, 5, 6]]);
    }

    #[test]
    fn pictures_without_digest_or_hash_have_no_duplicates() {
        let all = [0, 1, 2].map(|row| Added {
            row,
            digest: None,
            hash: None,
            source: row,
        });
        assert_eq!(groups(64, &all), Groups::default());
    }

    #[test]
    fn a_million_equal_pictures_are_one_group() {
        let mut duplicates = Duplicates::new(8);
        for row in (0..1_000_000).rev() {
            duplicates.add(row, None, Some(0x0123_4567_89ab_cdef), row);
        }
        let near = duplicates.into_groups().near;
        assert_eq!(
            (near.len(), near[0].len(), near[0][999_999]),
            (1, 1_000_000, 999_999)
        );
    }

    /// Pictures near one of three hashes, so that there are groups of all kinds.
    fn pictures() -> impl Strategy<Value = Vec<Added>> {
        let flips = prop::collection::vec(0..64_u32, 0..7);
        let hash = (0..3_usize, flips).prop_map(|(centre, flips)| {
            let centre: u64 = [0, 0xffff_0000_1234_5678, 0x0f0f_0f0f_0f0f_0f0f][centre];
            flips.iter().fold(centre, |hash, bit| hash ^ (1 << bit))
        });
        let one = (
            prop::option::of(0..12_u128),
            prop::option::weighted(0.9, hash),
            0..20_u32,
        );
        prop::collection::vec(one, 0..60).prop_map(|all| {
            let number = |(row, (digest, hash, source))| Added {
                row: 3 * row as u32,
                digest,
                hash,
                source,
            };
            all.into_iter().enumerate().map(number).collect()
        })
    }

    proptest! {
        #[test]
        fn groups_are_those_of_all_pairs_in_any_order(mut all in pictures(), max_distance in 0..13_u32, turn in 0..60_usize) {
            let exact = stars(&all, |one, other| one.digest.is_some() && one.digest == other.digest);
            let is_copy = |one: &Added| exact.iter().any(|group| group[1..].contains(&one.row));
            let hashed: Vec<Added> = all.iter().filter(|one| !is_copy(one) && one.hash.is_some()).copied().collect();
            let near = stars(&hashed, |one, other| {
                let distance = one.hash.zip(other.hash).map(|(one, other)| (one ^ other).count_ones());
                distance.is_some_and(|distance| distance <= max_distance)
            });
            let expected = Groups { exact, near };
            prop_assert_eq!(&groups(max_distance, &all), &expected);
            let turn = turn % all.len().max(1);
            all.rotate_left(turn);
            all.reverse();
            prop_assert_eq!(groups(max_distance, &all), expected);
        }
    }
}
