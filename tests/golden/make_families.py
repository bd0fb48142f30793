"""Writes the golden numbers of the families beside LLaMA: Qwen2, Qwen3 and Mistral.

FAMILIES have everything tiny/ has, in the same files under the same names: logits, loss, every gradient and ten steps of full
fine-tuning and of LoRA, merged weights, greedy answers. Their folders are as transformers saves them. VARIANTS are other
configurations of the same families, in the other spelling of config.json, with logits, loss and greedy answers only.

Run:     V/bin/python make_families.py [OUT_DIR]        (OUT_DIR: this file's folder unless given; about a minute)

What it writes is described in README.md beside this file.
"""

import copy
import os
import sys

import torch
from transformers import MistralConfig, Qwen2Config, Qwen3Config

import margin
from golden import RECIPE, VERSIONS, batch, bf16_gradients, build, write_batches, write_json, write_method, write_tensors

OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(__file__))

WIDTH, VOCAB, NEW, NEW_OF_VARIANT = 14, 40, 12, 8
FIRST = [14, 9, 5], [3, 2, 1]
SHAPES = [([14, 8, 5], [3, 2, 1]), ([14, 12, 6], [4, 1, 2]), ([7, 14, 9], [2, 5, 3]), ([4, 6, 14], [1, 3, 6])]
MERGED = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.v_proj.weight"]

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
}

SMALL = {**SIZES, "hidden_size": 16, "intermediate_size": 20}
# As transformers 4 wrote them.
V4 = {
    "hidden_act": "silu", "initializer_range": 0.02, "attention_dropout": 0.0, "rope_scaling": None, "rope_theta": 1000000.0,
    "torch_dtype": "float32", "use_cache": True, "transformers_version": "4.44.2",
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
    if model.config.sliding_window is None:
        return None
    config = copy.deepcopy(model.config)
    config.sliding_window = None
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

    return [margin.answer(model, n, count, VOCAB, seed + 40 + n, window_matters) for n in (3, 7, 12)]


def method(folder, base, name, first, batches):
    report = write_method(folder, base, name, first, batches, MERGED)
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
    report = {"versions": VERSIONS, **write_batches(folder, base, rows(seed + 2, FIRST), []), "generate": answers(base, seed, NEW_OF_VARIANT)}
    write_json(folder + "/fixtures.json", report)


if __name__ == "__main__":
    for name, values in FAMILIES.items():
        family(name, *values)
    for name, values in VARIANTS.items():
        variant(name, *values)
    print("wrote", *FAMILIES, *VARIANTS, "to", OUT)
