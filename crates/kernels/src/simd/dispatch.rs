//! The instruction sets that multiply, as types, and the one place that picks one for a level and a storage.
//!
//! What is generic over a kernel names its type `K`: [`gemm`](crate::gemm), [`attention`](crate::attention) and
//! [`peak`](crate::gemm::peak()) implement a trait of theirs for each type and reach it through [`visit_level`].

/// f32, plain Rust.
pub struct Portable;

/// f32 by AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
pub struct Avx2;

/// f32 by AVX-512.
#[cfg(target_arch = "x86_64")]
pub struct Avx512;

/// bf16 by AVX-512: each instruction adds two products to each of 16 sums.
#[cfg(target_arch = "x86_64")]
pub struct Avx512Bf16;

/// bf16 by AMX: each instruction adds 32 products to each of 16 x 16 sums.
#[cfg(target_arch = "x86_64")]
pub struct Amx;

/// `visit_level!(level, E, K => body)`: `body` with `K` the type that multiplies numbers stored as `E` on `level`. Levels
/// above the CPU's best are taken for the best; f32 has none above AVX-512; bf16 is widened to f32 where the level has no
/// products of bf16.
macro_rules! visit_level {
    ($level:expr, $element:ty, $kernel:ident => $body:expr) => {
        match ($crate::SimdLevel::min($level, $crate::SimdLevel::best()), <$element as $crate::Element>::IS_BF16) {
            #[cfg(target_arch = "x86_64")]
            ($crate::SimdLevel::Amx, true) => {
                type $kernel = $crate::simd::dispatch::Amx;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            ($crate::SimdLevel::Avx512Bf16, true) => {
                type $kernel = $crate::simd::dispatch::Avx512Bf16;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            ($crate::SimdLevel::Amx | $crate::SimdLevel::Avx512Bf16 | $crate::SimdLevel::Avx512, _) => {
                type $kernel = $crate::simd::dispatch::Avx512;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            ($crate::SimdLevel::Avx2, _) => {
                type $kernel = $crate::simd::dispatch::Avx2;
                $body
            }
            _ => {
                type $kernel = $crate::simd::dispatch::Portable;
                $body
            }
        }
    };
}
pub(crate) use visit_level;
