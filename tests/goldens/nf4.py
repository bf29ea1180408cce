"""Vectors of NF4 with double quantisation, written to nf4.json.

bitsandbytes offers no build for the machine that made them, so this repeats the arithmetic of its pure-torch backend
(blockwise quantisation with reciprocal multiply for full blocks and division in the tail; midpoint decisions; nested
8-bit codes on the signed dynamic map) with torch's own f32 operations, from the published constants.

torch==2.13.0
"""

import json
import math
from pathlib import Path

import torch

assert torch.__version__.split("+")[0] == "2.13.0"
torch.manual_seed(20261124)
torch.set_num_threads(1)

CODE = torch.tensor(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
        0.7229568362236023, 1.0,
    ]
)  # fmt: skip


def dynamic_map():
    values = []
    for i in range(7):
        edges = torch.linspace(0.1, 1, 2**i + 1, dtype=torch.float32)
        means = (edges[:-1] + edges[1:]) / 2.0
        values += ((10 ** (-6 + i)) * means).tolist()
        values += (-(10 ** (-6 + i)) * means).tolist()
    return torch.tensor(sorted(values + [0, 1.0]), dtype=torch.float32)


def codes(x, code):
    bounds = (code[1:] + code[:-1]) / 2
    return torch.bucketize(x, bounds, right=False)


def nf4(w):
    n = w.numel()
    full = n // 64
    absmax = torch.zeros(math.ceil(n / 64))
    scaled = torch.empty(n)
    head = w[: full * 64].reshape(full, 64)
    absmax[:full] = head.abs().amax(1)
    inverse = 1 / torch.clamp(absmax[:full], min=1e-38)
    scaled[: full * 64] = torch.clamp(head * inverse[:, None], -1, 1).reshape(-1)
    if n % 64:
        tail = w[full * 64 :]
        absmax[full] = torch.clamp(tail.abs().max(), min=1e-38)
        scaled[full * 64 :] = torch.clamp(tail / absmax[full], -1, 1)
    if n % 2:
        scaled = torch.cat([scaled, torch.zeros(1)])
    q = codes(scaled, CODE)
    return (q[::2] << 4 | q[1::2]).to(torch.uint8), absmax


def nested(absmax, code):
    offset = absmax.double().mean().float()
    x = absmax - offset
    n = x.numel()
    full = n // 256
    scale = torch.zeros(math.ceil(n / 256))
    scaled = torch.empty(n)
    head = x[: full * 256].reshape(full, 256)
    scale[:full] = head.abs().amax(1)
    scaled[: full * 256] = torch.clamp(head * (1 / scale[:full])[:, None], -1, 1).reshape(-1)
    if n % 256:
        scale[full] = x[full * 256 :].abs().max()
        scaled[full * 256 :] = torch.clamp(x[full * 256 :] / scale[full], -1, 1)
    # A block of scale 0 is 0 / 0: any code gives the offset back, 127 stands for 0.
    return codes(scaled.nan_to_num(0), code).to(torch.uint8), scale, offset.item()


def case(name, w):
    w = w.float()
    packed, absmax = nf4(w.reshape(-1))
    map_ = dynamic_map()
    q, scale, offset = nested(absmax, map_)
    values = CODE[torch.stack([packed >> 4, packed & 15], 1).reshape(-1).long()][: w.numel()]
    block = (map_[q.long()] * scale.repeat_interleave(256)[: q.numel()]) + offset
    return {
        "name": name,
        "shape": list(w.shape),
        "weights": w.reshape(-1).tolist(),
        "packed": packed.tolist(),
        "absmax": absmax.tolist(),
        "nested_codes": q.tolist(),
        "nested_absmax": scale.tolist(),
        "offset": offset,
        "dequantized": (values * block.repeat_interleave(64)[: w.numel()]).tolist(),
    }


bf16 = torch.randn(24, 64).bfloat16()
zeros_inside = torch.randn(4, 64)
zeros_inside[2] = 0
cases = [
    case("normal", 0.05 * torch.randn(16, 128)),
    case("bf16 weights", bf16),
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
out = {"code_bits": [f"{v & 0xFFFFFFFF:08x}" for v in CODE.view(torch.int32).tolist()], "map": dynamic_map().tolist(), "cases": cases}
Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")
