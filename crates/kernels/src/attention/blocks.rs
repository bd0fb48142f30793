//! Packed blocks of keys and values, and a task's memory.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::{Example, Heads};
use crate::Element;
use crate::product::Matrix;
use crate::product::micro::Kernel;
use crate::product::panels::Panels;

/// Keys of a block; every kernel's rows, columns and depth divide it.
pub const KEYS: usize = 192;

/// Sizes rounded up to what a kernel takes.
pub fn deep<K: Kernel>(x: usize) -> usize {
    x.next_multiple_of(K::DEPTH)
}
/// Steps of a sum, as a kernel takes them.
pub fn steps<K: Kernel>(x: usize) -> usize {
    x.next_multiple_of(K::STEP)
}
pub fn tall<K: Kernel>(x: usize) -> usize {
    x.next_multiple_of(K::ROWS)
}
pub fn wide<K: Kernel>(x: usize) -> usize {
    x.next_multiple_of(K::COLUMNS)
}

/// How a block is packed as a left operand.
#[derive(Clone, Copy)]
pub enum Form {
    /// Rows are tokens, summed over a head's numbers.
    Tokens,
    /// Rows are a head's numbers, summed over tokens.
    Turned,
}

/// Numbers of a packed block of `tokens` tokens.
fn size<K: Kernel>(form: Form, tokens: usize, width: usize) -> usize {
    match form {
        Form::Tokens => tall::<K>(tokens) * deep::<K>(width),
        Form::Turned => tall::<K>(width) * deep::<K>(tokens),
    }
}

/// Blocks of [`KEYS`] tokens of every example and key/value head, each packed in some forms.
pub struct Blocks<K> {
    panels: Panels,
    /// Where the blocks of an example begin, and how many numbers those of one head have.
    places: Vec<[usize; 2]>,
    /// Numbers of a whole block up to each form and in all.
    forms: Vec<(Form, usize)>,
    width: usize,
    of: PhantomData<fn() -> K>,
}

impl<K: Kernel> Blocks<K> {
    /// Packs `forms`: the column of `qkv` where the first key/value head begins, and how to pack.
    pub fn new<E: Element>(heads: Heads, examples: &[Example], qkv: &[E], forms: &[(usize, Form)]) -> Self {
        let width = heads.width;
        let all = |tokens: usize| forms.iter().map(|f| size::<K>(f.1, tokens, width)).sum::<usize>();
        let mut total = 0;
        let mut places = Vec::with_capacity(examples.len());
        for example in examples {
            let of_head = example.len() / KEYS * all(KEYS) + all(example.len() % KEYS);
            places.push([total, of_head]);
            total += of_head * heads.kv_heads;
        }
        let mut panels = Panels::lent::<K::Packed>(1, 1, total);
        let mut rest = panels.all();
        let mut tasks = Vec::new();
        for example in examples {
            for head in 0..heads.kv_heads {
                for from in (example.from..example.to).step_by(KEYS) {
                    let tokens = KEYS.min(example.to - from);
                    for &(column, form) in forms {
                        let (packed, after) = rest.split_at_mut(size::<K>(form, tokens, width));
                        rest = after;
                        let data = &qkv[from * heads.row() + column + head * width..];
                        tasks.push((Matrix::strided(data, tokens, width, heads.row()), [tokens, width], form, packed));
                    }
                }
            }
        }
        tasks.into_par_iter().for_each(|(matrix, [tokens, width], form, packed)| match form {
            Form::Tokens => left::<K, E>(matrix, [tokens, width], packed, width),
            Form::Turned => left::<K, E>(matrix.t(), [width, tokens], packed, tokens),
        });
        let mut before = 0;
        let forms = forms.iter().map(|f| {
            let at = before;
            before += size::<K>(f.1, KEYS, width);
            (f.1, at)
        });
        Self { panels, places, forms: forms.collect(), width, of: PhantomData }
    }

    /// Block `block` of an example of `length` tokens, in one of the forms.
    pub fn at(&self, example: usize, head: usize, block: usize, length: usize, form: usize) -> *const K::Packed {
        let [start, of_head] = self.places[example];
        let whole: usize = self.forms.iter().map(|f| size::<K>(f.0, KEYS, self.width)).sum();
        let tokens = KEYS.min(length - block * KEYS);
        let before: usize = self.forms[..form].iter().map(|f| size::<K>(f.0, tokens, self.width)).sum();
        self.panels.at(0, start + head * of_head + block * whole + before)
    }
}

/// Packs a `[rows, k]` matrix as a left operand, panels of `room` steps each (rounded to the kernel's depth).
pub fn left<K: Kernel, E: Element>(
    matrix: Matrix<'_, E>,
    [rows, k]: [usize; 2],
    packed: &mut [K::Packed],
    room: usize,
) {
    let (stride, length) = (K::ROWS * deep::<K>(room), K::ROWS * deep::<K>(k));
    for (i, panel) in packed.chunks_mut(stride).take(rows.div_ceil(K::ROWS)).enumerate() {
        K::pack_a(&matrix, i * K::ROWS, rows, &mut panel[..length]);
    }
}

/// Packs the transpose of a right operand, `[columns, k]`; panels of `room` steps each (rounded to the depth).
pub fn right<K: Kernel, E: Element>(
    matrix: Matrix<'_, E>,
    [columns, k]: [usize; 2],
    packed: &mut [K::Packed],
    room: usize,
) {
    let (stride, length) = (K::COLUMNS * deep::<K>(room), K::COLUMNS * deep::<K>(k));
    for (i, panel) in packed.chunks_mut(stride).take(columns.div_ceil(K::COLUMNS)).enumerate() {
        K::pack_b(&matrix, i * K::COLUMNS, columns, &mut panel[..length]);
    }
}

/// f32s that hold `n` numbers of `T`, in whole cache lines.
pub const fn room<T>(n: usize) -> usize {
    (n * size_of::<T>()).div_ceil(64) * 16
}

/// A task's memory, given out piece by piece.
pub struct Arena<'a>(pub &'a mut [f32]);

impl<'a> Arena<'a> {
    /// `n` numbers of any value, at the beginning of a cache line.
    pub fn take<T>(&mut self, n: usize) -> &'a mut [T]
    where
        T: Copy + Send + Sync,
    {
        let (piece, rest) = std::mem::take(&mut self.0).split_at_mut(room::<T>(n));
        self.0 = rest;
        // SAFETY: the piece is long enough, aligned to a cache line and initialised; what kernels pack is f32 or bf16,
        // of which any bytes are a number.
        unsafe { std::slice::from_raw_parts_mut(piece.as_mut_ptr().cast::<T>(), n) }
    }
}
