//! LoRA on every linear weight of every layer, or on the six that the paper's parameter counts imply.

use tunebench_plugin_api::prelude::*;

lora::lora_tuner!(
    LoraAllLinear,
    "lora-all-linear",
    "LoRA on every linear layer; targets = \"paper\" leaves out attention's output, \"peft\" takes PEFT's default",
    lora::Choice::All
);
