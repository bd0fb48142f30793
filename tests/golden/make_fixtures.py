"""Writes the golden numbers that tunebench's own model, adapters and optimizer are checked against.

Two tiny LLaMA models (random weights, fixed seeds) are built with transformers, adapted with PEFT and trained with torch;
everything needed to repeat the same computation elsewhere is stored next to the results. CPU, float32, one thread,
eager attention, no dropout: two runs on one machine write the same bytes.

Set-up:  python3 -m venv V && V/bin/pip install torch transformers peft accelerate safetensors
Run:     V/bin/python make_fixtures.py [OUT_DIR]        (OUT_DIR: this file's folder unless given; about 10 seconds)

What it writes is described in README.md beside this file.
"""

import os
import sys

import torch
from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import golden
import margin
from golden import METHODS, RECIPE, VERSIONS, build, generator, greedy, loss_of, write_batches, write_json, write_method, write_tensors

OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(__file__))

VIRTUAL = 4
VIRTUAL_METHODS = {
    "prompt_tuning": lambda: PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL),
    "p_tuning": lambda: PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL, encoder_hidden_size=20),
    "prefix_tuning": lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL),
    "prefix_tuning_mlp": lambda: PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL, prefix_projection=True, encoder_hidden_size=20
    ),
}
PEFT_FOLDERS = {"lora_all_linear": "tiny-peft", "dora": "tiny-peft-dora"}
MERGED = [
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.1.self_attn.v_proj.weight",
    "model.layers.1.mlp.down_proj.weight",
]

SIZES = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=56,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=12,  # on purpose not hidden_size / num_attention_heads
    rms_norm_eps=1e-5,
    hidden_act="silu",
    attention_bias=False,
    mlp_bias=False,
    bos_token_id=1,
    eos_token_id=2,
)


def batch(seed, lengths, prompts):
    return golden.batch(seed, lengths, prompts, width=10, vocab_size=SIZES["vocab_size"])


def tiny_model():
    config = LlamaConfig(
        **SIZES, max_position_embeddings=64, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    return build(config, 1)


def tiny():
    folder = os.path.join(OUT, "tiny")
    os.makedirs(folder, exist_ok=True)
    base = tiny_model()
    # Keys as transformers 4 wrote them.
    write_json(folder + "/config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", **SIZES, "max_position_embeddings": 64,
        "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": False, "pretraining_tp": 1,
        "initializer_range": 0.02, "attention_dropout": 0.0, "torch_dtype": "float32", "use_cache": True,
        "transformers_version": "4.44.2",
    })
    write_tensors(folder + "/model.safetensors", base.state_dict())

    first = batch(2, [10, 8, 5], [3, 2, 1])
    shapes = [([10, 8, 5], [3, 2, 1]), ([10, 10, 6], [4, 1, 2]), ([7, 10, 9], [2, 5, 3]), ([4, 6, 10], [1, 3, 6])]
    batches = [batch(10 + i, *s) for i, s in enumerate(shapes)]
    report = {
        "versions": VERSIONS,
        **write_batches(folder, base, first, batches),
        "train_lengths": [b[2].sum(1).tolist() for b in batches],
        **RECIPE,
        "methods": {},
    }
    for method in METHODS:
        peft_folder = os.path.join(OUT, PEFT_FOLDERS[method]) if method in PEFT_FOLDERS else None
        report["methods"][method] = write_method(folder, base, method, first, batches, MERGED, peft_folder)
    report["generate"] = [margin.answer(base, n, 12, SIZES["vocab_size"], 40 + n) for n in (3, 7, 12)]
    write_json(folder + "/fixtures.json", report)


def virtual_tokens():
    """The same batch behind virtual tokens: loss and every gradient, for prompt tuning, P-tuning and prefix tuning."""
    folder = os.path.join(OUT, "tiny")
    ids, labels, mask = batch(2, [10, 8, 5], [3, 2, 1])
    prompt = torch.randint(3, 96, (7,), generator=generator(47)).tolist()
    tensors, report = {}, {"versions": VERSIONS, "count": VIRTUAL, "methods": {}}
    for number, (method, config) in enumerate(VIRTUAL_METHODS.items()):
        model = get_peft_model(tiny_model(), config())
        g = generator(2000 + number)
        params = {}
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            with torch.no_grad():
                p.copy_(0.5 * torch.randn(p.shape, generator=g))
            # prompt_encoder.default.mlp_head.0.weight -> virtual_tokens.mlp_head_0_weight
            short = name.removeprefix("prompt_encoder.default.").replace("embedding.weight", "embedding").replace(".", "_")
            params[f"virtual_tokens.{short}"] = p
        model.eval()
        real = RealTokens(model)
        loss, logits = loss_of(real, ids, labels, mask)
        loss.backward()
        for n, p in params.items():
            assert p.grad is not None and p.grad.abs().max() > 1e-4, f"{method} {n}: no gradient to speak of"
            tensors[f"{method}.param.{n}"] = p.detach().clone()
            tensors[f"{method}.grad.{n}"] = p.grad.clone()
        tensors[f"{method}.logits"] = logits.detach()
        with torch.no_grad():
            answer = greedy(real, prompt, 12)
        assert answer["smallest_lead"] > 1e-2, answer["smallest_lead"]
        report["methods"][method] = {"loss": loss.item(), "trainable": sum(p.numel() for p in params.values()), "generate": answer}
    write_tensors(f"{folder}/virtual_tokens.safetensors", tensors)
    write_json(f"{folder}/virtual_tokens.json", report)


class RealTokens:
    """A PEFT model whose logits are those of real tokens alone: prompt tuning yields those of virtual ones too."""

    def __init__(self, model):
        self.model = model
        self.generate = model.generate

    def __call__(self, input_ids, attention_mask=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        output = self.model(input_ids=input_ids, attention_mask=mask)
        output.logits = output.logits[:, -input_ids.shape[1] :]
        return output


def tiny_llama3():
    folder = os.path.join(OUT, "tiny-llama3")
    os.makedirs(folder, exist_ok=True)
    # 32 original positions and head_dim 12 give one frequency each that is kept, blended and (four) divided.
    rope = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    config = LlamaConfig(**SIZES, max_position_embeddings=256, tie_word_embeddings=True, rope_parameters=dict(rope))
    model = build(config, 3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(torch.bfloat16).float())
    # Keys as transformers 5 writes them.
    write_json(folder + "/config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", **SIZES, "max_position_embeddings": 256,
        "rope_parameters": rope, "tie_word_embeddings": True, "pretraining_tp": 1, "initializer_range": 0.02,
        "attention_dropout": 0.0, "dtype": "bfloat16", "use_cache": True, "pad_token_id": None, "transformers_version": "5.0.0",
    })
    weights = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items() if k != "lm_head.weight"}
    shards = [
        {k: v for k, v in weights.items() if "embed" in k or "layers.0" in k},
        {k: v for k, v in weights.items() if not ("embed" in k or "layers.0" in k)},
    ]
    index = {"metadata": {"total_parameters": sum(v.numel() for v in weights.values()), "total_size": sum(2 * v.numel() for v in weights.values())}, "weight_map": {}}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        write_tensors(f"{folder}/{file}", shard)
        index["weight_map"].update({k: file for k in shard})
    index["weight_map"] = dict(sorted(index["weight_map"].items()))
    write_json(folder + "/model.safetensors.index.json", index)

    reread = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(3, SIZES["vocab_size"], (1, 40), generator=generator(4))
    with torch.no_grad():
        labels = ids.clone()
        labels[:, 0] = -100
        loss, logits = loss_of(model, ids, labels, torch.ones_like(ids))
        assert torch.equal(logits, reread(input_ids=ids).logits), "config.json means something else"
        inv_freq = model.model.rotary_emb.inv_freq
    write_tensors(folder + "/fixtures.safetensors", {"input_ids": ids, "last_logits": logits[:, -3:], "inv_freq": inv_freq})
    write_json(folder + "/fixtures.json", {"versions": VERSIONS, "loss": loss.item(), "label_tokens": 39, "last_logits_positions": [37, 38, 39]})


if __name__ == "__main__":
    tiny()
    virtual_tokens()
    tiny_llama3()
    print("wrote tiny, tiny-peft, tiny-peft-dora and tiny-llama3 to", OUT)
