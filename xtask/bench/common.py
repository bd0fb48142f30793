"""What the programs share: what to compute in, token ids, peak memory, and the JSON that they print."""

import argparse
import json
import os
import statistics
import time

# Nothing here may reach for the network; both are read when transformers is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def answering_options(doc):
    """The options of a program that answers, as `tunebench-bench generate` spells them; `doc` is its own docstring."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--batch", type=int, default=64, help="prompts, answered together")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--repeats", type=int, default=3, help="runs that count, after one that does not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", help="file of token ids, little-endian u32")
    return parser


def median_seconds(repeats, answer):
    """The median of so many calls of `answer`, after one that does not count."""
    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        answer()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


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


def faster_dtype(rows):
    """"bf16" or "f32", whichever multiplies matrices of so many rows faster on this CPU.

    Without AVX-512, bf16 is emulated number by number and a step takes minutes, so that is not even tried.
    """
    if "avx512f" not in cpu_flags():
        return "f32"
    return min(["bf16", "f32"], key=lambda name: product_seconds(name, rows))


def cpu_flags():
    """What the CPU can do, as Linux names it; nothing where the system does not say."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith("flags")]
    except OSError:
        return set()
    return set(lines[0].split(":")[1].split()) if lines else set()


def product_seconds(name, rows):
    """The fastest of some products of the size of a small model's."""
    import torch

    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[name]
    left, right = torch.ones(rows, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(10):
            begin = time.perf_counter()
            torch.nn.functional.linear(left, right)
            seconds.append(time.perf_counter() - begin)
    return min(seconds)


def peak_rss_mib(process="self"):
    """Peak resident memory of a process, of this one unless given; 0 where the system does not say."""
    try:
        with open(f"/proc/{process}/status") as file:
            lines = [line for line in file if line.startswith("VmHWM:")]
    except OSError:
        return 0.0
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def report_answers(args, seconds, **values):
    """As `report`, what all programs say that answer."""
    sizes = {"batch": args.batch, "prompt": args.prompt, "new": args.new}
    report(**sizes, seconds=seconds, new_tokens_per_s=args.batch * args.new / seconds, **values)


def report(**values):
    print(json.dumps(values), flush=True)
