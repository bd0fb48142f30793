//! Memory asked for before it is read.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

/// Asks for `count` numbers to be brought near; wherever they are, nothing else happens.
pub fn prefetch<P>(from: *const P, count: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..(count * size_of::<P>()).div_ceil(64) {
        // SAFETY: the instruction is on every x86-64, and any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast::<i8>().wrapping_add(64 * line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, count);
}
