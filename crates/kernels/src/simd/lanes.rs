//! Sums in fixed lanes: as many vectors as an adder has to have under way, and the same order on every level.

use crate::Element;
use crate::simd::multiversion::LANES;

/// Sums over long rows are kept in this many lanes: an addition takes about four cycles, so four vectors keep an
/// adder busy.
pub(crate) const WIDE: usize = 4 * LANES;

/// Numbers as f32. Kernels that work in place read a block, compute, and write it, each in a loop of its own: otherwise
/// the compiler has to suppose that a number written is the next one read.
#[inline(always)]
pub(crate) fn load<E: Element, const N: usize>(x: &[E; N]) -> [f32; N] {
    let mut out = [0f32; N];
    for i in 0..N {
        out[i] = x[i].to_f32();
    }
    out
}

/// Writes what was computed from [`load`]ed numbers.
#[inline(always)]
pub(crate) fn store<E: Element, const N: usize>(out: &mut [E; N], x: &[f32; N]) {
    for i in 0..N {
        out[i] = E::from_f32(x[i]);
    }
}

/// Adds `term(x)` of each element to the lane of its place.
#[inline(always)]
pub(crate) fn sum<A: Copy>(a: &[A], term: impl Fn(A) -> f32) -> f32 {
    let mut lanes = [0f32; WIDE];
    let (blocks, rest) = a.as_chunks::<WIDE>();
    for a in blocks {
        for i in 0..WIDE {
            lanes[i] += term(a[i]);
        }
    }
    for (lane, a) in lanes.iter_mut().zip(rest) {
        *lane += term(*a);
    }
    total(lanes)
}

/// [`sum`] over three slices of one length.
#[inline(always)]
pub(crate) fn sum3<A: Copy, B: Copy, C: Copy>(a: &[A], b: &[B], c: &[C], term: impl Fn(A, B, C) -> f32) -> f32 {
    let mut lanes = [0f32; WIDE];
    let ((a, rest_a), (b, rest_b), (c, rest_c)) = (a.as_chunks::<WIDE>(), b.as_chunks::<WIDE>(), c.as_chunks::<WIDE>());
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for i in 0..WIDE {
            lanes[i] += term(a[i], b[i], c[i]);
        }
    }
    for (((lane, a), b), c) in lanes.iter_mut().zip(rest_a).zip(rest_b).zip(rest_c) {
        *lane += term(*a, *b, *c);
    }
    total(lanes)
}

/// The sum of the lanes, a power of two of them, by halves, so that no addition waits for all others.
#[inline(always)]
pub(crate) fn total<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut width = N / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest element that is not NaN; -inf where there is none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; WIDE];
    let (blocks, rest) = x.as_chunks::<WIDE>();
    for x in blocks {
        for i in 0..WIDE {
            lanes[i] = larger(lanes[i], x[i]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, *x);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}
