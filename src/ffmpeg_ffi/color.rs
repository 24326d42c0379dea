//! Colour tags of streams and frames. FFmpeg keeps whatever number a file holds in fields whose Rust type has only the known ones: they are read
//! as numbers, and what is unknown counts as unspecified.

use std::ptr;

use ffmpeg_next::color::{Primaries, Range, Space, TransferCharacteristic};
use ffmpeg_next::{chroma, codec, ffi, frame};

/// Colour tags as the input has them; unspecified ones stay so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ColorTags {
    pub(crate) space: Space,
    pub(crate) range: Range,
    pub(crate) primaries: Primaries,
    pub(crate) transfer: TransferCharacteristic,
    pub(crate) chroma_location: chroma::Location,
}

impl ColorTags {
    /// Nothing is said.
    pub(crate) const UNSPECIFIED: Self = Self {
        space: Space::Unspecified,
        range: Range::Unspecified,
        primaries: Primaries::Unspecified,
        transfer: TransferCharacteristic::Unspecified,
        chroma_location: chroma::Location::Unspecified,
    };

    /// A frame's own tags.
    pub(crate) fn of_frame(frame: &frame::Video) -> Self {
        // SAFETY: the frame is valid as long as it is borrowed; the fields are 32 bits wide, as is what is read in their place.
        let codes = unsafe {
            let raw = frame.as_ptr();
            Codes {
                space: ptr::addr_of!((*raw).colorspace).cast::<u32>().read(),
                range: ptr::addr_of!((*raw).color_range).cast::<u32>().read(),
                primaries: ptr::addr_of!((*raw).color_primaries).cast::<u32>().read(),
                transfer: ptr::addr_of!((*raw).color_trc).cast::<u32>().read(),
                chroma_location: ptr::addr_of!((*raw).chroma_location).cast::<u32>().read(),
            }
        };
        codes.tags()
    }

    /// What a container says of a stream.
    pub(crate) fn of_parameters(parameters: &codec::Parameters) -> Self {
        // SAFETY: as in `of_frame`.
        let codes = unsafe {
            let raw = parameters.as_ptr();
            Codes {
                space: ptr::addr_of!((*raw).color_space).cast::<u32>().read(),
                range: ptr::addr_of!((*raw).color_range).cast::<u32>().read(),
                primaries: ptr::addr_of!((*raw).color_primaries).cast::<u32>().read(),
                transfer: ptr::addr_of!((*raw).color_trc).cast::<u32>().read(),
                chroma_location: ptr::addr_of!((*raw).chroma_location).cast::<u32>().read(),
            }
        };
        codes.tags()
    }

    /// These tags, and those of `other` where they say nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        fn first<T: PartialEq>(own: T, other: T, unspecified: T) -> T {
            if own == unspecified { other } else { own }
        }
        let none = Self::UNSPECIFIED;
        Self {
            space: first(self.space, other.space, none.space),
            range: first(self.range, other.range, none.range),
            primaries: first(self.primaries, other.primaries, none.primaries),
            transfer: first(self.transfer, other.transfer, none.transfer),
            chroma_location: first(
                self.chroma_location,
                other.chroma_location,
                none.chroma_location,
            ),
        }
    }
}

/// FFmpeg's numbers, of which some may mean nothing.
struct Codes {
    space: u32,
    range: u32,
    primaries: u32,
    transfer: u32,
    chroma_location: u32,
}

impl Codes {
    fn tags(&self) -> ColorTags {
        let none = ColorTags::UNSPECIFIED;
        ColorTags {
            space: known(
                self.space,
                &SPACES,
                |tag| ffi::AVColorSpace::from(tag) as u32,
                none.space,
            ),
            range: known(
                self.range,
                &RANGES,
                |tag| ffi::AVColorRange::from(tag) as u32,
                none.range,
            ),
            primaries: known(
                self.primaries,
                &PRIMARIES,
                |tag| ffi::AVColorPrimaries::from(tag) as u32,
                none.primaries,
            ),
            transfer: known(
                self.transfer,
                &TRANSFERS,
                |tag| ffi::AVColorTransferCharacteristic::from(tag) as u32,
                none.transfer,
            ),
            chroma_location: known(
                self.chroma_location,
                &CHROMA_LOCATIONS,
                |tag| ffi::AVChromaLocation::from(tag) as u32,
                none.chroma_location,
            ),
        }
    }
}

/// The tag whose number is `code`.
fn known<T: Copy>(code: u32, tags: &[T], code_of: impl Fn(T) -> u32, unspecified: T) -> T {
    let mut tags = tags.iter().copied();
    tags.find(|tag| code_of(*tag) == code)
        .unwrap_or(unspecified)
}

const SPACES: [Space; 13] = [
    Space::RGB,
    Space::BT709,
    Space::FCC,
    Space::BT470BG,
    Space::SMPTE170M,
    Space::SMPTE240M,
    Space::YCGCO,
    Space::BT2020NCL,
    Space::BT2020CL,
    Space::SMPTE2085,
    Space::ChromaDerivedNCL,
    Space::ChromaDerivedCL,
    Space::ICTCP,
];

const RANGES: [Range; 2] = [Range::MPEG, Range::JPEG];

const PRIMARIES: [Primaries; 11] = [
    Primaries::BT709,
    Primaries::BT470M,
    Primaries::BT470BG,
    Primaries::SMPTE170M,
    Primaries::SMPTE240M,
    Primaries::Film,
    Primaries::BT2020,
    Primaries::SMPTE428,
    Primaries::SMPTE431,
    Primaries::SMPTE432,
    Primaries::JEDEC_P22,
];

const TRANSFERS: [TransferCharacteristic; 16] = [
    TransferCharacteristic::BT709,
    TransferCharacteristic::GAMMA22,
    TransferCharacteristic::GAMMA28,
    TransferCharacteristic::SMPTE170M,
    TransferCharacteristic::SMPTE240M,
    TransferCharacteristic::Linear,
    TransferCharacteristic::Log,
    TransferCharacteristic::LogSqrt,
    TransferCharacteristic::IEC61966_2_4,
    TransferCharacteristic::BT1361_ECG,
    TransferCharacteristic::IEC61966_2_1,
    TransferCharacteristic::BT2020_10,
    TransferCharacteristic::BT2020_12,
    TransferCharacteristic::SMPTE2084,
    TransferCharacteristic::SMPTE428,
    TransferCharacteristic::ARIB_STD_B67,
];

const CHROMA_LOCATIONS: [chroma::Location; 6] = [
    chroma::Location::Left,
    chroma::Location::Center,
    chroma::Location::TopLeft,
    chroma::Location::Top,
    chroma::Location::BottomLeft,
    chroma::Location::Bottom,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// All five fields hold this number.
    fn tags_of(code: u32) -> ColorTags {
        let mut frame = frame::Video::empty();
        // SAFETY: the frame is valid and exclusively borrowed; the fields are 32 bits wide and only read as numbers.
        unsafe {
            let raw = frame.as_mut_ptr();
            ptr::addr_of_mut!((*raw).colorspace)
                .cast::<u32>()
                .write(code);
            ptr::addr_of_mut!((*raw).color_range)
                .cast::<u32>()
                .write(code);
            ptr::addr_of_mut!((*raw).color_primaries)
                .cast::<u32>()
                .write(code);
            ptr::addr_of_mut!((*raw).color_trc)
                .cast::<u32>()
                .write(code);
            ptr::addr_of_mut!((*raw).chroma_location)
                .cast::<u32>()
                .write(code);
        }
        ColorTags::of_frame(&frame)
    }

    #[test]
    fn numbers_that_nobody_defined_count_as_unspecified() {
        for code in [19, 99, 200, 255, 1 << 20, u32::MAX] {
            assert_eq!(tags_of(code), ColorTags::UNSPECIFIED, "{code}");
        }
        // Reserved ones say nothing either.
        let reserved = tags_of(3);
        assert_eq!(reserved.space, Space::Unspecified);
        assert_eq!(reserved.primaries, Primaries::Unspecified);
    }

    #[test]
    fn known_numbers_keep_their_meaning() {
        let one = tags_of(1);
        assert_eq!(one.space, Space::BT709);
        assert_eq!(one.range, Range::MPEG);
        assert_eq!(one.primaries, Primaries::BT709);
        assert_eq!(one.transfer, TransferCharacteristic::BT709);
        assert_eq!(one.chroma_location, chroma::Location::Left);
        let nine = tags_of(9);
        assert_eq!(nine.space, Space::BT2020NCL);
        assert_eq!(nine.primaries, Primaries::BT2020);
        assert_eq!(tags_of(16).transfer, TransferCharacteristic::SMPTE2084);
        let mixed = nine.or(one);
        assert_eq!((mixed.space, mixed.range), (Space::BT2020NCL, Range::MPEG));
    }
}
