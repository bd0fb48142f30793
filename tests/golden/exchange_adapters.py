"""Adapters of every kind between tunebench and PEFT, in both directions: the same logits, or the exit status is 1.

    cargo build -p tunebench-peft --example exchange
    V/bin/python exchange_adapters.py target/debug/examples/exchange [MODEL...] [--tolerance T]

MODEL       model folders; those of tiny, qwen2 and mistral beside this file unless given

Out: tunebench writes each kind, and some over each other, as one or with their base beside; PEFT loads the folder, with open_exported.py's strictness, and
must give the logits that tunebench computes. In: PEFT makes each kind and its variants with values that have moved and saves
them with save_pretrained; tunebench must give PEFT's logits. Float32, CPU, one thread, eager attention; T is the largest
difference of a logit relative to the largest, 1e-5 unless given.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
from peft import (
    IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model,
)

from golden import VERSIONS, generator
from open_exported import error, logits, open_adapter, open_model

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = [[5, 9, 30, 17, 2, 21], [7, 7], [11, 3, 3, 8]]
CAUSAL = {"task_type": "CAUSAL_LM"}
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def lora(**settings):
    return lambda: LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **CAUSAL, **settings})


def virtual(cls, **settings):
    return lambda: cls(num_virtual_tokens=4, **CAUSAL, **settings)


# What PEFT makes, by name; a second value is what is done to the folder afterwards.
PEFT = {
    "lora": lora(),
    "lora all-linear": lora(target_modules="all-linear"),
    "lora by an expression": lora(target_modules=r".*\.layers\.\d+\.(self_attn\.[qk]|mlp\.up)_proj"),
    "lora, patterns": lora(
        target_modules=ATTENTION, rank_pattern={r"layers\.0\..*\.q_proj": 2}, alpha_pattern={"v_proj": 3, r"layers\.1.*o_proj": 5}
    ),
    "lora of one layer": lora(layers_to_transform=[1], layers_pattern="layers"),
    "lora, some excluded": lora(target_modules="all-linear", exclude_modules=["down_proj", "layers.0.self_attn.q_proj"]),
    "lora and whole modules": lora(modules_to_save=["norm"]),
    "lora, all biases": lora(bias="all"),
    "rslora": lora(use_rslora=True, lora_alpha=4),
    "dora": lora(use_dora=True, target_modules=ATTENTION),
    "dora, rslora": lora(use_dora=True, use_rslora=True),
    "ia3": lambda: IA3Config(**CAUSAL),
    "ia3, other modules": lambda: IA3Config(
        target_modules=["q_proj", "o_proj", "down_proj", "gate_proj"], feedforward_modules=["o_proj", "down_proj"], **CAUSAL
    ),
    "prompt tuning": virtual(PromptTuningConfig),
    "prefix tuning": virtual(PrefixTuningConfig),
    "prefix tuning by an MLP": virtual(PrefixTuningConfig, prefix_projection=True, encoder_hidden_size=20),
    "p-tuning": virtual(PromptEncoderConfig, encoder_hidden_size=20),
    "p-tuning by an LSTM": virtual(PromptEncoderConfig, encoder_hidden_size=20, encoder_reparameterization_type="LSTM"),
}


def made_by_peft(model_folder, make, folder):
    """An adapter whose values have moved, saved; and the logits that PEFT gives when it loads the folder again."""
    model, g = get_peft_model(open_model(model_folder), make()), generator(7)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn(p.shape, generator=g))
    model.eval().save_pretrained(folder)
    return logits(open_adapter(folder, model_folder), ROWS)


def out(example, model, work):
    subprocess.run([example, "write", model, work], check=True)
    for name in sorted(os.listdir(work)):
        folder = os.path.join(work, name)
        with open(folder + "/logits.json", encoding="utf-8") as f:
            ours = json.load(f)
        base = folder + "/base"
        opened = open_adapter(folder, base if os.path.exists(base) else model)
        yield "out", name, error(logits(opened, ours["tokens"]), ours["logits"])


def into(example, model, work):
    with open(work + "/tokens.json", "w", encoding="utf-8") as f:
        json.dump(ROWS, f)
    plain = logits(open_model(model), ROWS)
    for name, make in PEFT.items():
        folder = os.path.join(work, name.replace(" ", "-"), "checkpoint-7")
        expected = made_by_peft(model, make, folder)
        if error(expected, plain) < 1e-3:
            raise SystemExit(f"{name}: PEFT's adapter says nothing")
        # Trainers keep adapters a level below.
        read = [example, "read", model, os.path.dirname(folder), work + "/tokens.json"]
        found = json.loads(subprocess.run(read, check=True, stdout=subprocess.PIPE, text=True).stdout)
        yield "in", name, error(found["logits"], expected)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("example")
    p.add_argument("models", nargs="*")
    p.add_argument("--tolerance", type=float, default=1e-5)
    args = p.parse_args()
    worst = 0.0
    print(json.dumps(VERSIONS))
    for model in args.models or [os.path.join(HERE, name) for name in ("tiny", "qwen2", "mistral")]:
        for direction in (out, into):
            with tempfile.TemporaryDirectory() as work:
                for way, name, off in direction(args.example, model, work):
                    worst = max(worst, off)
                    print(f"{os.path.basename(model):10} {way:4} {name:28} {off:.1e}", flush=True)
    if not worst <= args.tolerance:
        sys.exit(f"{worst:e}, more than {args.tolerance:e}")


if __name__ == "__main__":
    main()
