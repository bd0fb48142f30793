"""What the scripts here share: models with known weights, batches, losses, adapters, training, greedy answers with a margin.

CPU, float32, one thread, eager attention, no dropout: two runs on one machine write the same bytes.
"""

import copy
import json
import math
import os
import shutil

import peft
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Trainer, get_cosine_schedule_with_warmup

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

VERSIONS = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "peft": peft.__version__}

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL_LINEAR = ATTENTION + ["gate_proj", "up_proj", "down_proj"]
# What the linears of a layer are called where they are not LLaMA's.
OTHER_LINEAR = ["out_proj", "fc1", "fc2", "query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h", "qkv_proj", "gate_up_proj"]
METHODS = {
    "ft": None,
    "lora_attention": {"target_modules": ATTENTION, "use_dora": False},
    "lora_all_linear": {"target_modules": ALL_LINEAR, "use_dora": False},
    "dora": {"target_modules": ALL_LINEAR, "use_dora": True},
}
RANK, ALPHA = 4, 8
PEAK_LR = {"ft": 1e-3, "lora_attention": 1e-2, "lora_all_linear": 1e-2, "dora": 1e-2}
BETAS, EPS, WEIGHT_DECAY, CLIP, WARMUP, STEPS = (0.9, 0.999), 1e-8, 0.01, 1.0, 2, 10
RECIPE = {
    "rank": RANK, "alpha": ALPHA, "dropout": 0.0,
    "optimizer": {
        "name": "AdamW", "betas": BETAS, "eps": EPS, "weight_decay": WEIGHT_DECAY, "weight_decay_applies_to": "all but norms and biases, as in transformers' Trainer",
        "clip_grad_norm": CLIP, "schedule": "cosine", "warmup_steps": WARMUP, "steps": STEPS, "batch_of_step": "step % 4",
    },
}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def build(config, seed, scale=0.3):
    """A model whose weights, normal with this deviation, are large enough that no gradient is tiny; tied weights are drawn once."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    g = generator(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if "norm" in name or "ln_f" in name:
                # A bias, and the weight of a norm that adds 1 to it, are around 0.
                around_zero = name.endswith("bias") or config.model_type.startswith("gemma")
                p.copy_((0 if around_zero else 1) + 0.2 * noise)
            elif any(word in name for word in ("embed_tokens", "embed_positions", "embed_in", "word_embeddings")):
                p.copy_(0.5 * noise)
            else:
                p.copy_(scale * noise)
    return model


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=False, allow_nan=False)
        f.write("\n")


def write_tensors(path, tensors):
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    assert os.path.getsize(path) < 300_000, path
    for k, v in tensors.items():
        assert not v.is_floating_point() or torch.isfinite(v.float()).all(), k


def batch(seed, lengths, prompts, width, vocab_size):
    """Random tokens, right-padded with 0; labels are -100 on the prompt and on the padding."""
    ids = torch.randint(3, vocab_size, (len(lengths), width), generator=generator(seed))
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


def unmasked(ids, labels, mask):
    """The same loss: no real token sees the padding to its right. In f64 a row of padding that sees nothing would be NaN."""
    return ids, labels, torch.ones_like(mask)


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
        if method != "lora_attention":
            there = {name.split(".")[-1] for name, _ in base.named_modules()}
            config.target_modules = [name for name in ALL_LINEAR + OTHER_LINEAR if name in there]
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
    return model, trained(model)


def stored(model, name):
    """The name that a checkpoint has a parameter by: transformers 5 calls the head of a GPT-NeoX otherwise."""
    name = plain(name)
    return name.replace("lm_head.", "embed_out.") if model.config.model_type == "gpt_neox" else name


def trained(model):
    return {stored(model, n): p for n, p in model.named_parameters() if p.requires_grad}


def train(model, params, method, batches):
    decayed = {stored(model, n) for n in Trainer.get_decay_parameter_names(None, model)}
    groups = [
        {"params": [p for n, p in params.items() if n in decayed], "weight_decay": WEIGHT_DECAY},
        {"params": [p for n, p in params.items() if n not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LR[method], betas=BETAS, eps=EPS)
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


def write_batches(folder, base, first, batches):
    """fixtures.safetensors: the batch of logits, loss and gradients, its logits, and the batches of the ten steps."""
    ids, labels, mask = first
    with torch.no_grad():
        loss, logits = loss_of(base, *first)
        reread = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        assert torch.equal(logits, reread(input_ids=ids, attention_mask=mask).logits), "config.json means something else"
    tensors = {"input_ids": ids, "labels": labels, "attention_mask": mask, "logits": logits}
    if batches:
        for i, name in enumerate(["train_ids", "train_labels", "train_attention_mask"]):
            tensors[name] = torch.stack([b[i] for b in batches])
    write_tensors(folder + "/fixtures.safetensors", tensors)
    return {"loss": loss.item(), "label_tokens": int((labels != -100).sum()), "lengths": mask.sum(1).tolist()}


def write_method(folder, base, method, first, batches, merged_names, peft_folder=None):
    """{method}.safetensors: values, gradients, logits, some merged weights and the values after ten steps; and its report."""
    ids, _, mask = first
    model, params = adapted(base, method)
    tensors = {}
    if method != "ft":
        tensors.update({f"{method}.param.{n}": p.detach().clone() for n, p in params.items()})
    loss, logits = loss_of(model, *first)
    loss.backward()
    norm = math.sqrt(sum(p.grad.double().square().sum().item() for p in params.values()))
    for n, p in params.items():
        assert p.grad is not None and (p.grad.abs().max() > 1e-4 or not seen(base.config, n, p).any()), f"{method} {n}: no gradient to speak of"
        tensors[f"{method}.grad.{n}"] = p.grad.clone()
        p.grad = None
    tensors[f"{method}.logits"] = logits.detach()

    if method in ("lora_all_linear", "dora"):
        merged = copy.deepcopy(model).merge_and_unload()
        for n in merged_names:
            tensors[f"merged.{method}.{n}"] = merged.state_dict()[n]
        with torch.no_grad():
            apart = (merged(input_ids=ids, attention_mask=mask).logits - logits).abs()[mask.bool()].max().item()
        assert apart < 1e-3, apart
    if peft_folder:
        save_adapter(model, peft_folder)

    wide = copy.deepcopy(model).double()
    wide_params = trained(wide)
    losses, norms, rates = train(model, params, method, batches)
    wide_losses, wide_norms, _ = train(wide, wide_params, method, [unmasked(*b) for b in batches])
    with torch.no_grad():
        loss_after = loss_of(model, *first)[0].item()
    for n, p in params.items():
        tensors[f"{method}.final.{n}"] = p.detach()
    if method == "ft":
        write_tensors(f"{folder}/ft.safetensors", {k: v for k, v in tensors.items() if ".final." not in k})
        write_tensors(f"{folder}/ft-final.safetensors", {k: v for k, v in tensors.items() if ".final." in k})
    else:
        write_tensors(f"{folder}/{method}.safetensors", tensors)
    return {
        "loss": loss.item(), "grad_norm": norm, "trainable": sum(p.numel() for p in params.values()), "peak_learning_rate": PEAK_LR[method],
        "losses": losses, "grad_norms": norms, "learning_rates": rates,
        "loss_after": loss_after, "losses_in_f64": wide_losses, "grad_norms_in_f64": wide_norms,
        "final_max_abs_error_against_f64": max(
            ((params[n].double() - wide_params[n]) * seen(base.config, n, p)).abs().max().item() for n, p in params.items()
        ),
    }


def seen(config, name, values):
    """1 where a parameter is seen by what the model computes, 0 where it is not: a key's bias adds the same to all scores of a
    query, but for the part of it that is rotated. Its gradient is rounding alone, and AdamW makes full steps of that."""
    mask = torch.ones_like(values)
    if not name.endswith(("k_proj.bias", "query_key_value.bias")):
        return mask
    heads = config.num_attention_heads
    width = config.hidden_size // heads
    rope = getattr(config, "rope_parameters", None) or {}
    rotated = int(width * rope.get("partial_rotary_factor", 1.0)) if rope else 0
    if rotated == width:
        return mask
    parts = mask.view(heads, -1, width)  # for each head its key; or query, key and value
    parts[:, parts.shape[1] // 2, rotated:] = 0
    return mask


def in_bf16(model):
    """A copy with weights rounded to bf16, kept in f32."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for p in rounded.parameters():
            p.copy_(p.bfloat16().float())
    return rounded


def bf16_gradients(base, method, first):
    """How far gradients computed in bf16 throughout are from those computed in f32 from the same rounded weights: over all
    parameters, the largest distance relative to the gradient's norm, and the least cosine."""

    def gradients(model):
        loss_of(model, *first)[0].backward()
        params = {n: (p, seen(base.config, n, p.detach())) for n, p in trained(model).items()}
        return {n: (p.grad * mask).float().flatten() for n, (p, mask) in params.items() if mask.any()}

    rounded = in_bf16(adapted(base, method)[0])
    exact, found = gradients(copy.deepcopy(rounded)), gradients(rounded.bfloat16())
    return {
        "largest_distance": max(((found[n] - g).norm() / g.norm()).item() for n, g in exact.items()),
        "least_cosine": min(F.cosine_similarity(found[n], g, 0).item() for n, g in exact.items()),
    }


def save_adapter(model, folder):
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
