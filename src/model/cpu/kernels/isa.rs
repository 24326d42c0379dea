//! Which instruction sets the CPU has.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Precision;

/// An instruction set that the CPU was seen to have: whoever holds one may run its kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa {
    level: Level,
    has_bf16: bool,
    has_f16: bool,
}

/// Instruction sets from the slowest to the fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Plain code for any CPU: the reference.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F.
    Avx512,
}

impl Level {
    const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            Self::Scalar => true,
            Self::Avx2 => has_avx2,
            // Enabling AVX-512 lets the compiler use F16C too.
            Self::Avx512 => {
                has_avx2 && is_x86_feature_detected!("f16c") && is_x86_feature_detected!("avx512f")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Self::Scalar
    }
}

impl Isa {
    /// All that this CPU has, the fastest last.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        // Enabling bf16 lets the compiler use AVX512BW too.
        let has_bf16 =
            is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
        #[cfg(target_arch = "x86_64")]
        // So does enabling f16, and AVX512DQ and AVX512VL.
        let has_f16 = is_x86_feature_detected!("avx512fp16")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        #[cfg(not(target_arch = "x86_64"))]
        let (has_bf16, has_f16) = (false, false);
        Level::ALL
            .into_iter()
            .filter(|level| level.is_available())
            .map(|level| Self {
                level,
                has_bf16: has_bf16 && level == Level::Avx512,
                has_f16: has_f16 && level == Level::Avx512,
            })
            .collect()
    }

    /// The fastest vector instruction set of this CPU; none if only scalar code would run.
    pub fn fastest_vectors() -> Option<Self> {
        Self::available()
            .pop()
            .filter(|isa| isa.level > Level::Scalar)
    }

    /// The instruction set of this name: `scalar`, `avx2` or `avx512`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is none of this name or the CPU lacks it.
    pub fn named(name: &str) -> Result<Self> {
        let available = Self::available();
        let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
        available
            .iter()
            .find(|isa| isa.name() == name)
            .copied()
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "no instruction set {name:?} here; this CPU has {}",
                        names.join(", ")
                    ),
                )
            })
    }

    /// `scalar`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        self.level.name()
    }

    /// The instruction set whose kernels run: bf16 is emulated with AVX2 where AVX-512 does not have it.
    pub fn name_for(self, precision: Precision) -> &'static str {
        if precision == Precision::Bf16 && self.level == Level::Avx512 && !self.has_bf16 {
            Level::Avx2.name()
        } else {
            self.name()
        }
    }

    /// Whether the CPU multiplies bf16 itself.
    pub fn has_bf16(self) -> bool {
        self.has_bf16
    }

    /// Whether the CPU computes in f16 (AVX512_FP16).
    pub fn has_f16(self) -> bool {
        self.has_f16
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn level(self) -> Level {
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_sets_are_found_by_name() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()).unwrap(), isa);
        }
        let line = Isa::named("mmx").unwrap_err().one_line();
        assert!(
            line.contains("\"mmx\"") && line.contains("scalar"),
            "{line}"
        );
    }
}
