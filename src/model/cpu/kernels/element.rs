//! What activations and weights are stored as.

use bytemuck::Pod;
use half::{bf16, f16};

use super::Isa;
use super::table::{Table, bf16_table, f16_table, f32_table};

/// A storage type of the executor: f32, or bf16 or f16 (half the memory traffic, and up to twice the speed where the CPU multiplies it).
pub(in crate::model::cpu) trait Element:
    Pod + Send + Sync + std::fmt::Debug
{
    /// Elements in a 32-bit word.
    const PER_WORD: usize;
    /// Whether 3x3 convolutions may go through Winograd's transform, which needs f32's precision.
    const HAS_WINOGRAD: bool;
    /// What the largest weight of an output channel is brought to by a power of two, which normalisation takes back, if the type's
    /// range is narrow: weights and sums should neither vanish in it nor exceed it, whatever the file's scale.
    const LARGEST_WEIGHT: Option<f32> = None;

    /// The vector code for this type; none for scalar code.
    fn table(isa: Isa) -> Option<&'static Table<Self>>;
    /// Rounds to nearest, ties to even.
    fn from_f32(value: f32) -> Self;
    /// Exact.
    fn to_f32(self) -> f32;
}

impl Element for f32 {
    const PER_WORD: usize = 1;
    const HAS_WINOGRAD: bool = true;

    fn table(isa: Isa) -> Option<&'static Table<Self>> {
        f32_table(isa)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    const PER_WORD: usize = 2;
    const HAS_WINOGRAD: bool = false;

    fn table(isa: Isa) -> Option<&'static Table<Self>> {
        bf16_table(isa)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
}

impl Element for f16 {
    const PER_WORD: usize = 2;
    const HAS_WINOGRAD: bool = false;
    /// 64 products with activations up to 4,000 stay in range.
    const LARGEST_WEIGHT: Option<f32> = Some(0.25);

    fn table(isa: Isa) -> Option<&'static Table<Self>> {
        f16_table(isa)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
}
