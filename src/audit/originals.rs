//! What each duplicate is a duplicate of.

use std::collections::HashMap;

use super::duplicates::Groups;
use super::rows::Rows;

/// The first row of its group for each row that is a duplicate, all rows of a copied video among them.
pub(super) fn originals(groups: &Groups, rows: &Rows) -> HashMap<usize, usize> {
    let mut originals = HashMap::new();
    let near = groups.near.iter().filter_map(|group| group.split_first());
    for (first, copies) in near {
        // Groups that were joined may hold several frames of the first one's video.
        let item = rows.item_of(*first as usize);
        let others = copies.iter().map(|row| *row as usize);
        let others = others.filter(|row| rows.item_of(*row) != item);
        originals.extend(others.map(|row| (row, *first as usize)));
    }
    let exact = groups.exact.iter().filter_map(|group| group.split_first());
    for (first, copies) in exact {
        let of_copies = copies
            .iter()
            .flat_map(|row| rows.rows_of(rows.item_of(*row as usize)));
        originals.extend(of_copies.map(|row| (row, *first as usize)));
    }
    originals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::journal::segments;
    use crate::audit::test_journal::{append, begin};

    #[test]
    fn duplicates_name_the_first_of_their_group() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = begin(folder.path());
        for (name, records) in [("a.mp4", 2), ("b.mp4", 2), ("c.mp4", 2), ("d.jpg", 1)] {
            append(&mut journal, name, records);
        }
        drop(journal);
        let rows = Rows::open(&segments(folder.path()).unwrap()).unwrap();
        let groups = Groups {
            exact: vec![vec![0, 4]],
            near: vec![vec![0, 1, 2, 3], vec![5, 6]],
        };
        let expected = [(2, 0), (3, 0), (4, 0), (5, 0), (6, 5)];
        assert_eq!(originals(&groups, &rows), HashMap::from(expected));
    }
}
