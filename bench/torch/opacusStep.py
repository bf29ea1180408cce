"""The private step of `npm run roofline -- --measure` in the stack of the notebook: LoRA by peft on every linear layer of a VaultGemma
with random weights, gradients of single records, clipping and noise by Opacus, AdamW. The base is in float32. `privateStep.py` beside
this file does the same by hand, with less around it.

    python bench/torch/opacusStep.py --config assets/tiny-vaultgemma/config.json --batch 16 --length 80

Needs torch, transformers, peft and opacus. Prints JSON: milliseconds of each step.
"""

import argparse
import json
import time

import opacus
import peft
import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn
from transformers import VaultGemmaConfig, VaultGemmaForCausalLM

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

parser = argparse.ArgumentParser()
parser.add_argument("--config", required=True)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--length", type=int, default=80)
parser.add_argument("--rounds", type=int, default=7)
options = parser.parse_args()

config = VaultGemmaConfig.from_json_file(options.config)
lora = peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=TARGETS, task_type="CAUSAL_LM")
model = GradSampleModule(peft.get_peft_model(VaultGemmaForCausalLM(config), lora).train(), loss_reduction="mean")
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = DPOptimizer(torch.optim.AdamW(trained, lr=1e-6), noise_multiplier=20.0, max_grad_norm=1.0, expected_batch_size=options.batch)
ids = torch.randint(config.vocab_size, (options.batch, options.length + 1))


def step():
    optimizer.zero_grad()
    logits = model(input_ids=ids[:, :-1]).logits
    nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    optimizer.step()


found = []
for _ in range(3 + options.rounds):
    start = time.perf_counter()
    step()
    found.append(1000 * (time.perf_counter() - start))
print(json.dumps({
    "torch": torch.__version__,
    "opacus": opacus.__version__,
    "peft": peft.__version__,
    "batch": options.batch,
    "length": options.length,
    "trainable": sum(p.numel() for p in trained),
    "first": found[0],
    "ms": found[3:],
    "median": sorted(found[3:])[options.rounds // 2],
}))
