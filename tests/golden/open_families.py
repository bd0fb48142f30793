"""Opens what each family came to when it was tuned here, with transformers, and compares the logits.

    cargo run -p tunebench-train --example tuned_families -- FOLDER      # tunes, folds in, writes FOLDER/{family}
    V/bin/python open_families.py FOLDER                                 # a line for each family

Of each family: the class that transformers chose by config.json, and the largest difference of a logit, in logits and relative
to the largest one, for the rows in `ours.json`. The exit status is 1 where one is above 1e-4. Float32, CPU, one thread, eager
attention; a weight that a folder lacks, has besides or has in another shape is an error.
"""

import os
import sys

import torch

from open_exported import logits, open_model, read_json

TOLERANCE = 1e-4


def main():
    folder, worst = sys.argv[1], 0.0
    for family in sorted(os.listdir(folder)):
        path = os.path.join(folder, family)
        ours = read_json(os.path.join(path, "ours.json"))
        model = open_model(path)
        found, expected = ([torch.tensor(row) for row in rows] for rows in (logits(model, ours["tokens"]), ours["logits"]))
        apart = max((f - e).abs().max().item() for f, e in zip(found, expected))
        largest = max(e.abs().max().item() for e in expected)
        worst = max(worst, apart / largest)
        print(f"{family:10} {type(model).__name__:22} {apart:.1e} of logits up to {largest:.1f}, relative {apart / largest:.1e}")
    if worst > TOLERANCE:
        raise SystemExit(f"{worst:.1e} is more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
