"""Modules, optimiser options, schedules and initialisers of torch.

    python tests/goldens/layers.py

Made with torch 2.13.0 in float64. Writes layers.json beside this script:
modules: state {name: {shape, values}}, inputs, y, and names as torch's state_dict orders them;
optimisers: options as packages/nn names them, grads [steps][n], start [n], steps [steps][n];
schedules: factors[k], k = 0, 1, … of a scheduler on a rate of 1;
initialisers: mean, standard deviation, least and largest value of a draw of the shape.
"""

import json
from pathlib import Path

import torch
from torch import nn

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.manual_seed(5)


def show(t):
    return {"shape": list(t.shape), "values": [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]}


def module(name, m, run, *inputs):
    for p in m.parameters():
        p.data = (torch.randn_like(p) * 32).round() / 64
    return {
        "name": name,
        "state": {k: show(v) for k, v in m.state_dict().items()},
        "inputs": [show(x) for x in inputs],
        "y": show(run(m, *inputs)),
    }


def normal(*shape):
    return (torch.randn(shape) * 64).round() / 64


def modules():
    attention = lambda m, q, k, v: m(q, k, v, need_weights=False)[0]
    seq = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    norms = nn.Sequential(nn.Conv1d(3, 6, 3, groups=3), nn.SiLU(), nn.LayerNorm((6, 5)), nn.Tanh(), nn.RMSNorm(5, eps=1e-6))
    x = normal(5, 8)
    return [
        module("attention", nn.MultiheadAttention(8, 2, batch_first=True), attention, x[None], x[None], x[None]),
        module("cross", nn.MultiheadAttention(8, 4, batch_first=True), attention, normal(3, 8), normal(5, 8), normal(5, 8)),
        module("convolutions", seq, lambda m, x: m(x[None])[0], normal(2, 4, 4)),
        module("norms", norms, lambda m, x: m(x[None])[0], normal(3, 7)),
        module("embedding", nn.Embedding(7, 4, padding_idx=-2), lambda m, i: m(i.long()), torch.tensor([0.0, 5.0, 6.0])),
    ]


def optimisers():
    start, grads = normal(6), [normal(6) for _ in range(8)]
    cases = []
    for kind, options in [
        ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
        ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3)),
        ("SGD", dict(lr=0.1, momentum=0.8, weight_decay=0.2, nesterov=True)),
        ("SGD", dict(lr=0.1, weight_decay=0.2)),
        ("Adam", dict(lr=0.05, weight_decay=0.3)),
        ("Adam", dict(lr=0.05, betas=(0.8, 0.9), eps=1e-3)),
        ("AdamW", dict(lr=0.05, weight_decay=0.3, betas=(0.5, 0.9))),
    ]:
        p = nn.Parameter(start.clone())
        optimiser = getattr(torch.optim, kind)([p], **options)
        steps = []
        for g in grads:
            p.grad = g.clone()
            optimiser.step()
            steps.append(show(p)["values"])
        named = {"weightDecay" if k == "weight_decay" else k: v for k, v in options.items()}
        cases.append({"kind": kind, "options": named, "steps": steps})
    clipped = []
    for most in (0.5, 100.0):
        ps = [nn.Parameter(torch.zeros(6)) for _ in grads[:3]]
        for p, g in zip(ps, grads):
            p.grad = g.clone()
        norm = nn.utils.clip_grad_norm_(ps, most)
        clipped.append({"max": most, "norm": float(norm), "grads": [show(p.grad)["values"] for p in ps]})
    return {"start": show(start)["values"], "grads": [show(g)["values"] for g in grads], "cases": cases, "clipped": clipped}


def schedules():
    s = torch.optim.lr_scheduler
    makers = {
        "cosineDecay": (lambda o: s.CosineAnnealingLR(o, 10, eta_min=0.1), 10),
        "cosineRestarts": (lambda o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.2), 20),
        "linearDecay": (lambda o: s.LinearLR(o, start_factor=0.8, end_factor=0.25, total_iters=6), 9),
        "polynomialDecay": (lambda o: s.PolynomialLR(o, total_iters=7, power=2.5), 9),
        "exponentialDecay": (lambda o: s.ExponentialLR(o, 0.9), 6),
        "step": (lambda o: s.StepLR(o, 3, 0.5), 10),
        "withWarmup": (lambda o: s.SequentialLR(o, [s.LinearLR(o, 0.25, 1.0, 4), s.CosineAnnealingLR(o, 6)], [4]), 10),
    }
    cases = []
    for name, (make, steps) in makers.items():
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = make(optimiser)
        factors = []
        for _ in range(steps + 1):
            factors.append(float(f"{optimiser.param_groups[0]['lr']:.12g}"))
            optimiser.step()
            scheduler.step()
        cases.append({"name": name, "factors": factors})
    return cases


def initialisers():
    i = nn.init
    draws = {
        "xavierUniform": lambda w: i.xavier_uniform_(w, gain=1.5),
        "xavierNormal": lambda w: i.xavier_normal_(w),
        "kaimingUniform": lambda w: i.kaiming_uniform_(w, a=5**0.5),
        "kaimingUniform relu fanOut": lambda w: i.kaiming_uniform_(w, a=0, mode="fan_out"),
        "kaimingNormal": lambda w: i.kaiming_normal_(w),
        "truncNormal": lambda w: i.trunc_normal_(w, mean=0.5, std=1.0, a=-1.0, b=1.0),
        "truncNormal tail": lambda w: i.trunc_normal_(w, mean=0.0, std=1.0, a=2.5, b=6.0),
    }
    cases = []
    for name, draw in draws.items():
        w = draw(torch.empty(160, 96, 5))
        cases.append({"name": name, "shape": list(w.shape), "mean": w.mean().item(), "std": w.std().item(), "low": w.min().item(), "high": w.max().item()})
    return cases


parts = {"modules": modules(), "schedules": schedules(), "initialisers": initialisers()}
body = ",\n".join(f'"{k}": [\n' + ",\n".join("\t" + json.dumps(c) for c in v) + "\n]" for k, v in parts.items())
Path(__file__).resolve().with_name("layers.json").write_text(
    '{"source": "torch %s",\n"optimisers": %s,\n%s\n}\n' % (torch.__version__, json.dumps(optimisers()), body)
)
