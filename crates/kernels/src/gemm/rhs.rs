//! The right operand of a product: a matrix as it lies, or packed once for many products.

use super::kernel::Kernel;
use super::matrix::Matrix;
use super::panels::{Panels, Threads};
use crate::simd::dispatch::visit_level;
use crate::{Element, SimdLevel};

/// The right operand of a term, `[k, n]`.
///
/// A quantised weight would be another variant, widened panel by panel where [`pack_b`] packs a plain one, so that no
/// copy of it in f32 exists.
#[derive(Clone, Copy)]
pub enum Rhs<'a, E> {
    Plain(Matrix<'a, E>),
    Packed(&'a PackedRhs),
}

impl<'a, E> From<Matrix<'a, E>> for Rhs<'a, E> {
    fn from(matrix: Matrix<'a, E>) -> Self {
        Self::Plain(matrix)
    }
}

impl<'a, E> From<&'a PackedRhs> for Rhs<'a, E> {
    fn from(packed: &'a PackedRhs) -> Self {
        Self::Packed(packed)
    }
}

impl<E: Element> Rhs<'_, E> {
    /// `k` and `n`.
    pub(super) fn dims(&self) -> [usize; 2] {
        match self {
            Self::Plain(b) => [b.rows, b.cols],
            Self::Packed(b) => [b.k, b.n],
        }
    }
}

/// A right operand `[k, n]` as the kernels of one level and one kind of number read it.
pub struct PackedRhs {
    pub(super) panels: Panels,
    k: usize,
    n: usize,
    kernel: SimdLevel,
    is_bf16: bool,
}

impl PackedRhs {
    /// Packs `b [k, n]` over all threads.
    pub fn new<E: Element>(level: SimdLevel, b: Matrix<'_, E>) -> Self {
        visit_level!(level, E, K => Self::pack::<K, E>(&b, None))
    }

    /// [`PackedRhs::new`] into `slot`, in the memory of what it held if that was of the same kind and shape.
    pub fn renew<'s, E: Element>(slot: &'s mut Option<Self>, level: SimdLevel, b: Matrix<'_, E>) -> &'s Self {
        let before = slot.take();
        slot.insert(visit_level!(level, E, K => Self::pack::<K, E>(&b, before)))
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }

    /// As [`crate::fingerprint::fingerprint`], of what it holds; kernels of other levels hold the same numbers otherwise.
    pub fn fingerprint(&self) -> u64 {
        self.panels.fingerprint()
    }

    /// Whether the products of `K` of numbers stored as `E` can read it.
    pub(super) fn is_for<K: Kernel, E: Element>(&self) -> bool {
        self.kernel == K::LEVEL && self.is_bf16 == E::IS_BF16
    }

    fn pack<K: Kernel, E: Element>(b: &Matrix<'_, E>, before: Option<Self>) -> Self {
        let Matrix { rows: k, cols: n, .. } = *b;
        let is_same = |p: &Self| (p.k, p.n) == (k, n) && p.is_for::<K, E>();
        let mut packed = before.filter(is_same).unwrap_or_else(|| {
            let panels = Panels::owned::<K::Packed>(n, K::NR, k.next_multiple_of(K::K_PAD));
            Self { panels, k, n, kernel: K::LEVEL, is_bf16: E::IS_BF16 }
        });
        fill::<K, E>(&mut packed.panels, b, [0, n], Threads::All);
        packed
    }
}

/// Columns `from..to` of `b`, packed.
pub(super) fn pack_b<K: Kernel, E: Element>(b: &Matrix<'_, E>, [from, to]: [usize; 2], threads: Threads) -> Panels {
    let mut panels = Panels::lent::<K::Packed>(to - from, K::NR, b.rows.next_multiple_of(K::K_PAD));
    fill::<K, E>(&mut panels, b, [from, to], threads);
    panels
}

fn fill<K: Kernel, E: Element>(panels: &mut Panels, b: &Matrix<'_, E>, [from, to]: [usize; 2], threads: Threads) {
    let transposed = b.t();
    panels.fill(threads, |lane, packed| K::pack_b(&transposed, from + lane, to, packed));
}
