"""delta of the Gaussian mechanism by the closed form of Balle and Wang (2018), in arithmetic of 60 digits.

    python tests/goldens/gaussian.py > tests/goldens/gaussian.json

Made with mpmath 1.3.0. The arguments are the exact binary values of the float64 numbers listed.
"""

import json
import sys

import mpmath as mp

mp.mp.dps = 60


def phi(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def delta(mu, epsilon):
    mu, epsilon = mp.mpf(mu), mp.mpf(epsilon)
    return phi(mu / 2 - epsilon / mu) - mp.exp(epsilon) * phi(-mu / 2 - epsilon / mu)


CASES = [(m, e) for m in (0.01, 0.1, 0.5, 1.0, 2.7, 10.0, 60.0) for e in (0.001, 0.1, 1.0, 5.0, 30.0, 1000.0)]
rows = [{"mu": m, "epsilon": e, "delta": float(mp.nstr(delta(m, e), 20))} for m, e in CASES]
rows = [row for row in rows if 1e-290 < row["delta"] < 0.999]
json.dump({"source": f"mpmath {mp.__version__}, 60 digits", "rows": rows}, sys.stdout, indent="\t")
print()
