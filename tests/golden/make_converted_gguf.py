"""Writes gguf/converted-{family}.gguf: the golden models of families that llama.cpp keeps in a way of its own, by llama.cpp's own
converter, in f32: fused weights reordered, norms with 1 added, factors of LongRoPE as tensors.

A reader must find in each the weights of the Hugging Face folder that it came from. What the files do not say: how a Gemma's scores
are scaled (llama.cpp takes the width of a head) and which layers of a Gemma 3 have the window (it takes five of six).

Run:     V/bin/python make_converted_gguf.py LLAMA_CPP [OUT_DIR [NAME...]]

LLAMA_CPP: its sources; OUT_DIR: the folder gguf beside this file unless given; NAME: these alone
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

HERE = Path(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ["gemma2", "gemma3", "phi3", "phi3-longrope", "bloom", "gpt_neox"]


def set_vocab(self):
    """A vocabulary without meaning: tokenizers are another matter."""
    count = self.hparams["vocab_size"]
    self.gguf_writer.add_tokenizer_model("gpt2")
    self.gguf_writer.add_tokenizer_pre("gpt-2")
    self.gguf_writer.add_token_list([f"t{i}" for i in range(count)])
    self.gguf_writer.add_token_types([1] * count)
    self.gguf_writer.add_token_merges([])


def main():
    llama_cpp = Path(sys.argv[1]).resolve()
    out = Path(sys.argv[2] if len(sys.argv) > 2 else HERE / "gguf")
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import gguf
    from conversion import get_model_class
    from conversion.base import ModelBase, ModelType

    for name in sys.argv[3:] or FOLDERS:
        with tempfile.TemporaryDirectory() as temporary:
            model = AutoModelForCausalLM.from_pretrained(HERE / name, dtype=torch.float32)
            model.save_pretrained(temporary)  # by today's keys, which the converter reads
            config = ModelBase.load_hparams(Path(temporary), False)
            if config["model_type"] == "gpt_neox":
                config["rotary_pct"] = config["rope_parameters"]["partial_rotary_factor"]  # it knows transformers 4's alone
            kind = get_model_class(config["architectures"][0])
            kind = type(kind.__name__, (kind,), {"set_vocab": set_vocab, "model_arch": kind.model_arch})
            if config["model_type"] == "gemma3_text":
                kind.modify_tensors = without_vocabulary(kind)
            path = out / f"converted-{name}.gguf"
            kind(Path(temporary), gguf.LlamaFileType.ALL_F32, path, hparams=config).write()
            print(path, path.stat().st_size)


def without_vocabulary(kind):
    """A Gemma 3's converter cuts the embedding to the tokenizer, which there is none of here; the rest is its own."""

    def modify_tensors(self, data, name, bid):
        shift = self.norm_shift(name)
        yield from super(kind.__mro__[1], self).modify_tensors(data + shift if shift else data, name, bid)

    return modify_tensors


if __name__ == "__main__":
    main()
