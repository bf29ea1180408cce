"""Vectors of NF4 with double quantisation, written to nf4.json.

    PYTHONPATH=<a checkout of bitsandbytes, tag 0.50.1> python tests/goldens/nf4.py

By bitsandbytes itself, through its pure-torch backend (no compiled library): bitsandbytes 0.50.1, torch 2.13.0.
"""

import json
import os
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import bitsandbytes as bnb
import bitsandbytes.functional as F
import torch

assert torch.__version__.split("+")[0] == "2.13.0"
assert bnb.__version__ == "0.50.1"
torch.manual_seed(20261124)
torch.set_num_threads(1)


def case(name, w):
    packed, state = F.quantize_4bit(w, quant_type="nf4", compress_statistics=True, blocksize=64)
    _, plain = F.quantize_4bit(w, quant_type="nf4", compress_statistics=False, blocksize=64)
    assert state.dtype == w.dtype
    return {
        "name": name,
        "dtype": {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[w.dtype],
        "shape": list(w.shape),
        "weights": w.float().reshape(-1).tolist(),
        "packed": packed.reshape(-1).tolist(),
        "absmax": plain.absmax.tolist(),
        "nested_codes": state.absmax.tolist(),
        "nested_absmax": state.state2.absmax.tolist(),
        "offset": state.offset.item(),
        "dequantized": F.dequantize_4bit(packed, state).float().reshape(-1).tolist(),
    }


CODE = F.get_4bit_type("nf4", device="cpu")
bf16 = torch.randn(24, 64).bfloat16()
zeros_inside = torch.randn(4, 64)
zeros_inside[2] = 0
cases = [
    case("normal", 0.05 * torch.randn(16, 128)),
    case("bf16 weights", bf16),
    case("f16 weights", torch.randn(24, 64).half() * 3),
    case("f16 weights below the normal numbers", (torch.randn(8, 64) * 2e-5).half()),
    case("a tail of an odd length", torch.randn(1, 197)),
    case("heavy tails", torch.randn(8, 64) ** 5),
    case("an all-zero block", zeros_inside),
    case("codes and midpoints", torch.cat([CODE, ((CODE[1:] + CODE[:-1]) / 2), torch.zeros(33)]).reshape(1, 64)),
]
# 300 blocks of which each is one number repeated: the nested level has a full and a partial block.
many = torch.randn(300).abs() + 0.01
big = case("nested full and partial block", many.repeat_interleave(64).reshape(300, 64))
big["weights"] = {"repeat": 64, "values": many.tolist()}
for key in ("packed", "dequantized"):
    del big[key]
cases.append(big)
bits = [f"{v & 0xFFFFFFFF:08x}" for v in CODE.view(torch.int32).tolist()]
out = {"code_bits": bits, "map": F.create_dynamic_map().tolist(), "cases": cases}
Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")
