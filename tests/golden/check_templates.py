"""Compares how tunebench renders chat templates with how transformers' `apply_chat_template` does, character by character.

The templates are other people's and not kept here: give folders of `.jinja` files, such as those of trl (`trl/chat_templates`)
and axolotl (`axolotl/utils/chat_templates/templates`) as pip installs them. Every conversation below is rendered by both, with and
without `add_generation_prompt`; a template that refuses it must be refused by both. Of templates with `{% generation %}` the marked
ranges are compared as well. With --named, the named templates of tunebench in Jinja are compared with the template that each says
to be, in a folder of chujiezheng/chat_templates. With --model, a folder with a tokenizer and its template, the tokens that a study
trains on and asks are compared with those of `apply_chat_template`.

Run, from the repository:  V/bin/python tests/golden/check_templates.py [--named FOLDER] [--model FOLDER] FOLDER...
"""

import datetime
import json
import os
import subprocess
import sys

from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
# Template of tunebench: the same in chujiezheng/chat_templates.
NAMED = {
    "chatml": "chatml.jinja", "qwen": "qwen2.5-instruct.jinja", "llama2": "llama-2-chat.jinja", "llama3": "llama-3-instruct.jinja",
    "gemma": "gemma-it.jinja",
}
BOS = {"llama3": "<|begin_of_text|>", "gemma": "<bos>"}


class Friday(datetime.datetime):
    """The day that tunebench tells templates."""

    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


chat_template_utils.datetime = Friday


def turns(*contents, system=None):
    roles = ["user", "assistant"] * len(contents)
    said = [{"role": role, "content": content} for role, content in zip(roles, contents)]
    return ([{"role": "system", "content": system}] if system else []) + said


CONVERSATIONS = [
    turns("Hello"),
    turns("Hello", "Hi there."),
    turns("1 + 1 = ?", "2", "And 2 + 2?"),
    turns("1 + 1 = ?", "2", "And 2 + 2?", "4"),
    turns("天空是什么颜色？", "蓝色。", system="你是一个助手。"),
    turns("a", "b", "c", "d", "e", "f", system="Be brief."),
    turns("  white\n\n space \n", "\n answer\twith it  \n"),
    turns("why?", "<think>\nlet me see\n</think>\n\nbecause"),
    turns("why?", "<think>x</think>y", "and?", "<think>z</think>w"),
    turns("quote ' \" \\ {{ braces }} {% raw %} <b> & </b>", "é e\u0301 👩‍👩‍👧 \u200b"),
    turns("```python\nprint('x')\n```", "[INST] not a mark [/INST]", system="line\nline"),
    [{"role": "assistant", "content": "I begin."}, {"role": "user", "content": "ok"}],
    [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
    [],
]


def theirs(source, messages, add_generation_prompt, names):
    marks = "{% generation" in source or "{%- generation" in source
    try:
        rendered, ranges = chat_template_utils.render_jinja_template(
            conversations=[messages], chat_template=source, add_generation_prompt=add_generation_prompt,
            return_assistant_tokens_mask=marks, tools=None, documents=None, **names,
        )
    except Exception as fault:  # a template may raise anything
        return {"fault": f"{type(fault).__name__}: {fault}"}
    text = rendered[0]
    in_bytes = [[len(text[:a].encode()), len(text[:b].encode())] for a, b in (ranges[0] if marks else [])]
    return {"text": text, "generation": in_bytes}


def ours(cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    run = os.environ.get("RENDER", "cargo run --quiet --offline -p tunebench-dataset --example render").split()
    out = subprocess.run(run, input=lines, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def differs(want, got):
    if "fault" in want or "fault" in got:
        return ("fault" in want) != ("fault" in got)
    return want != got


def compare(named):
    """`named`: (name, source, names of tokens)."""
    cases = [
        {"source": source, "names": names, "messages": messages, "add_generation_prompt": prompt}
        for _, source, names in named for messages in CONVERSATIONS for prompt in (False, True)
    ]
    found = iter(ours(cases))
    matched = 0
    for name, source, names in named:
        wrong, rendered = [], 0
        for messages in CONVERSATIONS:
            for prompt in (False, True):
                want, got = theirs(source, messages, prompt, names), next(found)
                rendered += "text" in want
                if differs(want, got):
                    wrong.append((messages, prompt, want, got))
        matched += not wrong
        print(f"{'ok  ' if not wrong else 'DIFF'} {name}: {rendered} rendered, {2 * len(CONVERSATIONS) - rendered} refused by transformers")
        for messages, prompt, want, got in wrong[:2]:
            print(f"     {json.dumps(messages, ensure_ascii=False)[:160]} prompt={prompt}\n     theirs {want}\n     ours   {got}")
    print(f"{matched} of {len(named)} templates are rendered as transformers does")
    return matched == len(named)


def check_named(folder):
    """Our Jinja of the named templates, rendered by transformers, beside the template that each says to be."""
    sources = {name: ours([{"named": name}])[0]["source"] for name in NAMED}
    all_match = True
    for name, file in NAMED.items():
        # They are laid out for reading; their README says to take that out again.
        theirs_source = open(os.path.join(folder, file), encoding="utf-8").read().replace("    ", "").replace("\n", "")
        names = dict(TOKENS, bos_token=BOS.get(name, "<s>"))
        wrong = compared = 0
        for messages in CONVERSATIONS[:6] + CONVERSATIONS[9:11]:
            for prompt in (False, True):
                want = theirs(theirs_source, messages, prompt, names)
                got = theirs(sources[name], messages, prompt, names)
                if "text" not in want:
                    continue
                compared += 1
                # What the answer ends with belongs to the template; a line end behind it is nobody's.
                if want["text"].rstrip("\n") != got.get("text", got.get("fault")).rstrip("\n"):
                    wrong += 1
                    if wrong == 1:
                        print(f"     theirs {want['text']!r}\n     ours   {got}")
        all_match &= not wrong
        print(f"{'ok  ' if not wrong else 'DIFF'} named {name} as {file}: {compared - wrong} of {compared} conversations")
    return all_match


def check_model(folder):
    """The tokens of whole conversations and of prompts."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    asked = [(messages, prompt) for messages in CONVERSATIONS[:7] + CONVERSATIONS[9:11] for prompt in (False, True)]
    # A prompt is for the answer to a question; a conversation to learn from has one.
    asked = [(messages, prompt) for messages, prompt in asked if prompt == (messages[-1]["role"] == "user")]
    cases = [
        {
            "source": tokenizer.chat_template, "names": names, "messages": messages, "add_generation_prompt": prompt,
            "tokenizer": os.path.join(folder, "tokenizer.json"),
        }
        for messages, prompt in asked
    ]
    wrong = 0
    for (messages, prompt), got in zip(asked, ours(cases)):
        want = tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=False)
        if got.get("tokens") != list(want):
            wrong += 1
            print(f"     {json.dumps(messages, ensure_ascii=False)[:120]}\n     theirs {want}\n     ours   {got}")
        elif not prompt:
            learnt = tokenizer.decode([token for token, is_answer in zip(got["tokens"], got["is_answer"]) if is_answer])
            print(f"     learnt: {learnt!r}")
    print(f"{'ok  ' if not wrong else 'DIFF'} tokens of {folder}: {len(asked) - wrong} of {len(asked)} conversations")
    return not wrong


def main():
    arguments, is_right = sys.argv[1:], True
    while "--model" in arguments:
        at = arguments.index("--model")
        is_right &= check_model(arguments[at + 1])
        del arguments[at:at + 2]
    if "--named" in arguments:
        at = arguments.index("--named")
        is_right &= check_named(arguments[at + 1])
        del arguments[at:at + 2]
    files = sorted(os.path.join(folder, name) for folder in arguments for name in os.listdir(folder) if name.endswith(".jinja"))
    named = [(os.path.basename(file), open(file, encoding="utf-8").read(), TOKENS) for file in files]
    if named:
        is_right &= compare(named)
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
