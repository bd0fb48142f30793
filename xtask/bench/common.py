"""What the two PyTorch programs share: reading token ids, peak memory, and the line of JSON that they print."""

import json
import os

# Nothing here may reach for the network; both are read when transformers is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def read_tokens(path, vocab, count):
    """The first `count` ids of a file of little-endian u32; drawn from a fixed seed when there is no file."""
    import torch

    if path is None:
        return torch.randint(0, vocab, (count,), generator=torch.Generator().manual_seed(1))
    with open(path, "rb") as file:
        data = bytearray(file.read(4 * count))
    if len(data) < 4 * count:
        raise SystemExit(f"{path}: {len(data) // 4} tokens, but {count} are needed")
    # Ids are far below 2^31, so signed integers of the same width will do.
    return torch.frombuffer(data, dtype=torch.int32).long()


def peak_rss_mib():
    """Peak resident memory of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            lines = [line for line in file if line.startswith("VmHWM:")]
    except OSError:
        return 0.0
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def report(**values):
    print(json.dumps(values), flush=True)
