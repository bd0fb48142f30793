//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), as PyTorch computes it, on candle's variables.
//!
//! The numbers of a step and its pass over a tensor are the kernels' ([`tunebench_kernels::optim::adamw`]).

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::optim::adamw::{AdamW, AdamWParams, Update, Weights, update};
use tunebench_model::fast::Moments;
use tunebench_spec::Recipe;

/// What of a recipe the optimizer is set to.
pub fn params(recipe: &Recipe) -> AdamWParams {
    let Recipe { beta1, beta2, epsilon, weight_decay, .. } = *recipe;
    AdamWParams { beta1, beta2, epsilon, weight_decay }
}

/// Updates a variable on the CPU and its moments by the gradient of the sum of losses.
///
/// # Errors
/// When the variable is on another device or not f32.
pub fn apply(level: SimdLevel, step: AdamW, var: &Var, gradient: &Tensor, moments: &mut Moments) -> Result<()> {
    let n = var.elem_count();
    for moment in [&mut moments.first, &mut moments.second] {
        moment.resize(n, 0.0);
    }
    let pass = Pass { level, step, moments: Mutex::new(moments) };
    var.as_tensor().inplace_op2(&gradient.contiguous()?, &pass)
}

/// One tensor's update, as candle runs it in place.
struct Pass<'a> {
    level: SimdLevel,
    step: AdamW,
    moments: Mutex<&'a mut Moments>,
}

impl InplaceOp2 for Pass<'_> {
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
        let weights = Weights::Full(weights);
        update(self.level, vec![Update { weights, gradient, first, second, step: self.step }]);
        Ok(())
    }
}
