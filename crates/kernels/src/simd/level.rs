//! What the CPU can do, found once and forced lower by a variable, so that every level is tested on any machine.

use std::sync::OnceLock;

/// The variable that forces a level, e.g. `TUNEBENCH_CPU=avx2`.
pub const VARIABLE: &str = "TUNEBENCH_CPU";

/// A set of instructions. Each level can do what those before it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SimdLevel {
    /// Plain Rust, any CPU.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL).
    Avx512,
    /// AVX-512 with products of bf16 pairs.
    Avx512Bf16,
    /// Tiles of bf16 (AMX).
    Amx,
}

/// A level that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LevelError {
    #[error("{VARIABLE}={0}: no such level; there are: {known}", known = SimdLevel::names())]
    Unknown(String),
    #[error("{VARIABLE}={0}: this CPU cannot; its best is {best}", best = SimdLevel::best().name())]
    Unsupported(&'static str),
}

static BEST: OnceLock<SimdLevel> = OnceLock::new();

impl SimdLevel {
    /// From the lowest to the highest.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// As [`VARIABLE`] spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The highest level of this CPU.
    #[inline]
    pub fn best() -> Self {
        *BEST.get_or_init(detect)
    }

    /// Takes `level` for the highest of this CPU, for tests that emulate instructions.
    ///
    /// # Safety
    /// Kernels of the level will be run: whatever executes this process must understand their instructions.
    ///
    /// # Panics
    /// When the highest level is known already and is another.
    #[doc(hidden)]
    pub unsafe fn assume_best(level: Self) {
        assert_eq!(*BEST.get_or_init(|| level), level, "the best level was looked at before");
    }

    /// All levels of this CPU.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| *level <= Self::best())
    }

    /// The level in force: the one that [`VARIABLE`] names, else the best.
    ///
    /// # Errors
    /// When the variable names no level, or one that this CPU does not have.
    pub fn chosen() -> Result<Self, LevelError> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Self::best()),
            Some(name) => Self::parse(&name.to_string_lossy()),
        }
    }

    fn parse(name: &str) -> Result<Self, LevelError> {
        let Some(level) = Self::ALL.into_iter().find(|level| level.name() == name) else {
            return Err(LevelError::Unknown(name.to_owned()));
        };
        if level <= Self::best() { Ok(level) } else { Err(LevelError::Unsupported(level.name())) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> SimdLevel {
    SimdLevel::Portable
}

#[cfg(target_arch = "x86_64")]
fn detect() -> SimdLevel {
    let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let has_avx512 = has_avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let has_bf16 = has_avx512 && is_x86_feature_detected!("avx512bf16");
    match (has_avx2, has_avx512, has_bf16) {
        (_, _, true) if crate::simd::amx_permission::is_available() => SimdLevel::Amx,
        (_, _, true) => SimdLevel::Avx512Bf16,
        (_, true, _) => SimdLevel::Avx512,
        (true, ..) => SimdLevel::Avx2,
        _ => SimdLevel::Portable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_found_by_its_name_or_refused() {
        assert_eq!(SimdLevel::parse("portable"), Ok(SimdLevel::Portable));
        let message = SimdLevel::parse("AVX9").unwrap_err().to_string();
        assert_eq!(message, "TUNEBENCH_CPU=AVX9: no such level; there are: portable, avx2, avx512, avx512bf16, amx");
        for level in SimdLevel::ALL.into_iter().filter(|l| *l > SimdLevel::best()) {
            assert_eq!(SimdLevel::parse(level.name()), Err(LevelError::Unsupported(level.name())));
        }
    }
}
