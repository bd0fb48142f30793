//! A quantised matrix in memory, and as an operand of products.

use std::ops::Deref;
use std::sync::Arc;

#[cfg(target_arch = "x86_64")]
use half::bf16;
use rayon::prelude::*;

use super::nf4::{ABSMAX_CODE, BLOCK, BYTES, SCALES, nearest, quantise};
#[cfg(target_arch = "x86_64")]
use super::pairs;
use super::types::QuantType;
use super::unpack::{GROUP, Piece, Source, unpack_rows};
use crate::fingerprint::mixed;
use crate::machine::mapping::Mapping;
use crate::prefetch::prefetch;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel};

/// A quantised matrix, row after row of blocks.
#[derive(Clone, PartialEq)]
pub struct QuantTensor {
    kind: QuantType,
    rows: usize,
    cols: usize,
    data: Bytes,
    /// Of NF4: the scale of each [`SCALES`] blocks' scales, and what is added to these.
    scales: Vec<f32>,
    offset: f32,
}

/// Where blocks are.
#[derive(Clone, Debug)]
enum Bytes {
    Owned(Vec<u8>),
    /// In a file, from this byte on, so many.
    Mapped(Arc<Mapping>, usize, usize),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(mapping, from, len) => &mapping[*from..][..*len],
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for QuantTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}, {}]", self.kind.name(), self.rows, self.cols)
    }
}

/// A [`QuantTensor`] as an operand: as it is, or transposed; nothing is moved.
#[derive(Clone, Copy, Debug)]
pub struct QuantMatrix<'a> {
    pub(crate) tensor: &'a QuantTensor,
    pub(crate) is_turned: bool,
}

impl QuantMatrix<'_> {
    /// Transposed.
    pub fn t(self) -> Self {
        Self { is_turned: !self.is_turned, ..self }
    }

    pub(crate) fn dims(&self) -> [usize; 2] {
        let QuantTensor { rows, cols, .. } = *self.tensor;
        if self.is_turned { [cols, rows] } else { [rows, cols] }
    }
}

impl QuantTensor {
    /// Bytes of GGML's blocks; none where they are not those of `[rows, cols]`, or the type is none of GGML's.
    pub fn new(kind: QuantType, [rows, cols]: [usize; 2], data: Vec<u8>) -> Option<Self> {
        let fits = kind != QuantType::Nf4 && kind.bytes(rows, cols) == Some(data.len());
        fits.then(|| Self { kind, rows, cols, data: Bytes::Owned(data), scales: Vec::new(), offset: 0.0 })
    }

    /// As [`QuantTensor::new`], of blocks that stay in a file, from byte `from` on.
    pub fn mapped(kind: QuantType, [rows, cols]: [usize; 2], file: &Arc<Mapping>, from: usize) -> Option<Self> {
        let len = kind.bytes(rows, cols).filter(|_| kind != QuantType::Nf4)?;
        file.get(from..from.checked_add(len)?)?;
        let data = Bytes::Mapped(file.clone(), from, len);
        Some(Self { kind, rows, cols, data, scales: Vec::new(), offset: 0.0 })
    }

    /// Has the system begin to read it, where it is in a file and not in memory.
    pub fn will_need(&self) {
        if let Bytes::Mapped(mapping, from, len) = &self.data {
            mapping.will_need(*from, *len);
        }
    }

    /// Whether it is in a file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.data, Bytes::Mapped(..))
    }

    /// Quantises a matrix whose rows `row(i, …)` fills in, of finite numbers; none where a row is not whole blocks of 64.
    pub fn nf4([rows, cols]: [usize; 2], row: impl Fn(usize, &mut [f32]) + Sync) -> Option<Self> {
        QuantType::Nf4.bytes(rows, cols)?;
        let (blocks, level) = (cols / BLOCK, SimdLevel::best());
        let mut data = vec![0u8; rows * blocks * BYTES];
        let mut largest = vec![0f32; rows * blocks];
        if !data.is_empty() {
            let each = data.par_chunks_mut(blocks * BYTES).zip(largest.par_chunks_mut(blocks)).enumerate();
            each.for_each_init(
                || vec![0f32; cols],
                |numbers, (i, (data, largest))| {
                    row(i, numbers);
                    let blocks = numbers.as_chunks::<BLOCK>().0.iter().zip(data.as_chunks_mut::<BYTES>().0);
                    blocks
                        .zip(largest)
                        .for_each(|((numbers, bytes), largest)| *largest = quantise(level, numbers, bytes));
                },
            );
        }
        let offset = (largest.iter().map(|x| f64::from(*x)).sum::<f64>() / largest.len().max(1) as f64) as f32;
        let mut scales = Vec::with_capacity(largest.len().div_ceil(SCALES));
        for (largest, bytes) in largest.chunks(SCALES).zip(data.chunks_mut(SCALES * BYTES)) {
            let scale = largest.iter().fold(0f32, |scale, x| scale.max((x - offset).abs()));
            for (x, block) in largest.iter().zip(bytes.as_chunks_mut::<BYTES>().0) {
                let share = if scale == 0.0 { 0.0 } else { (x - offset) / scale };
                block[0] = nearest(&ABSMAX_CODE, share) as u8;
            }
            scales.push(scale);
        }
        Some(Self { kind: QuantType::Nf4, rows, cols, data: Bytes::Owned(data), scales, offset })
    }

    pub fn kind(&self) -> QuantType {
        self.kind
    }

    /// Rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.data.len() + size_of_val(self.scales.as_slice())
    }

    /// As an operand `[rows, cols]`.
    pub fn matrix(&self) -> QuantMatrix<'_> {
        QuantMatrix { tensor: self, is_turned: false }
    }

    /// The numbers of a row, rounded to `E`.
    ///
    /// # Panics
    /// When there is no such row, or `out` is not as long as one.
    pub fn unpack_row<E: Element>(&self, level: SimdLevel, row: usize, out: &mut [E]) {
        assert!(row < self.rows && out.len() == self.cols, "a row outside of a quantised matrix");
        self.unpack(level, Piece { rows: [row, row + 1], groups: [0, self.cols / GROUP] }, out, self.cols);
    }

    /// All numbers, row after row, rounded to `E`.
    pub fn to_vec<E: Element>(&self, level: SimdLevel) -> Vec<E> {
        let mut out = vec![E::default(); self.rows * self.cols];
        if out.is_empty() {
            return out;
        }
        let at_once = task_of_rows(self.cols) / self.cols;
        out.par_chunks_mut(at_once * self.cols).enumerate().for_each(|(i, out)| {
            let rows = [i * at_once, i * at_once + out.len() / self.cols];
            self.unpack(level, Piece { rows, groups: [0, self.cols / GROUP] }, out, self.cols);
        });
        out
    }

    /// A number that is not finite, the first of them; none where all are.
    pub fn not_finite(&self, level: SimdLevel) -> Option<f32> {
        let is_not = |row: usize| -> Option<f32> {
            let mut numbers = [0f32; GROUP];
            (0..self.cols / GROUP).find_map(|group| {
                let piece = Piece { rows: [row, row + 1], groups: [group, group + 1] };
                self.unpack(level, piece, &mut numbers, GROUP);
                let are_finite = numbers.iter().fold(true, |all, number| all & number.is_finite());
                if are_finite { None } else { numbers.iter().copied().find(|number| !number.is_finite()) }
            })
        };
        (0..self.rows).into_par_iter().with_min_len(16).find_map_first(is_not)
    }

    /// The same numbers with the rows in another order: row `i` of the result is row `order(i)`. Not of NF4, whose blocks
    /// know their place.
    ///
    /// # Panics
    /// When `order` names no row.
    pub fn with_rows(self, order: impl Fn(usize) -> usize) -> Self {
        debug_assert!(self.kind != QuantType::Nf4);
        let width = self.data.len() / self.rows.max(1);
        let mut data = Vec::with_capacity(self.data.len());
        (0..self.rows).for_each(|i| data.extend_from_slice(&self.data[order(i) * width..][..width]));
        Self { data: Bytes::Owned(data), ..self }
    }

    /// A number that changes when any byte does.
    pub fn fingerprint(&self) -> u64 {
        let of = |bytes: &[u8]| mixed(bytes.iter().map(|byte| u64::from(*byte)));
        let data: Vec<u64> = self.data.par_chunks(1 << 16).map(of).collect();
        let scales = self.scales.iter().chain([&self.offset]).map(|scale| u64::from(scale.to_bits()));
        mixed(data.into_iter().chain(scales))
    }

    /// Some groups of some rows, to rows of `out` that are `stride` apart.
    pub(crate) fn unpack<E: Element>(&self, level: SimdLevel, piece: Piece, out: &mut [E], stride: usize) {
        unpack_rows::<E>(level, self.source(), piece, out, stride);
    }

    /// Asks for some groups of some rows to be brought near; those that there are not are left out.
    pub(crate) fn will_read(&self, Piece { rows, groups }: Piece) {
        let (blocks, bytes, group) =
            (self.cols / self.kind.elements(), self.kind.block_bytes(), self.kind.elements() / GROUP);
        let [from, to] = [groups[0] / group, groups[1].div_ceil(group)];
        for row in rows[0]..rows[1].min(self.rows) {
            prefetch(self.data[(row * blocks + from) * bytes..].as_ptr(), (to - from) * bytes);
        }
    }

    /// The same of `R` rows as a panel of pairs of bf16, where format and rows can be unpacked so: whether they were.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn pack_pairs<const R: usize>(&self, piece: Piece, panel: &mut [bf16]) -> bool {
        debug_assert!(SimdLevel::best() >= SimdLevel::Avx512Bf16);
        // SAFETY: only kernels that multiply pairs of bf16 ask for it.
        piece.rows[1] - piece.rows[0] == R
            && unsafe { pairs::pack_groups::<R>(self.source(), piece.rows[0], piece.groups, panel) }
    }

    fn source(&self) -> Source<'_> {
        Source {
            kind: self.kind,
            data: &self.data,
            blocks: self.cols / self.kind.elements(),
            scales: &self.scales,
            offset: self.offset,
        }
    }
}
