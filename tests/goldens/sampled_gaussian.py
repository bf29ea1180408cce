"""Log moments ln A(alpha) of the sampled Gaussian by high-precision quadrature, for orders and noise levels where
float64 is most at risk (orders close to 1, little noise, many steps of the tail).

    python tests/goldens/sampled_gaussian.py > tests/goldens/sampled_gaussian.json

Made with mpmath 1.3.0, 40 digits. The arguments are the exact binary values of the float64 numbers listed.
"""

import json
import sys

import mpmath as mp

mp.mp.dps = 40

CASES = [
    (0.01, 0.02, 1.001),
    (0.01, 0.05, 1.01),
    (0.01, 0.05, 1.5),
    (0.3, 0.05, 1.003),
    (0.01, 0.1, 1.001),
    (0.01, 0.1, 1.1),
    (0.01, 0.1, 1.7),
    (1e-6, 0.13, 1.001),
    (0.5, 0.15, 1.05),
    (8 / 900, 0.2, 1.02),
    (8 / 900, 0.2669, 1.1),
    (0.25, 1.2345, 1.001),
    (0.25, 1.2345, 3.3),
    (0.25, 1.2345, 40.5),
    (0.001, 0.8, 8.2),
    (0.999, 0.3, 1.2),
    (0.9, 5.0, 20.5),
    (1e-5, 2.0, 90.51),
    (0.05, 50.0, 724.0773439350247),
]


def log_moment(q, sigma, alpha):
    q, sigma, alpha = mp.mpf(q), mp.mpf(sigma), mp.mpf(alpha)

    def integrand(z):
        u = q * mp.expm1((2 * z - 1) / (2 * sigma**2))
        return mp.npdf(z, 0, sigma) * (mp.power(1 + u, alpha) - 1 - alpha * u)

    low, high = -20 * sigma, alpha + 20 * sigma
    panels = min(max(int((high - low) / (sigma / 2)) + 1, 20), 400)
    nodes = [low + (high - low) * k / panels for k in range(panels + 1)]
    return mp.log1p(mp.quad(integrand, nodes))


rows = [
    {"q": q, "sigma": sigma, "alpha": alpha, "logMoment": float(mp.nstr(log_moment(q, sigma, alpha), 20))}
    for q, sigma, alpha in CASES
]
json.dump({"source": f"mpmath {mp.__version__}, 40 digits", "rows": rows}, sys.stdout, indent="\t")
print()
