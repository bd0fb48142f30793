//! Packed blocks of keys and values.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::heads::{Heads, Sequence};
use super::operands::{pack_lhs, round_up_k, round_up_rows};
use crate::Element;
use crate::gemm::Matrix;
use crate::gemm::kernel::Kernel;
use crate::gemm::panels::Panels;

/// Keys of a block; every kernel's `MR`, `NR` and padding divide it.
pub const KEYS: usize = 192;

/// How a block is packed as a left operand.
#[derive(Clone, Copy)]
pub enum Layout {
    /// Rows are tokens, summed over a head's numbers.
    Tokens,
    /// Rows are a head's numbers, summed over tokens.
    Transposed,
}

/// Numbers of a packed block of `tokens` tokens.
fn size<K: Kernel>(layout: Layout, tokens: usize, head_dim: usize) -> usize {
    match layout {
        Layout::Tokens => round_up_rows::<K>(tokens) * round_up_k::<K>(head_dim),
        Layout::Transposed => round_up_rows::<K>(head_dim) * round_up_k::<K>(tokens),
    }
}

/// Blocks of [`KEYS`] tokens of every sequence and key/value head, each packed in some layouts.
pub struct KvBlocks<K> {
    panels: Panels,
    /// Where the blocks of a sequence begin, and how many numbers those of one head have.
    offsets: Vec<[usize; 2]>,
    layouts: Vec<Layout>,
    head_dim: usize,
    of: PhantomData<fn() -> K>,
}

impl<K: Kernel> KvBlocks<K> {
    /// Packs `layouts`: the column of `qkv` where the first key/value head begins, and how to pack.
    pub fn new<E: Element>(heads: Heads, sequences: &[Sequence], qkv: &[E], layouts: &[(usize, Layout)]) -> Self {
        let head_dim = heads.head_dim;
        let all = |tokens: usize| layouts.iter().map(|l| size::<K>(l.1, tokens, head_dim)).sum::<usize>();
        let mut total = 0;
        let mut offsets = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let of_head = sequence.len() / KEYS * all(KEYS) + all(sequence.len() % KEYS);
            offsets.push([total, of_head]);
            total += of_head * heads.kv_heads;
        }
        let mut panels = Panels::lent::<K::Packed>(1, 1, total);
        let mut rest = panels.all();
        let mut tasks = Vec::new();
        for sequence in sequences {
            for head in 0..heads.kv_heads {
                for from in (sequence.from..sequence.to).step_by(KEYS) {
                    let tokens = KEYS.min(sequence.to - from);
                    for &(column, layout) in layouts {
                        let (packed, after) = rest.split_at_mut(size::<K>(layout, tokens, head_dim));
                        rest = after;
                        let data = &qkv[from * heads.row() + column + head * head_dim..];
                        let matrix = Matrix::strided(data, tokens, head_dim, heads.row());
                        tasks.push((matrix, [tokens, head_dim], layout, packed));
                    }
                }
            }
        }
        tasks.into_par_iter().for_each(|(matrix, [tokens, head_dim], layout, packed)| match layout {
            Layout::Tokens => pack_lhs::<K, E>(matrix, [tokens, head_dim], packed, head_dim),
            Layout::Transposed => pack_lhs::<K, E>(matrix.t(), [head_dim, tokens], packed, tokens),
        });
        let layouts = layouts.iter().map(|l| l.1).collect();
        Self { panels, offsets, layouts, head_dim, of: PhantomData }
    }

    /// Block `block` of a sequence of `length` tokens, in one of the layouts.
    pub fn at(&self, sequence: usize, head: usize, block: usize, length: usize, layout: usize) -> *const K::Packed {
        let [start, of_head] = self.offsets[sequence];
        let whole: usize = self.layouts.iter().map(|l| size::<K>(*l, KEYS, self.head_dim)).sum();
        let tokens = KEYS.min(length - block * KEYS);
        let before: usize = self.layouts[..layout].iter().map(|l| size::<K>(*l, tokens, self.head_dim)).sum();
        self.panels.at(0, start + head * of_head + block * whole + before)
    }
}
