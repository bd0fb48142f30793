//! What to say of memory.

/// What to do about a training that does not fit.
pub const REMEDY: &str = "Try gradient_checkpointing = true, a smaller micro_batch_tokens or max_length, or LoRA.";

/// 1.5 GiB, for messages.
pub fn shown(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
