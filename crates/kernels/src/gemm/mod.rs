//! Matrix products (GEMM): `C = s Σ A B`, or `C += …`, over all threads or on the calling one.
//!
//! A product is a sum of terms, so that an adapted layer is one product, `x Wᵀ + low Bᵀ`, and so is the gradient that
//! several weights send back to their common input. Both operands are packed into panels, rounded to what the
//! level multiplies (f32, or pairs of bf16), zero-padded, and multiplied tile by tile in f32 accumulators (the scheme of
//! Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", in the words of BLIS). A right
//! operand that is used again can be a [`PackedRhs`].
//!
//! A term may be of some rows only, as where each row of a batch has an adapter of its own (grouped products, as of Punica and
//! S-LoRA): the others are what they are without it, whatever numbers its operands hold.
//!
//! An element of the result is summed along `k` in an order that depends on the terms' `k` alone. So a row's result is
//! the same bytes whatever rows stand beside it, and however many threads work.
//!
//! Read `driver` for the loops, `block` for the innermost of them, `kernel` for the constants and the microkernels, `pack_f32` and `pack_bf16` for the
//! layouts of panels, `pieces` for how right operands that are not packed as the kernel reads them come to it.

mod block;
mod driver;
pub(crate) mod kernel;
mod lhs;
pub(crate) mod matrix;
#[cfg(target_arch = "x86_64")]
mod pack_bf16;
mod pack_f32;
pub(crate) mod panels;
mod peak;
mod pieces;
mod product;
mod rhs;

pub use driver::slabs;
pub use matrix::{Matrix, MatrixMut};
use panels::Threads;
pub use peak::peak;
use product::Product;
pub use product::{Columns, Term};
pub use rhs::{PackedRhs, Rhs};

pub use crate::Store;
use crate::{Element, SimdLevel};

/// Sets or adds to `out` the sum of the products of `terms`, times `scale` (BLAS's alpha), over all threads.
///
/// # Shapes
/// Each term `[m, k] x [k, n]`, `k` its own; `out [m, n]`.
///
/// # Panics
/// When the shapes do not fit, or an operand was packed for another level or storage.
pub fn gemm<'a, E: Element, B: Copy + Into<Rhs<'a, E>>, O: Element>(
    level: SimdLevel,
    terms: &[(Matrix<'a, E>, B)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
) {
    driver::run(level, Product { parts: &[whole(terms, scale, &out, store)], threads: Threads::All }, out);
}

/// [`gemm`] for several parts of `out`, each the sum of its own terms: where rows are few, all of them are shared out over
/// the threads at once.
///
/// # Panics
/// As [`gemm`]; when parts overlap; when a part's first term is not of all its rows.
pub fn gemm_columns<E: Element, O: Element>(level: SimdLevel, parts: &[Columns<'_, E>], out: MatrixMut<'_, O>) {
    for (i, part) in parts.iter().enumerate() {
        let overlaps = |other: &Columns<'_, E>| {
            let columns = part.first < other.first + other.count && other.first < part.first + part.count;
            columns && part.rows[0] < other.rows[1] && other.rows[0] < part.rows[1]
        };
        assert!(!parts[..i].iter().any(overlaps), "parts of a product that overlap");
    }
    driver::run(level, Product { parts, threads: Threads::All }, out);
}

/// [`gemm`] on the calling thread alone, for work that is split over threads already.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_single_thread<'a, E: Element, B: Copy + Into<Rhs<'a, E>>, O: Element>(
    level: SimdLevel,
    terms: &[(Matrix<'a, E>, B)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
) {
    driver::run(level, Product { parts: &[whole(terms, scale, &out, store)], threads: Threads::One }, out);
}

/// All of a result as one part.
fn whole<'a, E: Element, B: Copy + Into<Rhs<'a, E>>, O>(
    terms: &[(Matrix<'a, E>, B)],
    scale: f32,
    out: &MatrixMut<'_, O>,
    store: Store,
) -> Columns<'a, E> {
    let terms = terms.iter().map(|&(a, b)| Term::new(a, b)).collect();
    Columns { first: 0, count: out.cols, rows: [0, out.rows], terms, scale, store }
}
