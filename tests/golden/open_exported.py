"""Opens folders that tunebench has written with transformers and PEFT, and prints the logits of given tokens as JSON.

    V/bin/python open_exported.py FOLDER... --tokens TOKENS [--base FOLDER] [--expect FILE [--tolerance T]]

FOLDER      a model (`config.json` and weights) or a PEFT adapter (`adapter_config.json`)
--tokens    rows of token ids, as JSON or as a file of it: [[5, 9, 30], [7, 7]]
--base      the model under an adapter, where its adapter_config.json does not say a folder that exists
--expect    a JSON file {"logits": [row][position][token]}, what tunebench computes for the same rows. Each folder must give it
            within T (default 5e-6) of the largest element, or the exit status is 1

Nothing is guessed: a weight that the folder lacks, has besides or has in another shape is an error here, where transformers
and PEFT would only warn and draw it at random. Float32, CPU, one thread, eager attention. Output:

    {"versions": {...}, "tokens": [...], "folders": {FOLDER: {"class", "adapter", "logits", "merged_logits" of an adapter that can be
     merged, "error" against FILE}}}
"""

import argparse
import copy
import json
import os
import sys

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from golden import VERSIONS


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folders", nargs="+", metavar="FOLDER")
    p.add_argument("--tokens", required=True)
    p.add_argument("--base")
    p.add_argument("--expect")
    p.add_argument("--tolerance", type=float, default=5e-6)
    return p.parse_args()


def read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def open_model(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    wrong = {what: sorted(map(str, names)) for what, names in info.items() if names}
    if wrong:
        raise SystemExit(f"{folder}: transformers does not find in it what its config.json says: {wrong}")
    return model.eval()


def open_adapter(folder, base):
    stated = read_json(folder + "/adapter_config.json")["base_model_name_or_path"]
    model = PeftModel.from_pretrained(open_model(base or stated), folder).eval()
    stored, found = load_file(folder + "/adapter_model.safetensors"), get_peft_model_state_dict(model)
    wrong = sorted(stored.keys() ^ found.keys()) or [n for n, t in stored.items() if not torch.equal(t.float(), found[n].float())]
    if wrong:
        raise SystemExit(f"{folder}: PEFT does not load as they are stored: {wrong}")
    return model


def logits(model, rows):
    """Of each row by itself, so that nothing is padded; virtual tokens' own are left out."""
    with torch.no_grad():
        return [model(input_ids=torch.tensor([row])).logits[0, -len(row) :].tolist() for row in rows]


def opened(folder, rows, base):
    if not os.path.exists(folder + "/adapter_config.json"):
        model = open_model(folder)
        return {"class": type(model).__name__, "adapter": None, "logits": logits(model, rows)}
    model = open_adapter(folder, base)
    config = model.peft_config["default"]
    found = {"class": type(model.get_base_model()).__name__, "adapter": config.peft_type.value, "logits": logits(model, rows)}
    if not config.is_prompt_learning:
        found["merged_logits"] = logits(copy.deepcopy(model).merge_and_unload(), rows)
    return found


def error(found, expected):
    """The largest difference, relative to the largest expected element."""
    found, expected = ([torch.tensor(row, dtype=torch.float64) for row in rows] for rows in (found, expected))
    if [f.shape for f in found] != [e.shape for e in expected]:
        raise SystemExit("what is expected has another shape")
    apart = max((f - e).abs().max().item() for f, e in zip(found, expected))
    return apart / max(e.abs().max().item() for e in expected)


def main():
    args = arguments()
    rows = read_json(args.tokens) if os.path.exists(args.tokens) else json.loads(args.tokens)
    folders = {folder: opened(folder, rows, args.base) for folder in args.folders}
    worst = 0.0
    if args.expect:
        expected = read_json(args.expect)["logits"]
        for found in folders.values():
            found["error"] = error(found["logits"], expected)
            worst = max(worst, found["error"])
    json.dump({"versions": VERSIONS, "tokens": rows, "folders": folders}, sys.stdout, allow_nan=False)
    print()
    if not worst <= args.tolerance:
        raise SystemExit(f"{worst:e} from what is expected, more than {args.tolerance:e}")


if __name__ == "__main__":
    main()
