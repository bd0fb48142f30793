//! Memory of products: packed panels, reused from product to product, and the accumulators of a thread.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::matrix::MatrixMut;
use crate::Element;
use crate::fingerprint::mixed;

/// A cache line; panels begin at one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Buffers that no product uses at the moment, for operands that are packed for one product.
static FREE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// Who works on a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone.
    One,
    All,
}

/// One operand packed: panels of `lanes` rows (or columns) each, `k` steps long, of numbers of one size.
pub struct Panels {
    memory: Vec<Line>,
    lanes: usize,
    panels: usize,
    k: usize,
    size: usize,
    /// Whether the memory is one of [`FREE`]'s.
    is_lent: bool,
}

impl Panels {
    /// Room for `length` rows (or columns) of `P` that is given back to the system when it is dropped. What it holds
    /// means nothing yet.
    pub fn owned<P>(length: usize, lanes: usize, k: usize) -> Self {
        let mut panels = Self::without_memory::<P>(length, lanes, k, false);
        panels.memory.resize(panels.lines(), Line([0; 64]));
        panels
    }

    /// As [`Panels::owned`], but in memory that product after product uses.
    pub fn lent<P>(length: usize, lanes: usize, k: usize) -> Self {
        let mut panels = Self::without_memory::<P>(length, lanes, k, true);
        let lines = panels.lines();
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, else the largest.
        let place = (0..free.len()).min_by_key(|&i| match free[i].len() {
            n if n >= lines => (0, n),
            n => (1, usize::MAX - n),
        });
        panels.memory = place.map_or_else(Vec::new, |i| free.swap_remove(i));
        drop(free);
        if panels.memory.len() < lines {
            panels.memory.resize(lines, Line([0; 64]));
        }
        panels
    }

    fn without_memory<P>(length: usize, lanes: usize, k: usize, is_lent: bool) -> Self {
        Self { memory: Vec::new(), lanes, panels: length.div_ceil(lanes), k, size: size_of::<P>(), is_lent }
    }

    /// Lines of memory that it needs.
    fn lines(&self) -> usize {
        self.bytes().div_ceil(size_of::<Line>())
    }

    /// Has `pack(first lane, packed)` fill each panel.
    pub fn fill<P: Copy + Send + Sync>(&mut self, threads: Threads, pack: impl Fn(usize, &mut [P]) + Sync) {
        self.fill_by(threads, 1, pack);
    }

    /// As [`Panels::fill`], so many panels at a time.
    pub fn fill_by<P: Copy + Send + Sync>(
        &mut self,
        threads: Threads,
        count: usize,
        pack: impl Fn(usize, &mut [P]) + Sync,
    ) {
        let (lanes, length) = (self.lanes, self.lanes * self.k);
        if length == 0 {
            return;
        }
        assert!(size_of::<P>() == self.size, "panels hold numbers of one size");
        // SAFETY: the memory is initialised, aligned for any number and at least so long.
        let packed =
            unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast::<P>(), self.panels * length) };
        let fill = |(i, panels): (usize, &mut [P])| pack(i * count * lanes, panels);
        if threads == Threads::All && packed.len() > 1 << 14 {
            packed.par_chunks_mut(count * length).enumerate().for_each(fill);
        } else {
            packed.chunks_mut(count * length).enumerate().for_each(fill);
        }
    }

    /// All numbers, for those who place them themselves.
    pub fn all<P: Copy + Send + Sync>(&mut self) -> &mut [P] {
        assert!(size_of::<P>() == self.size, "panels hold numbers of one size");
        // SAFETY: the memory is initialised, aligned for any number and at least so long.
        unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast::<P>(), self.panels * self.lanes * self.k)
        }
    }

    /// As [`crate::fingerprint::fingerprint`], of the memory.
    pub fn fingerprint(&self) -> u64 {
        const LINES: usize = 1 << 12;
        let of = |lines: &[Line]| {
            mixed(lines.iter().flat_map(|line| line.0.as_chunks::<8>().0).map(|word| u64::from_le_bytes(*word)))
        };
        let used = &self.memory[..self.lines().min(self.memory.len())];
        mixed(used.par_chunks(LINES).map(of).collect::<Vec<u64>>().into_iter())
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.panels * self.lanes * self.k * self.size
    }

    /// The panel that begins with `lane`, from step `k` on.
    pub fn at<P>(&self, lane: usize, k: usize) -> *const P {
        debug_assert!(lane.is_multiple_of(self.lanes) && lane / self.lanes < self.panels && k <= self.k);
        debug_assert!(size_of::<P>() == self.size);
        // Inside the memory, or one past it: the caller reads no further than the panel's end.
        self.memory.as_ptr().cast::<P>().wrapping_add(lane * self.k + k * self.lanes)
    }
}

impl Drop for Panels {
    fn drop(&mut self) {
        if !self.is_lent {
            return;
        }
        let memory = std::mem::take(&mut self.memory);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
}

thread_local! {
    static SUMS: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Lends `work` this thread's accumulators, `length` of them, of any value.
pub fn with_accumulators(length: usize, work: impl FnOnce(&mut [f32])) {
    let mut memory = SUMS.take();
    let lines = (length * size_of::<f32>()).div_ceil(size_of::<Line>());
    if memory.len() < lines {
        memory.resize(lines, Line([0; 64]));
    }
    // SAFETY: initialised, aligned and long enough.
    work(unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast::<f32>(), length) });
    SUMS.set(memory);
}

/// A result that several threads write, each its own blocks.
pub struct Shared<'a, O> {
    data: *mut O,
    stride: usize,
    of: PhantomData<&'a mut [O]>,
}

// SAFETY: `row` is unsafe, and its callers do not let blocks overlap.
unsafe impl<O: Send> Sync for Shared<'_, O> {}

impl<'a, O: Element> Shared<'a, O> {
    pub fn new(out: &'a mut MatrixMut<'_, O>) -> Self {
        Self { data: out.data.as_mut_ptr(), stride: out.stride, of: PhantomData }
    }

    /// Columns `from..to` of a row.
    ///
    /// # Safety
    /// The columns lie in the matrix, and nobody else has them at the same time.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn row(&self, row: usize, from: usize, to: usize) -> &mut [O] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.stride + from), to - from) }
    }
}
