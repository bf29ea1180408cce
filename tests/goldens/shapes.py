"""Shapes, reductions and indices whose rules are easy to get wrong, as torch has them (where it has none, numpy),
written to shapes.json: by name the results in row-major order, with their shapes.

torch==2.13.0 numpy==2.4.6
"""

import json
from pathlib import Path

import numpy as np
import torch

assert torch.__version__.split("+")[0] == "2.13.0"
assert np.__version__ == "2.4.6"

NAN, INF = float("nan"), float("inf")
golden = {}


def add(name, *results):
    """Tensors, or lists of them, as lists of numbers; JSON has no NaN and no infinity, they are strings."""
    plain = []
    for r in results:
        r = torch.as_tensor(np.ascontiguousarray(r) if isinstance(r, np.ndarray) else r)
        values = [v if abs(v) < INF else str(v) for v in r.to(torch.float64).flatten().tolist()]
        plain.append({"shape": list(r.shape), "data": values})
    golden[name] = plain


def slope(f, *inputs):
    """Gradients of sum(f(x) * (1, 2, 3, ...)) by the inputs."""
    xs = [x.clone().requires_grad_() for x in inputs]
    y = f(*xs)
    (y * torch.arange(1, y.numel() + 1, dtype=torch.float32).reshape(y.shape)).sum().backward()
    return [x.grad for x in xs]


# x of two axes and of one
x = torch.arange(1.0, 13).reshape(3, 4)
v = torch.arange(1.0, 6)

# Python's slices: numpy has the negative steps
n = np.arange(7)
for name, s in {
    "::-1": slice(None, None, -1),
    "5:1:-2": slice(5, 1, -2),
    "-2::-3": slice(-2, None, -3),
    "2:-8:-1": slice(2, -8, -1),
    "-3:": slice(-3, None),
    ":-2": slice(None, -2),
    "-6:-1:2": slice(-6, -1, 2),
}.items():
    add(f"slice {name}", n[s])

# pad: torch names the last axis first
for mode in ["reflect", "replicate", "circular"]:
    pad = lambda t: torch.nn.functional.pad(t[None], (2, 3, 1, 2), mode=mode)[0]
    add(f"pad {mode}", pad(x), *slope(pad, x))

add("repeat", x.repeat(2, 1, 3))
add("tile", x.tile(2), x.tile(2, 1, 2))
add("repeatInterleave", x.repeat_interleave(2, 1), x.repeat_interleave(2))
add("meshgrid ij", *torch.meshgrid(v[:2], v[:3], indexing="ij"))
add("meshgrid xy", *np.meshgrid(np.arange(2), np.arange(3), np.arange(2)))
d = torch.arange(24.0).reshape(2, 3, 4)
add("diagonal", d.diagonal(), d.diagonal(1, 1, 2), d.diagonal(-1, 2, 0), d.diagonal(9, 1, 2))
add("diagEmbed", torch.diag_embed(v[:2]), torch.diag_embed(x[:2], 1, 0, 2))

# norms, and their gradients at 0
w = torch.tensor([[3.0, -4, 0], [0, 0, 0]])
for p in [0, 1, 2, 3, 0.5, INF, -INF, -1]:
    norm = lambda t: torch.linalg.vector_norm(t, ord=p, dim=1)
    add(f"norm {p}", norm(w), *([] if p in (0, 0.5, -1) else slope(norm, w)))
same = torch.full((2, 3), 2.0)
add("std of equal values", *slope(lambda t: t.std(1), same))

# ties: who has the gradient
ties = torch.tensor([[1.0, 3, 3], [2, 2, 2]])
add("amax", *slope(lambda t: t.amax(1), ties))
add("max", ties.max(1).values, ties.max(1).indices, *slope(lambda t: t.max(1).values, ties))
add("min", ties.min(1).values, ties.min(1).indices, *slope(lambda t: t.min(1).values, ties))
spoiled = torch.tensor([2.0, 1, NAN, 3, NAN, 2])
add("max of NaN", spoiled.max(0).values, spoiled.max(0).indices)
add("min of NaN", spoiled.min(0).values, spoiled.min(0).indices)
for name, f in {"cummax": torch.cummax, "cummin": torch.cummin}.items():
    for t in [torch.tensor([1.0, 3, 3, 2, 3, 1, 1]), spoiled]:
        result = f(t, 0)
        golden.setdefault(name, [])
        kept = golden[name]
        add(name, result.values, result.indices)
        golden[name] = kept + golden[name]
add("cummax slope", *slope(lambda t: torch.cummax(t, 0).values, torch.tensor([1.0, 3, 3, 2])))
zeros = torch.tensor([[2.0, 0, 3, 4], [0, 5, 0, 2], [1, 2, 3, 4]])
add("cumprod", zeros.cumprod(1), *slope(lambda t: t.cumprod(1), zeros))
add("prod", zeros.prod(1), *slope(lambda t: t.prod(1), zeros))

# quantiles
q = torch.tensor([[5.0, 1, 4, 2], [3, NAN, 1, 2], [7, 1, 2, 7]])
for how in ["linear", "lower", "higher", "nearest", "midpoint"]:
    qs = torch.tensor([0.0, 0.25, 0.5, 0.8, 1.0])
    add(f"quantile {how}", torch.quantile(q, qs, dim=1, interpolation=how), torch.quantile(v[:2], 0.5, interpolation=how))
add("quantile slope", *slope(lambda t: torch.quantile(t, torch.tensor([0.25, 0.6]), dim=1), x))
add("median", q.median(1).values, torch.tensor([4.0, 1, 3]).median())

# histograms
h = torch.tensor([0.0, 0.3, 1.2, 1.9, 2.5, 3.1, 4.0, -1, 9])
add("histc", torch.histc(h, 4, 0, 4), torch.histc(h, 5), torch.histc(torch.full((3,), 2.0), 3))
add("bincount", torch.bincount(torch.tensor([1, 3, 1, 0]), minlength=5), torch.bincount(torch.tensor([1, 3, 1, 0]), v[:4], 5))
add("nanToNum", torch.nan_to_num(torch.tensor([1, NAN, INF, -INF])), *slope(torch.nan_to_num, torch.tensor([1, NAN, INF, -INF])))
a = torch.tensor([1, 1, INF, INF, NAN, 1.0, -INF])
b = torch.tensor([1 + 5e-6, 1.1, INF, 1, NAN, INF, INF])
add("isclose", torch.isclose(a, b), torch.isclose(a, b, equal_nan=True), torch.isclose(a, b, rtol=0.2))
la, lb = torch.tensor([1, -INF, -INF, INF, 1000, -5.0]), torch.tensor([2, -INF, 3, INF, 1000, 90.0])
add("logaddexp", torch.logaddexp(la, lb))
add("countNonzero", torch.count_nonzero(torch.tensor([[0.0, NAN], [1, 0]]), dim=1))

# indices: smaller than what they index, several to one place
i = torch.tensor([[0, 2], [2, 0]])
src = torch.arange(10.0, 22).reshape(3, 4)
add("gather", x.gather(0, i), *slope(lambda t: t.gather(0, i), x))
add("scatterAdd", x.scatter_add(0, i, src), *slope(lambda t: t.scatter_add(0, i, src), x))
j = torch.tensor([[3, 0, 1], [1, 2, 0]])
add("scatter", x.scatter(1, j, src), x.scatter(1, j, 7.0))
add("indexAdd", x.index_add(0, torch.tensor([2, 0, 2]), src), x.index_add(1, torch.tensor([1, 1]), src[:, :2]))
r, c = torch.tensor([[0], [-1]]), torch.tensor([3, -4, 1])
add("index", x[r, c], x[r[:, 0]], *slope(lambda t: t[r, c], x))
put = lambda t, s: torch.index_put(t, (r, c), s)
pile = lambda t, s: torch.index_put(t, (torch.tensor([1, 1, 0]),), s, accumulate=True)
add("indexPut", put(x, src[:2, :3]), *slope(put, x, src[:2, :3]), pile(x, src), *slope(pile, x, src))
add("takeAlongAxis", np.take_along_axis(x.numpy(), np.array([[-1, 0]]), 1), x.take(torch.tensor([[-1, 0], [5, -12]])))
add("oneHot", torch.nn.functional.one_hot(torch.tensor([2, 0]), 4))

# whole numbers
p, s = torch.tensor([7, -7, 7, -7, 0]), torch.tensor([2, 2, -2, -2, 3])
add("divide", torch.div(p, s, rounding_mode="floor"), torch.div(p, s, rounding_mode="trunc"))
m = torch.tensor([[2**30, 3], [-5, 70000]], dtype=torch.int32)
add("matmul", m @ m, torch.einsum("ij,kj->ik", m, m))
clamp = lambda t, lo, hi: torch.clamp(t, lo, hi)
args = torch.tensor([1.0, 2, 3, 4, 5]), torch.tensor([2.0, 2, 2, 6, 9]), torch.tensor([4.0, 4, 3, 3, 7])
add("clip", clamp(*args), *slope(clamp, *args))

# reductions into places: ties, zeros, places that nothing reaches
k = torch.tensor([[0, 0, 1, 3], [1, 1, 1, 0]])
base = torch.tensor([[3.0, 0, 2, 5], [1, 2, 0, 7]])
into = torch.tensor([[3.0, 0, 0, 4], [2, 0, 2, 1]])
for how in ["sum", "prod", "mean", "amax", "amin"]:
    for own in [True, False]:
        f = lambda t, s: t.scatter_reduce(1, k, s, how, include_self=own)
        # apart from src where it does not count: torch has it share gradients all the same
        start = base if own else base + 0.25
        add(f"scatterReduce {how} {str(own).lower()}", f(start, into), *slope(f, start, into))
whole = torch.tensor([7, -7, 1]), torch.tensor([0, 0, 1, 1]), torch.tensor([2, 4, -5, 1])
add("scatterReduce of whole numbers", *[whole[0].scatter_reduce(0, *whole[1:], how) for how in ["prod", "mean", "amax", "amin"]])

# searching: equal ones, NaN
edges, found = torch.tensor([1.0, 2, 2, 4]), torch.tensor([[0.0, 1, 2], [3, 4, NAN]])
add("searchsorted", torch.searchsorted(edges, found), torch.searchsorted(edges, found, right=True))
rows = torch.tensor([[1.0, 2, 3], [0, 0, 0]])
add("searchsorted of rows", torch.searchsorted(rows, found[:, :2]), torch.searchsorted(rows, found[:, 1:], right=True))
add("bucketize", torch.bucketize(found, edges), torch.bucketize(found, edges, right=True))
add("isin", torch.isin(found, edges), torch.isin(found, torch.tensor([])))
kth = lambda t: t.kthvalue(2, 1)
add("kthvalue", kth(q).values, x.kthvalue(3, 0, keepdim=True).indices)
add("kthvalue slope", *slope(lambda t: kth(t).values, x))

# products
add("tensordot", torch.tensordot(d, d.transpose(0, 2).contiguous(), 1), torch.tensordot(d, d, ([0, 2], [0, 2])), torch.tensordot(v, v, 0))
add("kron", torch.kron(x[:2, :2], x), torch.kron(v[:2], x[:2, :2]))
add("cross", torch.linalg.cross(x[:, :3], x[:, 1:]), torch.linalg.cross(x, x.flip(1), dim=0), torch.linalg.cross(x[:, :3], v[None, :3]))
near = torch.tensor([[1.0, 2], [4, 6], [1, 2]])
for p_ in [2, 1, INF]:
    dist = lambda t, s: torch.cdist(t, s, p=p_, compute_mode="donot_use_mm_for_euclid_dist")
    add(f"cdist {p_}", dist(near, near[:2]), *slope(dist, near, near[:2] + (0 if p_ == 2 else torch.tensor([0.5, 0.25]))))
unit = lambda t: torch.nn.functional.normalize(t, dim=1)
add("normalize", unit(w), torch.nn.functional.normalize(w, p=1, dim=0), *slope(unit, w[:1]))

# neighbours, windows, turns
add("diff", x.diff(), x.diff(n=2, dim=0), x.diff(dim=0, prepend=src[:1], append=src[:2]), v.diff(n=9), torch.tensor([True, False, False]).diff())
add("unfold", x.unfold(1, 2, 1), x.unfold(0, 2, 2), *slope(lambda t: t.unfold(1, 3, 1), x))
add("rot90", x.rot90(), x.rot90(-1), x.rot90(2), d.rot90(1, [2, 0]))
add("unflatten", x.unflatten(1, (2, -1)), d.unflatten(0, (1, 2)))

# NaN left out
add("nansum", q.nansum(), spoiled[4:5].nansum(), *slope(lambda t: t.nansum(1), q))
add("nanmean", q.nanmean(1), torch.tensor([[NAN, NAN], [1, NAN]]).nanmean(1), *slope(lambda t: t.nanmean(1), q))

# element-wise
e, g, h_ = torch.tensor([1.0, -2, 1e8]), torch.tensor([3.0, 5, 1]), torch.tensor([0.25, 1, 1])
add("lerp", e.lerp(g, h_), e.lerp(g, 0.75), *slope(torch.lerp, e[:2], g[:2], h_[:2]))
add("addcmul", torch.addcmul(e, g, h_, value=0.5), torch.addcdiv(e, g, h_, value=-2), *slope(lambda *t: torch.addcdiv(*t, value=3), e, g, h_))
add("hypot", torch.hypot(torch.tensor([3.0, 0, 3e30, INF, 1e-30]), torch.tensor([-4.0, 0, 4e30, 1, 1e-30])))
add("pow of whole numbers", torch.tensor([2, -3, 0, 7, -1, 3]) ** torch.tensor([10, 3, 0, 1, 5, 4]), torch.tensor([1, -1, -1]).pow(torch.tensor([-3, -2, -1])))

Path(__file__).with_suffix(".json").write_text(json.dumps(golden, indent=None, separators=(",", ":")).replace('}],"', '}],\n"') + "\n")
