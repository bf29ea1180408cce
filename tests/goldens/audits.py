"""Audits by jax_privacy, bounds on rates and the noncentral t distribution by SciPy.

    PYTHONPATH=jax_privacy/jax_privacy:differential-privacy/python/dp_accounting \\
        python tests/goldens/audits.py > tests/goldens/audits.json

Made with google-deepmind/jax_privacy 8967688 (August 2026), google/differential-privacy b5b0286 (August 2026),
NumPy 2.4.6, SciPy 1.17.1. Of jax_privacy only auditing.py is imported, without JAX; of dp_accounting nothing that
needs dm-tree, which is replaced by an empty module.
"""

import json
import sys
import types

sys.modules.setdefault("tree", types.ModuleType("tree"))

import auditing  # noqa: E402
import numpy as np  # noqa: E402
import scipy  # noqa: E402
from scipy.stats import beta, nct, norm  # noqa: E402

RATES = [
    (k, n, alpha)
    for k, n in [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (1, 500), (17, 500), (250, 500), (499, 500), (37, 10000)]
    for alpha in (0.5, 0.05, 1e-4)
]
P_VALUES = [
    (m, r, v, epsilon, delta)
    for m, r, v in [(1, 1, 1), (100, 10, 9), (100, 100, 61), (1000, 200, 197), (1000, 1000, 1000), (20000, 9000, 7000)]
    for epsilon in (0.0, 0.5, 2.0, 6.0)
    for delta in (1e-9, 1e-5, 1e-2)
]
T = [
    (t, degrees, d)
    for degrees in (2, 10, 998, 19998)
    for t, d in [(0.0, 0.0), (1.5, 0.0), (1.5, 1.0), (5.0, 7.5), (-1.0, 0.5), (31.6, 30.0), (31.6, 33.0), (6.0, 0.5)]
]


def quantiles(shift, n):
    return norm.ppf((np.arange(n) + 0.5) / n) + shift


def scores():
    """Names and scores (included, excluded): jax_privacy's own goldens, random ones, useless and misleading ones."""
    for shift in (0, 1, 2, 4):
        yield f"quantiles shifted by {shift}", quantiles(shift, 10_000), quantiles(0, 10_000)
    rng = np.random.default_rng(20261126)
    for mu in (0.0, 1.0, 2.0, 4.0):
        yield f"500 random ones shifted by {mu:g}", rng.normal(mu, 1, 507), rng.normal(0, 1, 493)
    yield "on the wrong side", rng.normal(-2, 1, 500), rng.normal(0, 1, 500)
    yield "all equal", np.zeros(50), np.zeros(50)
    yield "kept apart", np.ones(300), np.zeros(200)


def audit(name, included, excluded, significance=0.05, delta=1e-6):
    auditor = auditing.CanaryScoreAuditor(included, excluded)
    ask = {"significance": significance, "delta": delta}
    return {
        "name": name,
        **ask,
        "included": len(included),
        "excluded": len(excluded),
        "truePositives": [int(len(included) - k) for k in auditor._fn_counts],
        "falsePositives": [int(len(excluded) - k) for k in auditor._tn_counts],
        "oneRun": float(auditor.epsilon_one_run(**ask)),
        "oneRunFdp": float(auditor.epsilon_one_run_fdp(**ask)),
        "rates": float(auditor.epsilon_clopper_pearson(**ask, one_sided=False)),
        "gaussian": float(auditor.epsilon_from_gdp(**ask, eps_tol=1e-10)),
    }


json.dump(
    {
        "source": f"jax_privacy 8967688, SciPy {scipy.__version__}",
        "rates": [
            {
                "successes": k,
                "trials": n,
                "significance": alpha,
                "lower": float(beta.ppf(alpha, k, n - k + 1)) if k > 0 else 0.0,
                "upper": float(beta.ppf(1 - alpha, k + 1, n - k)) if k < n else 1.0,
            }
            for k, n, alpha in RATES
        ],
        "pValues": [
            {
                "canaries": m,
                "guesses": r,
                "correct": v,
                "epsilon": epsilon,
                "delta": delta,
                "p": float(auditing._one_run_p_value(m, r, v, epsilon, delta)),
            }
            for m, r, v, epsilon, delta in P_VALUES
        ],
        "noncentralT": [
            {"t": t, "degrees": degrees, "noncentrality": d, "p": float(nct.sf(t, degrees, d))} for t, degrees, d in T
        ],
        "audits": [audit(*case) for case in scores()],
    },
    sys.stdout,
    separators=(",", ":"),
)
print()
