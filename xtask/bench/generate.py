"""Greedy generation with transformers on a CPU: prompts of one length at once, answers of a fixed length.

The other side of `tunebench-bench generate`, with options of the same meaning; `cargo xtask bench --against peft` runs
both in turn. Prints one line of JSON: new tokens per second of the median run, and peak resident memory.

Set-up:  python3 -m venv V && V/bin/pip install torch transformers
Run:     V/bin/python generate.py --model DIR --batch 64 --prompt 64 --new 64
"""

import argparse
import statistics
import time

import common


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--batch", type=int, default=64, help="prompts, answered together")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--repeats", type=int, default=3, help="runs that count, after one that does not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--dtype",
        choices=["auto", "bf16", "f32"],
        default="auto",
        help="of weights and arithmetic; auto: the faster on this CPU",
    )
    parser.add_argument("--data", help="file of token ids, little-endian u32")
    return parser.parse_args()


def main():
    args = options()
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    name = common.faster_dtype(args.batch) if args.dtype == "auto" else args.dtype
    dtype = torch.bfloat16 if name == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    tokens = common.read_tokens(args.data, model.config.vocab_size, args.batch * args.prompt)
    ids = tokens.view(args.batch, args.prompt)
    seconds = []
    for _ in range(1 + args.repeats):
        begin = time.perf_counter()
        answers = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=args.new,
            min_new_tokens=args.new,
            do_sample=False,
            pad_token_id=0,
        )
        seconds.append(time.perf_counter() - begin)
        if answers.shape[1] != args.prompt + args.new:
            raise SystemExit(f"an answer is not {args.new} tokens long")
    median = statistics.median(seconds[1:])
    common.report(
        batch=args.batch,
        prompt=args.prompt,
        new=args.new,
        dtype=name,
        seconds=median,
        new_tokens_per_s=args.batch * args.new / median,
        peak_rss_mib=common.peak_rss_mib(),
        torch=torch.__version__,
    )


if __name__ == "__main__":
    main()
