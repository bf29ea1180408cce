"""delta of the Gaussian mechanism by the closed form of Balle and Wang (2018), and the standard normal, in arithmetic of 60 digits.

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


def normal(x):
    x = mp.mpf(x)
    return {"cdf": float(mp.nstr(phi(x), 20)), "mills": float(mp.nstr(phi(-x) / mp.npdf(x), 20))}


def quantile(p):
    p, low, high = mp.mpf(p), mp.mpf(-40), mp.mpf(40)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if phi(middle) < p else (low, middle)
    return float(mp.nstr(low, 20))


POINTS = [-36.0, -10.0, -3.0, -1.0, -0.25, 0.0, 0.25, 1.0, 2.0, 5.0, 10.0, 36.0, 200.0]
PROBABILITIES = [1e-300, 1e-20, 1e-5, 0.01, 0.2, 0.499, 0.5, 0.501, 0.75, 0.99, 1 - 2.0**-40]
result = {
    "source": f"mpmath {mp.__version__}, 60 digits",
    "rows": rows,
    "normal": [{"x": x, **normal(x)} for x in POINTS],
    "quantile": [{"p": p, "x": quantile(p)} for p in PROBABILITIES],
}
json.dump(result, sys.stdout, indent="\t")
print()
