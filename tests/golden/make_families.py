"""Writes the golden numbers of the families beside LLaMA: Qwen2, Qwen3, Mistral, Gemma 2 and 3, Phi-3, OPT, BLOOM and GPT-NeoX.

FAMILIES have everything tiny/ has, in the same files under the same names: logits, loss, every gradient and ten steps of full
fine-tuning and of LoRA, merged weights, greedy answers. Their folders are as transformers saves them. VARIANTS are other
configurations of the same families, in the other spelling of config.json, with logits, loss and greedy answers only; and every
scaling of rotary positions.

Run:     V/bin/python make_families.py [OUT_DIR [NAME...]]      (OUT_DIR: this file's folder unless given; some minutes. NAME:
                                                                 these folders alone)

What it writes is described in README.md beside this file.
"""

import copy
import os
import sys

import torch
from transformers import (
    BloomConfig, Gemma2Config, Gemma3TextConfig, GPTNeoXConfig, LlamaConfig, MistralConfig, OPTConfig, Phi3Config, Qwen2Config, Qwen3Config,
)

import margin
from golden import RECIPE, VERSIONS, batch, bf16_gradients, build, write_batches, write_json, write_method, write_tensors

OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(__file__))

WIDTH, VOCAB, NEW, NEW_OF_VARIANT = 14, 40, 12, 8
FIRST = [14, 9, 5], [3, 2, 1]
SHAPES = [([14, 8, 5], [3, 2, 1]), ([14, 12, 6], [4, 1, 2]), ([7, 14, 9], [2, 5, 3]), ([4, 6, 14], [1, 3, 6])]
MERGED = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.v_proj.weight"]
MERGED_OF = {
    "phi3": ["model.layers.0.self_attn.qkv_proj.weight", "model.layers.1.mlp.gate_up_proj.weight"],
    "opt": ["model.decoder.layers.0.self_attn.out_proj.weight", "model.decoder.layers.1.fc1.weight"],
    "bloom": ["transformer.h.0.self_attention.query_key_value.weight", "transformer.h.1.mlp.dense_4h_to_h.weight"],
    "gpt_neox": ["gpt_neox.layers.0.attention.query_key_value.weight", "gpt_neox.layers.1.attention.dense.weight"],
}

SIZES = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
)
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LONG_ROPE = {"rope_type": "default", "rope_theta": 1000000.0}
LORA = ["ft", "lora_all_linear"]

# Smaller weights than tiny's: attention is less sharp, so that bf16 gradients stay within the bounds below.
SCALE, LARGEST_DISTANCE, LEAST_COSINE = 0.25, 0.09, 0.996

# After ten steps, f32 against f64. A key's bias whose pair hardly turns over a row adds the same to all scores of a query: its
# gradient is nearly nothing, and AdamW makes steps of full length out of the roundings of nearly nothing. So the rotary base
# is small where there are biases: with 1e6 this error is 1e-5.
FINAL_ERROR = 1e-6

# Folder: configuration, methods, seed. DoRA where there are biases: its magnitudes do not scale them.
FAMILIES = {
    "qwen2": (Qwen2Config(**SIZES, rms_norm_eps=1e-6, tie_word_embeddings=True, rope_parameters=DEFAULT_ROPE), LORA + ["dora"], 3000),
    # heads * head_dim is not hidden_size
    "qwen3": (Qwen3Config(**SIZES, head_dim=12, rms_norm_eps=1e-6, tie_word_embeddings=False, rope_parameters=LONG_ROPE), LORA, 1000),
    # one key/value head for all; a window that most rows are longer than
    "mistral": (
        MistralConfig(**{**SIZES, "num_key_value_heads": 1}, head_dim=8, rms_norm_eps=1e-5, sliding_window=5, rope_parameters=DEFAULT_ROPE),
        LORA, 2000,
    ),
    # Gemmas and BLOOMs are tied; these are not, for random ones then say one token over and over. Their variants are.
    # Caps that bend what they cap; the first layer slides.
    "gemma2": (
        Gemma2Config(
            **SIZES, head_dim=12, query_pre_attn_scalar=24, sliding_window=5, attn_logit_softcapping=3.0, final_logit_softcapping=6.0,
            rope_parameters=DEFAULT_ROPE, tie_word_embeddings=False,
        ),
        LORA, 4000,
    ),
    # The first layer slides, by its own rotary base.
    "gemma3": (
        Gemma3TextConfig(
            **SIZES, head_dim=12, query_pre_attn_scalar=24, sliding_window=5, layer_types=["sliding_attention", "full_attention"],
            tie_word_embeddings=False,
            rope_parameters={"full_attention": DEFAULT_ROPE | {"rope_theta": 100000.0}, "sliding_attention": DEFAULT_ROPE | {"rope_theta": 100.0}},
        ),
        LORA, 5000,
    ),
    "phi3": (Phi3Config(**SIZES, pad_token_id=0, sliding_window=None, rope_parameters=DEFAULT_ROPE), LORA, 6001),
    "opt": (
        OPTConfig(
            vocab_size=VOCAB, hidden_size=32, ffn_dim=16, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
            word_embed_proj_dim=32, dropout=0.0, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        ),
        LORA, 7005,
    ),
    "bloom": (
        BloomConfig(
            vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
        ),
        LORA, 8000,
    ),
    # A quarter of each head is rotated; attention and MLP stand side by side.
    "gpt_neox": (
        GPTNeoXConfig(
            vocab_size=VOCAB, hidden_size=32, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
            bos_token_id=1, eos_token_id=2, rope_parameters={**DEFAULT_ROPE, "partial_rotary_factor": 0.25},
        ),
        LORA, 9000,
    ),
}

SMALL = {**SIZES, "hidden_size": 16, "intermediate_size": 20}
# As transformers 4 wrote them.
V4 = {
    "hidden_act": "silu", "initializer_range": 0.02, "attention_dropout": 0.0, "rope_scaling": None, "rope_theta": 1000000.0,
    "torch_dtype": "float32", "use_cache": True, "transformers_version": "4.44.2",
}
# Variants with answers.
ANSWERING = ["qwen2-window", "qwen3-window", "mistral-full", "rope-linear", "rope-dynamic", "rope-yarn"]

NEOX = dict(
    vocab_size=VOCAB, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
)
BASE = {"rope_theta": 100.0}


def scaled(seed, **rope):
    """A LLaMA with this scaling, in today's words."""
    return LlamaConfig(**SMALL, head_dim=8, rms_norm_eps=1e-6, tie_word_embeddings=True, rope_parameters={**BASE, **rope}), seed, None


def scaled_v4(seed, **rope):
    """The same as transformers 4 wrote it."""
    config, _, _ = scaled(seed, **rope)
    old = {"type" if key == "rope_type" else key: value for key, value in rope.items()}
    words = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **SMALL, **V4, "head_dim": 8, "rms_norm_eps": 1e-6, "tie_word_embeddings": True}
    return config, seed, {**words, **BASE, "rope_scaling": old}


# Every scaling of rotary positions.
SCALINGS = {
    "rope-linear": scaled_v4(17000, rope_type="linear", factor=4.0),
    "rope-dynamic": scaled_v4(17100, rope_type="dynamic", factor=2.0),
    "rope-yarn": scaled(17200, rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4.0, beta_slow=1.0),
    "rope-yarn-mscale": scaled_v4(
        17300, rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=3.0, mscale=0.7, mscale_all_dim=1.3, truncate=False,
    ),
    # Texts up to 32 tokens take the short factors; half of each head is rotated.
    "phi3-longrope": (
        Phi3Config(
            **{**SMALL, "hidden_size": 32}, pad_token_id=0, original_max_position_embeddings=32, sliding_window=6,
            rope_parameters={"rope_type": "longrope", "short_factor": [1.1, 2.0], "long_factor": [3.0, 9.0], "partial_rotary_factor": 0.5, **BASE},
        ),
        17400,
        {
            "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", **{**SMALL, "hidden_size": 32}, **V4, **BASE, "pad_token_id": 0, "rms_norm_eps": 1e-5,
            "original_max_position_embeddings": 32, "sliding_window": 6, "partial_rotary_factor": 0.5, "tie_word_embeddings": False,
            "rope_scaling": {"type": "longrope", "short_factor": [1.1, 2.0], "long_factor": [3.0, 9.0]},
        },
    ),
}

# Folder: configuration, seed, and config.json where it is not transformers' own of today.
VARIANTS = {
    # The second layer slides, which only max_window_layers says.
    "qwen2-window": (
        Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=4, max_window_layers=1, rope_parameters=LONG_ROPE),
        11000,
        {
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **SMALL, **V4, "rms_norm_eps": 1e-6,
            "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1, "tie_word_embeddings": False,
        },
    ),
    # The first layer slides, which only layer_types says.
    "qwen3-window": (
        Qwen3Config(
            **SMALL, head_dim=8, use_sliding_window=True, sliding_window=4, layer_types=["sliding_attention", "full_attention"],
            tie_word_embeddings=True, rope_parameters=DEFAULT_ROPE,
        ),
        12000,
        None,
    ),
    # As of version 0.3 of Mistral: no window, no head_dim.
    "mistral-full": (
        MistralConfig(**SMALL, rms_norm_eps=1e-5, sliding_window=None, rope_parameters=LONG_ROPE),
        13000,
        {
            "architectures": ["MistralForCausalLM"], "model_type": "mistral", **SMALL, **V4, "rms_norm_eps": 1e-5,
            "sliding_window": None, "tie_word_embeddings": False,
        },
    ),
    **SCALINGS,
    # Heads that are no power of two, each with another slope.
    "bloom-heads": (BloomConfig(vocab_size=VOCAB, hidden_size=24, n_layer=2, n_head=6, bos_token_id=1, eos_token_id=2, pad_token_id=0), 14000, None),
    # One part after the other, by transformers 4's keys.
    "gpt_neox-sequential": (
        GPTNeoXConfig(**NEOX, use_parallel_residual=False, rope_parameters={**DEFAULT_ROPE, "partial_rotary_factor": 0.5}),
        15000,
        {
            "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", **NEOX, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "rotary_emb_base": 10000,
            "rotary_pct": 0.5, "use_parallel_residual": False, "tie_word_embeddings": False, "torch_dtype": "float32",
        },
    ),
    # By transformers 4's keys: every second layer sees everything, by another base that is scaled.
    "gemma3-linear": (
        Gemma3TextConfig(
            **SMALL, head_dim=8, query_pre_attn_scalar=8, sliding_window=4, layer_types=["sliding_attention", "full_attention"],
            rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0}, "sliding_attention": DEFAULT_ROPE},
        ),
        16000,
        {
            "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", **SMALL, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4,
            "sliding_window_pattern": 2, "rope_theta": 1000.0, "rope_local_base_freq": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh", "torch_dtype": "float32",
        },
    ),
}


def rows(seed, shape):
    return batch(seed, *shape, width=WIDTH, vocab_size=VOCAB)


def save(folder, config, seed, config_json=None):
    """The model's folder as transformers writes it, with another spelling of config.json where one is given."""
    model = build(config, seed, SCALE)
    model.save_pretrained(folder)
    os.remove(folder + "/generation_config.json")
    os.chmod(folder + "/model.safetensors", 0o644)
    if config_json:
        write_json(folder + "/config.json", config_json)
    return model


def without_window(model, seed):
    """The same weights under full attention, or nothing when that is what they have."""
    if getattr(model.config, "sliding_window", None) is None:
        return None
    config = copy.deepcopy(model.config)
    # A Gemma makes a mask of its window whether a layer has it or not.
    config.sliding_window = config.max_position_embeddings if config.model_type.startswith("gemma") else None
    if hasattr(config, "layer_types"):
        config.layer_types = ["full_attention"] * config.num_hidden_layers
    return build(config, seed, SCALE)


def answers(model, seed, count):
    """Greedy answers that hold the margin; with a window, answers that full attention would not give."""
    full = without_window(model, seed)

    def window_matters(prompt, new):
        if full is None:
            return True
        ids = torch.tensor([prompt + new])
        return full(input_ids=ids).logits[0, len(prompt) - 1 : -1].argmax(-1).tolist() != new

    # The first three families were drawn in larger chunks and with wider leads; of the others few prompts would have them.
    first = model.config.model_type in ("qwen2", "qwen3", "mistral")
    drawn = dict(chunk=margin.CHUNK, spread=margin.SPREAD) if first else dict(chunk=1024, spread=0.15)
    return [margin.answer(model, n, count, VOCAB, seed + 40 + n, window_matters, **drawn) for n in (3, 7, 12)]


def method(folder, base, name, first, batches):
    report = write_method(folder, base, name, first, batches, MERGED_OF.get(os.path.basename(folder), MERGED))
    report["bf16"] = bf16_gradients(base, name, first)
    bf16, final = report["bf16"], report["final_max_abs_error_against_f64"]
    assert bf16["largest_distance"] < LARGEST_DISTANCE and bf16["least_cosine"] > LEAST_COSINE, (folder, name, bf16)
    assert final < FINAL_ERROR, (folder, name, final)
    return report


def family(name, config, methods, seed):
    folder = os.path.join(OUT, name)
    base = save(folder, config, seed)
    first, batches = rows(seed + 2, FIRST), [rows(seed + 10 + i, s) for i, s in enumerate(SHAPES)]
    report = {
        "versions": VERSIONS,
        **write_batches(folder, base, first, batches),
        "train_lengths": [b[2].sum(1).tolist() for b in batches],
        **RECIPE,
        "methods": {m: method(folder, base, m, first, batches) for m in methods},
        "generate": answers(base, seed, NEW),
    }
    write_json(folder + "/fixtures.json", report)


def variant(name, config, seed, config_json):
    folder = os.path.join(OUT, name)
    base = save(folder, config, seed, config_json)
    report = {"versions": VERSIONS, **write_batches(folder, base, rows(seed + 2, FIRST), [])}
    if name in ANSWERING:
        report["generate"] = answers(base, seed, NEW_OF_VARIANT)
    write_json(folder + "/fixtures.json", report)


if __name__ == "__main__":
    wanted = sys.argv[2:] or [*FAMILIES, *VARIANTS]
    for name in wanted:
        family(name, *FAMILIES[name]) if name in FAMILIES else variant(name, *VARIANTS[name])
    print("wrote", *wanted, "to", OUT)
