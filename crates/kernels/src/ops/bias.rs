//! A bias of a linear weight: a row vector added to each row of its outputs, and its gradient, their columns' sums.
//!
//! The outputs may be some columns of wider rows. Letters in shapes: `n` rows, `o` outputs.

use rayon::prelude::*;

use super::columns::RowColumns;
use crate::simd::multiversion::multiversion;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel};

/// Columns of a task of the gradient: four vectors of AVX-512, which stay in registers.
const STRIPE: usize = 64;

/// `x = bias` in each row. Where a product is then added ([`Store::Add`](crate::Store)), the sum is rounded once: that is
/// exact for a bias that `E` holds, as a frozen one of a bf16 model is.
///
/// # Shapes
/// `x [n, row]`, of which `columns` says the `o` outputs; `bias [o]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn broadcast_bias<E: Element>(level: SimdLevel, x: &mut [E], columns: RowColumns, bias: &[f32]) {
    each_task(x, columns, bias, |x| set_rows(level, x, columns, bias));
}

/// `x += bias` in each row.
///
/// # Shapes
/// `x [n, row]`, of which `columns` says the `o` outputs; `bias [o]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn add_bias<E: Element>(level: SimdLevel, x: &mut [E], columns: RowColumns, bias: &[f32]) {
    each_task(x, columns, bias, |x| add_rows(level, x, columns, bias));
}

/// `db += Σ dy` over the rows, in their order.
///
/// # Shapes
/// `dy [n, row]`, of which `columns` says the `o` outputs; `db [o]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn bias_gradient<E: Element>(level: SimdLevel, dy: &[E], columns: RowColumns, db: &mut [f32]) {
    assert!(columns.fits(dy.len()) && db.len() == columns.count, "the shapes of a bias do not fit");
    // Stripes of columns: a column is summed in the order of its rows by one thread.
    let stripe = |(i, db): (usize, &mut [f32])| {
        let columns = RowColumns { first: columns.first + i * STRIPE, count: db.len(), ..columns };
        add_columns(level, dy, columns, db);
    };
    if columns.rows(dy.len()) * columns.count <= task_of_rows(columns.count) {
        db.chunks_mut(STRIPE).enumerate().for_each(stripe);
    } else {
        db.par_chunks_mut(STRIPE).enumerate().for_each(stripe);
    }
}

fn each_task<E: Element>(x: &mut [E], columns: RowColumns, bias: &[f32], work: impl Fn(&mut [E]) + Sync + Send) {
    assert!(columns.fits(x.len()) && bias.len() == columns.count, "the shapes of a bias do not fit");
    if x.is_empty() || bias.is_empty() {
        return;
    }
    let rows = task_of_rows(columns.count) / columns.count;
    x.par_chunks_mut(rows * columns.row).for_each(work);
}

multiversion! {
    fn set_rows<E>(x: &mut [E], columns: RowColumns, bias: &[f32]) {
        for x in x.chunks_exact_mut(columns.row) {
            for (x, b) in columns.of_mut(x).iter_mut().zip(bias) {
                *x = E::from_f32(*b);
            }
        }
    }
}

multiversion! {
    fn add_rows<E>(x: &mut [E], columns: RowColumns, bias: &[f32]) {
        for x in x.chunks_exact_mut(columns.row) {
            for (x, b) in columns.of_mut(x).iter_mut().zip(bias) {
                *x = E::from_f32(x.to_f32() + b);
            }
        }
    }
}

multiversion! {
    /// Adds the sums of at most [`STRIPE`] columns.
    fn add_columns<E>(dy: &[E], columns: RowColumns, db: &mut [f32]) {
        let mut sums = [0f32; STRIPE];
        for dy in dy.chunks_exact(columns.row) {
            let dy = columns.of(dy);
            // A length known beforehand keeps the sums in registers.
            if let Some(dy) = dy.first_chunk::<STRIPE>() {
                for i in 0..STRIPE {
                    sums[i] += dy[i].to_f32();
                }
            } else {
                for (sum, dy) in sums.iter_mut().zip(dy) {
                    *sum += dy.to_f32();
                }
            }
        }
        for (db, sum) in db.iter_mut().zip(sums) {
            *db += sum;
        }
    }
}
