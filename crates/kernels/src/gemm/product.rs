//! What a product is asked for: parts of a result, each the sum of terms.

use super::matrix::Matrix;
use super::panels::Threads;
use super::rhs::Rhs;
use crate::Store;

/// What [`gemm`](super::gemm()) was asked for: parts of a result, each by terms of its own.
#[derive(Clone, Copy)]
pub struct Product<'p, 'a, E> {
    pub parts: &'p [Columns<'a, E>],
    pub threads: Threads,
}

/// Columns of a result over some of its rows, which are a product of their own: the sum of its terms, zero where there are
/// none, times `scale`.
pub struct Columns<'a, E> {
    /// The first of them, and how many they are.
    pub first: usize,
    pub count: usize,
    /// From and to.
    pub rows: [usize; 2],
    pub terms: Vec<Term<'a, E>>,
    pub scale: f32,
    pub store: Store,
}

/// A term of a sum, `a [m, k] x b [k, n]` with `m` the rows of the whole result.
pub struct Term<'a, E> {
    pub a: Matrix<'a, E>,
    pub b: Rhs<'a, E>,
    /// The rows that it is added to, ranges from and to; all where none are said. What `a` holds in other rows changes nothing.
    pub rows: Option<&'a [[usize; 2]]>,
}

impl<'a, E> Term<'a, E> {
    /// Of all rows.
    pub fn new(a: Matrix<'a, E>, b: impl Into<Rhs<'a, E>>) -> Self {
        Self { a, b: b.into(), rows: None }
    }
}
