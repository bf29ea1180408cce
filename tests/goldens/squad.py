"""Writes squad.json: normalised answers, F1 and exact match by the functions of SQuAD's own evaluation script, evaluate-v1.1.py
(Rajpurkar et al. 2016), as they are printed there.

    python tests/goldens/squad.py
"""

import json
import re
import string
from collections import Counter
from pathlib import Path


def normalize_answer(s):
    """Lower text and remove punctuation, articles and extra whitespace."""

    def remove_articles(text):
        return re.sub(r"\b(a|an|the)\b", " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    def lower(text):
        return text.lower()

    return white_space_fix(remove_articles(remove_punc(lower(s))))


def f1_score(prediction, ground_truth):
    prediction_tokens = normalize_answer(prediction).split()
    ground_truth_tokens = normalize_answer(ground_truth).split()
    common = Counter(prediction_tokens) & Counter(ground_truth_tokens)
    num_same = sum(common.values())
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(prediction_tokens)
    recall = 1.0 * num_same / len(ground_truth_tokens)
    f1 = (2 * precision * recall) / (precision + recall)
    return f1


def exact_match_score(prediction, ground_truth):
    return normalize_answer(prediction) == normalize_answer(ground_truth)


TEXTS = [
    "The mitral valve lies between the left atrium and the left ventricle.",
    "mitral valve lies between left atrium and left ventricle",
    "The valve, the valve, the VALVE!",
    "A valve",
    "valve",
    "",
    "  ",
    "the",
    "An anthem of the theatre",
    "beta-blocker's (first) choice",
    "beta blockers first choice",
    "État de l'art\u00a0: a été",
    "état de lart a été",
    "Привет, мир",
    "привет мир",
    "12.5 mg",
    "125 mg",
    "a\u0301 la carte",
    "one\ttwo\nthree",
    "one two three two",
    "\u201cquoted\u201d \u2013 a dash",
]

pairs = [
    {"answer": a, "expected": b, "f1": f1_score(a, b), "exact": int(exact_match_score(a, b))} for a in TEXTS for b in TEXTS
]
out = {"normalized": [[t, normalize_answer(t)] for t in TEXTS], "pairs": pairs}
Path(__file__).with_suffix(".json").write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
