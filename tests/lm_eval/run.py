"""lm-evaluation-harness over `tunebench serve`, beside the same weights in transformers: same numbers.

    pip install lm_eval[api] torch transformers
    python tests/lm_eval/run.py --tunebench target/debug/tunebench --dir runs/smollm2 --model SmolLM2-135M --weights path/to/SmolLM2

`--weights` is the Hugging Face folder of the model that `--model` names: that of a base model, or what `tunebench export
merged` wrote of an arm. The reference engine computes in f32 as transformers does here, so each choice's log-likelihood must
agree, and every answer be the same text; the fast engine computes in bf16, and its difference is printed. `--chat` asks the
short answers as conversations, too, by local-chat-completions.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
# f32 sums in another order, over continuations of a few tokens.
TOLERANCE = 2e-3
TASKS = ["tunebench_choices", "tunebench_short_answers"]


def serve(args, engine):
    """The server's process and address."""
    command = [args.tunebench, "serve", args.dir, args.model, "--port", "0", "--engine", engine]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        print(" ", line.rstrip())
        if found := re.search(r"listening at (http://\S+)/v1", line):
            urllib.request.urlopen(found[1] + "/health")
            return process, found[1]
    sys.exit(f"the server ended: {process.wait()}")


def evaluate(args, model, model_args, tasks, **more):
    import lm_eval
    from lm_eval.tasks import TaskManager

    began = time.time()
    manager = TaskManager(include_path=str(HERE))
    found = lm_eval.simple_evaluate(
        model=model,
        model_args=model_args,
        tasks=tasks,
        task_manager=manager,
        limit=args.limit,
        bootstrap_iters=0,
        log_samples=True,
        **more,
    )
    return found, time.time() - began


def over(args, engine, tasks=TASKS, chat=False):
    """What the harness finds over a server."""
    process, url = serve(args, engine)
    try:
        common = dict(model=args.model, num_concurrent=8, max_retries=1, timeout=600)
        if chat:
            settings = dict(common, base_url=f"{url}/v1/chat/completions")
            return evaluate(args, "local-chat-completions", settings, tasks, apply_chat_template=True)
        settings = dict(common, base_url=f"{url}/v1/completions", tokenizer_backend="huggingface", tokenizer=args.weights)
        return evaluate(args, "local-completions", settings, tasks, batch_size=8)
    finally:
        process.terminate()
        print(f"  the server ended with status {process.wait(60)}")


def compare(name, found, want):
    """Prints both results and how far apart they are; whether they are the same."""
    same = True
    for task in found["results"]:
        for metric, value in want["results"][task].items():
            if "," in metric and "stderr" not in metric:
                other = found["results"][task][metric]
                same &= value == other
                print(f"  {task:26} {metric:18} {name} {other:.4f}   transformers {value:.4f}")
        samples = [sorted(run["samples"][task], key=lambda sample: sample["doc_id"]) for run in (found, want)]
        if task == "tunebench_choices":
            pairs = [(a, b) for x, y in zip(*samples) for a, b in zip(x["filtered_resps"], y["filtered_resps"])]
            largest = max(abs(a[0] - b[0]) for a, b in pairs)
            greedy = sum(a[1] != b[1] for a, b in pairs)
            same &= largest < TOLERANCE and greedy == 0
            print(f"  {len(pairs)} log-likelihoods: largest difference {largest:.2e}; is_greedy differs in {greedy}")
        else:
            texts = [[sample["resps"][0][0] for sample in run] for run in samples]
            differ = [(a, b) for a, b in zip(*texts) if a != b]
            same &= not differ
            print(f"  {len(texts[0])} answers: {len(differ)} differ", *differ[:2])
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["tunebench", "dir", "model", "weights"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--limit", type=int, help="questions of each task, all without it")
    args = parser.parse_args()
    args.tunebench, args.dir, args.weights = (str(Path(p).resolve()) for p in (args.tunebench, args.dir, args.weights))
    os.chdir(HERE)  # the tasks name their data relative to themselves
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

    want, seconds = evaluate(args, "hf", dict(pretrained=args.weights, dtype="float32", device="cpu"), TASKS, batch_size=8)
    print(f"transformers, f32: {seconds:.0f} s", flush=True)
    found, seconds = over(args, "reference")
    print(f"serve --engine reference, f32: {seconds:.0f} s")
    same = compare("reference", found, want)
    found, seconds = over(args, "fast")
    print(f"serve, bf16: {seconds:.0f} s")
    compare("fast     ", found, want)
    if args.chat:
        found, seconds = over(args, "fast", TASKS[1:], chat=True)
        print(f"serve, bf16, as conversations: {seconds:.0f} s")
        print(" ", {k: v for k, v in found["results"][TASKS[1]].items() if "," in k})
    print("same numbers" if same else "NOT the same numbers")
    sys.exit(not same)


if __name__ == "__main__":
    main()
