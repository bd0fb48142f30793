"""Writes starcoder2/: a small decoder of a family that tunebench does not ship, made of parts that it has: layer norms, rotary
positions, an MLP without a gate, biases everywhere, grouped keys, a window.

`crates/model/tests/families` opens it by a family of its own, which is one file.

Run:     V/bin/python make_decoder.py [OUT_DIR]        (OUT_DIR: the folder starcoder2 beside this file unless given)
"""

import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import Starcoder2Config, Starcoder2ForCausalLM

VOCAB, ROWS = 40, [[2, 17, 9, 33, 21, 8, 30, 12, 5], [2, 11, 38, 7, 7, 24], [2, 35, 14, 29]]
PADDING = 1


def main(out):
    torch.manual_seed(5)
    config = Starcoder2Config(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=24, sliding_window=4, initializer_range=0.3, bos_token_id=0, eos_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
    )
    model = Starcoder2ForCausalLM._from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weight.add_(torch.randn_like(weight) * 0.2)
    os.makedirs(out, exist_ok=True)
    model.save_pretrained(out)
    os.remove(os.path.join(out, "generation_config.json"))

    width = max(map(len, ROWS))
    ids = torch.tensor([row + [PADDING] * (width - len(row)) for row in ROWS])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ROWS])
    labels = torch.where(mask.bool(), ids, -100)
    labels[:, :2] = -100
    logits = model(input_ids=ids, attention_mask=mask).logits
    shifted = labels[:, 1:]
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, VOCAB), shifted.reshape(-1), reduction="sum", ignore_index=-100)
    count = int((shifted != -100).sum())
    (loss / count).backward()
    gradients = {f"grad.{name}": weight.grad.contiguous() for name, weight in model.named_parameters()}
    tensors = {"input_ids": ids, "labels": labels, "attention_mask": mask, "logits": logits.detach(), **gradients}
    save_file(tensors, os.path.join(out, "fixtures.safetensors"))
    with open(os.path.join(out, "fixtures.json"), "w") as file:
        json.dump({"loss": loss.item() / count, "label_tokens": count, "torch": torch.__version__.split("+")[0]}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "starcoder2"))
