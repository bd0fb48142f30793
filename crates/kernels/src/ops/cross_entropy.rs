//! What follows from logits: cross-entropies with their gradient, and the likeliest token.
//!
//! Letters in shapes: `m` rows, `v` vocabulary.

use rayon::prelude::*;

use crate::simd::exp::exp;
use crate::simd::lanes::{self, WIDE};
use crate::simd::multiversion::multiversion;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel};

/// Cross-entropies of `labels`, `log Σ e^logits - logits[label]`, in nats, and `scale` times their gradient,
/// `softmax(logits)` less one at the label. A row with NaN or +inf gives NaN.
///
/// # Shapes
/// `logits`, `gradient` `[m, v]`; `labels`, `losses` `[m]`.
///
/// # Panics
/// When the lengths do not fit, or a label is not below `v`.
pub fn cross_entropy<E: Element>(
    level: SimdLevel,
    logits: &[f32],
    labels: &[u32],
    losses: &mut [f32],
    gradient: &mut [E],
    scale: f32,
) {
    assert_eq!(logits.len(), gradient.len(), "the shapes of logits and their gradient do not fit");
    let Some(v) = width(logits, labels, losses) else { return };
    let task = task_of_rows(v);
    let read = logits.par_chunks(task).zip(labels.par_chunks(task / v));
    let tasks = gradient.par_chunks_mut(task).zip(losses.par_chunks_mut(task / v)).zip(read);
    tasks.for_each_init(
        || vec![0f32; v],
        |powers, ((gradient, losses), (logits, labels))| {
            let rows = gradient.chunks_exact_mut(v).zip(losses).zip(logits.chunks_exact(v)).zip(labels);
            for (((gradient, loss), logits), &label) in rows {
                *loss = row(level, logits, label as usize, gradient, scale, powers);
            }
        },
    );
}

/// Cross-entropies alone, as [`cross_entropy`] gives them.
///
/// # Shapes
/// `logits [m, v]`; `labels`, `losses` `[m]`.
///
/// # Panics
/// When the lengths do not fit, or a label is not below `v`.
pub fn losses(level: SimdLevel, logits: &[f32], labels: &[u32], losses: &mut [f32]) {
    let Some(v) = width(logits, labels, losses) else { return };
    let task = task_of_rows(v);
    let read = logits.par_chunks(task).zip(labels.par_chunks(task / v));
    losses.par_chunks_mut(task / v).zip(read).for_each(|(losses, (logits, labels))| {
        for ((loss, logits), &label) in losses.iter_mut().zip(logits.chunks_exact(v)).zip(labels) {
            *loss = row_loss(level, logits, label as usize);
        }
    });
}

/// The place of each row's largest logit, of equal ones the first; `u32::MAX` for a row with NaN or +inf.
///
/// # Shapes
/// `logits [m, v]`; `out [m]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn argmax(level: SimdLevel, logits: &[f32], v: usize, out: &mut [u32]) {
    assert!(logits.len() == out.len() * v && (out.is_empty() || v > 0), "the shapes of logits do not fit");
    if out.is_empty() {
        return;
    }
    let task = task_of_rows(v);
    out.par_chunks_mut(task / v).zip(logits.par_chunks(task)).for_each(|(out, logits)| {
        for (out, logits) in out.iter_mut().zip(logits.chunks_exact(v)) {
            *out = row_argmax(level, logits);
        }
    });
}

/// `v`, unless there are no rows.
fn width(logits: &[f32], labels: &[u32], losses: &[f32]) -> Option<usize> {
    let m = labels.len();
    if m == 0 && losses.is_empty() && logits.is_empty() {
        return None;
    }
    let fits = m > 0 && losses.len() == m && !logits.is_empty() && logits.len().is_multiple_of(m);
    assert!(fits, "the shapes of logits and labels do not fit");
    Some(logits.len() / m)
}

multiversion! {
    /// The loss of a row, and its gradient; `powers` is for the exponentials, which are formed once.
    fn row<E>(logits: &[f32], label: usize, gradient: &mut [E], scale: f32, powers: &mut [f32]) -> f32 {
        let max = lanes::max(logits);
        let mut sums = [0f32; WIDE];
        let ((x, rest_x), (y, rest_y)) = (logits.as_chunks::<WIDE>(), powers.as_chunks_mut::<WIDE>());
        for (x, y) in x.iter().zip(y) {
            for i in 0..WIDE {
                y[i] = exp(x[i] - max);
                sums[i] += y[i];
            }
        }
        for ((sum, x), y) in sums.iter_mut().zip(rest_x).zip(rest_y) {
            *y = exp(x - max);
            *sum += *y;
        }
        let sum = lanes::total(sums);
        let factor = scale / sum;
        for (gradient, power) in gradient.iter_mut().zip(&*powers) {
            *gradient = E::from_f32(power * factor);
        }
        gradient[label] = E::from_f32(scale * (powers[label] / sum - 1.0));
        (max - logits[label]) + sum.ln()
    }
}

multiversion! {
    fn row_loss(logits: &[f32], label: usize) -> f32 {
        let max = lanes::max(logits);
        let sum = lanes::sum(logits, |x| exp(x - max));
        (max - logits[label]) + sum.ln()
    }
}

/// Elements among which the largest is looked for at once.
const BLOCK: usize = 1024;

multiversion! {
    fn row_argmax(logits: &[f32]) -> u32 {
        let (mut best, mut start) = (f32::NEG_INFINITY, 0);
        let mut is_bad = false;
        for (i, block) in logits.chunks(BLOCK).enumerate() {
            // NaN is the one number that differs from itself; +inf less itself is NaN.
            is_bad |= block.iter().fold(0u32, |bad, x| bad | u32::from(x.is_nan() || *x == f32::INFINITY)) != 0;
            let max = lanes::max(block);
            if max > best {
                (best, start) = (max, i * BLOCK);
            }
        }
        if is_bad {
            return u32::MAX;
        }
        // Where all are -inf, that is the first.
        let within = logits[start..].iter().position(|x| *x == best).unwrap_or(0);
        (start + within) as u32
    }
}
