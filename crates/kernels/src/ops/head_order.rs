//! Queries, keys and values in another order: head by head, as BLOOM's and GPT-NeoX' weights yield them, or all queries
//! before all keys before all values, as attention reads them.
//!
//! Letters in shapes: `n` tokens, `h` heads, `e` head width.

use rayon::prelude::*;

use crate::Element;
use crate::tasks::task_of_rows;

/// From `x [n, h, 3, e]` to `out [n, 3, h, e]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn blocks_of_heads<E: Element>(x: &[E], [heads, head_dim]: [usize; 2], out: &mut [E]) {
    transpose_rows(x, [heads, 3, head_dim], out);
}

/// From `x [n, 3, h, e]` to `out [n, h, 3, e]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn heads_of_blocks<E: Element>(x: &[E], [heads, head_dim]: [usize; 2], out: &mut [E]) {
    transpose_rows(x, [3, heads, head_dim], out);
}

/// From `[n, a, b, e]` to `[n, b, a, e]`.
fn transpose_rows<E: Element>(x: &[E], [a, b, e]: [usize; 3], out: &mut [E]) {
    let row = a * b * e;
    assert!(x.len() == out.len() && (row == 0 || x.len().is_multiple_of(row)), "the shapes of heads do not fit");
    if x.is_empty() {
        return;
    }
    let task = task_of_rows(row);
    out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(row).zip(x.chunks_exact(row)) {
            for (i, piece) in x.chunks_exact(e).enumerate() {
                let (of_a, of_b) = (i / b, i % b);
                out[(of_b * a + of_a) * e..][..e].copy_from_slice(piece);
            }
        }
    });
}
