"""Privacy spent, by the original libraries: dp_accounting (PLD, upper and lower bound, truncated batches) and Opacus
(PRV).

    PYTHONPATH=differential-privacy/python/dp_accounting:opacus \\
        python tests/goldens/accountants.py > tests/goldens/accountants.json

Made with google/differential-privacy b5b0286 (August 2026), meta-pytorch/opacus 88919b6 (1.6.0, May 2026),
NumPy 2.4.6, SciPy 1.17.1. Of Opacus only opacus.accountants is imported, without torch
and its optimisers; of dp_accounting nothing that needs dm-tree, which is replaced by an empty module.
"""

import importlib.util
import json
import math
import sys
import types

sys.modules.setdefault("tree", types.ModuleType("tree"))

from dp_accounting.pld import privacy_loss_distribution as pld  # noqa: E402


def opacus_analysis():
    """opacus.accountants.analysis without opacus/__init__, which imports torch."""
    spec = importlib.util.find_spec("opacus")
    for name, path in [("opacus", ""), ("opacus.accountants", "/accountants")]:
        module = types.ModuleType(name)
        module.__path__ = [spec.submodule_search_locations[0] + path]
        sys.modules[name] = module
    sys.modules["opacus.optimizers"] = types.ModuleType("opacus.optimizers")
    sys.modules["opacus.optimizers"].DPOptimizer = object
    from opacus.accountants.prv import PRVAccountant

    return PRVAccountant


PRVAccountant = opacus_analysis()

# sample rate, noise multiplier, steps, delta
POISSON = [
    (8 / 900, 0.27, 224, 1e-2),
    (8 / 900, 0.5, 224, 1e-5),
    (8 / 900, 1.0, 224, 1e-5),
    (32 / 900, 0.8, 56, 1e-5),
    (128 / 900, 1.2, 140, 1e-5),
    (250 / 60000, 1.3, 3600, 1e-5),
    (0.01, 1.0, 1000, 1e-5),
    (0.001, 0.8, 10000, 1e-6),
    (0.2, 0.5, 3, 1e-5),
    (64 / 10000, 2.0, 782, 1e-6),
    (0.04, 1.5, 2250, 1e-5),
    (100 / 393, 1.027659, 16, 1e-5),
    (0.25, 1.2345, 40, 1e-5),
    (0.5, 0.7, 5, 1e-7),
    (0.9, 3.0, 60, 1e-4),
    (0.001, 0.5, 1, 1e-5),
    (0.02, 5.0, 300, 1e-3),
]

TRUNCATED = [
    (900, 8, 12, 0.5, 224, 1e-5),
    (900, 8, 20, 0.5, 224, 1e-5),
    (900, 64, 80, 0.85, 141, 1e-5),
    (900, 64, 112, 0.85, 141, 1e-5),
    (900, 225, 300, 1.2345, 40, 1e-5),
    (100, 20, 25, 1.0, 10, 1e-4),
]

def step_for(epsilon, steps):
    """Grid spacing at which connecting the dots costs about 1e-5 of epsilon."""
    return max(1e-5, min(1e-3, math.sqrt(12e-5 * max(epsilon, 1e-3) / (steps * 6))))


def bounds(make, steps, delta):
    """PLD epsilon on a fine grid: as connect-the-dots has it, and of both directions."""
    rough = make(1e-3).self_compose(steps).get_epsilon_for_delta(delta)
    law = make(step_for(rough, steps)).self_compose(steps)
    return law.get_epsilon_for_delta(delta)


def poisson_rows():
    for q, sigma, steps, delta in POISSON:
        make = lambda h, pessimistic=True: pld.from_gaussian_mechanism(  # noqa: E731
            sigma, sampling_prob=q, value_discretization_interval=h, pessimistic_estimate=pessimistic, use_connect_dots=pessimistic
        )
        upper = bounds(make, steps, delta)
        rough = step_for(upper, steps)
        lower = make(rough, False).self_compose(steps).get_epsilon_for_delta(delta)
        remove = make(rough).self_compose(steps)._pmf_remove.get_epsilon_for_delta(delta)
        accountant = PRVAccountant()
        accountant.history = [(sigma, q, steps)]
        dprv = accountant._get_dprv(eps_error=0.01, delta_error=delta / 1000)
        prv = dprv.compute_epsilon(delta, delta / 1000, 0.01)
        at_one = make(rough).self_compose(steps).get_delta_for_epsilon(1.0)
        yield {
            "sampleRate": q, "noiseMultiplier": sigma, "steps": steps, "delta": delta,
            "pld": float(upper), "lower": float(lower), "remove": float(remove), "deltaAtOne": float(at_one),
            "prv": [float(value) for value in prv],
        }


def truncated_rows():
    for size, batch, cap, sigma, steps, delta in TRUNCATED:
        make = lambda h: pld.from_truncated_subsampled_gaussian_mechanism(size, batch / size, cap, sigma, h)  # noqa: E731
        yield {
            "datasetSize": size, "sampleRate": batch / size, "maxBatchSize": cap, "noiseMultiplier": sigma, "steps": steps,
            "delta": delta, "pld": float(bounds(make, steps, delta)),
        }


json.dump(
    {
        "source": "dp_accounting b5b0286, opacus 88919b6",
        "poisson": list(poisson_rows()),
        "truncated": list(truncated_rows()),
    },
    sys.stdout,
    indent="\t",
)
print()
