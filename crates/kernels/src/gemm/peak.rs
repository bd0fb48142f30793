//! What a level's multiply-add instructions do at best, from registers alone: what products are held against.

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::hint::black_box;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
use super::kernel::Kernel as _;
#[cfg(target_arch = "x86_64")]
use crate::simd::dispatch::{Amx, Avx2, Avx512, Avx512Bf16};
use crate::simd::dispatch::{Portable, visit_level};
use crate::{Element, SimdLevel};

/// Runs until it has taken so long, in seconds, that starting threads no longer counts.
const LONG_ENOUGH: f64 = 0.1;
const FIRST_ROUNDS: u64 = 1 << 16;

/// Floating-point operations per second that all threads together reach with the instruction that
/// [`gemm`](super::gemm()) of `E` multiplies with. Takes some tenths of a second.
pub fn peak<E: Element>(level: SimdLevel) -> f64 {
    let body = body::<E>(level);
    let mut rounds = FIRST_ROUNDS;
    loop {
        let begin = Instant::now();
        let operations: f64 = rayon::broadcast(|_| body(rounds)).into_iter().sum();
        let seconds = begin.elapsed().as_secs_f64();
        if seconds >= LONG_ENOUGH {
            return operations / seconds;
        }
        rounds *= 2;
    }
}

/// What runs a number of rounds and says how many operations they were; the choice is that of a product.
fn body<E: Element>(level: SimdLevel) -> fn(u64) -> f64 {
    visit_level!(level, E, K => K::run)
}

/// The multiply-add instruction of a kernel, from registers alone. Runs only where the CPU has it.
trait MultiplyAdd {
    /// Does `rounds` rounds, and says how many operations they were.
    fn run(rounds: u64) -> f64;
}

impl MultiplyAdd for Portable {
    fn run(rounds: u64) -> f64 {
        portable(rounds)
    }
}

#[cfg(target_arch = "x86_64")]
impl MultiplyAdd for Avx2 {
    fn run(rounds: u64) -> f64 {
        // SAFETY: here and below, a kernel is run only where the CPU has its instructions.
        unsafe { avx2(rounds) }
    }
}

#[cfg(target_arch = "x86_64")]
impl MultiplyAdd for Avx512 {
    fn run(rounds: u64) -> f64 {
        // SAFETY: as above.
        unsafe { avx512(rounds) }
    }
}

#[cfg(target_arch = "x86_64")]
impl MultiplyAdd for Avx512Bf16 {
    fn run(rounds: u64) -> f64 {
        // SAFETY: as above.
        unsafe { avx512_bf16(rounds) }
    }
}

#[cfg(target_arch = "x86_64")]
impl MultiplyAdd for Amx {
    fn run(rounds: u64) -> f64 {
        amx(rounds)
    }
}

// Each sum is its own next factor, so nothing can be left out; the factors let it settle at 1, far from denormals.
const FACTOR: f32 = 0.75;
const TERM: f32 = 0.25;

/// Without a fused multiply-add.
fn portable(rounds: u64) -> f64 {
    const SUMS: usize = 48;
    let (factor, term) = black_box((FACTOR, TERM));
    let mut sums = [0f32; SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = *sum * factor + term;
        }
    }
    black_box(sums);
    (rounds * 2 * SUMS as u64) as f64
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: u64) -> f64 {
    const SUMS: usize = 12;
    let (factor, term) = black_box((FACTOR, TERM));
    let (factor, term) = (_mm256_set1_ps(factor), _mm256_set1_ps(term));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, term);
        }
    }
    black_box(sums);
    (rounds * 2 * 8 * SUMS as u64) as f64
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: u64) -> f64 {
    const SUMS: usize = 24;
    let (factor, term) = black_box((FACTOR, TERM));
    let (factor, term) = (_mm512_set1_ps(factor), _mm512_set1_ps(term));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, term);
        }
    }
    black_box(sums);
    (rounds * 2 * 16 * SUMS as u64) as f64
}

/// Here the sums grow, slowly: the instruction has no other place for them than the term.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn avx512_bf16(rounds: u64) -> f64 {
    const SUMS: usize = 24;
    let (left, right) = black_box((FACTOR, TERM));
    let (left, right) = (_mm512_set1_ps(left), _mm512_set1_ps(right));
    let (left, right) = (_mm512_cvtne2ps_pbh(left, left), _mm512_cvtne2ps_pbh(right, right));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, left, right);
        }
    }
    black_box(sums);
    (rounds * 4 * 16 * SUMS as u64) as f64
}

#[cfg(target_arch = "x86_64")]
fn amx(rounds: u64) -> f64 {
    Amx::enter();
    // SAFETY: chosen only where the level is AMX, whose kernel has just configured all eight tiles; nothing but they
    // and a counter is touched.
    unsafe {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) rounds.max(1) => _, options(nostack, nomem)
        );
    }
    Amx::leave();
    (rounds.max(1) * 4 * 2 * 16 * 16 * 32) as f64
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn every_level_counts_what_it_does() {
        for level in SimdLevel::available() {
            for body in [body::<f32>(level), body::<bf16>(level)] {
                assert_eq!(body(2000), 2.0 * body(1000), "{level:?}");
            }
            assert!(peak::<f32>(level) > 0.0 && peak::<bf16>(level) > 0.0);
        }
    }
}
