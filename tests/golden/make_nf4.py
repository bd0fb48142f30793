"""Writes nf4.json: what bitsandbytes makes of a small matrix in 4 bits, for crates/kernels/tests/quantised.rs.

40 rows of 128 normal numbers, whose sizes are from a thousandth to 1; of one row a millionth, one is zero, and one is of
few different numbers, which lie on the values of the format and in the middle between two. They are quantised by
`quantize_4bit` as NF4, in blocks of 64 with double quantisation, once as they are and once five times over, each copy
half of the one before: the 4-bit numbers are the same then, but the blocks' scales, 400, share two scales of their own.

Of each the file has the scales of blocks as `dequantize_4bit` multiplies by them; `codes` has the 4-bit numbers in hex,
one digit each, and `code` what these stand for. Before it is written, code times scale is checked to be what
`dequantize_4bit` yields, to the bit. Numbers are kept as the integers of their f32 bits.

On a CPU bitsandbytes 0.50 finds the 8 bits of a scale by steps of some 3e-5 of the largest, so that one which is nearly
in the middle between two values may become the further one. The seed is one for which there is no such scale, which is
checked.

Set-up:  python3 -m venv V && V/bin/pip install torch bitsandbytes
Run:     V/bin/python make_nf4.py [FILE]        (FILE: nf4.json beside this file unless given)
"""

import json
import os
import sys

import bitsandbytes
import bitsandbytes.functional as F
import torch

torch.set_num_threads(1)

ROWS, COLS, BLOCK, COPIES = 40, 128, 64, 5


def matrix():
    g = torch.Generator().manual_seed(20)
    numbers = torch.randn(ROWS, COLS, generator=g)
    sizes = 10.0 ** (-3 * torch.rand(ROWS, 1, generator=g))
    sizes[7] = 1e-6
    numbers *= sizes
    numbers[11] = 0
    code = F.get_4bit_type("nf4", device="cpu")
    between = (code[1:] + code[:-1]) / 2
    numbers[12] = torch.cat([code, between, -code, -between]).repeat(3)[:COLS] / 64
    return numbers


def quantised(numbers):
    """Its 4-bit numbers, one each, and its blocks' scales."""
    packed, state = F.quantize_4bit(numbers, quant_type="nf4", compress_statistics=True, blocksize=BLOCK)
    codes = torch.stack([packed >> 4, packed & 15], -1).flatten()
    scales = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
    read = F.dequantize_4bit(packed, state)
    assert read.dtype == torch.float32 and read.shape == numbers.shape
    assert torch.equal(nearest_scales(numbers, state), state.absmax)
    again = (state.code[codes.int()].view(-1, BLOCK) * scales[:, None]).view_as(numbers)
    assert torch.equal(bits(again), bits(read))
    return codes, scales, state


def nearest_scales(numbers, state):
    """The 8 bits of each block's scale, by looking at all values that they can stand for."""
    off = numbers.view(-1, BLOCK).abs().amax(1) - state.offset
    share = off / state.state2.absmax.repeat_interleave(state.state2.blocksize)[: len(off)]
    return (share[:, None].double() - state.state2.code.double()).abs().argmin(1).to(torch.uint8)


def bits(numbers):
    return numbers.contiguous().view(torch.int32)


def integers(numbers):
    return [bit % 2**32 for bit in bits(numbers).flatten().tolist()]


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(folder, "nf4.json")
    numbers = matrix()
    codes, scales, state = quantised(numbers)
    copies = torch.cat([numbers * 0.5**i for i in range(COPIES)])
    codes_of_copies, scales_of_copies, _ = quantised(copies)
    assert torch.equal(codes_of_copies, codes.repeat(COPIES))
    golden = {
        "versions": {"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__},
        "rows": ROWS,
        "cols": COLS,
        "copies": COPIES,
        "numbers": integers(numbers),
        "code": integers(state.code),
        "codes": "".join(f"{code:x}" for code in codes.tolist()),
        "scales": integers(scales),
        "scales of copies": integers(scales_of_copies),
        "scale code": integers(state.state2.code),
    }
    with open(path, "w") as file:
        lines = [f"  {json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in golden.items()]
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
