//! Hashes that differ in few bits, by multi-index hashing: Norouzi 2012, "Fast search in Hamming space with multi-index hashing".
//!
//! A hash has four bands of 16 bits. Two that differ in at most `4 r + a` bits (`a < 4`) differ in at most `r` bits of one of the first
//! `a + 1` bands or in at most `r - 1` of one of the others. So only hashes with such a band are compared.

use super::Hashed;

const BANDS: u32 = 4;
const BAND_BITS: u32 = u64::BITS / BANDS;
/// Hashes that are compared at a time.
const LANES: usize = 8;

/// Groups of rows, each at most `max_distance` bits from the first of its group.
pub(super) fn groups(hashes: Vec<Hashed>, max_distance: u32) -> Vec<Vec<u32>> {
    let entries = Entries::new(hashes);
    let mut bands = bands(&entries, max_distance);
    let mut is_done = vec![false; entries.len()];
    let mut groups = Vec::new();
    let mut found = Vec::new();
    for entry in 0..entries.len() as u32 {
        if is_done[entry as usize] {
            continue;
        }
        is_done[entry as usize] = true;
        found.clear();
        found.push(entry);
        let first = entries.first(entry);
        for band in &mut bands {
            let known = found.len();
            band.visit(first.hash, max_distance, &is_done, |candidate| {
                let other = entries.first(candidate);
                let is_near = (first.hash ^ other.hash).count_ones() <= max_distance;
                if is_near && first.source != other.source && !is_done[candidate as usize] {
                    found.push(candidate);
                }
            });
            for other in &found[known..] {
                is_done[*other as usize] = true;
            }
        }
        for done in &found {
            let hash = entries.first(*done).hash;
            bands.iter_mut().for_each(|band| band.count_done(hash));
        }
        if found.len() > 1 {
            let mut group = vec![first.row];
            group.extend(found[1..].iter().flat_map(|other| entries.rows(*other)));
            group.sort_unstable();
            groups.push(group);
        }
    }
    groups
}

/// The rows, those of one source and one hash as one entry: what is near to one is near to all. Numbered in the order of their first rows.
struct Entries {
    /// By hash, source, row.
    hashes: Vec<Hashed>,
    /// Where in `hashes` an entry begins.
    starts: Vec<u32>,
}

impl Entries {
    fn new(mut hashes: Vec<Hashed>) -> Self {
        hashes.sort_unstable();
        let is_start = |at: &u32| {
            let at = *at as usize;
            at == 0 || !is_alike(hashes[at - 1], hashes[at])
        };
        let mut starts: Vec<u32> = (0..hashes.len() as u32).filter(is_start).collect();
        starts.sort_unstable_by_key(|start| hashes[*start as usize].row);
        Self { hashes, starts }
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn first(&self, entry: u32) -> Hashed {
        self.hashes[self.starts[entry as usize] as usize]
    }

    fn rows(&self, entry: u32) -> impl Iterator<Item = u32> {
        let first = self.first(entry);
        let from_start = &self.hashes[self.starts[entry as usize] as usize..];
        let alike = from_start
            .iter()
            .take_while(move |one| is_alike(first, **one));
        alike.map(|one| one.row)
    }
}

fn is_alike(one: Hashed, other: Hashed) -> bool {
    (one.hash, one.source) == (other.hash, other.source)
}

/// The bands to look into, with their radii.
fn bands(entries: &Entries, max_distance: u32) -> Vec<Band> {
    let radius = max_distance / BANDS;
    let radius_of = |band| {
        if band <= max_distance % BANDS {
            Some(radius)
        } else {
            radius.checked_sub(1)
        }
    };
    (0..BANDS)
        .filter_map(|band| Some(Band::new(entries, band * BAND_BITS, radius_of(band)?)))
        .collect()
}

/// All entries, by the value of one band of their hashes.
struct Band {
    shift: u32,
    /// What to flip in a value to get those within the radius.
    flips: Vec<u16>,
    /// By value.
    buckets: Vec<Bucket>,
    /// Entries, bucket after bucket.
    entries: Vec<u32>,
    /// The half of each entry's hash that has no part in the band: most entries that are far already differ there.
    halves: Vec<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    start: u32,
    len: u32,
    /// How many of its entries are done.
    done: u32,
}

impl Band {
    fn new(entries: &Entries, shift: u32, radius: u32) -> Self {
        let mut band = Self {
            shift,
            flips: (0..=u16::MAX)
                .filter(|flip| flip.count_ones() <= radius)
                .collect(),
            buckets: vec![Bucket::default(); 1 << BAND_BITS],
            entries: vec![0; entries.len()],
            halves: vec![0; entries.len() + LANES],
        };
        let hashes = || (0..entries.len() as u32).map(|entry| (entry, entries.first(entry).hash));
        for (_, hash) in hashes() {
            let value = band.value(hash);
            band.buckets[value].len += 1;
        }
        let mut start = 0;
        for bucket in &mut band.buckets {
            bucket.start = start;
            start += std::mem::take(&mut bucket.len);
        }
        for (entry, hash) in hashes() {
            let value = band.value(hash);
            let bucket = &mut band.buckets[value];
            let place = (bucket.start + bucket.len) as usize;
            bucket.len += 1;
            band.entries[place] = entry;
            band.halves[place] = band.half(hash);
        }
        band
    }

    fn value(&self, hash: u64) -> usize {
        usize::from((hash >> self.shift) as u16)
    }

    fn half(&self, hash: u64) -> u32 {
        if self.shift < u32::BITS {
            (hash >> u32::BITS) as u32
        } else {
            hash as u32
        }
    }

    /// Calls `visit` for all entries within the radius, but for some that are done or too far.
    fn visit(
        &mut self,
        hash: u64,
        max_distance: u32,
        is_done: &[bool],
        mut visit: impl FnMut(u32),
    ) {
        let (value, half) = (self.value(hash), self.half(hash));
        for flip in 0..self.flips.len() {
            let value = value ^ usize::from(self.flips[flip]);
            if self.buckets[value].done > self.buckets[value].len / 2 {
                self.remove_done(value, is_done);
            }
            let bucket = self.buckets[value];
            let (start, len) = (bucket.start as usize, bucket.len as usize);
            for chunk in (start..start + len).step_by(LANES) {
                // Always as many, whatever follows the bucket, and without a branch for each: so several are compared at once.
                let Some(halves) = self.halves[chunk..].first_chunk::<LANES>() else {
                    continue;
                };
                let nearest = halves
                    .map(|other| (half ^ other).count_ones())
                    .into_iter()
                    .min();
                if nearest.is_some_and(|nearest| nearest <= max_distance) {
                    let end = (chunk + LANES).min(start + len);
                    self.entries[chunk..end]
                        .iter()
                        .for_each(|entry| visit(*entry));
                }
            }
        }
    }

    fn count_done(&mut self, hash: u64) {
        let value = self.value(hash);
        self.buckets[value].done += 1;
    }

    /// Each entry is moved at most once for every entry that is removed: in all, this takes no longer than building the band.
    fn remove_done(&mut self, value: usize, is_done: &[bool]) {
        let bucket = &mut self.buckets[value];
        let start = bucket.start as usize;
        let mut kept = start;
        for place in start..start + bucket.len as usize {
            if !is_done[self.entries[place] as usize] {
                self.entries[kept] = self.entries[place];
                self.halves[kept] = self.halves[place];
                kept += 1;
            }
        }
        bucket.len = (kept - start) as u32;
        bucket.done = 0;
    }
}
