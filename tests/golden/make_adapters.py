"""Writes the golden numbers of the third-party tuners, at the tiny model that make_fixtures.py wrote.

(IA)3, rank-stabilised LoRA and LoRA+ are PEFT's. PEFT has no Houlsby adapter: that one is written here in plain PyTorch,
a module around each adapted linear. Same batch, same training steps, CPU, float32, one thread, as in make_fixtures.py.

Run:     V/bin/python make_adapters.py [DIR]        (DIR: where make_fixtures.py wrote tiny/; this file's folder unless given)

What it writes is described in README.md beside this file.
"""

import copy
import os

import torch
import torch.nn.functional as F
from peft import IA3Config, LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaForCausalLM

from golden import (
    ALL_LINEAR, ALPHA, BETAS, EPS, RANK, VERSIONS, WEIGHT_DECAY,
    adapted, generator, loss_of, train_by, trained, write_json, write_tensors,
)
from make_fixtures import MERGED, OUT

FOLDER = os.path.join(OUT, "tiny")
BOTTLENECK = 4
# How far inputs of ReLU keep from 0, a hundred times what f32 is off by: nearer to it, a unit would be on by one order of sums
# and off by another.
KINK = 1e-4
LORA_PLUS = {"peak_learning_rate": 1e-3, "loraplus_lr_ratio": 16.0}
MERGED_IA3 = [
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.1.self_attn.v_proj.weight",
    "model.layers.1.mlp.down_proj.weight",
]


class Houlsby(nn.Module):
    """h = W x; y = h + U f(D h + d) + u (Houlsby et al. 2019, figure 2)."""

    def __init__(self, base, activation, g):
        super().__init__()
        self.base, self.activation = base, activation
        draw = lambda *shape: nn.Parameter(0.2 * torch.randn(shape, generator=g))
        self.adapter_down, self.adapter_down_bias = draw(BOTTLENECK, base.out_features), draw(BOTTLENECK)
        self.adapter_up, self.adapter_up_bias = draw(base.out_features, BOTTLENECK), draw(base.out_features)

    def forward(self, x):
        h = self.base(x)
        down = F.linear(h, self.adapter_down, self.adapter_down_bias)
        assert self.activation is not F.relu or down.abs().min() > KINK, down.abs().min()
        inner = self.activation(down)
        return h + F.linear(inner, self.adapter_up, self.adapter_up_bias)


def houlsby(base, activation):
    """Adapters at o_proj and down_proj of every layer; they and all norms are trained."""
    model, g = copy.deepcopy(base), generator(2000)
    for name, p in model.named_parameters():
        p.requires_grad_("norm" in name)
    for layer in model.model.layers:
        layer.self_attn.o_proj = Houlsby(layer.self_attn.o_proj, activation, g)
        layer.mlp.down_proj = Houlsby(layer.mlp.down_proj, activation, g)
    return model


def by_peft(base, config):
    """PEFT's model with values that are not at their start: vectors of (IA)3 around 1, matrices of LoRA around 0."""
    model, g = get_peft_model(copy.deepcopy(base), config), generator(2001)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(float("ia3_l" in name) + 0.2 * torch.randn(p.shape, generator=g))
    return model


def computed(method, model, merged_names, batch):
    """Loss, and a file with the values, every gradient and some merged weights."""
    model.eval()
    params = trained(model)
    tensors = {f"{method}.param.{n}": p.detach().clone() for n, p in params.items()}
    loss, logits = loss_of(model, *batch)
    loss.backward()
    for n, p in params.items():
        assert p.grad is not None and p.grad.abs().max() > 1e-4, f"{method} {n}: no gradient to speak of"
        tensors[f"{method}.grad.{n}"] = p.grad
    if merged_names:
        merged = copy.deepcopy(model).merge_and_unload()
        tensors.update({f"merged.{method}.{n}": merged.state_dict()[n] for n in merged_names})
        with torch.no_grad():
            apart = (loss_of(merged, *batch)[1] - logits).abs()[batch[2].bool()].max().item()
        assert apart < 1e-3, apart
    write_tensors(f"{FOLDER}/{method}.safetensors", tensors)
    return {"loss": loss.item(), "trainable": sum(p.numel() for p in params.values())}


def lora_plus(base, batches):
    """Ten steps from the values of lora_all_linear by the groups of PEFT's LoRA+ optimizer."""

    def ten_steps(model):
        params = trained(model)
        optimizer = create_loraplus_optimizer(
            model, torch.optim.AdamW, lr=LORA_PLUS["peak_learning_rate"], loraplus_lr_ratio=LORA_PLUS["loraplus_lr_ratio"],
            loraplus_weight_decay=WEIGHT_DECAY, betas=BETAS, eps=EPS,
        )
        return params, train_by(optimizer, model, params, batches)

    model, _ = adapted(base, "lora_all_linear")
    wide_params, _ = ten_steps(copy.deepcopy(model).double())
    params, (losses, norms, rates) = ten_steps(model)
    write_tensors(f"{FOLDER}/lora_plus.safetensors", {f"lora_plus.final.{n}": p for n, p in params.items()})
    error = max((params[n].double() - wide_params[n]).abs().max().item() for n in params)
    return {**LORA_PLUS, "losses": losses, "grad_norms": norms, "learning_rates": rates, "final_max_abs_error_against_f64": error}


def main():
    base = LlamaForCausalLM.from_pretrained(FOLDER, attn_implementation="eager").float().eval()
    data = load_file(FOLDER + "/fixtures.safetensors")
    batch = data["input_ids"], data["labels"], data["attention_mask"]
    batches = list(zip(data["train_ids"], data["train_labels"], data["train_attention_mask"]))
    rslora = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=ALL_LINEAR, use_rslora=True, task_type="CAUSAL_LM")
    report = {
        "ia3": computed("ia3", by_peft(base, IA3Config(task_type="CAUSAL_LM")), MERGED_IA3, batch),
        "rslora": computed("rslora", by_peft(base, rslora), MERGED, batch),
        "houlsby": computed("houlsby", houlsby(base, F.gelu), [], batch),
        "houlsby_relu": computed("houlsby_relu", houlsby(base, F.relu), [], batch),
        "lora_plus": lora_plus(base, batches),
    }
    write_json(FOLDER + "/adapters.json", {"versions": VERSIONS, "bottleneck": BOTTLENECK, "methods": report})


if __name__ == "__main__":
    main()
    print("wrote ia3, rslora, houlsby, houlsby_relu and lora_plus to", FOLDER)
