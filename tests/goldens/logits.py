"""Logits processors of transformers on single vectors, alone and chained.

    python tests/goldens/logits.py

Made with torch 2.13.0, transformers 5.18.0, float32. Writes logits/logits.json beside this script: 40 cases of
{name, logits [n], seen (ids, with duplicates), repetitionPenalty, temperature, topK, topP, output [n]}. An option
that is null was not applied; the others in the order of generate(): repetition penalty, temperature, top-k, top-p.
In output null is -inf. Logits are multiples of 1/64, so exact; outputs have the fewest digits that round to the
float32 number. torch.sort is not stable above 16 entries, so where the top-p boundary splits equal logits the choice
of transformers is arbitrary: no case does that. Nor is a cumulative probability within 1e-4 of the threshold.
"""

import json
import math
from pathlib import Path

import torch
import transformers
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert transformers.__version__ == "5.18.0", transformers.__version__

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent / "logits"
GENERATOR = torch.Generator().manual_seed(5)
PROCESSORS = {
    "repetitionPenalty": RepetitionPenaltyLogitsProcessor,
    "temperature": TemperatureLogitsWarper,
    "topK": TopKLogitsWarper,
    "topP": TopPLogitsWarper,
}

# kind of vector, options; a chain applies them in the order of PROCESSORS
OPTIONS = [
    ("random", dict(repetitionPenalty=1.3)),
    ("random", dict(repetitionPenalty=2.0)),
    ("random", dict(repetitionPenalty=0.7)),
    ("ties", dict(repetitionPenalty=1.1)),
    ("unseen", dict(repetitionPenalty=1.5)),
    ("random", dict(temperature=0.7)),
    ("random", dict(temperature=1.9)),
    ("random", dict(temperature=0.05)),
    ("ties", dict(temperature=3.0)),
    ("random", dict(topK=1)),
    ("random", dict(topK=5)),
    ("random", dict(topK=19)),
    ("random", dict(topK=50)),
    ("random", dict(topK=1000)),
    ("ties", dict(topK=1)),
    ("ties", dict(topK=4)),
    ("ties", dict(topK=9)),
    ("equal", dict(topK=3)),
    ("random", dict(topP=0.0)),
    ("random", dict(topP=0.1)),
    ("random", dict(topP=0.5)),
    ("random", dict(topP=0.9)),
    ("random", dict(topP=0.99)),
    ("ties", dict(topP=0.3)),
    ("ties", dict(topP=0.6)),
    ("ties", dict(topP=0.95)),
    ("ties", dict(topP=0.8)),
    ("peaked", dict(topP=0.5)),
    ("random", dict(repetitionPenalty=1.3, temperature=0.7)),
    ("random", dict(temperature=0.8, topK=10)),
    ("random", dict(temperature=1.5, topP=0.8)),
    ("random", dict(topK=10, topP=0.8)),
    ("ties", dict(topK=6, topP=0.7)),
    ("random", dict(repetitionPenalty=1.2, topK=7)),
    ("random", dict(repetitionPenalty=1.2, topP=0.6)),
    ("random", dict(repetitionPenalty=1.3, temperature=0.7, topK=10, topP=0.9)),
    ("random", dict(repetitionPenalty=0.8, temperature=1.4, topK=25, topP=0.75)),
    ("ties", dict(repetitionPenalty=1.5, temperature=0.9, topK=8, topP=0.85)),
    ("ties", dict(repetitionPenalty=2.0, temperature=2.0, topK=3, topP=0.5)),
    ("unseen", dict(repetitionPenalty=1.3, temperature=0.6, topK=50, topP=0.95)),
]


def draw(kind):
    size = int(torch.randint(20, 51, (1,), generator=GENERATOR))
    noise = torch.randn(size, generator=GENERATOR)
    logits = {
        "random": torch.round(noise * 3 * 64) / 64,
        "unseen": torch.round(noise * 3 * 64) / 64,
        "ties": torch.round(noise * 1.5 * 2) / 2,
        "equal": torch.full((size,), 1.25),
        "peaked": torch.round(noise * 64) / 64 + 30 * (torch.arange(size) == size // 3),
    }[kind]
    seen = torch.randint(0, size, (6,), generator=GENERATOR)
    seen = torch.cat([seen, seen[:2], logits.argmax()[None], logits.argmin()[None]])
    return logits, seen[:0] if kind == "unseen" else seen


def top_p_is_clear(scores, top_p):
    """Neither rounding nor the order of equal logits decides which tokens stay."""
    cumulative = torch.sort(scores.double())[0].softmax(-1).cumsum(-1)
    if top_p > 0 and float((cumulative - (1 - top_p)).abs().min()) < 1e-4:
        return False
    kept = TopPLogitsWarper(top_p)(None, scores[None])[0] > -math.inf
    return bool(kept.all()) or bool(scores[~kept].max() < scores[kept].min())


def make(kind, options):
    while True:
        logits, seen = draw(kind)
        scores, clear = logits.clone()[None], True
        for name, processor in PROCESSORS.items():
            if name in options:
                clear = clear and (name != "topP" or top_p_is_clear(scores[0], options[name]))
                before = scores.clone()
                after = processor(options[name])(seen[None], scores)
                assert torch.equal(before, scores)
                scores = after
        if clear:
            break
    chain = LogitsProcessorList(PROCESSORS[name](options[name]) for name in PROCESSORS if name in options)
    assert torch.equal(chain(seen[None], logits.clone()[None]), scores)
    return {
        "name": " ".join([kind, *(f"{k}={v}" for k, v in options.items())]),
        "logits": logits.tolist(),
        "seen": seen.tolist(),
        **{name: options.get(name) for name in PROCESSORS},
        "output": [None if x == -math.inf else float(str(x)) for x in scores[0].numpy()],
    }


cases = [make(kind, options) for kind, options in OPTIONS]
assert len(cases) == 40 and len({c["name"] for c in cases}) == 40
ROOT.mkdir(exist_ok=True)
rows = ",\n".join(f"\t\t{json.dumps(case)}" for case in cases)
source = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"
(ROOT / "logits.json").write_text(f'{{\n\t"source": {json.dumps(source)},\n\t"cases": [\n{rows}\n\t]\n}}\n')
