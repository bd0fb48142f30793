"""Training steps with PyTorch, transformers and PEFT on a CPU or a card: forward, backward, clipping, AdamW; every token a label.

The other side of `tunebench-bench train`, with options of the same meaning; `cargo xtask bench --against peft` runs
both in turn. Prints one line of JSON: the speed of the median step after warm-up, peak resident memory, all losses.

Set-up:  python3 -m venv V && V/bin/pip install torch transformers peft, and accelerate bitsandbytes for --quantise
Run:     V/bin/python train.py --model DIR --tuner lora-all-linear --batch 4 --seq 256 --compile
"""

import argparse
import contextlib
import statistics
import time

import common

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL_LINEAR = ATTENTION + ["gate_proj", "up_proj", "down_proj"]
TARGETS = {"ft": None, "lora-attention": ATTENTION, "lora-all-linear": ALL_LINEAR}
LEARNING_RATE = {"ft": 5e-6, "lora-attention": 2e-4, "lora-all-linear": 2e-4}


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--tuner", required=True, choices=sorted(TARGETS))
    parser.add_argument("--batch", type=int, default=4, help="rows of a step")
    parser.add_argument("--seq", type=int, default=256, help="tokens of a row")
    parser.add_argument("--steps", type=int, default=6, help="steps that count")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--dtype",
        choices=["auto", "bf16", "amp", "f32"],
        default="auto",
        help="bf16 weights; amp: f32 weights under bf16 autocast; or f32 throughout. "
        "auto: f32 or bf16, the faster on this CPU, of which ft takes amp for bf16",
    )
    parser.add_argument(
        "--quantise",
        choices=["nf4"],
        help="the layers' linear maps in 4 bits by bitsandbytes, with double quantisation; computed in bf16, or in f32",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--checkpointing", action="store_true", help="compute each layer again for its gradients")
    parser.add_argument("--data", help="file of token ids, little-endian u32")
    parser.add_argument("--adapter", help="PEFT folder to begin with, instead of freshly drawn values")
    return parser.parse_args()


def loaded(args, dtype):
    """The model, quantised where that is asked for."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantised = {}
    if args.quantise:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=args.quantise,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        quantised = {"quantization_config": config, "device_map": args.device}
    return AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation="sdpa", **quantised)


def quantised_with(model):
    """What multiplies by quantised weights, and how many there are; none where there are none."""
    states = [p.quant_state for p in model.parameters() if type(p).__name__ == "Params4bit"]
    if not states:
        return None
    import bitsandbytes

    kinds = {f"{state.quant_type}{', double' if state.nested else ''}, {state.blocksize} a block" for state in states}
    return f"bitsandbytes {bitsandbytes.__version__} Linear4bit: {len(states)} maps, {'; '.join(sorted(kinds))}"


def adapted(model, args):
    """The model with what the tuner adds to it."""
    from peft import LoraConfig, PeftModel, get_peft_model

    if TARGETS[args.tuner] is None:
        return model
    if args.adapter:
        return PeftModel.from_pretrained(model, args.adapter, is_trainable=True)
    config = LoraConfig(
        r=8, lora_alpha=16, lora_dropout=0.0, target_modules=TARGETS[args.tuner], task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def chosen_dtype(args):
    """What to compute in. Full fine-tuning keeps f32 weights, as the steps of bf16 ones would be rounded away."""
    if args.dtype != "auto":
        return args.dtype
    is_cpu = args.device == "cpu"
    faster = common.faster_dtype(args.batch * args.seq) if is_cpu else "bf16"
    return "amp" if faster == "bf16" and args.tuner == "ft" else faster


def main():
    args = options()
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    name = chosen_dtype(args)
    dtype = torch.bfloat16 if name == "bf16" else torch.float32
    model = loaded(args, dtype)
    model.config.use_cache = False
    if args.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    vocab = model.config.vocab_size
    model = adapted(model, args).to(args.device).train()
    params = [param for param in model.parameters() if param.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=LEARNING_RATE[args.tuner], weight_decay=0.0, fused=True)
    forward = torch.compile(model) if args.compile else model

    def precision():
        return torch.autocast(args.device, dtype=torch.bfloat16) if name == "amp" else contextlib.nullcontext()

    total = args.warmup + args.steps
    batches = common.read_tokens(args.data, vocab, total * args.batch * args.seq).view(total, args.batch, args.seq)
    batches = batches.to(args.device)
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    seconds, losses = [], []
    for ids in batches:
        wait()
        begin = time.perf_counter()
        with precision():
            loss = forward(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        wait()
        seconds.append(time.perf_counter() - begin)
        losses.append(loss.item())
    step_s = statistics.median(seconds[args.warmup :])
    common.report(
        tuner=args.tuner,
        batch=args.batch,
        seq=args.seq,
        dtype=name,
        device=args.device,
        quantise=quantised_with(model),
        compile=args.compile,
        checkpointing=args.checkpointing,
        step_s=step_s,
        tokens_per_s=args.batch * args.seq / step_s,
        peak_rss_mib=common.peak_rss_mib(),
        peak_card_mib=torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else 0.0,
        trainable=sum(param.numel() for param in params),
        losses=losses,
        torch=torch.__version__,
    )


if __name__ == "__main__":
    main()
