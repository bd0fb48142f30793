//! Matrix products (GEMM): `C = s Σ A B`, or `C += …`, over all threads or on the calling one.
//!
//! A product is a sum of terms, so that an adapted layer is one product, `x Wᵀ + low Bᵀ`, and so is the gradient that
//! several weights send back to their common input. Both operands are packed into panels, rounded to what the
//! level multiplies (f32, or pairs of bf16), zero-padded, and multiplied tile by tile in f32 accumulators (the scheme of
//! Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", in the words of BLIS). A right
//! operand that is used again can be a [`PackedRhs`].
//!
//! An element of the result is summed along `k` in an order that depends on the terms' `k` alone. So a row's result is
//! the same bytes whatever rows stand beside it, and however many threads work.
//!
//! Read `driver` for the loops, `kernel` for the constants and the microkernels, `pack_f32` and `pack_bf16` for the
//! layouts of panels, `pieces` for how right operands that are not packed as the kernel reads them come to it.

mod driver;
pub(crate) mod kernel;
pub(crate) mod matrix;
#[cfg(target_arch = "x86_64")]
mod pack_bf16;
mod pack_f32;
pub(crate) mod panels;
mod peak;
mod pieces;
mod rhs;

pub use driver::slabs;
use driver::{Part, Product};
pub use matrix::{Matrix, MatrixMut};
use panels::Threads;
pub use peak::peak;
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
    let terms: Vec<_> = terms.iter().map(|&(a, b)| (a, b.into())).collect();
    let parts = [Part { first: 0, columns: out.cols, terms: &terms, store }];
    driver::run(level, Product { parts: &parts, scale, threads: Threads::All }, out);
}

/// Columns of a result that are a product of their own.
pub struct Columns<'a, E> {
    /// The first of them, and how many they are.
    pub first: usize,
    pub count: usize,
    pub terms: Vec<(Matrix<'a, E>, Rhs<'a, E>)>,
    pub store: Store,
}

/// [`gemm`] for several parts of the columns of `out`, each the sum of its own terms: where rows are few, all of them are
/// shared out over the threads at once.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_columns<'a, E: Element, O: Element>(
    level: SimdLevel,
    columns: &'a [Columns<'a, E>],
    scale: f32,
    out: MatrixMut<'_, O>,
) {
    let part = |of: &'a Columns<'a, E>| Part { first: of.first, columns: of.count, terms: &of.terms, store: of.store };
    let parts: Vec<Part<'_, 'a, E>> = columns.iter().map(part).collect();
    let mut ranges: Vec<[usize; 2]> = parts.iter().map(|part| [part.first, part.first + part.columns]).collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0][1] <= pair[1][0]), "parts of a product that overlap");
    driver::run(level, Product { parts: &parts, scale, threads: Threads::All }, out);
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
    let terms: Vec<_> = terms.iter().map(|&(a, b)| (a, b.into())).collect();
    let parts = [Part { first: 0, columns: out.cols, terms: &terms, store }];
    driver::run(level, Product { parts: &parts, scale, threads: Threads::One }, out);
}
