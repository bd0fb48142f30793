"""Millions of rows to tokens: tunebench beside `datasets` and `tokenizers`, in turn, on the same rows.

    python xtask/bench/rows.py --tunebench target/debug/tunebench --generator target/debug/examples/belle_rows \
        --rows 200000 --dir /tmp/rows [--formats jsonl,zst,parquet] [--theirs 1,2]

Ours is `tunebench study --dry-run`: rows through the dataset plugin, a seeded order, BELLE's template, the tokenizer,
labels, and packing into rows of 512 tokens. A second run finds the tokens in the cache. Theirs is `load_dataset` and one
`map` in batches that writes the same text, encodes its parts and makes the same labels; without an order and without
packing. Each side is a process of its own; memory is the largest resident size of one process.

It needs datasets, tokenizers, pyarrow and zstandard.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SHAPE = """
[[model]]
id = "tiny"
source = "init:"
tokenizer = "tokenizer.json"
[model.shape]
vocab_size = 32000
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
head_dim = 8
max_position_embeddings = 512
rope_theta = 10000.0
rms_norm_eps = 1e-5
tie_word_embeddings = true
"""

STUDY = """
[study]
name = "rows"
seed = 1
template = "belle"
[recipe]
epochs = 1
packing = true
max_length = 512
{shape}
[[dataset]]
id = "rows"
plugin = "belle"
source = "{source}"
[[arm]]
name = "lora"
base = "tiny"
tuner = "lora-attention"
dataset = "rows"
"""


def train_tokenizer(rows, folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    def texts():
        with open(rows, encoding="utf-8") as lines:
            for _, line in zip(range(20_000), lines):
                row = json.loads(line)
                yield row["instruction"]
                yield row["output"]

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=32_000, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))


def convert(rows, path):
    if path.suffix == ".zst":
        import zstandard

        with open(rows, "rb") as source, open(path, "wb") as target:
            zstandard.ZstdCompressor(level=3).copy_stream(source, target)
    elif path.suffix == ".parquet":
        import pyarrow.json
        import pyarrow.parquet

        reader = pyarrow.json.open_json(rows, read_options=pyarrow.json.ReadOptions(block_size=16 << 20))
        with pyarrow.parquet.ParquetWriter(path, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)


def theirs(source, folder, workers):
    """One map over the rows, in a process of its own."""
    from datasets import disable_progress_bars, load_dataset
    from tokenizers import Tokenizer

    disable_progress_bars()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    end = tokenizer.token_to_id("</s>")

    def encode(rows):
        asked = [i + more for i, more in zip(rows["instruction"], rows["input"])]
        prompts = tokenizer.encode_batch_fast([f"Human: \n{q}\n\nAssistant: \n" for q in asked], add_special_tokens=False)
        answers = tokenizer.encode_batch_fast(rows["output"], add_special_tokens=False)
        ids, labels = [], []
        for prompt, answer in zip(prompts, answers):
            tokens = prompt.ids + answer.ids + [end]
            ids.append(tokens[:512])
            labels.append(([-100] * len(prompt.ids) + answer.ids + [end])[:512])
        return {"input_ids": ids, "labels": labels, "length": [len(i) for i in ids]}

    kind = "parquet" if source.suffix == ".parquet" else "json"
    begin = time.time()
    rows = load_dataset(kind, data_files=str(source), split="train", cache_dir=str(folder / "hf"))
    loaded = time.time() - begin
    made = rows.map(encode, batched=True, num_proc=workers if workers > 1 else None, remove_columns=rows.column_names)
    seconds = time.time() - begin
    tokens = sum(made.with_format("arrow")["length"].to_pylist()) if len(made) else 0
    print(json.dumps({"rows": len(made), "tokens": tokens, "seconds": seconds, "loaded": loaded}))


def run(command, **options):
    """Runs a process; what it printed, seconds, and the largest resident size of it or of a process of its own."""
    begin = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.time() - begin
    if status != 0:
        sys.exit(f"{command}: {text}")
    return text, seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def show(what, rows, tokens, seconds, mib, cpu):
    per = f"{rows / seconds:>9.0f} rows/s {tokens / seconds / 1e6:>6.2f} M tokens/s"
    print(f"{what:<34} {seconds:>7.1f} s {per}  {mib:>6.0f} MiB  {cpu:>6.0f} s of CPU", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tunebench")
    parser.add_argument("--generator")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--formats", default="jsonl")
    parser.add_argument("--theirs", default="1,2", help="numbers of processes of `map`; empty for none")
    parser.add_argument("--worker", nargs=2)
    args = parser.parse_args()
    if args.worker:
        return theirs(Path(args.worker[0]), args.dir, int(args.worker[1]))
    args.dir.mkdir(parents=True, exist_ok=True)
    rows = args.dir / f"rows-{args.rows}.jsonl"
    if not rows.exists():
        run([args.generator, str(args.rows), str(rows)])
    if not (args.dir / "tokenizer.json").exists():
        train_tokenizer(rows, args.dir)
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    print(f"{args.rows} rows, {rows.stat().st_size / 1e9:.2f} GB as JSON Lines; load before: {load}", flush=True)
    for kind in args.formats.split(","):
        source = rows if kind == "jsonl" else args.dir / f"rows-{args.rows}.{'jsonl.zst' if kind == 'zst' else kind}"
        if not source.exists():
            convert(rows, source)
        (args.dir / "study.toml").write_text(STUDY.format(shape=SHAPE, source=source.name))
        cache = args.dir / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(args.dir / "run", ignore_errors=True)
        command = [args.tunebench, "study", "study.toml", "--dry-run", "--out", "run"]
        for what in ["tunebench", "tunebench, second run"]:
            env = {**os.environ, "TUNEBENCH_CACHE": str(cache.resolve())}
            text, *took = run(command, cwd=args.dir, env=env)
            counts = next(line for line in text.splitlines() if " examples, " in line and " steps" in line).split()
            number = lambda name: int(counts[counts.index(name) - 1])
            show(f"{kind}: {what}", number("examples,"), number("tokens,"), *took)
        shutil.rmtree(cache, ignore_errors=True)
        for workers in filter(None, args.theirs.split(",")):
            shutil.rmtree(args.dir / "hf", ignore_errors=True)
            env = {**os.environ, "HF_HOME": str((args.dir / "hf").resolve()), "HF_HUB_OFFLINE": "1"}
            env |= {"TOKENIZERS_PARALLELISM": "true"}
            command = [sys.executable, __file__, "--dir", str(args.dir), "--worker", str(source), workers]
            text, _, mib, cpu = run(command, env=env)
            made = json.loads(text.splitlines()[-1])
            show(f"{kind}: datasets, {workers} process(es)", made["rows"], made["tokens"], made["seconds"], mib, cpu)
            shutil.rmtree(args.dir / "hf", ignore_errors=True)


if __name__ == "__main__":
    main()
