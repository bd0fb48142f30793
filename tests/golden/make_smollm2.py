"""Writes smollm2.json: what transformers makes of SmolLM2-135M-Instruct, for checking tokenizer and forward pass at real size.

MODEL_DIR is a Hugging Face folder of that model (config.json, model.safetensors, tokenizer.json); weights are upcast to
float32 whatever they are stored in, so other copies of the model (other quantisations) give other numbers: the file records
a checksum of the weights it was made from. Where splitting off every digit before the byte-level step (SmolLM's own
tokenizer, "smollm" in GGUF) gives other ids than the folder's tokenizer.json, they are there as ids_with_digit_split. CPU, float32, one thread, eager attention.

Set-up:  python3 -m venv V && V/bin/pip install torch transformers safetensors
Run:     V/bin/python make_smollm2.py MODEL_DIR [OUT_FILE]      (OUT_FILE: smollm2.json beside this file unless given)
"""

import hashlib
import json
import os
import sys

import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoTokenizer, LlamaForCausalLM

torch.set_num_threads(1)

TEXTS = {
    "english": "The lighthouse keeper wrote down the weather every evening: wind from the west, 12 knots, rain before midnight. "
    "After forty years the notebooks filled a whole wall, and nobody had ever asked to read them.",
    "chinese": "小镇的图书馆每到周末都会举办读书会，大家围坐在一起，分享最近读过的书。今天讨论的题目是：机器能不能理解一首诗？",
}
STRINGS = [
    "Hello, world!",
    " leading space and trailing space ",
    "tabs\tand\nnew\n\nlines\r\nand   three   spaces",
    "    def f(x):\n        return x ** 2\n",
    "rows:   42 and    7\n\n  3",
    "1234567890 3.14159 2023-10-07 0x1F",
    "中文和English混合在一起，还有数字123456。",
    "全角标点：“引号”、句号。！？……",
    "emoji 😀👩‍👩‍👧🇨🇳 and é vs e\u0301",
    "I'm sure they'll've said it's DON'T",
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
    "not special: <|im_start |> <im_start> but <|endoftext|>this",
    "",
    "\n",
    "a" * 40 + " antidisestablishmentarianism",
    "русский العربية हिन्दी 日本語 ไทย",
    "nul\u0000 bom\ufeff zero\u200bwidth nbsp\u00a0end",
]


def main():
    model_dir = sys.argv[1]
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "smollm2.json")
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    split = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    split.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    model = LlamaForCausalLM.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager").eval()
    digest = hashlib.sha256()
    with open(os.path.join(model_dir, "model.safetensors"), "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    result = {
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "model_safetensors_sha256": digest.hexdigest(),
        "vocab_size": model.config.vocab_size,
        "texts": {},
        "strings": [],
    }
    for name, text in TEXTS.items():
        ids = tokenizer(text, add_special_tokens=False).input_ids
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        assert torch.isfinite(logits).all()
        last = logits[-1]
        result["texts"][name] = {
            "text": text,
            "ids": ids,
            # mean over the tokens after the first; nothing is prepended
            "loss": F.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item(),
            "last_argmax": int(last.argmax()),
            "last_logits_first_16": last[:16].tolist(),
            "last_logsumexp": last.logsumexp(0).item(),
        }
    for text in STRINGS:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert ids == tokenizer(text).input_ids, "this tokenizer adds special tokens by itself"
        row = {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)}
        split_ids = split.encode(text, add_special_tokens=False).ids
        if split_ids != ids:
            row["ids_with_digit_split"] = split_ids
        result["strings"].append(row)
    with open(out, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1, ensure_ascii=False)
        f.write("\n")
    print("wrote", out)


if __name__ == "__main__":
    main()
