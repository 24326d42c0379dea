//! Writes a damaged copy of a file and says on stdout what it changed. Same seed, same damage.
//!
//! Usage: mutate SEED IN OUT
//!
//! No part of any crate and free of dependencies: `scripts/fuzz_media.sh` compiles it with rustc alone, in a second.

use std::{env, fs, process};

/// Most changes to one file. Many changes only make a file that every reader refuses at once.
const MOST_CHANGES: usize = 4;
/// Files begin with what describes the rest: half of all changes are made here.
const HEAD_BYTES: usize = 1024;
/// Longest piece that is doubled, removed or swapped.
const LONGEST_CHUNK: usize = 4096;
/// What sizes, counts and offsets are set to: nothing, one, and the edges of signed and unsigned numbers.
const NUMBERS: [u32; 10] = [
    0,
    1,
    2,
    7,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
];

/// SplitMix64: small, and good enough to choose places.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Where to change something: often in the head or beside the name of a box or chunk, else anywhere.
fn place(bytes: &[u8], random: &mut Random) -> usize {
    match random.below(4) {
        0 => random.below(bytes.len()),
        1 => beside_a_name(bytes, random),
        _ => random.below(bytes.len().min(HEAD_BYTES)),
    }
}

/// Near four letters, as MP4, AVI and PNG name the parts of a file: their sizes and fields lie around the name.
fn beside_a_name(bytes: &[u8], random: &mut Random) -> usize {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
    let start = random.below(bytes.len());
    let found = bytes[start..]
        .windows(4)
        .position(|name| name.iter().all(is_letter));
    let name = found.map_or(start, |found| start + found);
    (name + random.below(32))
        .saturating_sub(4)
        .min(bytes.len() - 1)
}

fn change(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let at = place(bytes, random);
    match random.below(12) {
        0 | 1 => {
            let bit = random.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        2 => {
            let count = 2 + random.below(30);
            for _ in 0..count {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            format!("{count} bits flipped anywhere")
        }
        3 => {
            let end = bytes.len().min(at + 1 + random.below(64));
            let fill = random.one_of(&[Some(0), Some(0xff), None]);
            for byte in &mut bytes[at..end] {
                *byte = fill.unwrap_or(random.next() as u8);
            }
            format!("bytes {at}..{end} overwritten with {fill:x?}")
        }
        4 => {
            let length = 1 + random.below(bytes.len());
            bytes.truncate(length);
            format!("cut after {length} bytes")
        }
        5..=7 => move_chunk(bytes, at, random),
        _ => {
            let number = random.one_of(&NUMBERS);
            let field = match random.below(6) {
                0 => number.to_le_bytes().to_vec(),
                1 => (number as u16).to_be_bytes().to_vec(),
                2 => vec![number as u8],
                _ => number.to_be_bytes().to_vec(),
            };
            let end = bytes.len().min(at + field.len());
            bytes[at..end].copy_from_slice(&field[..end - at]);
            format!("bytes {at}..{end} set to the number {field:02x?}")
        }
    }
}

fn move_chunk(bytes: &mut Vec<u8>, at: usize, random: &mut Random) -> String {
    let end = bytes.len().min(at + 1 + random.below(LONGEST_CHUNK));
    let chunk = bytes[at..end].to_vec();
    match random.below(3) {
        0 => {
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, chunk);
            format!("bytes {at}..{end} doubled at {to}")
        }
        1 if chunk.len() < bytes.len() => {
            bytes.drain(at..end);
            format!("bytes {at}..{end} removed")
        }
        _ => {
            let to = random.below(bytes.len() - chunk.len() + 1);
            bytes.copy_within(to..to + chunk.len(), at);
            bytes[to..to + chunk.len()].copy_from_slice(&chunk);
            format!("bytes {at}..{end} swapped with those at {to}")
        }
    }
}

/// Makes the checksums of a PNG's chunks right again: else its reader would refuse nearly every change before looking at it.
fn repair_png(bytes: &mut [u8]) {
    let mut chunk = 8;
    while let Some(size) = bytes.get(chunk..).and_then(|rest| rest.first_chunk::<4>()) {
        let end = (chunk + 8).saturating_add(u32::from_be_bytes(*size) as usize);
        let Some(covered) = bytes.get(chunk + 4..end) else {
            return;
        };
        let sum = crc32(covered).to_be_bytes();
        let Some(stored) = bytes.get_mut(end..end + 4) else {
            return;
        };
        stored.copy_from_slice(&sum);
        chunk = end + 4;
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

fn fail(what: String) -> ! {
    eprintln!("mutate: {what}");
    process::exit(2);
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [seed, input, output] = arguments.as_slice() else {
        fail("usage: mutate SEED IN OUT".to_owned());
    };
    let seed = seed
        .parse()
        .unwrap_or_else(|_| fail(format!("{seed} is no seed")));
    let mut bytes =
        fs::read(input).unwrap_or_else(|error| fail(format!("cannot read {input}: {error}")));
    let mut random = Random(seed);
    for _ in 0..=random.below(MOST_CHANGES) {
        if !bytes.is_empty() {
            println!("{}", change(&mut bytes, &mut random));
        }
    }
    if bytes.starts_with(b"\x89PNG") && random.below(4) > 0 {
        repair_png(&mut bytes);
        println!("checksums of the PNG made right");
    }
    fs::write(output, bytes)
        .unwrap_or_else(|error| fail(format!("cannot write {output}: {error}")));
}
