//! LoRA on the attention projections q, k, v and o.

use tunebench_plugin_api::prelude::*;

lora::lora_tuner!(
    LoraAttention,
    "lora-attention",
    "LoRA on the attention projections (q, k, v, o, or what they are fused in)",
    lora::Choice::Attention
);
