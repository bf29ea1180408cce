"""Private steps of Opacus with per-layer and with adaptive clipping, batches and noise given.

    PYTHONPATH=path/to/opacus python tests/goldens/opacus_clipping.py

Made with torch 2.13.0 and Opacus 1.5.4 at commit 4d0ebc84 (its source tree; nothing of it is in this repository). Writes
opacus_clipping.json beside this script.

Network, loss and records are those of opacus_steps.py. Every batch has exactly L = 6 records: Opacus divides the count of unclipped records
by the size of the batch, which is private; with L in its place both are one. Noise on the sum is given, that on the count is 0.
Opacus clips with min(1, C / (norm + 1e-6)).

perLayer: DPPerLayerOptimizer with `norms`, one for each of 4 parameters. adaptive: AdaClipDPOptimizer from C = 2 with `options`.
steps [12]: the clipped sum [P], the weights after the step [P], and of adaptive clipping C of the next step. `multipliers`: the noise
multiplier of the gradient that AdaClipDPOptimizer makes of [noise_multiplier, unclipped_num_std].
"""

import json
from pathlib import Path

import opacus.optimizers.adaclipoptimizer as adaclip
import torch
from opacus import GradSampleModule, __version__
from opacus.optimizers import AdaClipDPOptimizer, DPPerLayerOptimizer

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert __version__ == "1.5.4", __version__

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
given = json.loads((Path(__file__).parent / "opacus_steps.json").read_text())
x = torch.tensor([r["x"] for r in given["records"]])
y = torch.tensor([r["y"] for r in given["records"]])
start = torch.tensor(given["start"])
IN, HIDDEN, OUT, STEPS, L = 5, 8, 3, 12, 6
NORMS = [0.3, 0.05, 0.6, 0.2]
ADAPTIVE = dict(
    target_unclipped_quantile=0.6, clipbound_learning_rate=0.2, max_clipbound=6.0, min_clipbound=0.1, unclipped_num_std=0.9
)

torch.manual_seed(31)
batches = [sorted(torch.randperm(len(x))[:L].tolist()) for _ in range(STEPS)]
noise = (0.3 * torch.randn(STEPS, len(start))).float().double()
adaclip._generate_noise = lambda std, reference, generator=None, **_: torch.zeros_like(reference)

flat = lambda tensors: torch.cat([t.detach().flatten() for t in tensors])


def network():
    net = torch.nn.Sequential(torch.nn.Linear(IN, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, OUT))
    at = 0
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(start[at : at + p.numel()].view_as(p))
            at += p.numel()
    return net


def run(kind, **options):
    class Given(kind):
        """Noise on the sum is given."""

        def add_noise(self):
            super().add_noise()
            at = 0
            for p in self.params:
                p.grad = p.summed_grad + noise[self.at, at : at + p.numel()].view_as(p.summed_grad)
                at += p.numel()

    net = GradSampleModule(network(), loss_reduction="sum")
    optimizer = Given(torch.optim.SGD(net.parameters(), lr=0.2), noise_multiplier=1.3, expected_batch_size=L, **options)
    out = []
    for step, batch in enumerate(batches):
        optimizer.at = step
        optimizer.zero_grad()
        ((net(x[batch]) - y[batch]) ** 2).sum().backward()
        optimizer.pre_step()
        total = flat(p.summed_grad for p in optimizer.params)
        optimizer.original_optimizer.step()
        out.append(
            {"sum": total.tolist(), "weights": flat(net._module.parameters()).tolist(), "norm": float(optimizer.max_grad_norm)}
        )
    return out


def multiplier(sigma, std):
    options = {**ADAPTIVE, "unclipped_num_std": std}
    return AdaClipDPOptimizer(
        torch.optim.SGD(network().parameters(), lr=0.1), noise_multiplier=sigma, max_grad_norm=1.0, expected_batch_size=L, **options
    ).noise_multiplier


result = {
    "norms": NORMS,
    "L": L,
    "batches": batches,
    "noise": noise.tolist(),
    "perLayer": run(DPPerLayerOptimizer, max_grad_norm=NORMS),
    "options": ADAPTIVE,
    "adaptive": run(AdaClipDPOptimizer, max_grad_norm=2.0, **ADAPTIVE),
    "multipliers": [[s, b, multiplier(s, b)] for s, b in [[1.3, 0.9], [0.5, 11.25], [2.0, 5.0], [0.9, 0.5]]],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
print([s["norm"] for s in result["adaptive"]], result["multipliers"])
