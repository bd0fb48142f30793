//! Memory: what a training takes at its peak, predicted from shapes, and what to say of it.

use tunebench_kernels::machine::memory::MemoryLimit;
use tunebench_model::QuantisedBytes;
use tunebench_model::backend::{Backend, StepSize};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Recipe};
use tunebench_train::lanes_memory;

/// What to do about a training that does not fit.
pub const REMEDY: &str = "Try gradient_checkpointing = true, a smaller micro_batch_tokens or max_length, or LoRA.";

/// 1.5 GiB, for messages.
pub fn shown(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// The limit of what an engine may take, when a training that takes so much does not fit it.
pub fn exceeded(needed: u64, backend: &dyn Backend) -> Option<MemoryLimit> {
    backend.memory_limit().filter(|limit| needed > limit.bytes)
}

/// Bytes at the peak of training by this engine, where that can be said beforehand.
pub(crate) fn training(
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedBytes,
    recipe: &Recipe,
    backend: &dyn Backend,
) -> Option<u64> {
    let &Recipe { micro_batch_tokens, max_length, batch_tokens, batch_size, gradient_checkpointing, packing, .. } =
        recipe;
    let count = recorded.plan.virtual_count();
    let longest = count + max_length;
    // By tokens or in packed rows, examples may be as many as their tokens, each behind virtual ones.
    let step = match (batch_tokens, packing) {
        (0, false) => batch_size.saturating_mul(longest),
        (0, true) => batch_size.saturating_mul(max_length).saturating_mul(1 + count),
        (tokens, _) => tokens.saturating_mul(1 + count),
    };
    let tokens = step.min(micro_batch_tokens.max(longest));
    // Lanes are added in the machine's memory, whatever computes them.
    let trained = recorded.plan.trainable_params(shape);
    let lanes = if backend.has_device() { 0 } else { lanes_memory(recipe, trained) };
    let size = StepSize { tokens, longest };
    Some(backend.training_memory(shape, recorded, quantised, size, gradient_checkpointing)? + lanes)
}
