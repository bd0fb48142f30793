//! The right operand of a product: a matrix as it lies, quantised, or packed once for many products.

use half::bf16;

use super::kernel::Kernel;
use super::matrix::Matrix;
use super::panels::{Panels, Threads};
use super::pieces::{Right, pack_matrix};
use crate::quant::QuantMatrix;
use crate::simd::dispatch::visit_level;
use crate::{Element, SimdLevel};

/// The right operand of a term, `[k, n]`.
#[derive(Clone, Copy)]
pub enum Rhs<'a, E> {
    Plain(Matrix<'a, E>),
    /// The products are to the bit those of its numbers rounded to `E`.
    Quantised(QuantMatrix<'a>),
    Packed(&'a PackedRhs),
}

impl<'a, E> From<Matrix<'a, E>> for Rhs<'a, E> {
    fn from(matrix: Matrix<'a, E>) -> Self {
        Self::Plain(matrix)
    }
}

impl<'a, E> From<QuantMatrix<'a>> for Rhs<'a, E> {
    fn from(matrix: QuantMatrix<'a>) -> Self {
        Self::Quantised(matrix)
    }
}

impl<'a, E> From<&'a PackedRhs> for Rhs<'a, E> {
    fn from(packed: &'a PackedRhs) -> Self {
        Self::Packed(packed)
    }
}

impl<'a, E: Element> Rhs<'a, E> {
    /// Where blocks of a product by `K` find it.
    pub(super) fn right<K: Kernel>(&self) -> Right<'a, E> {
        match *self {
            Self::Plain(b) => Right::Matrix(b),
            Self::Quantised(b) => Right::Quantised(b),
            Self::Packed(b) if is_narrow::<K, E>() => Right::Narrow(&b.panels),
            Self::Packed(b) => Right::Panels { panels: &b.panels, origin: 0 },
        }
    }

    /// `k` and `n`.
    pub(super) fn dims(&self) -> [usize; 2] {
        match self {
            Self::Plain(b) => [b.rows, b.cols],
            Self::Quantised(b) => b.dims(),
            Self::Packed(b) => [b.k, b.n],
        }
    }
}

/// A right operand `[k, n]` as the kernels of one level and one kind of number read it. One of bf16 takes two bytes a number
/// on every level: kernels of f32 widen a piece of it when they come to it.
pub struct PackedRhs {
    panels: Panels,
    k: usize,
    n: usize,
    kernel: SimdLevel,
    is_bf16: bool,
}

/// Steps of `k` that are packed at a time where they are narrowed behind it.
const NARROWED_STEPS: usize = 64;

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
            let length = k.next_multiple_of(K::K_PAD);
            let panels = match is_narrow::<K, E>() {
                true => Panels::owned::<bf16>(n, K::NR, length),
                false => Panels::owned::<K::Packed>(n, K::NR, length),
            };
            Self { panels, k, n, kernel: K::LEVEL, is_bf16: E::IS_BF16 }
        });
        if !is_narrow::<K, E>() {
            packed.panels.fill(Threads::All, |lane, panel| pack_matrix::<K, E>(b, [lane, n], [0, k], panel));
            return packed;
        }
        packed.panels.fill(Threads::All, |lane, panel: &mut [bf16]| {
            let mut wide = vec![K::Packed::default(); NARROWED_STEPS * K::NR];
            for (narrow, first) in panel.chunks_mut(NARROWED_STEPS * K::NR).zip((0..k).step_by(NARROWED_STEPS)) {
                let wide = &mut wide[..narrow.len()];
                pack_matrix::<K, E>(b, [lane, n], [first, k.min(first + NARROWED_STEPS)], wide);
                K::convert(wide, narrow);
            }
        });
        packed
    }
}

/// Whether packed operands are held as bf16 though the kernel multiplies f32.
fn is_narrow<K: Kernel, E: Element>() -> bool {
    E::IS_BF16 && size_of::<K::Packed>() > size_of::<bf16>()
}
