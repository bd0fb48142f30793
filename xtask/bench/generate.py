"""Greedy generation with transformers on a CPU: prompts of one length at once, answers of a fixed length.

The other side of `tunebench-bench generate`, with options of the same meaning; `cargo xtask bench --against peft` runs
both in turn. Prints one line of JSON: new tokens per second of the median run, and peak resident memory.

Set-up:  python3 -m venv V && V/bin/pip install torch transformers
Run:     V/bin/python generate.py --model DIR --batch 64 --prompt 64 --new 64
"""

import common


def options():
    parser = common.answering_options(__doc__)
    parser.add_argument(
        "--dtype",
        choices=["auto", "bf16", "f32"],
        default="auto",
        help="of weights and arithmetic; auto: the faster on this CPU",
    )
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

    def answer():
        answers = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=args.new,
            min_new_tokens=args.new,
            do_sample=False,
            pad_token_id=0,
        )
        if answers.shape[1] != args.prompt + args.new:
            raise SystemExit(f"an answer is not {args.new} tokens long")

    seconds = common.median_seconds(args.repeats, answer)
    common.report_answers(
        args, seconds, dtype=name, peak_rss_mib=common.peak_rss_mib(), torch=torch.__version__
    )


if __name__ == "__main__":
    main()
