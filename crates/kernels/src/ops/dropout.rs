//! Dropout whose draws depend on what is dropped alone: each example has a stream, each element its index in it.

use rayon::prelude::*;
use tunebench_spec::random::Stream;

use crate::simd::multiversion::multiversion;
use crate::tasks::TASK;
use crate::{Element, SimdLevel};

/// What is dropped of tokens that stand row after row, example after example.
#[derive(Clone, Copy, Debug)]
pub struct Drops<'a> {
    /// The probability that an element is dropped, below 1.
    pub p: f64,
    /// For each example the row after its last: cumulative lengths, `cu_seqlens[1..]`.
    pub seq_ends: &'a [usize],
    /// For each example its draws: element `i` of the example takes the half word `i % 2`, the lower first, of
    /// `stream.nth_u64(i / 2)`, and is dropped where that is less than `p · 2^32`.
    pub streams: &'a [Stream],
}

/// `out = x · mask`, where `mask` is 0 for what is dropped, else `1 / (1 - p)`.
///
/// # Shapes
/// `x`, `out` `[n, d]`.
///
/// # Panics
/// When the examples do not end with the rows.
pub fn dropout<E: Element>(level: SimdLevel, x: &[E], d: usize, drops: &Drops<'_>, out: &mut [E]) {
    let mask = Mask::new(drops.p);
    each(cut(x, d, drops, out), |part| set(level, part.stream, part.first, mask, part.x, part.out));
}

/// `out += g · mask`, the gradient of [`dropout`].
///
/// # Shapes
/// `g`, `out` `[n, d]`.
///
/// # Panics
/// When the examples do not end with the rows.
pub fn dropout_add(level: SimdLevel, g: &[f32], d: usize, drops: &Drops<'_>, out: &mut [f32]) {
    let mask = Mask::new(drops.p);
    each(cut(g, d, drops, out), |part| add(level, part.stream, part.first, mask, part.x, part.out));
}

#[derive(Clone, Copy)]
struct Mask {
    threshold: u32,
    kept: f32,
}

impl Mask {
    fn new(p: f64) -> Self {
        Self { threshold: (p * 2f64.powi(32)) as u32, kept: (1.0 / (1.0 - p)) as f32 }
    }

    #[inline(always)]
    fn of(self, half: u32) -> f32 {
        if half < self.threshold { 0.0 } else { self.kept }
    }
}

/// The work of one task, within one example.
struct Part<'a, A, B> {
    stream: &'a Stream,
    /// The word of its first element.
    first: u64,
    x: &'a [A],
    out: &'a mut [B],
}

fn cut<'a, A, B>(mut x: &'a [A], d: usize, drops: &Drops<'a>, mut out: &'a mut [B]) -> Vec<Part<'a, A, B>> {
    let rows = drops.seq_ends.last().copied().unwrap_or(0);
    let fits = drops.seq_ends.len() == drops.streams.len() && drops.seq_ends.is_sorted();
    assert!(fits && x.len() == rows * d && out.len() == x.len(), "the shapes of what is dropped do not fit");
    let (mut parts, mut start) = (Vec::new(), 0);
    for (&end, stream) in drops.seq_ends.iter().zip(drops.streams) {
        let (x_here, x_rest) = x.split_at((end - start) * d);
        let (out_here, out_rest) = out.split_at_mut((end - start) * d);
        for (i, (x, out)) in x_here.chunks(TASK).zip(out_here.chunks_mut(TASK)).enumerate() {
            parts.push(Part { stream, first: (i * (TASK / 2)) as u64, x, out });
        }
        (x, out, start) = (x_rest, out_rest, end);
    }
    parts
}

fn each<A: Sync, B: Send>(parts: Vec<Part<'_, A, B>>, run: impl Fn(Part<'_, A, B>) + Send + Sync) {
    if parts.iter().map(|part| part.x.len()).sum::<usize>() <= TASK {
        parts.into_iter().for_each(run);
    } else {
        parts.into_par_iter().for_each(run);
    }
}

/// Words that are drawn at once: four vectors of AVX-512.
const WORDS: usize = 32;
const BLOCK: usize = 2 * WORDS;

multiversion! {
    fn set<E>(stream: &Stream, first: u64, mask: Mask, x: &[E], out: &mut [E]) {
        masked(stream, first, mask, x, out, |out, new| *out = E::from_f32(new));
    }
}

multiversion! {
    fn add(stream: &Stream, first: u64, mask: Mask, x: &[f32], out: &mut [f32]) {
        masked(stream, first, mask, x, out, |out, new| *out += new);
    }
}

#[inline(always)]
fn masked<E: Element>(stream: &Stream, first: u64, mask: Mask, x: &[E], out: &mut [E], store: impl Fn(&mut E, f32)) {
    let ((x, rest_x), (out, rest_out)) = (x.as_chunks::<BLOCK>(), out.as_chunks_mut::<BLOCK>());
    let mut word = first;
    for (x, out) in x.iter().zip(out) {
        let halves = draw(stream, word);
        for i in 0..BLOCK {
            store(&mut out[i], x[i].to_f32() * mask.of(halves[i]));
        }
        word += WORDS as u64;
    }
    for ((x, out), half) in rest_x.iter().zip(rest_out).zip(draw(stream, word)) {
        store(out, x.to_f32() * mask.of(half));
    }
}

/// The halves of the words from `first` on, the lower of each first.
#[inline(always)]
fn draw(stream: &Stream, first: u64) -> [u32; BLOCK] {
    let mut halves = [0; BLOCK];
    for i in 0..WORDS {
        let word = stream.nth_u64(first.wrapping_add(i as u64));
        (halves[2 * i], halves[2 * i + 1]) = (word as u32, (word >> 32) as u32);
    }
    halves
}
