//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), as PyTorch computes it.
//!
//! Per element, with step `t` from 1 and gradient `g`:
//! `w -= lr·decay·w`, `m = β1 m + (1-β1) g`, `v = β2 v + (1-β2) g²`,
//! `w -= lr/(1-β1^t) · m / (sqrt(v)/sqrt(1-β2^t) + ε)`.
//! Weights and moments are f32: at a learning rate of 5e-6 a step would vanish in bf16.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use tunebench_spec::Recipe;

/// First and second moment of one tensor's gradients, element by element in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

/// The numbers of one step, the same for all tensors but for the learning rate.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    learning_rate: f64,
    weight_decay: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    /// `1 - β1^t` and `1 - β2^t`.
    correction1: f64,
    correction2: f64,
    /// What gradients are multiplied with: one over the label tokens, times the clipping factor.
    gradient_scale: f64,
}

impl Step {
    /// Step `t` (from 1) at a learning rate.
    pub fn new(recipe: &Recipe, t: u64, learning_rate: f64, gradient_scale: f64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(t as f64);
        Self {
            learning_rate,
            weight_decay: recipe.weight_decay,
            beta1: recipe.beta1,
            beta2: recipe.beta2,
            epsilon: recipe.epsilon,
            correction1: correction(recipe.beta1),
            correction2: correction(recipe.beta2),
            gradient_scale,
        }
    }

    /// Updates a variable on the CPU and its moments by the gradient of the sum of losses.
    ///
    /// # Errors
    /// When the variable is on another device or not f32.
    pub fn apply(&self, var: &Var, gradient: &Tensor, moments: &mut Moments, lr_scale: f64) -> Result<()> {
        let n = var.elem_count();
        for moment in [&mut moments.first, &mut moments.second] {
            moment.resize(n, 0.0);
        }
        let step = Self { learning_rate: self.learning_rate * lr_scale, ..*self };
        let update = Update { step, moments: Mutex::new(moments) };
        var.as_tensor().inplace_op2(&gradient.contiguous()?, &update)
    }

    fn update(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let decay = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let (beta1, beta2) = (self.beta1 as f32, self.beta2 as f32);
        let (rest1, rest2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let rate = (self.learning_rate / self.correction1) as f32;
        let root = (1.0 / self.correction2.sqrt()) as f32;
        let (epsilon, scale) = (self.epsilon as f32, self.gradient_scale as f32);
        for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
            let g = g * scale;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            *w = *w * decay - rate * *m / (v.sqrt() * root + epsilon);
        }
    }
}

/// One tensor's update, as candle runs it in place.
struct Update<'a> {
    step: Step,
    moments: Mutex<&'a mut Moments>,
}

/// Elements that are worth a thread.
const PER_THREAD: usize = 1 << 20;

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, l1: &Layout, gradient: &CpuStorage, l2: &Layout) -> Result<()> {
        let (Some((from1, to1)), Some((from2, to2))) = (l1.contiguous_offsets(), l2.contiguous_offsets()) else {
            bail!("adamw: weights and gradients must be contiguous");
        };
        let CpuStorage::F32(weights) = weights else { bail!("adamw: weights must be f32") };
        let (weights, gradient) = (&mut weights[from1..to1], &gradient.as_slice::<f32>()?[from2..to2]);
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let Moments { first, second } = &mut **moments;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let piece = weights.len().div_ceil(threads).max(PER_THREAD);
        std::thread::scope(|scope| {
            let pieces = weights.chunks_mut(piece).zip(gradient.chunks(piece));
            for (((w, g), m), v) in pieces.zip(first.chunks_mut(piece)).zip(second.chunks_mut(piece)) {
                if w.len() < PER_THREAD {
                    self.step.update(w, g, m, v);
                } else {
                    scope.spawn(move || self.step.update(w, g, m, v));
                }
            }
        });
        Ok(())
    }
}
