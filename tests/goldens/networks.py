"""Losses, convolutions, pooling, normalisations, attention and lookups of torch, with first and second derivatives.

    python tests/goldens/networks.py

Made with torch 2.13.0 in float64. Writes networks.json beside this script: cases of a function's name, its options as
packages/tensor names them, its inputs {shape, dtype, values}, the result y {shape, values}, weights v of y, and for
every float input grads: d<v, y>/dx, and seconds: d<u, grads>/dx with weights u of the gradients, in one list per input.
Inputs are rounded to multiples of 1/64 first, so that float32 holds them.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
G = torch.Generator().manual_seed(11)


def normal(*shape):
    return (torch.randn(shape, generator=G, dtype=torch.float64) * 64).round() / 64


def unit(*shape):
    return (torch.rand(shape, generator=G, dtype=torch.float64) * 50 + 7).round() / 64


def labels(*shape, classes):
    return torch.randint(0, classes, shape, generator=G)


def simplex(*shape):
    t = unit(*shape)
    return ((t / t.sum(-1, keepdim=True)) * 64).round() / 64


def show(t):
    dtype = {torch.float64: "f32", torch.int64: "i32", torch.bool: "bool"}[t.dtype]
    values = [int(v) if dtype != "f32" else float(f"{v:.9g}") for v in t.detach().flatten().tolist()]
    return {"shape": list(t.shape), "dtype": dtype, "values": values}


CASES = []


def case(name, run, inputs, options=None, constant=()):
    """constant: numbers of float inputs that torch does not differentiate by."""
    inputs = [t.clone() for t in inputs]
    free = [i for i, t in enumerate(inputs) if t.is_floating_point() and i not in constant]
    for i in free:
        inputs[i].requires_grad_(True)
    y = run(*inputs)
    v = normal(*y.shape)
    xs = [inputs[i] for i in free]
    zero = lambda gs: [torch.zeros_like(x) if g is None else torch.zeros_like(x) + g for g, x in zip(gs, xs)]
    grads = zero(torch.autograd.grad((v * y).sum(), xs, create_graph=True, allow_unused=True))
    u = [normal(*x.shape) for x in xs]
    slope = sum((a * b).sum() for a, b in zip(u, grads))
    seconds = zero(torch.autograd.grad(slope, xs, allow_unused=True)) if slope.requires_grad else [torch.zeros_like(x) for x in xs]
    CASES.append(
        {
            "name": name,
            "options": options or {},
            "inputs": [show(t) for t in inputs],
            "free": free,
            "y": show(y),
            "v": show(v),
            "u": [show(t) for t in u],
            "grads": [show(g) for g in grads],
            "seconds": [show(g) for g in seconds],
        }
    )


def losses():
    a, b = normal(3, 4), normal(3, 4)
    for reduction in ("mean", "sum", "none"):
        case("mseLoss", lambda x, t: F.mse_loss(x, t, reduction=reduction), [a, b], {"reduction": reduction})
    case("l1Loss", F.l1_loss, [a, b])
    case("huberLoss", lambda x, t: F.huber_loss(x, t, delta=0.75), [a, b], {"delta": 0.75})
    case("smoothL1Loss", lambda x, t: F.smooth_l1_loss(x, t, beta=0.5), [a, b], {"beta": 0.5})
    case("smoothL1Loss", lambda x, t: F.smooth_l1_loss(x, t, beta=0.0), [a, b], {"beta": 0})
    # torch gives no gradient of binary_cross_entropy's gradient by its target.
    case("bceLoss", F.binary_cross_entropy, [unit(3, 4), unit(3, 4)], constant=(1,))
    case("bceWithLogits", F.binary_cross_entropy_with_logits, [3 * normal(3, 4), unit(3, 4)])
    case("bceWithLogits", lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, pos_weight=w, reduction="none"),
         [3 * normal(3, 4), unit(3, 4), unit(4)], {"reduction": "none"}, constant=(2,))
    p = simplex(3, 4)
    case("klDiv", lambda x, t: F.kl_div(x, t, reduction="sum"), [-unit(3, 4), p], {"reduction": "sum"})
    case("klDiv", lambda x, t: F.kl_div(x, t, reduction="none", log_target=True), [-unit(3, 4), -unit(3, 4)],
         {"logTarget": True, "reduction": "none"})
    case("cosineSimilarity", lambda x, t: F.cosine_similarity(x, t, dim=-1), [normal(3, 5), normal(3, 5)])
    case("cosineSimilarity", lambda x, t: F.cosine_similarity(x, t, dim=1), [normal(2, 5, 3), normal(2, 5, 3)], {"axis": 1})


def cross_entropy():
    x, t = 2 * normal(6, 5), labels(6, classes=5)
    t[1] = -100
    w = unit(5)
    image, seg = 2 * normal(2, 4, 3), labels(2, 3, classes=4)
    for reduction in ("mean", "sum", "none"):
        o = {"reduction": reduction}
        case("crossEntropy", lambda x, t: F.cross_entropy(x, t, **o), [x, t], o)
        case("crossEntropy", lambda x, t, w: F.cross_entropy(x, t, weight=w, label_smoothing=0.2, **o), [x, t, w],
             {**o, "labelSmoothing": 0.2}, constant=(2,))
        case("crossEntropy", lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1, **o), [x, simplex(6, 5)], {**o, "labelSmoothing": 0.1})
        case("nllLoss", lambda x, t, w: F.nll_loss(x, t, weight=w, ignore_index=2, **o), [x, labels(6, classes=5), w],
             {**o, "ignoreIndex": 2}, constant=(2,))
    case("crossEntropy", lambda x, t, w: F.cross_entropy(x, t, weight=w), [x, simplex(6, 5), w], {}, constant=(2,))
    case("crossEntropy", F.cross_entropy, [image, seg], {"axis": 1})
    case("crossEntropy", lambda x, t: F.cross_entropy(x, t, reduction="none"), [image, simplex(2, 3, 4).movedim(-1, 1)],
         {"axis": 1, "reduction": "none"})


def windows():
    x, w, b = normal(2, 4, 7, 6), normal(6, 2, 3, 2), normal(6)
    case("conv2d", lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2), [x, w, b],
         {"stride": [2, 1], "padding": [1, 2], "dilation": [1, 2], "groups": 2})
    case("conv2d", F.conv2d, [normal(3, 5, 5), normal(2, 3, 1, 1), normal(2)])
    case("conv2d", lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=4), [normal(4, 5, 5), normal(4, 1, 3, 3), normal(4)],
         {"padding": 1, "groups": 4})
    case("conv1d", lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=2, dilation=2), [normal(2, 3, 9), normal(4, 3, 3), normal(4)],
         {"stride": 2, "padding": 2, "dilation": 2})
    case("maxPool2d", lambda x: F.max_pool2d(x, (3, 2), stride=2, padding=1), [normal(2, 3, 7, 6)],
         {"kernel": [3, 2], "stride": 2, "padding": 1})
    case("maxPool1d", lambda x: F.max_pool1d(x, 3), [normal(2, 3, 10)], {"kernel": 3})
    case("avgPool2d", lambda x: F.avg_pool2d(x, 3, stride=(2, 1), padding=1), [normal(2, 3, 7, 6)],
         {"kernel": 3, "stride": [2, 1], "padding": 1})
    case("avgPool2d", lambda x: F.avg_pool2d(x, 3, padding=1, count_include_pad=False), [normal(3, 7, 6)],
         {"kernel": 3, "padding": 1, "countIncludePad": False})
    case("avgPool1d", lambda x: F.avg_pool1d(x, 2), [normal(2, 3, 9)], {"kernel": 2})


def norms():
    case("groupNorm", lambda x, w, b: F.group_norm(x, 3, w, b), [normal(2, 6, 4, 3), normal(6), normal(6)], {"groups": 3, "axis": 1})
    case("groupNorm", lambda x, w, b: F.group_norm(x[None], 2, w, b, eps=0.1)[0], [normal(4, 5), normal(4), normal(4)],
         {"groups": 2, "eps": 0.1})
    case("layerNorm", lambda x, w, b: F.layer_norm(x, (4, 3), w, b), [normal(2, 4, 3), normal(4, 3), normal(4, 3)], {"axes": [-2, -1]})
    case("layerNorm", lambda x, w, b: F.instance_norm(x[None], weight=w.flatten(), bias=b.flatten())[0],
         [normal(4, 5, 3), normal(4, 1, 1), normal(4, 1, 1)], {"axes": [1, 2]})
    case("rmsNorm", lambda x, w: F.rms_norm(x, (5,), w, eps=1e-3), [normal(3, 5), normal(5)], {"eps": 1e-3})
    case("rmsNorm", lambda x, w: F.rms_norm(x, (5,), 1 + w, eps=1e-3), [normal(3, 5), normal(5)], {"eps": 1e-3, "offset": 1})


def attention():
    q, k, v = normal(2, 4, 5, 3), normal(2, 4, 6, 3), normal(2, 4, 6, 2)
    mask = torch.rand(5, 6, generator=G) < 0.6
    mask[:, 0] = True
    sdpa = F.scaled_dot_product_attention
    # The mathematical form, which has second derivatives.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        case("attention", sdpa, [q, k, v])
        case("attention", lambda q, k, v: sdpa(q, k, v, is_causal=True), [q, k, v], {"isCausal": True})
        case("attention", lambda q, k, v, m: sdpa(q, k, v, attn_mask=m, scale=0.4), [q, k, v, mask], {"scale": 0.4})
        case("attention", lambda q, k, v, m: sdpa(q, k, v, attn_mask=m), [q, k, v, normal(4, 5, 6)])
        case("attention", lambda q, k, v: sdpa(q, k, v, enable_gqa=True), [q, normal(2, 2, 6, 3), normal(2, 2, 6, 2)])
        case("attention", lambda q, k, v, m: sdpa(q, k, v, attn_mask=m, enable_gqa=True),
             [q, normal(2, 2, 6, 3), normal(2, 2, 6, 2), normal(4, 5, 6)])
        def windowed(q, k, v):
            t, s = torch.arange(5)[:, None] + 1, torch.arange(6)[None]
            return sdpa(q, k, v, attn_mask=(s <= t) & (s > t - 3))
        case("attention", windowed, [q, k, v], {"isCausal": True, "window": 3, "offset": 1})
        def ahead(q, k, v):
            t, s = torch.arange(5)[:, None], torch.arange(6)[None]
            return sdpa(q, k, v, attn_mask=s > t - 2)
        case("attention", ahead, [q, k, v], {"window": 2})


def lookups():
    l = labels(5, classes=6)
    l[3] = -100
    head = lambda h, w, l: F.cross_entropy(F.linear(h, w), l, reduction="none")
    case("linearCrossEntropy", head, [normal(5, 3), normal(6, 3), l])
    capped = lambda h, w, l: F.cross_entropy(1.5 * torch.tanh(F.linear(h, w) / 1.5), l, ignore_index=2, reduction="none")
    case("linearCrossEntropy", capped, [normal(2, 4, 3).flatten(0, 1), normal(6, 3), labels(8, classes=6)], {"softcap": 1.5, "ignoreIndex": 2})
    # Times a factor, without which all second derivatives are 0.
    ids = labels(2, 4, classes=5)
    ids[0, 1] = 3
    case("embedding", lambda table, ids, s: F.embedding(ids, table) * s, [normal(5, 3), ids, normal(2, 4, 3)])
    case("embedding", lambda table, ids, s: F.embedding(ids, table, padding_idx=3) * s, [normal(5, 3), ids, normal(2, 4, 3)], {"paddingIdx": 3})


losses()
cross_entropy()
windows()
norms()
attention()
lookups()
body = ",\n".join("\t" + json.dumps(c) for c in CASES)
Path(__file__).resolve().with_name("networks.json").write_text(
    '{"source": "torch %s, torch.nn.functional in float64", "cases": [\n%s\n]}\n' % (torch.__version__, body)
)
