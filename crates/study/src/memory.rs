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

/// Bytes at the peak of training by this engine, where that can be said beforehand: with its base, where that stays for what is
/// done next.
pub(crate) fn training(
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedBytes,
    recipe: &Recipe,
    backend: &dyn Backend,
) -> Option<u64> {
    let needed = of_training(shape, recorded, quantised, recipe, backend)?;
    Some(needed + kept_base(needed, shape, recorded, quantised, recipe, backend).unwrap_or(0))
}

/// Whether its base stays while a training runs: where the engine gains by it, and there is room for both.
pub(crate) fn keeps_base(
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedBytes,
    recipe: &Recipe,
    backend: &dyn Backend,
) -> bool {
    let needed = of_training(shape, recorded, quantised, recipe, backend);
    needed.is_some_and(|needed| kept_base(needed, shape, recorded, quantised, recipe, backend).is_some())
}

/// Bytes of a base that stays beside a training that takes `needed`; none where it does not stay, as where both do not fit.
fn kept_base(
    needed: u64,
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedBytes,
    recipe: &Recipe,
    backend: &dyn Backend,
) -> Option<u64> {
    let beside = backend.kept_base(shape, recorded, quantised, recipe.gradient_checkpointing)?;
    exceeded(needed + beside, backend).is_none().then_some(beside)
}

/// Bytes of a training that reads its base for itself.
fn of_training(
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
