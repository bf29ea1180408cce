"""Bounds of epsilon of random allocation (each record in one step of each epoch), by the authors' code of arXiv 2602.17284.

    PYTHONPATH=differential-privacy/python/dp_accounting:PLD_accounting \\
        python tests/goldens/random_allocation.py > tests/goldens/random_allocation.json

Made with moshenfeld/PLD_accounting 952e91a (April 2026) on google/differential-privacy b5b0286 (August 2026), NumPy 2.4.6,
SciPy 1.17.1, numba 0.68.0; dm-tree, which is not needed, is replaced by an empty module.
"""

import json
import sys
import types

sys.modules.setdefault("tree", types.ModuleType("tree"))

from PLD_accounting import gaussian_allocation_epsilon_range  # noqa: E402

# steps per epoch, noise multiplier, epochs, delta, gap of the bounds that is asked for
CASES = [(2, 1.0, 1, 1e-5, 0.02), (4, 1.027659, 4, 1e-5, 0.1), (10, 0.8, 2, 1e-6, 0.2)]

rows = []
for per_epoch, sigma, epochs, delta, gap in CASES:
    upper, lower = gaussian_allocation_epsilon_range(delta, sigma, per_epoch, 1, epochs, epsilon_accuracy=gap)
    rows.append(
        {
            "stepsPerEpoch": per_epoch, "noiseMultiplier": sigma, "epochs": epochs, "delta": delta,
            "upper": float(upper), "lower": float(lower),
        }
    )
json.dump({"source": "PLD_accounting 952e91a", "rows": rows}, sys.stdout, indent="\t")
print()
