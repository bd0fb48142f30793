//! LoRA on the attention projections q, k, v and o.

use tunebench_plugin_api::prelude::*;

lora::lora_tuner!(
    LoraAttention,
    "lora-attention",
    "LoRA on the attention projections (q, k, v, o)",
    lora::ATTENTION,
    lora::ATTENTION
);
