"""True positive rate Phi(mu + Phi^-1(fpr)) of the likelihood ratio test between N(0, 1) and N(mu, 1).

    python tests/goldens/gaussian_roc.py > tests/goldens/gaussian_roc.json

Made with SciPy 1.17.1.
"""

import json
import sys

import scipy
from scipy.stats import norm

CASES = [(mu, fpr) for mu in (0.1, 1.0, 4.0) for fpr in (1e-6, 1e-3, 0.1, 0.7)]
rows = [{"mu": mu, "fpr": fpr, "tpr": float(norm.sf(norm.isf(fpr) - mu))} for mu, fpr in CASES]
json.dump({"source": f"SciPy {scipy.__version__}", "rows": rows}, sys.stdout, indent="\t")
print()
