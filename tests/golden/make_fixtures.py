"""Writes the golden numbers that tunebench's own model, adapters and optimizer are checked against.

Two tiny LLaMA models (random weights, fixed seeds) are built with transformers, adapted with PEFT and trained with torch;
everything needed to repeat the same computation elsewhere is stored next to the results. CPU, float32, one thread,
eager attention, no dropout: two runs on one machine write the same bytes.

Set-up:  python3 -m venv V && V/bin/pip install torch transformers peft accelerate safetensors
Run:     V/bin/python make_fixtures.py [OUT_DIR]        (OUT_DIR: this file's folder unless given; about 10 seconds)

What it writes is described in README.md beside this file.
"""

import copy
import json
import math
import os
import shutil
import sys

import peft
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(__file__))
VERSIONS = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "peft": peft.__version__}

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL_LINEAR = ATTENTION + ["gate_proj", "up_proj", "down_proj"]
METHODS = {
    "ft": None,
    "lora_attention": {"target_modules": ATTENTION, "use_dora": False},
    "lora_all_linear": {"target_modules": ALL_LINEAR, "use_dora": False},
    "dora": {"target_modules": ALL_LINEAR, "use_dora": True},
}
VIRTUAL = 4
VIRTUAL_METHODS = {
    "prompt_tuning": lambda: PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL),
    "p_tuning": lambda: PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL, encoder_hidden_size=20),
    "prefix_tuning": lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL),
    "prefix_tuning_mlp": lambda: PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL, prefix_projection=True, encoder_hidden_size=20
    ),
}
RANK, ALPHA = 4, 8
PEAK_LR = {"ft": 1e-3, "lora_attention": 1e-2, "lora_all_linear": 1e-2, "dora": 1e-2}
BETAS, EPS, WEIGHT_DECAY, CLIP, WARMUP, STEPS = (0.9, 0.999), 1e-8, 0.01, 1.0, 2, 10
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


def generator(seed):
    return torch.Generator().manual_seed(seed)


def build(config, seed):
    """A model whose weights are large enough that no gradient is tiny; tied weights are drawn once."""
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).float().eval()
    g = generator(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if "norm" in name:
                p.copy_(1 + 0.2 * noise)
            elif "embed_tokens" in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(0.3 * noise)
    return model


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=False)
        f.write("\n")


def write_tensors(path, tensors):
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    assert os.path.getsize(path) < 300_000, path
    for k, v in tensors.items():
        assert not v.is_floating_point() or torch.isfinite(v.float()).all(), k


def batch(seed, lengths, prompts, width=10):
    """Random tokens, right-padded with 0; labels are -100 on the prompt and on the padding."""
    ids = torch.randint(3, SIZES["vocab_size"], (len(lengths), width), generator=generator(seed))
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, (n, p) in enumerate(zip(lengths, prompts)):
        assert 1 <= p < n <= width
        mask[row, :n] = 1
        ids[row, n:] = 0
        labels[row, p:n] = ids[row, p:n]
    return ids, labels, mask


def loss_of(model, ids, labels, mask):
    """Token-exact: the sum of cross entropies of the tokens with a label, divided by how many they are."""
    logits = model(input_ids=ids, attention_mask=mask).logits
    target = labels[:, 1:]
    total = F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), target.reshape(-1), ignore_index=-100, reduction="sum")
    return total / (target != -100).sum(), logits


def plain(name):
    """base_model.model.model.layers.0.x.lora_A.default.weight -> model.layers.0.x.lora_A; other names unchanged."""
    name = name.removeprefix("base_model.model.")
    for end in (".default.weight", ".default"):
        name = name.removesuffix(end)
    return name


def adapted(base, method):
    """The model for a method, its adapters non-zero; and its trainable parameters by name."""
    model = copy.deepcopy(base)
    if METHODS[method] is None:
        for p in model.parameters():
            p.requires_grad_(True)
    else:
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM", **METHODS[method])
        model.name_or_path = "tiny"  # what adapter_config.json will name as its base
        model = get_peft_model(model, config)
        g = generator(1000 + len(method))
        with torch.no_grad():
            for name, p in model.named_parameters():
                if not p.requires_grad:
                    continue
                noise = torch.randn(p.shape, generator=g)
                if "magnitude" in name:
                    p.mul_(1 + 0.1 * noise)  # PEFT starts it at the row norms of the base weight
                else:
                    p.copy_(0.2 * noise)
    model.eval()
    return model, {plain(n): p for n, p in model.named_parameters() if p.requires_grad}


def train(model, params, method, batches):
    optimizer = torch.optim.AdamW(list(params.values()), lr=PEAK_LR[method], betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY)
    return train_by(optimizer, model, params, batches)


def train_by(optimizer, model, params, batches):
    """Ten steps; losses, gradient norms before clipping, and the learning rates of the optimizer's first group."""
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS)
    losses, norms, rates = [], [], []
    for step in range(STEPS):
        rates.append(schedule.get_last_lr()[0])
        loss, _ = loss_of(model, *batches[step % len(batches)])
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(params.values()), CLIP).item())
        losses.append(loss.item())
        optimizer.step()
        schedule.step()
    return losses, norms, rates


def greedy(model, prompt, count):
    """Greedy continuation by full recomputation, and the smallest lead of the best logit over the second best."""
    ids, lead = list(prompt), math.inf
    for _ in range(count):
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
        top = logits.topk(2).values
        lead = min(lead, (top[0] - top[1]).item())
        ids.append(int(logits.argmax()))
    new = ids[len(prompt):]
    again = model.generate(
        input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0,
    )[0, len(prompt):].tolist()
    assert again == new, "generate() with its cache disagrees with recomputation"
    return {"prompt": list(prompt), "new": new, "smallest_lead": lead}


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
    reread = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()

    ids, labels, mask = batch(2, [10, 8, 5], [3, 2, 1])
    shapes = [([10, 8, 5], [3, 2, 1]), ([10, 10, 6], [4, 1, 2]), ([7, 10, 9], [2, 5, 3]), ([4, 6, 10], [1, 3, 6])]
    batches = [batch(10 + i, *s) for i, s in enumerate(shapes)]
    with torch.no_grad():
        loss, logits = loss_of(base, ids, labels, mask)
        assert torch.equal(logits, reread(input_ids=ids, attention_mask=mask).logits), "config.json means something else"
    write_tensors(folder + "/fixtures.safetensors", {
        "input_ids": ids, "labels": labels, "attention_mask": mask, "logits": logits,
        "train_ids": torch.stack([b[0] for b in batches]),
        "train_labels": torch.stack([b[1] for b in batches]),
        "train_attention_mask": torch.stack([b[2] for b in batches]),
    })
    report = {
        "versions": VERSIONS,
        "loss": loss.item(),
        "label_tokens": int((labels != -100).sum()),
        "lengths": mask.sum(1).tolist(),
        "train_lengths": [b[2].sum(1).tolist() for b in batches],
        "rank": RANK, "alpha": ALPHA, "dropout": 0.0,
        "optimizer": {
            "name": "AdamW", "betas": BETAS, "eps": EPS, "weight_decay": WEIGHT_DECAY, "weight_decay_applies_to": "every trainable parameter",
            "clip_grad_norm": CLIP, "schedule": "cosine", "warmup_steps": WARMUP, "steps": STEPS, "batch_of_step": "step % 4",
        },
        "methods": {},
    }
    for method in METHODS:
        model, params = adapted(base, method)
        tensors = {}
        if method != "ft":
            tensors.update({f"{method}.param.{n}": p.detach().clone() for n, p in params.items()})
        loss, logits = loss_of(model, ids, labels, mask)
        loss.backward()
        norm = math.sqrt(sum(p.grad.double().square().sum().item() for p in params.values()))
        for n, p in params.items():
            assert p.grad is not None and p.grad.abs().max() > 1e-4, f"{method} {n}: no gradient to speak of"
            tensors[f"{method}.grad.{n}"] = p.grad.clone()
            p.grad = None
        tensors[f"{method}.logits"] = logits.detach()

        if method in ("lora_all_linear", "dora"):
            merged = copy.deepcopy(model).merge_and_unload()
            for n in MERGED:
                tensors[f"merged.{method}.{n}"] = merged.state_dict()[n]
            with torch.no_grad():
                apart = (merged(input_ids=ids, attention_mask=mask).logits - logits).abs()[mask.bool()].max().item()
            assert apart < 1e-3, apart
            save_adapter(model, "tiny-peft" if method == "lora_all_linear" else "tiny-peft-dora")

        wide = copy.deepcopy(model).double()
        wide_params = {plain(n): p for n, p in wide.named_parameters() if p.requires_grad}
        losses, norms, rates = train(model, params, method, batches)
        wide_losses, wide_norms, _ = train(wide, wide_params, method, batches)
        for n, p in params.items():
            tensors[f"{method}.final.{n}"] = p.detach()
        if method == "ft":
            write_tensors(f"{folder}/ft.safetensors", {k: v for k, v in tensors.items() if ".final." not in k})
            write_tensors(f"{folder}/ft-final.safetensors", {k: v for k, v in tensors.items() if ".final." in k})
        else:
            write_tensors(f"{folder}/{method}.safetensors", tensors)
        report["methods"][method] = {
            "loss": loss.item(), "grad_norm": norm, "trainable": sum(p.numel() for p in params.values()), "peak_learning_rate": PEAK_LR[method],
            "losses": losses, "grad_norms": norms, "learning_rates": rates,
            "losses_in_f64": wide_losses, "grad_norms_in_f64": wide_norms,
            "final_max_abs_error_against_f64": max((params[n].double() - wide_params[n]).abs().max().item() for n in params),
        }
    with torch.no_grad():
        prompts = [torch.randint(3, 96, (n,), generator=generator(40 + n)).tolist() for n in (3, 7, 12)]
        report["generate"] = [greedy(base, p, 12) for p in prompts]
    assert min(g["smallest_lead"] for g in report["generate"]) > 1e-2, [g["smallest_lead"] for g in report["generate"]]
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


def save_adapter(model, name):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    if os.path.exists(folder + "/README.md"):
        os.remove(folder + "/README.md")
    os.chmod(folder + "/adapter_model.safetensors", 0o644)
    path = folder + "/adapter_config.json"
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    config["target_modules"] = sorted(config["target_modules"])  # a set in PEFT: its order changes from run to run
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


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
