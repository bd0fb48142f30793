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

/// Memory that is read next, asked for part by part while something else is done: all at once, it would be waited for.
#[derive(Clone, Copy)]
pub struct Ahead {
    from: *const i8,
    lines: usize,
}

impl Ahead {
    /// Nothing.
    pub const NONE: Self = Self { from: std::ptr::null(), lines: 0 };

    /// `count` numbers.
    pub fn new<P>(from: *const P, count: usize) -> Self {
        Self { from: from.cast(), lines: (count * size_of::<P>()).div_ceil(64) }
    }

    /// Asks for a part, if the whole is asked for in so many.
    #[inline(always)]
    pub fn part(&mut self, parts: usize) {
        for _ in 0..self.lines.div_ceil(parts) {
            prefetch(self.from, 1);
            self.from = self.from.wrapping_add(64);
        }
    }
}
