"""Greedy answers that no rounding turns: prompts whose best logit leads by more than bf16 can move it.

How far can rounding move a lead? The fast engine keeps weights and activations in bf16 and sums in f32. To round to bf16 is
to multiply by 1 + d with |d| <= 2^-9. What that does to a model is measured, not guessed: its weights are rounded to bf16, and
the output of every embedding, linear layer, norm, activation, attention and decoder layer is multiplied, element by element,
by 1 + d with d uniform in ±2^-8, twice what bf16 does, in DRAWS independent passes. `rounding` is the furthest that the lead of the
best token over any other moved from the lead in f32, over all passes. An answer is taken when at each of its positions

    lead >= FACTOR * rounding    and    lead >= SPREAD * (standard deviation of that position's logits)

so a lead is at least 2 * FACTOR = 3 times what the worst of DRAWS passes does at bf16's own unit. Errors of f32 in another order of
summation are some 2^14 times smaller. The search draws prompts at random and drops a row at its first narrow lead.
"""

import torch

from golden import generator, greedy, in_bf16

UNIT, DRAWS, FACTOR, SPREAD = 2.0**-8, 64, 1.5, 0.3
CHUNK, CHUNKS = 4096, 64
LEAD = 0.25  # what the tests ask for


def disturbed(model, g):
    """Hooks that round, at random and too much, whatever a module puts out."""

    def round_output(module, inputs, output):
        first, *rest = output if isinstance(output, tuple) else (output,)
        first = first * (1 + UNIT * (2 * torch.rand(first.shape, generator=g) - 1))
        return (first, *rest) if isinstance(output, tuple) else first

    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    layers = {layer for layers in lists for layer in layers}
    layers |= {m for layer in layers for n, m in layer.named_children() if n in ("self_attn", "self_attention", "attention")}
    leaves = {m for n, m in model.named_modules() if not list(m.children()) and "rotary" not in n and "lm_head" not in n}
    return [m.register_forward_hook(round_output) for m in model.modules() if m in layers | leaves]


def leads_over_all(logits, best):
    return logits.gather(-1, best[..., None]) - logits


def margins(model, prompt, new):
    """Per position of an answer: the lead, how far rounding moves it, and the spread of the logits."""
    ids = torch.tensor([prompt + new])
    with torch.no_grad():
        at = lambda m: m(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
        logits = at(model)
        top = logits.topk(2).values
        exact = leads_over_all(logits, logits.argmax(-1))
        rounded, moved = in_bf16(model), torch.zeros(len(new))
        hooks = disturbed(rounded, generator(77))
        for _ in range(DRAWS):
            moved = torch.maximum(moved, (leads_over_all(at(rounded), logits.argmax(-1)) - exact).abs().amax(-1))
        for hook in hooks:
            hook.remove()
    return {"lead": (top[:, 0] - top[:, 1]).tolist(), "rounding": moved.tolist(), "spread": logits.std(-1).tolist()}


def is_wide(margins, spread_factor):
    rows = zip(margins["lead"], margins["rounding"], margins["spread"])
    return all(lead >= max(FACTOR * moved, spread_factor * spread, LEAD) for lead, moved, spread in rows)


def candidates(model, length, count, vocab_size, seed, chunk, spread):
    """Prompts, and their greedy continuations, whose leads are SPREAD wide; best first within a chunk."""
    g = generator(seed)
    for _ in range(CHUNKS * CHUNK // chunk):
        ids = torch.randint(3, vocab_size, (chunk, length), generator=g)
        worst = torch.full((chunk,), float("inf"))
        for _ in range(count):
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
            top = logits.topk(2)
            lead = (top.values[:, 0] - top.values[:, 1]) / logits.std(-1)
            keep = lead >= spread
            ids = torch.cat([ids, top.indices[:, :1]], 1)[keep]
            worst = torch.minimum(worst, lead)[keep]
            if not len(ids):
                break
        for row in ids[worst.argsort(descending=True)].tolist() if len(ids) else []:
            yield row[:length], row[length:]


def answer(model, length, count, vocab_size, seed, accept=lambda prompt, new: True, chunk=CHUNK, spread=SPREAD):
    """A prompt of `length` random tokens and `count` greedy ones that hold the margin and that `accept` takes."""
    with torch.no_grad():
        for prompt, new in candidates(model, length, count, vocab_size, seed, chunk, spread):
            # Neither one token over and over, which an engine that forgets would give too, nor an end of text.
            if len(set(new)) < count // 2 or min(new) < 3 or not accept(prompt, new):
                continue
            found = margins(model, prompt, new)
            if is_wide(found, spread):
                row = greedy(model, prompt, count)
                assert row["new"] == new
                return {**row, "margins": found}
    raise SystemExit(f"no prompt of {length} tokens holds the margin")
