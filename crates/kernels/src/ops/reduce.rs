//! Passes over plain numbers: their squares' sum, copies, and from one storage to another.

use rayon::prelude::*;

use super::columns::RowColumns;
use crate::simd::multiversion::multiversion;
use crate::tasks::{TASK, task_of_rows};
use crate::{Element, SimdLevel};

/// `Σ x²` in f64, in pieces of fixed size that are added in their order.
pub fn sum_of_squares(level: SimdLevel, x: &[f32]) -> f64 {
    let sums: Vec<f64> = x.par_chunks(TASK).map(|x| squares(level, x)).collect();
    sums.into_iter().fold(0.0, |all, sum| all + sum)
}

/// `out = x`, over all threads.
///
/// # Panics
/// When the lengths differ, as do the others here.
pub fn copy<E: Element>(x: &[E], out: &mut [E]) {
    assert_eq!(x.len(), out.len(), "the lengths to be copied do not fit");
    out.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(out, x)| out.copy_from_slice(x));
}

/// `out` becomes some columns of `x`, beside each other.
///
/// # Shapes
/// `x [n, row]`; `out [n, count]`.
pub fn copy_columns<E: Element>(x: &[E], columns: RowColumns, out: &mut [E]) {
    let fits = columns.fits(x.len()) && out.len() == columns.rows(x.len()) * columns.count;
    assert!(fits, "the shapes of columns to be copied do not fit");
    if out.is_empty() {
        return;
    }
    let rows = task_of_rows(columns.count) / columns.count;
    out.par_chunks_mut(rows * columns.count).zip(x.par_chunks(rows * columns.row)).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(columns.count).zip(x.chunks_exact(columns.row)) {
            out.copy_from_slice(columns.of(x));
        }
    });
}

/// `out = x`, rounded to what `E` holds.
pub fn narrow<E: Element>(level: SimdLevel, x: &[f32], out: &mut [E]) {
    assert_eq!(x.len(), out.len(), "the lengths to be narrowed do not fit");
    out.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(out, x)| narrow_chunk(level, x, out));
}

/// `x = x · by`.
pub fn scale<E: Element>(level: SimdLevel, x: &mut [E], by: f32) {
    x.par_chunks_mut(TASK).for_each(|x| scale_chunk(level, x, by));
}

/// `out = a + b`.
pub fn add<E: Element>(level: SimdLevel, a: &[E], b: &[E], out: &mut [E]) {
    assert!(a.len() == out.len() && b.len() == out.len(), "the lengths to be added do not fit");
    let read = a.par_chunks(TASK).zip(b.par_chunks(TASK));
    out.par_chunks_mut(TASK).zip(read).for_each(|(out, (a, b))| add_chunk(level, a, b, out));
}

/// Lanes of f64, four vectors of AVX-512.
const WIDE: usize = 32;

multiversion! {
    fn squares(x: &[f32]) -> f64 {
        let mut lanes = [0f64; WIDE];
        let (blocks, rest) = x.as_chunks::<WIDE>();
        for x in blocks {
            for i in 0..WIDE {
                lanes[i] += f64::from(x[i]) * f64::from(x[i]);
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(*x) * f64::from(*x);
        }
        lanes.into_iter().fold(0.0, |all, lane| all + lane)
    }
}

multiversion! {
    fn scale_chunk<E>(x: &mut [E], by: f32) {
        x.iter_mut().for_each(|x| *x = E::from_f32(x.to_f32() * by));
    }
}

multiversion! {
    fn add_chunk<E>(a: &[E], b: &[E], out: &mut [E]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = E::from_f32(a.to_f32() + b.to_f32());
        }
    }
}

multiversion! {
    fn narrow_chunk<E>(x: &[f32], out: &mut [E]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = E::from_f32(*x);
        }
    }
}
