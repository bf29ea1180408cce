"""AdamW trajectories of torch and the cosine schedule of transformers.

    python tests/goldens/optim.py

Made with torch 2.13.0, transformers 5.18.0. Writes optim/adamw.json and optim/schedule.json beside this script.

adamw.json: grads [12][7] are the gradients given at each step (exact in float32), start [7]; every case has the
options, and steps.float32 / steps.float64 [12][7]: the parameters after each step of torch.optim.AdamW run in that
precision. Coordinate 5 has gradient 0 throughout, coordinate 6 about 1e-6 (so eps counts), coordinate 4 about 100.
Float32 numbers are written with the fewest digits that round to them.

schedule.json: multipliers[k], k = 0..total, of get_cosine_schedule_with_warmup.
"""

import json
from pathlib import Path

import torch
import transformers

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert transformers.__version__ == "5.18.0", transformers.__version__

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent / "optim"
STEPS, SIZE = 12, 7
CASES = {
    "weightDecay": dict(lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1),
    "noDecay": dict(weight_decay=0.0),
    "defaults": dict(),
}


def numbers(tensor):
    """float64 as it is, float32 with the fewest digits that round to it."""
    return [float(str(x)) for x in tensor.detach().numpy()]


def trajectory(options, start, grads, dtype):
    parameter = torch.nn.Parameter(start.to(dtype, copy=True))
    optimiser = torch.optim.AdamW([parameter], **options)
    steps = []
    for grad in grads:
        parameter.grad = grad.to(dtype)
        optimiser.step()
        steps.append(numbers(parameter))
    return steps


def adamw():
    generator = torch.Generator().manual_seed(7)
    scale = torch.tensor([1.0, 0.1, 3.0, 0.01, 100.0, 0.0, 1e-6])
    start = torch.randn(SIZE, generator=generator)
    grads = torch.randn(STEPS, SIZE, generator=generator) * scale + 0.0  # no negative zeros
    cases = []
    for name, options in CASES.items():
        group = torch.optim.AdamW([torch.nn.Parameter(start.clone())], **options).param_groups[0]
        steps = {str(d).removeprefix("torch."): trajectory(options, start, grads, d) for d in (torch.float32, torch.float64)}
        used = {"lr": group["lr"], "betas": group["betas"], "eps": group["eps"], "weightDecay": group["weight_decay"]}
        first = start.double() * (1 - used["lr"] * used["weightDecay"])
        first -= used["lr"] * grads[0].double() / (grads[0].double().abs() + used["eps"])
        torch.testing.assert_close(torch.tensor(steps["float64"][0], dtype=torch.float64), first)
        cases.append({"name": name, "options": used, "steps": steps})
    return {
        "source": f"torch {torch.__version__}, torch.optim.AdamW",
        "start": numbers(start),
        "grads": [numbers(g) for g in grads],
        "cases": cases,
    }


def schedule():
    cases = []
    for warmup, total in [(0, 10), (3, 10), (5, 100), (10, 10)]:
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = transformers.get_cosine_schedule_with_warmup(optimiser, warmup, total)
        multipliers = []
        for _ in range(total + 1):
            multipliers.append(scheduler.get_last_lr()[0])
            optimiser.step()
            scheduler.step()
        cases.append({"warmup": warmup, "total": total, "multipliers": multipliers})
    return {"source": f"transformers {transformers.__version__}, get_cosine_schedule_with_warmup", "cases": cases}


def write(path, data):
    lists = {k: v for k, v in data.items() if k in ("grads", "cases")}
    head = "".join(f"\t{json.dumps(k)}: {json.dumps(v)},\n" for k, v in data.items() if k not in lists)
    body = ",\n".join(
        f"\t{json.dumps(k)}: [\n" + ",\n".join(f"\t\t{json.dumps(row)}" for row in rows) + "\n\t]"
        for k, rows in lists.items()
    )
    path.write_text("{\n" + head + body + "\n}\n")


ROOT.mkdir(exist_ok=True)
write(ROOT / "adamw.json", adamw())
write(ROOT / "schedule.json", schedule())
