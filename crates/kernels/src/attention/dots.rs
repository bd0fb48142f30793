//! Sums of products of stored rows: of two, of many with one query, and of many with weights.

use crate::Element;
use crate::simd::lanes::total;
use crate::simd::multiversion::{LANES, multiversion};

#[inline(always)]
fn sum_of_products<E: Element>(a: &[E], b: &[E]) -> f32 {
    let (a, b) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.0.iter().zip(b.0) {
        for l in 0..LANES {
            sums[l] += a[l].to_f32() * b[l].to_f32();
        }
    }
    for (l, (a, b)) in a.1.iter().zip(b.1).enumerate() {
        sums[l] += a.to_f32() * b.to_f32();
    }
    total(sums)
}

multiversion! {
    /// The sum of products of two rows.
    pub fn dot<E>(a: &[E], b: &[E]) -> f32 {
        sum_of_products(a, b)
    }
}

multiversion! {
    /// `dots[t]`: the sum of products of row `t` with `query`.
    pub fn qk_dots<E>(rows: &[E], query: &[E], dots: &mut [f32]) {
        for (dot, row) in dots.iter_mut().zip(rows.chunks_exact(query.len())) {
            *dot = sum_of_products(row, query);
        }
    }
}

multiversion! {
    /// Adds the rows of `width` numbers, each times its weight.
    pub fn weighted_sum<E>(rows: &[E], width: usize, weights: &[f32], sums: &mut [f32]) {
        for (row, weight) in rows.chunks_exact(width).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x.to_f32());
        }
    }
}
