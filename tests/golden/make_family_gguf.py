"""Writes a small GGUF file of each family beside LLaMA as llama.cpp's convert_hf_to_gguf.py does, and what a reader should find in it.

qwen2.gguf (tied head, Q8_0), qwen3.gguf (tied head, F16), mistral.gguf (own head, Q8_0); norms and biases are F32 in all.
That converter

* writes Qwen2 and Qwen3 as `qwen2` and `qwen3`, with the rows of q and k (and their biases) as Hugging Face has them, without
  `vocab_size` and `rope.dimension_count`, and with `attention.key_length` when the configuration has a head_dim (Qwen3 always,
  Qwen2 never);
* writes Mistral as `llama`, with the rows of q and k permuted, and has no key for its window: whoever reads the file attends to
  everything. So the Mistral here has no window.

Logits are transformers' for the dequantised weights, checked against transformers' own GGUF loader.

Run:     V/bin/python make_family_gguf.py [OUT_DIR]        (OUT_DIR: the folder gguf beside this file unless given)
"""

import json
import os
import sys

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoModelForCausalLM, MistralConfig, Qwen2Config, Qwen3Config

from make_gguf import MERGES, SPECIAL, encode, permute, tokenizer_ids, unpermute, vocabulary

TOKENS = vocabulary()
LAYERS, CONTEXT = 1, 64
SIZES = dict(
    vocab_size=len(TOKENS), hidden_size=32, intermediate_size=32, num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=CONTEXT, bos_token_id=1, eos_token_id=2,
)
ROPE = {"rope_type": "default", "rope_theta": 1000000.0}

# File: architecture, configuration, type of matrices, tokenizer.ggml.pre, seed.
FILES = {
    "qwen2.gguf": ("qwen2", Qwen2Config(**SIZES, tie_word_embeddings=True, rope_parameters=ROPE), T.Q8_0, "qwen2", 21),
    "qwen3.gguf": ("qwen3", Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True, rope_parameters=ROPE), T.F16, "qwen2", 22),
    "mistral.gguf": ("llama", MistralConfig(**SIZES, rms_norm_eps=1e-5, sliding_window=None, rope_parameters=ROPE), T.Q8_0, "gpt-2", 23),
}
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
# Of Qwen2's own tokenizer.json.
QWEN2_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
IDS = [1, 50, 259, 263, 100, 37, 262, 279, 3, 200, 71, 268]


def gguf_name(name):
    module, kind = name.rsplit(".", 1)
    if not module.startswith("model.layers."):
        return f"{NAMES[module]}.{kind}"
    layer, inner = module.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{NAMES[inner]}.{kind}"


def heads_of(name, architecture):
    """How many heads a weight's rows are permuted in."""
    if architecture != "llama":
        return None
    return {"q_proj": SIZES["num_attention_heads"], "k_proj": SIZES["num_key_value_heads"]}.get(name.split(".")[-2])


def header(path, architecture, config, pre):
    w = gguf.GGUFWriter(path, architecture)
    w.add_name("tunebench golden " + os.path.basename(path))
    w.add_block_count(LAYERS)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(config.hidden_size)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_rope_freq_base(config.rope_parameters["rope_theta"])
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    if architecture != "qwen2":
        w.add_key_length(config.head_dim)
        w.add_value_length(config.head_dim)
    if architecture == "llama":
        w.add_vocab_size(config.vocab_size)
        w.add_rope_dimension_count(config.head_dim)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(TOKENS)
    w.add_token_types([gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (len(TOKENS) - len(SPECIAL)))
    w.add_token_merges(MERGES)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_pad_token_id(0)
    w.add_add_bos_token(False)
    return w


def drawn(model, seed):
    """Values for every weight: norms around 1, the embedding of deviation 0.5, the rest of 0.25."""
    rng = np.random.default_rng(seed)
    for name, p in model.named_parameters():
        noise = rng.standard_normal(tuple(p.shape))
        if "norm" in name:
            yield name, (1 + 0.2 * noise).astype(np.float32)
        else:
            yield name, ((0.5 if "embed" in name else 0.25) * noise).astype(np.float32)


def shortest(value):
    """The shortest decimal that is this float32."""
    return float(np.format_float_positional(np.float32(value), unique=True))


def write(path, architecture, config, kind, pre, seed):
    w = header(path, architecture, config, pre)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    rng, state, expected = np.random.default_rng(seed + 100), {}, {}
    for name, x in drawn(model, seed):
        heads = heads_of(name, architecture)
        stored = kind if x.ndim == 2 else T.F32
        data, values = encode(permute(x, heads) if heads else x, stored)
        w.add_tensor(gguf_name(name), data, raw_dtype=None if stored in (T.F32, T.F16) else stored)
        values = unpermute(values, heads) if heads else values
        state[name] = torch.from_numpy(values.copy())
        at = [[0] * x.ndim, [n - 1 for n in x.shape]] + [[int(rng.integers(n)) for n in x.shape] for _ in range(8)]
        expected[name] = {
            "gguf_name": gguf_name(name), "type": stored.name, "shape": list(x.shape), "samples": [[*i, shortest(values[tuple(i)])] for i in at],
            "sum": float(values.astype(np.float64).sum()), "sum_of_squares": float((values.astype(np.float64) ** 2).sum()),
        }
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    assert os.path.getsize(path) < 100_000, os.path.getsize(path)

    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and missing == (["lm_head.weight"] if config.tie_word_embeddings else []), (missing, unexpected)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([IDS])).logits[0]
        apart = (by_transformers(path, architecture, config)(input_ids=torch.tensor([IDS])).logits[0] - logits).abs().max().item()
    assert apart < 1e-5, f"transformers reads {path} differently: {apart}"
    keys = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "vocab_size"]
    return {
        "architecture": architecture, "model_type": config.model_type,
        "config": {
            **{k: getattr(config, k) for k in keys}, "rope_theta": ROPE["rope_theta"],
            "head_dim": getattr(config, "head_dim", config.hidden_size // config.num_attention_heads),
        },
        "tied_head": config.tie_word_embeddings, "tensors": expected, "input_ids": IDS, "last_logits": [shortest(v) for v in logits[-1].tolist()],
        "logits_sum": float(logits.double().sum()), "argmax": logits.argmax(-1).tolist(),
        "loss": torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(IDS[1:])).item(),
        "tokenizer": qwen2_ids() if pre == "qwen2" else tokenizer_ids(TOKENS),
    }


def by_transformers(path, architecture, config):
    """The file by transformers' own loader, which reads a Mistral as a LLaMA and must be told the head_dim of a Qwen3."""
    given = {"config": config} if architecture == "qwen3" else {}
    return AutoModelForCausalLM.from_pretrained(
        os.path.dirname(path), gguf_file=os.path.basename(path), dtype=torch.float32, attn_implementation="eager", **given
    ).eval()


def qwen2_ids():
    """Qwen2's tokenizer built by hand in the tokenizers library: every digit by itself, accents composed."""
    t = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(TOKENS)}, merges=[tuple(m.split(" ")) for m in MERGES]))
    t.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated")
    t.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(SPECIAL)
    texts = ["hello world, the thing in 12123!", "<|im_start|>中文 the\n\n  hellohello<|im_end|>", "it's 😀\tworld  12 \n"]
    return [{"text": text, "ids": t.encode(text, add_special_tokens=False).ids} for text in texts]


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf"))
    os.makedirs(out, exist_ok=True)
    expected = {"files": {name: write(os.path.join(out, name), *spec) for name, spec in FILES.items()}}
    with open(out + "/families.json", "w", encoding="utf-8") as f:
        json.dump(expected, f, ensure_ascii=False)
        f.write("\n")
    print("wrote", out)


if __name__ == "__main__":
    main()
