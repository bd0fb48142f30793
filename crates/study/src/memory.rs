//! Memory: what a training takes at its peak, predicted from shapes, and what to say of it.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_kernels::machine::memory::MemoryLimit;
use tunebench_model::backend::{Backend, StepSize};
use tunebench_model::fast::memory::PROGRAM;
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{MemoryNeed, QuantisedWeights};
use tunebench_spec::decoder::Weight;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Recipe};
use tunebench_train::lanes_memory;

/// Bytes of a bf16.
const HALF: u64 = 2;

/// Beside the engine: plugins, what is known of the study and its examples, and what the allocator keeps.
const STUDY: u64 = 40 << 20;
/// For each entry of a vocabulary: a tokenizer has its text and merges in several tables, and there is one for each template.
const ENTRY: u64 = 600;

/// What to do about a training that does not fit.
pub const REMEDY: &str = "Try gradient_checkpointing = true, a smaller micro_batch_tokens or max_length, or LoRA.";

/// 1.5 GiB, for messages.
pub fn shown(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// The limit of what an engine may take, when something that takes so much does not fit it.
pub fn exceeded(need: MemoryNeed, backend: &dyn Backend) -> Option<MemoryLimit> {
    backend.memory_limit().filter(|limit| need.exceeds(limit))
}

/// What to say of a training that fits, but not with all of the model's file that is mapped.
pub fn read_again(need: MemoryNeed, limit: &MemoryLimit) -> Option<String> {
    let again = need.read_again(limit);
    if again == 0 || need.exceeds(limit) {
        return None;
    }
    // Of a disk that reads a GiB a second.
    let seconds = again as f64 / f64::from(1 << 30);
    Some(format!(
        "of the {} of weights that stay in the model's file, {} find no room beside the {} that must be in memory, of {limit}; \
         they are read from the disk again in every pass, forward and backward, which at 1 GiB a second takes {seconds:.1} s \
         each and is in no predicted time",
        shown(need.mapped),
        shown(again),
        shown(need.own)
    ))
}

/// What training takes at its peak by this engine, where that can be said beforehand, and whether its base stays for what is done
/// next, which is counted then: where the engine gains by it, and there is room for both. `plain` bytes of the base are plain
/// numbers; between steps losses are measured over `measured` tokens at once.
pub(crate) fn training(
    shape: &Decoder,
    recorded: &RecordedPlan,
    (quantised, plain): (&QuantisedWeights, u64),
    recipe: &Recipe,
    measured: usize,
    backend: &dyn Backend,
) -> Option<(MemoryNeed, bool)> {
    let needed = of_training(shape, recorded, quantised, recipe, measured, backend)?;
    let packed = backend.kept_base(shape, recorded, quantised, recipe.gradient_checkpointing);
    let kept = packed.map(|packed| plain + packed).filter(|kept| has_room(needed, *kept, backend));
    Some((needed + kept.unwrap_or(0), kept.is_some()))
}

/// Bytes of a base that stays beside answers that take `needed`, nothing where there is no room: its `plain` bytes as they were read,
/// and what is packed of these numbers for both passes.
pub(crate) fn kept_beside_answers(
    needed: MemoryNeed,
    shape: &Decoder,
    (quantised, plain): (&QuantisedWeights, u64),
    backend: &dyn Backend,
) -> Option<u64> {
    let weights = shape.weights().into_iter().filter(|weight| !quantised.contains_key(&weight.name));
    let beside = plain + 2 * HALF * weights.map(|weight| weight.len()).sum::<u64>();
    has_room(needed, beside, backend).then_some(beside)
}

/// Whether so much has room beside what is needed, without more of a mapped file being read again.
fn has_room(needed: MemoryNeed, beside: u64, backend: &dyn Backend) -> bool {
    let both = needed + beside;
    let fits = |limit: MemoryLimit| !both.exceeds(&limit) && both.read_again(&limit) == needed.read_again(&limit);
    backend.memory_limit().is_none_or(fits)
}

/// What a training takes that reads its base for itself.
fn of_training(
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedWeights,
    recipe: &Recipe,
    measured: usize,
    backend: &dyn Backend,
) -> Option<MemoryNeed> {
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
    let size = StepSize { tokens, longest, measured };
    let need = backend.training_memory(shape, recorded, quantised, size, gradient_checkpointing)?;
    // On a device of its own the rest of the process takes nothing.
    Some(need + lanes + if backend.has_device() { 0 } else { process(shape) })
}

/// Bytes of a process that runs a study, beside the engine.
fn process(shape: &Decoder) -> u64 {
    STUDY + ENTRY * shape.vocab_size as u64
}

/// What opening a base takes before anything is trained, where something is folded into it: the weights of these names are f32
/// then, the others as they are held, plain numbers as `floats` says; nothing where none is folded.
pub(crate) fn opening(
    shape: &Decoder,
    quantised: &QuantisedWeights,
    floats: &BTreeMap<String, Float>,
    folded: &BTreeSet<&str>,
) -> MemoryNeed {
    if folded.is_empty() {
        return MemoryNeed::default();
    }
    let mut held = quantised.clone();
    held.retain(|name, _| !folded.contains(name.as_str()));
    let bytes = |is_mapped: bool| -> u64 {
        held.values().filter(|blocks| blocks.is_mapped == is_mapped).map(|blocks| blocks.bytes).sum()
    };
    let plain = plain_bytes(shape, &held, floats, folded);
    MemoryNeed { own: PROGRAM + process(shape) + plain + bytes(false), mapped: bytes(true) }
}

/// Bytes of the plain numbers of a model that has `held` quantised: as `floats` says, and f32 of those that something was folded
/// into.
pub(crate) fn plain_bytes(
    shape: &Decoder,
    held: &QuantisedWeights,
    floats: &BTreeMap<String, Float>,
    folded: &BTreeSet<&str>,
) -> u64 {
    let opened = |weight: Weight| {
        let float = floats.get(&weight.name).filter(|_| !folded.contains(weight.name.as_str()));
        weight.len() * float.map_or(Float::F32, |float| *float).size() as u64
    };
    shape.weights().into_iter().filter(|weight| !held.contains_key(&weight.name)).map(opened).sum()
}
