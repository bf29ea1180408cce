"""The study of bench/utility.ts in torch, on a GPU where there is one; on a CPU still many times faster than WebGPU on a software driver.

    node --import tsx -C @hushgrad/source bench/support/twinData.ts out/twin poisson,ffa 1,3,8 0,1,2,3,4
    python bench/utilityTwin.py out/twin bench/results/utilityTwin.jsonl

Same model with the weights that NF4 stands for, same cards and splits, same plans (sigma is the library's), same formulas. Batches,
dropout, LoRA's start and noise are drawn by numpy and torch, so a run has the law of the library's run and not its bits.
"""
import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

folder, out = sys.argv[1:3]
torch.set_num_threads(int(os.environ.get("THREADS", "1")))
study = json.load(open(f"{folder}/study.json"))
raw = np.fromfile(f"{folder}/weights.f32", dtype="<f4")
W = {
    n: torch.from_numpy(raw[w["at"] : w["at"] + math.prod(w["shape"])].reshape(w["shape"]).copy())
    for n, w in study["weights"].items()
}
cfg = study["config"]
D, H, K = cfg["hidden_size"], cfg["num_attention_heads"], cfg["head_dim"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
AT_A_TIME = 400 if DEVICE == "cuda" else 32
torch.set_default_device(DEVICE)
W = {n: w.to(DEVICE) for n, w in W.items()}
T, P = 80, 40  # no card has more tokens, nor more of them learned
angles = torch.arange(T)[:, None] * cfg["rope_theta"] ** (-torch.arange(0, K, 2) / K)[None]
COS, SIN = angles.cos(), angles.sin()
MASK = torch.full((T, T), -math.inf).triu(1)
TARGETS = [f"model.layers.{i}.{m}" for i in range(cfg["num_hidden_layers"]) for m in (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]

ids = torch.zeros(len(study["cards"]), T, dtype=torch.long)
positions = torch.zeros(len(study["cards"]), P, dtype=torch.long)
targets = torch.full((len(study["cards"]), P), -100)
for i, c in enumerate(study["cards"]):
    n, s = len(c["ids"]), c["start"]
    ids[i, :n] = torch.tensor(c["ids"])
    positions[i, : n - s] = torch.arange(s - 1, n - 1)
    targets[i, : n - s] = torch.tensor(c["ids"][s:])
learned = (targets >= 0).sum(1)


def norm(x, name):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + cfg["rms_norm_eps"]) * (1 + W[name])


def rope(x):
    a, b = x.chunk(2, -1)
    return torch.cat([a * COS - b * SIN, b * COS + a * SIN], -1)


def losses(which, lora, scale, dropout):
    """Mean loss a learned token of each record; lora: path -> (A, B), of all records or one a record."""

    def linear(path, x):
        A, B = lora[path]
        low = F.dropout(x, dropout) if dropout > 0 else x
        return x @ W[f"{path}.weight"].T + scale * (low @ A.mT) @ B.mT

    n = len(which)
    x = W["model.embed_tokens.weight"][ids[which]] * math.sqrt(D)
    heads = lambda y: y.view(n, T, H, K).transpose(1, 2)
    for i in range(cfg["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, f"{p}.input_layernorm.weight")
        q, k, v = (heads(linear(f"{p}.self_attn.{m}_proj", h)) for m in "qkv")
        scores = rope(q) @ rope(k).mT * cfg["query_pre_attn_scalar"] ** -0.5 + MASK
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, T, H * K)
        x = x + linear(f"{p}.self_attn.o_proj", mixed)
        h = norm(x, f"{p}.pre_feedforward_layernorm.weight")
        gate = F.gelu(linear(f"{p}.mlp.gate_proj", h), approximate="tanh")
        x = x + linear(f"{p}.mlp.down_proj", gate * linear(f"{p}.mlp.up_proj", h))
    x = norm(x, "model.norm.weight").gather(1, positions[which][..., None].expand(-1, -1, D))
    logits = x @ W["model.embed_tokens.weight"].T
    each = F.cross_entropy(logits.flatten(0, 1), targets[which].flatten(), ignore_index=-100, reduction="none")
    return each.view(n, P).sum(1) / learned[which]


def held_out_loss(which, lora, scale):
    with torch.no_grad():
        each = losses(which, lora, scale, 0.0)
    return float((each * learned[which]).sum() / learned[which].sum())


def batches(plan, n, rng):
    """The records of each step."""
    steps = plan["options"]["steps"]
    if plan["epsilon"] is None:
        size = min(plan["options"]["batch"], n)
        return [rng.permutation(n)[:size] for _ in range(steps)]
    if plan["options"]["sampling"] == "poisson":
        return [np.flatnonzero(rng.random(n) < plan["q"]) for _ in range(steps)]
    epoch = round(1 / plan["q"])
    chosen = []
    while len(chosen) < steps:
        if not chosen or plan["options"]["sampling"] == "random-allocation":
            of = rng.integers(epoch, size=n)
        chosen += [np.flatnonzero(of == s) for s in range(epoch)]
    return chosen[:steps]


def noises(plan, count):
    """Standard noise of each step: C^-1 z, with C of unit columns from the coefficients of its first one."""
    steps = plan["options"]["steps"]
    z = torch.randn(steps, count)
    c = torch.zeros(steps, dtype=torch.float64)
    strategy = torch.tensor(plan.get("strategy", [1.0]), dtype=torch.float64)[:steps]
    c[: len(strategy)] = strategy
    C = torch.stack([torch.cat([torch.zeros(s, dtype=torch.float64), c[: steps - s]]) for s in range(steps)], 1)
    return torch.linalg.inv(C / C.norm(dim=0)).float() @ z


def train(plan, seed):
    o = plan["options"]
    rng = np.random.default_rng([seed, 1])
    torch.manual_seed(seed)
    order = study["splits"][str(seed)]
    cut = int(0.9 * len(order) + 0.5)
    own, held = torch.tensor(order[:cut]), torch.tensor(order[cut:])
    r, scale = int(o["rank"]), o["alpha"] / o["rank"]
    parameters = []
    for path in TARGETS:
        rows, cols = W[f"{path}.weight"].shape
        parameters += [(torch.rand(r, cols) * 2 - 1) / math.sqrt(cols), torch.zeros(rows, r)]
    trained = [i for i in range(len(parameters)) if i % 2 == 1 or not plan["freezeA"]]
    lora = lambda ps: {path: (ps[2 * i], ps[2 * i + 1]) for i, path in enumerate(TARGETS)}
    before = held_out_loss(held, lora(parameters), scale)
    count = sum(parameters[i].numel() for i in trained)
    m, v = torch.zeros(count), torch.zeros(count)
    norms, clipped = [], []
    C, warm, steps = o["max-grad-norm"], o["warmup-steps"], o["steps"]
    noise = noises(plan, count)
    for t, batch in enumerate(batches(plan, cut, rng), 1):
        total = torch.zeros(count)
        seen = []
        for part in torch.from_numpy(batch).to(DEVICE).split(AT_A_TIME):
            n = len(part)
            each = [p.expand(n, *p.shape).clone().requires_grad_(i in trained) for i, p in enumerate(parameters)]
            value = losses(own[part], lora(each), scale, o["dropout"]).sum()
            grads = torch.autograd.grad(value, [each[i] for i in trained])
            g = torch.cat([g.flatten(1) for g in grads], 1)
            size = g.norm(dim=1)
            seen += size.tolist()
            total += (g * (C / size).clamp(max=1)[:, None]).sum(0) if plan["epsilon"] is not None else g.sum(0)
        if plan["epsilon"] is None:
            mean = total / len(batch)
        else:
            mean = (total + plan["sigma"] * C * noise[t - 1]) / o["batch"]
        norms.append(round(float(np.mean(seen)), 4))
        clipped.append(round(float(np.mean(np.array(seen) > C)), 3))
        cosine = t / warm if t < warm else 0.5 * (1 + math.cos(math.pi * (t - warm) / (steps + 1 - warm)))
        lr = o["lr"] * (cosine if o["schedule"] == "cosine" else 1)
        beta1 = o["beta1"]
        m = beta1 * m + (1 - beta1) * mean
        v = 0.999 * v + 0.001 * mean.square()
        move = lr * (m / (1 - beta1**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8) if o["optimizer"] == "adamw" else lr * mean
        for i, part in zip(trained, move.split([parameters[i].numel() for i in trained])):
            parameters[i] = parameters[i] - part.view_as(parameters[i])
    return {"trained": count, "before": before, "after": held_out_loss(held, lora(parameters), scale), "norms": norms, "clipped": clipped}


def main():
    lines = [json.loads(x) for x in open(out)] if os.path.exists(out) else []
    done = {(x["variant"], x["epsilon"], x["seed"]) for x in lines}
    # epsilon by epsilon as named, and seed by seed: a study that is cut off compares what it has
    epsilons = list(dict.fromkeys(p.get("epsilon") for p in study["plans"]))
    wanted = [(p, int(seed)) for e in epsilons for seed in study["splits"] for p in study["plans"] if p.get("epsilon") == e]
    for plan, seed in wanted:
        plan.setdefault("epsilon", None)
        name = (plan["variant"], plan["epsilon"], seed)
        if name in done:
            continue
        done.add(name)
        began = time.time()
        outcome = train(plan, seed)
        o = plan["options"]
        facts = {"sigma": plan.get("sigma"), "q": plan.get("q"), "steps": o["steps"], "L": o["batch"], "C": o["max-grad-norm"], "sampling": o["sampling"]}
        run = {"variant": name[0], "epsilon": name[1], "seed": seed, **({"plan": facts} if name[1] is not None else {}), **outcome, "seconds": round(time.time() - began, 1)}
        with open(out, "a") as file:
            file.write(json.dumps(run, separators=(",", ":")) + "\n")
        print(name, f"{outcome['before']:.4f} -> {outcome['after']:.4f} in {run['seconds']} s", flush=True)


main()
