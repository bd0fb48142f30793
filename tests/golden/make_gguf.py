"""Writes two small GGUF files of a LLaMA architecture in many quantisations, and what a reader should find in them.

mixed.gguf (tied head):   q Q8_0, k Q4_0, v Q4_1, o Q4_K, gate Q6_K, up F16, down BF16, norms F32, embedding Q4_0
mixed-k.gguf (own head):  q Q4_K, k Q6_K, v Q8_0, o Q4_0, gate Q4_1, up Q4_K, down Q6_K, norms F32, embedding Q6_K, head Q6_K

The rows of q and k are permuted as llama.cpp does for this architecture. The gguf package cannot quantise Q4_K and Q6_K, so
simple quantisers for them are here; the expected values come from the package's own dequantiser. Logits are transformers'
for the dequantised weights, checked against transformers' own GGUF loader.

Set-up:  python3 -m venv V && V/bin/pip install torch transformers accelerate gguf tokenizers
Run:     V/bin/python make_gguf.py [OUT_DIR]        (OUT_DIR: the folder gguf beside this file unless given)
"""

import json
import os
import sys

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)

HIDDEN, INTER, HEADS, KV_HEADS, HEAD_DIM, THETA, EPS, CONTEXT = 256, 256, 4, 2, 64, 10000.0, 1e-5, 64
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "Ġwor l", "Ġworl d", "t h", "th e", "Ġ the", "i n", "in g", "Ġ t", "a n", "1 2", "ä ¸", "ä¸ Ń", "æ ĸ", "æĸ ĩ"]
FILES = {
    "mixed.gguf": dict(
        tied=True, inter=96, seed=1, embd=T.Q4_0, q=T.Q8_0, k=T.Q4_0, v=T.Q4_1, o=T.Q4_K, gate=T.Q6_K, up=T.F16, down=T.BF16),
    "mixed-k.gguf": dict(
        tied=False, inter=256, seed=2, embd=T.Q6_K, q=T.Q4_K, k=T.Q6_K, v=T.Q8_0, o=T.Q4_0, gate=T.Q4_1, up=T.Q4_K, down=T.Q6_K, head=T.Q6_K),
}


def bytes_to_unicode():
    """GPT-2's printable stand-in for each byte, in byte order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return [table[b] for b in range(256)]


def vocabulary():
    tokens = SPECIAL + bytes_to_unicode() + [m.replace(" ", "") for m in MERGES]
    assert len(set(tokens)) == len(tokens)
    return tokens


def quantize_q4_k(x):
    """256 values: f16 d, f16 dmin, 12 bytes of eight 6-bit scales and minima, 128 bytes of 4-bit values."""
    x = x.reshape(-1, 8, 32).astype(np.float32)
    low = np.minimum(x.min(-1), 0)
    scale = (x.max(-1) - low) / 15
    d = (scale.max(-1) / 63).astype(np.float16)
    dmin = ((-low).max(-1) / 63).astype(np.float16)
    sc = np.clip(np.rint(scale / d.astype(np.float32)[:, None]), 0, 63).astype(np.uint8)
    mn = np.clip(np.rint(-low / dmin.astype(np.float32)[:, None]), 0, 63).astype(np.uint8)
    step = np.maximum(d.astype(np.float32)[:, None] * sc, 1e-12)[..., None]
    offset = (dmin.astype(np.float32)[:, None] * mn)[..., None]
    q = np.clip(np.rint((x + offset) / step), 0, 15).astype(np.uint8)
    packed = np.zeros((len(x), 12), np.uint8)
    packed[:, 0:4] = sc[:, 0:4] | (sc[:, 4:8] >> 4) << 6
    packed[:, 4:8] = mn[:, 0:4] | (mn[:, 4:8] >> 4) << 6
    packed[:, 8:12] = (sc[:, 4:8] & 15) | (mn[:, 4:8] & 15) << 4
    nibbles = (q[:, 0::2] | q[:, 1::2] << 4).reshape(len(x), 128)
    return np.concatenate([d.view(np.uint8).reshape(-1, 2), dmin.view(np.uint8).reshape(-1, 2), packed, nibbles], axis=1)


def quantize_q6_k(x):
    """256 values: 128 bytes of low nibbles, 64 bytes of high pairs, sixteen i8 scales, f16 d."""
    x = x.reshape(-1, 16, 16).astype(np.float32)
    peak = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1)[..., 0]
    scale = peak / -32
    d = (np.abs(scale).max(-1) / 127).astype(np.float16)
    sc = np.clip(np.rint(scale / d.astype(np.float32)[:, None]), -127, 127).astype(np.int8)
    step = d.astype(np.float32)[:, None] * sc
    step = np.where(step == 0, 1e-12, step)[..., None]
    q = (np.clip(np.rint(x / step), -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    ql = np.concatenate([(q[:, :, 0] & 15) | (q[:, :, 2] & 15) << 4, (q[:, :, 1] & 15) | (q[:, :, 3] & 15) << 4], axis=-1)
    qh = q[:, :, 0] >> 4 | (q[:, :, 1] >> 4) << 2 | (q[:, :, 2] >> 4) << 4 | (q[:, :, 3] >> 4) << 6
    n = len(x)
    return np.concatenate([ql.reshape(n, 128), qh.reshape(n, 64), sc.view(np.uint8), d.view(np.uint8).reshape(-1, 2)], axis=1)


def encode(x, kind):
    """The array as the writer wants it, and its values after a round trip."""
    if kind == T.F32:
        data = x.astype(np.float32)
        return data, data
    if kind == T.F16:
        data = x.astype(np.float16)
        return data, data.astype(np.float32)
    if kind == T.Q4_K:
        data = quantize_q4_k(x).reshape(x.shape[0], -1)
    elif kind == T.Q6_K:
        data = quantize_q6_k(x).reshape(x.shape[0], -1)
    else:
        data = gguf.quants.quantize(x, kind)
    data = np.ascontiguousarray(data).view(np.uint8).reshape(x.shape[0], -1)
    values = gguf.quants.dequantize(data, kind).reshape(x.shape).astype(np.float32)
    error = np.abs(values - x).max() / np.abs(x).max()
    assert error < {T.BF16: 0.005, T.Q8_0: 0.01, T.Q6_K: 0.05}.get(kind, 0.2), (kind, error)
    return data, values


def permute(w, heads):
    """llama.cpp's order of rows within a head: pairs (i, i + half) side by side."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def make(path, spec, tokens):
    rng = np.random.default_rng(spec["seed"])
    inter, kv = spec["inter"], KV_HEADS * HEAD_DIM

    def normal(rows, columns, std):
        return (rng.standard_normal((rows, columns)) * std).astype(np.float32)

    plan = [
        ("token_embd.weight", "model.embed_tokens.weight", normal(len(tokens), HIDDEN, 0.5), spec["embd"], None),
        ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", normal(HEADS * HEAD_DIM, HIDDEN, 0.1), spec["q"], HEADS),
        ("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", normal(kv, HIDDEN, 0.1), spec["k"], KV_HEADS),
        ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", normal(kv, HIDDEN, 0.1), spec["v"], None),
        ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight", normal(HIDDEN, HEADS * HEAD_DIM, 0.1), spec["o"], None),
        ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", normal(inter, HIDDEN, 0.1), spec["gate"], None),
        ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight", normal(inter, HIDDEN, 0.1), spec["up"], None),
        ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", normal(HIDDEN, inter, 0.1), spec["down"], None),
    ]
    if not spec["tied"]:
        plan.append(("output.weight", "lm_head.weight", normal(len(tokens), HIDDEN, 0.1), spec["head"], None))
    norms = [
        ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"),
        ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
        ("output_norm.weight", "model.norm.weight"),
    ]

    w = gguf.GGUFWriter(path, "llama")
    w.add_name("tunebench golden " + os.path.basename(path))
    w.add_context_length(CONTEXT)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(1)
    w.add_feed_forward_length(inter)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_rope_dimension_count(HEAD_DIM)
    w.add_rope_freq_base(THETA)
    w.add_layer_norm_rms_eps(EPS)
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIAL)))
    w.add_token_merges(MERGES)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_pad_token_id(0)
    w.add_add_bos_token(False)
    w.add_chat_template("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

    state, expected = {}, {}
    for name, hf, x, kind, heads in plan:
        data, values = encode(permute(x, heads) if heads else x, kind)
        if kind in (T.F32, T.F16):
            w.add_tensor(name, data)
        else:
            w.add_tensor(name, data, raw_dtype=kind)
        values = unpermute(values, heads) if heads else values
        state[hf] = torch.from_numpy(values.copy())
        rows, columns = values.shape
        at = [[0, 0], [0, 1], [1, 0], [5, 33], [33, 100 % columns], [rows // 2, columns // 2], [rows - 1, 0], [rows - 1, columns - 1]]
        at += [[int(rng.integers(rows)), int(rng.integers(columns))] for _ in range(24)]
        expected[hf] = {
            "gguf_name": name, "type": kind.name, "shape": [rows, columns],
            "samples": [[r, c, float(values[r, c])] for r, c in at],
            "sum": float(values.astype(np.float64).sum()), "sum_of_squares": float((values.astype(np.float64) ** 2).sum()),
        }
    for name, hf in norms:
        x = (1 + 0.2 * rng.standard_normal(HIDDEN)).astype(np.float32)
        w.add_tensor(name, x)
        state[hf] = torch.from_numpy(x.copy())
        expected[hf] = {
            "gguf_name": name, "type": "F32", "shape": [HIDDEN], "samples": [[i, float(x[i])] for i in (0, 1, 100, 255)],
            "sum": float(x.astype(np.float64).sum()), "sum_of_squares": float((x.astype(np.float64) ** 2).sum()),
        }
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    assert os.path.getsize(path) < 420_000, os.path.getsize(path)

    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=HIDDEN, intermediate_size=inter, num_hidden_layers=1, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, rms_norm_eps=EPS, max_position_embeddings=CONTEXT,
        tie_word_embeddings=spec["tied"], rope_parameters={"rope_type": "default", "rope_theta": THETA}, bos_token_id=1, eos_token_id=2)
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).float().eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= ({"lm_head.weight"} if spec["tied"] else set()), (missing, unexpected)
    ids = [1, 50, 259, 263, 100, 37, 262, 279, 3, 200, 71, 268]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
        loaded = LlamaForCausalLM.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path), dtype=torch.float32, attn_implementation="eager").eval()
        apart = (loaded(input_ids=torch.tensor([ids])).logits[0] - logits).abs().max().item()
    assert apart < 1e-4, f"transformers reads {path} differently: {apart}"
    return {
        "tied_head": spec["tied"], "tensors": expected, "input_ids": ids,
        "last_logits": logits[-1].tolist(), "logits_sum": float(logits.double().sum()), "argmax": logits.argmax(-1).tolist(),
        "loss": torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item(),
    }


def tokenizer_ids(tokens):
    """The same tokenizer built by hand in the tokenizers library."""
    t = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in MERGES]))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(SPECIAL)
    texts = ["hello world, the thing in 12123!", "<|im_start|>中文 the\n\n  hellohello<|im_end|>", "it's 😀\tworld"]
    rows = []
    for text in texts:
        ids = t.encode(text, add_special_tokens=False).ids
        assert t.decode(ids, skip_special_tokens=False) == text
        rows.append({"text": text, "ids": ids})
    return rows


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf"))
    os.makedirs(out, exist_ok=True)
    tokens = vocabulary()
    expected = {
        "config": {
            "hidden_size": HIDDEN, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "rope_theta": THETA,
            "rms_norm_eps": EPS, "max_position_embeddings": CONTEXT, "vocab_size": len(tokens), "bos_token_id": 1, "eos_token_id": 2,
        },
        "tokenizer": tokenizer_ids(tokens),
        "files": {name: make(os.path.join(out, name), spec, tokens) for name, spec in FILES.items()},
    }
    with open(out + "/expected.json", "w", encoding="utf-8") as f:
        json.dump(expected, f, ensure_ascii=False)
        f.write("\n")
    print("wrote", out)


if __name__ == "__main__":
    main()
