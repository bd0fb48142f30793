//! The gate of a feed-forward layer, `silu(gate) · up` (Shazeer 2020, "GLU variants improve transformer").
//!
//! Letters in shapes: `n` tokens, `f` inner width. Gate and up stand side by side in a row, as one product forms them.

use rayon::prelude::*;

use crate::simd::exp::sigmoid;
use crate::simd::lanes::{WIDE, load, store};
use crate::simd::multiversion::multiversion;
use crate::tasks::task_of_rows;
use crate::{Element, SimdLevel};

/// `silu(gate) · up`, where `silu(g) = g / (1 + e^-g)`.
///
/// # Shapes
/// `gate_up [n, 2f]`, a row's gate before its up; `out [n, f]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn swiglu<E: Element>(level: SimdLevel, gate_up: &[E], out: &mut [E], f: usize) {
    assert!(gate_up.len() == 2 * out.len() && (out.is_empty() || f > 0), "the shapes of a gate do not fit");
    if out.is_empty() {
        return;
    }
    let task = task_of_rows(f);
    out.par_chunks_mut(task).zip(gate_up.par_chunks(2 * task)).for_each(|(out, x)| rows(level, x, out, f));
}

/// Overwrites gate and up by their gradients, `d_out · up · silu'(gate)` and `d_out · silu(gate)`, where
/// `silu' = s + silu - silu s` with `s` the sigmoid.
///
/// # Shapes
/// `gate_up [n, 2f]`, a row's gate before its up; `d_out [n, f]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn swiglu_backward<E: Element>(level: SimdLevel, gate_up: &mut [E], d_out: &[E], f: usize) {
    assert!(gate_up.len() == 2 * d_out.len() && (d_out.is_empty() || f > 0), "the shapes of a gate do not fit");
    if d_out.is_empty() {
        return;
    }
    let task = task_of_rows(f);
    let tasks = gate_up.par_chunks_mut(2 * task).zip(d_out.par_chunks(task));
    tasks.for_each(|(gate_up, d_out)| rows_backward(level, gate_up, d_out, f));
}

multiversion! {
    fn rows<E>(gate_up: &[E], out: &mut [E], f: usize) {
        for (x, out) in gate_up.chunks_exact(2 * f).zip(out.chunks_exact_mut(f)) {
            let (gate, up) = x.split_at(f);
            for ((gate, up), out) in gate.iter().zip(up).zip(out) {
                let gate = gate.to_f32();
                *out = E::from_f32(gate * sigmoid(gate) * up.to_f32());
            }
        }
    }
}

multiversion! {
    fn rows_backward<E>(gate_up: &mut [E], d_out: &[E], f: usize) {
        for (x, d_out) in gate_up.chunks_exact_mut(2 * f).zip(d_out.chunks_exact(f)) {
            let (gate, up) = x.split_at_mut(f);
            let (gate, rest_gate) = gate.as_chunks_mut::<WIDE>();
            let (up, rest_up) = up.as_chunks_mut::<WIDE>();
            let (d_out, rest_d) = d_out.as_chunks::<WIDE>();
            for ((gate, up), d_out) in gate.iter_mut().zip(up).zip(d_out) {
                let (g, u, d) = (load(gate), load(up), load(d_out));
                let (mut d_gate, mut d_up) = (g, u);
                for i in 0..WIDE {
                    [d_gate[i], d_up[i]] = backward(g[i], u[i], d[i]);
                }
                store(gate, &d_gate);
                store(up, &d_up);
            }
            for ((gate, up), d) in rest_gate.iter_mut().zip(rest_up).zip(rest_d) {
                let [d_gate, d_up] = backward(gate.to_f32(), up.to_f32(), d.to_f32());
                *gate = E::from_f32(d_gate);
                *up = E::from_f32(d_up);
            }
        }
    }
}

/// The gradients of gate and up.
#[inline(always)]
fn backward(gate: f32, up: f32, d: f32) -> [f32; 2] {
    let s = sigmoid(gate);
    let silu = gate * s;
    [d * up * (s + silu - silu * s), d * silu]
}
