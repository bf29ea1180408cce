"""The step of `npm run roofline -- --measure` in PyTorch: LoRA on every linear layer of a VaultGemma with random weights, gradients of
single records as Opacus takes them (hooks keep what enters a layer and what comes back, and an einsum makes the gradients), clipping,
noise, AdamW. The base is in bfloat16, not in 4 bits: nothing is to be unpacked. Then a token of an answer, greedily, from a cache.

    python bench/torch/privateStep.py --device cuda --batch 8 --length 128
    python bench/torch/privateStep.py --config assets/tiny-vaultgemma/config.json --device cpu --batch 16 --length 80

Needs torch and transformers. Prints JSON: milliseconds of each step, private and plain, and of each token.
"""

import argparse
import json
import time

import torch
from torch import nn
from transformers import VaultGemmaConfig, VaultGemmaForCausalLM

RELEASED = dict(
    vocab_size=256000, hidden_size=1152, intermediate_size=6912, num_hidden_layers=26, num_attention_heads=4, num_key_value_heads=4,
    head_dim=256, query_pre_attn_scalar=256, attn_logit_softcapping=None, final_logit_softcapping=None,
    layer_types=["full_attention"] * 26, sliding_window=512, max_position_embeddings=1024,
)
RANK, ALPHA, DROPOUT, CLIP, NOISE = 8, 16, 0.05, 1.0, 20.0


class Lora(nn.Module):
    """W x + B A dropout(x) alpha / r, and the gradients of A and B of every record."""

    def __init__(self, base: nn.Linear, per_record: bool):
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, RANK, bias=False, device=base.weight.device)
        self.up = nn.Linear(RANK, base.out_features, bias=False, device=base.weight.device)
        nn.init.zeros_(self.up.weight)
        self.dropout = nn.Dropout(DROPOUT)
        if per_record:
            for part in (self.down, self.up):
                part.register_forward_hook(self.keep)
                part.register_full_backward_hook(self.gradients)

    @staticmethod
    def keep(part, inputs, _):
        part.entered = inputs[0].detach()

    @staticmethod
    def gradients(part, _, back):
        part.weight.grad_sample = torch.einsum("bto,bti->boi", back[0].to(part.entered.dtype), part.entered)

    def forward(self, x):
        return self.base(x) + self.up(self.down(self.dropout(x))) * (ALPHA / RANK)


def build(config, device, per_record):
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        model = VaultGemmaForCausalLM(config).to(dtype)
    model.requires_grad_(False)
    for layer in model.model.layers:
        for owner in (layer.self_attn, layer.mlp):
            for name, part in list(owner.named_children()):
                if isinstance(part, nn.Linear):
                    setattr(owner, name, Lora(part, per_record))
    return model.train()


def steps(config, options, per_record):
    model = build(config, options.device, per_record)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6)
    ids = torch.randint(config.vocab_size, (options.batch, options.length + 1), device=options.device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
            logits = model(input_ids=ids[:, :-1]).logits
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="sum") / options.length
        (loss if per_record else loss / options.batch).backward()
        if per_record:
            squares = sum(p.grad_sample.float().flatten(1).square().sum(1) for p in trained)
            factors = (CLIP / (squares.sqrt() + 1e-6)).clamp(max=1.0)
            for p in trained:
                total = torch.einsum("b,boi->oi", factors, p.grad_sample.float())
                p.grad = (total + torch.randn_like(total) * NOISE * CLIP) / options.batch
                p.grad_sample = None
        optimizer.step()
        return loss.item()

    return timed(step, options), sum(p.numel() for p in trained)


def tokens(config, options):
    model = build(config, options.device, False).eval()
    state = {}
    with torch.no_grad(), torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
        ids = torch.randint(config.vocab_size, (1, options.length), device=options.device)
        state["cache"] = model(input_ids=ids, use_cache=True).past_key_values

        def token():
            out = model(input_ids=state.get("next", ids[:, -1:]), past_key_values=state["cache"], use_cache=True)
            state["next"] = out.logits[:, -1:].argmax(-1)
            return state["next"].item()

        return timed(token, options)


def timed(run, options):
    found = []
    for _ in range(3 + options.rounds):
        start = time.perf_counter()
        run()
        if options.device == "cuda":
            torch.cuda.synchronize()
        found.append(1000 * (time.perf_counter() - start))
    return {"first": found[0], "ms": found[3:], "median": sorted(found[3:])[options.rounds // 2]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--config")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    config = VaultGemmaConfig.from_json_file(options.config) if options.config else VaultGemmaConfig(**RELEASED)
    private, trainable = steps(config, options, True)
    plain, _ = steps(config, options, False)
    print(json.dumps({
        "adapter": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "batch": options.batch,
        "length": options.length,
        "trainable": trainable,
        "private": private,
        "plain": plain,
        "token": tokens(config, options),
        "peakBytes": torch.cuda.max_memory_allocated() if options.device == "cuda" else None,
    }))


main()
