"""Private steps of Opacus with given batches and given noise.

    PYTHONPATH=path/to/opacus python tests/goldens/opacus_steps.py

Made with torch 2.13.0 and Opacus 1.5.4 at commit 4d0ebc84 (its source tree; nothing of it is in this repository). Writes opacus_steps.json
beside this script.

A network of 5 inputs, 8 units of tanh and 3 outputs, its loss the sum of squared errors of a record, everything in float64. 24 records;
15 steps of given batches; noise is given as numbers to be added to the sum of clipped gradients. C = 0.7, L = 6, sigma = 1.3.
Opacus clips with min(1, C / (norm + 1e-6)), so its sums differ from min(1, C / norm) by 1e-6 at most.

records [24] of {x [5], y [3]}; start [P]: weight and bias of the first layer, then of the second, row-major; batches [15]; noise [15][P].
steps, for each optimiser [15]: norms of the batch before clipping, the clipped sum [P], and the weights after the step [P].
"""

import json
from pathlib import Path

import torch
from opacus import GradSampleModule, __version__
from opacus.optimizers import DPOptimizer

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert __version__ == "1.5.4", __version__

torch.set_num_threads(1)
torch.manual_seed(5)
torch.set_default_dtype(torch.float64)

N, IN, HIDDEN, OUT = 24, 5, 8, 3
STEPS, C, L, SIGMA = 15, 0.7, 6, 1.3
OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.2),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.03, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.05),
}

f32 = lambda t: t.float().double()
x, y = f32(torch.randn(N, IN)), f32(torch.randn(N, OUT))
x[3] *= 0.01
y[3] *= 0.01
batches = [sorted(torch.nonzero(torch.rand(N) < L / N).flatten().tolist()) or [0] for _ in range(STEPS)]


def network():
    torch.manual_seed(9)
    net = torch.nn.Sequential(torch.nn.Linear(IN, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, OUT))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(f32(p))
    return net


flat = lambda tensors: torch.cat([t.detach().flatten() for t in tensors])
P = sum(p.numel() for p in network().parameters())
noise = f32(SIGMA * C * torch.randn(STEPS, P))


class Given(DPOptimizer):
    """DPOptimizer whose noise is given."""

    def add_noise(self):
        start = 0
        for p in self.params:
            end = start + p.numel()
            p.grad = p.summed_grad + noise[self.at, start:end].view_as(p.summed_grad)
            start = end


def run(make):
    net = GradSampleModule(network(), loss_reduction="sum")
    optimizer = Given(make(net.parameters()), noise_multiplier=SIGMA, max_grad_norm=C, expected_batch_size=L)
    out = []
    for step, batch in enumerate(batches):
        optimizer.at = step
        optimizer.zero_grad()
        ((net(x[batch]) - y[batch]) ** 2).sum().backward()
        samples = torch.cat([p.grad_sample.flatten(1) for p in optimizer.params], 1)
        norms = samples.norm(dim=1)
        optimizer.pre_step()
        total = flat(p.summed_grad for p in optimizer.params)
        optimizer.original_optimizer.step()
        out.append(
            {"norms": norms.tolist(), "sum": total.tolist(), "weights": flat(net._module.parameters()).tolist()}
        )
    return out


result = {
    "C": C,
    "L": L,
    "records": [{"x": x[i].tolist(), "y": y[i].tolist()} for i in range(N)],
    "start": flat(network().parameters()).tolist(),
    "batches": batches,
    "noise": noise.tolist(),
    "steps": {name: run(make) for name, make in OPTIMISERS.items()},
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
print(P, [len(b) for b in batches], {k: v[-1]["norms"][:3] for k, v in result["steps"].items()})
