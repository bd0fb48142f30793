//! A task's memory, given out piece by piece.

/// f32s that hold `n` numbers of `T`, in whole cache lines.
pub const fn room<T>(n: usize) -> usize {
    (n * size_of::<T>()).div_ceil(64) * 16
}

/// A task's memory, given out piece by piece.
pub struct Arena<'a>(pub &'a mut [f32]);

impl<'a> Arena<'a> {
    /// `n` numbers of any value, at the beginning of a cache line.
    pub fn take<T>(&mut self, n: usize) -> &'a mut [T]
    where
        T: Copy + Send + Sync,
    {
        let (piece, rest) = std::mem::take(&mut self.0).split_at_mut(room::<T>(n));
        self.0 = rest;
        // SAFETY: the piece is long enough, aligned to a cache line and initialised; what kernels pack is f32 or bf16,
        // of which any bytes are a number.
        unsafe { std::slice::from_raw_parts_mut(piece.as_mut_ptr().cast::<T>(), n) }
    }
}
