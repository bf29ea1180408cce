"""Tiny VaultGemma checkpoints with the logits, losses, gradients and greedy generations that transformers gives.

    python tests/goldens/vaultgemma.py

Made with torch 2.13.0, transformers 5.18.0, safetensors 0.8.0 on a CPU, eager attention, one thread, float32.
Writes vaultgemma/{plain,capped,bf16}/ beside this script:
  config.json, model.safetensors, generation_config.json   as save_pretrained writes them
  config.4x.json         the same configuration in the spelling of transformers 4.57
  expected.safetensors   logits [3,11,V], losses [3], loss [], grad/<parameter name> (gradient of loss)
  expected.json          ids, labels (unshifted), targets (shifted), generations, float32Error

losses[b] is the mean cross-entropy over the targets of sample b that are not -100; loss is the mean of the three.
No attention mask is passed: a padded tail is hidden by causality. In the bf16 checkpoint the file holds BF16 and
the expected values are float32 arithmetic on those rounded weights. float32Error is the distance between the
float32 run and the same run in float64 (largest absolute difference; for gradients, relative to the largest entry
of each tensor), the yardstick for tolerances.
"""

import contextlib
import json
import shutil
from pathlib import Path
from unittest import mock

import safetensors
import torch
import transformers
from safetensors.torch import save_file
from transformers import VaultGemmaConfig, VaultGemmaForCausalLM

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert transformers.__version__ == "5.18.0", transformers.__version__
assert safetensors.__version__ == "0.8.0", safetensors.__version__

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

ROOT = Path(__file__).resolve().parent / "vaultgemma"
BATCH, LENGTH, PROMPT, NEW = 3, 11, 5, 16

PLAIN = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    head_dim=8,
    query_pre_attn_scalar=8,
    attn_logit_softcapping=None,
    final_logit_softcapping=None,
    layer_types=["full_attention"] * 2,
    sliding_window=512,
    max_position_embeddings=64,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
)
CAPPED = dict(
    vocab_size=101,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    query_pre_attn_scalar=20,
    attn_logit_softcapping=5.0,
    final_logit_softcapping=3.0,
    layer_types=["sliding_attention", "full_attention"] * 2,
    sliding_window=4,
    max_position_embeddings=64,
    rope_parameters={"rope_type": "default", "rope_theta": 500.0},
)
MODELS = {
    "plain": (PLAIN, torch.float32, 11),
    "capped": (CAPPED, torch.float32, 12),
    "bf16": (PLAIN, torch.bfloat16, 13),
}


def build(fields, seed):
    model = VaultGemmaForCausalLM._from_config(VaultGemmaConfig(**fields), attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            std = 0.2 if "norm" in name else 0.45 if "embed" in name else 2.0 / parameter.shape[1] ** 0.5
            parameter.normal_(0.0, std, generator=generator)
    return model


def batch(vocab, seed):
    """Sample 0 learns its last 7 tokens, sample 1 its last 5 (its prompt holds the pad id 0), sample 2 tokens 2 to 7
    and is padded from token 8 on."""
    generator = torch.Generator().manual_seed(1000 + seed)
    ids = torch.randint(3, vocab, (BATCH, LENGTH), generator=generator)
    ids[:, 0] = 2
    ids[1, 3] = 0
    ids[0, LENGTH - 1] = vocab - 1
    ids[2, 8:] = 0
    labels = ids.clone()
    labels[0, :4] = -100
    labels[1, :6] = -100
    labels[2, :2] = -100
    labels[2, 8:] = -100
    targets = torch.cat([labels[:, 1:], torch.full((BATCH, 1), -100)], dim=1)
    return ids, labels, targets


def sample_losses(logits, targets):
    """Mean cross-entropy over the learned tokens of each sample, [B]."""
    tokens = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")
    return tokens.sum(dim=1) / (targets != -100).sum(dim=1)


@contextlib.contextmanager
def float64_arithmetic():
    """Turns transformers' own upcasts to float32 into float64, so that a model.double() is float64 throughout."""
    softmax = torch.nn.functional.softmax
    with (
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
        mock.patch.object(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim)),
    ):
        yield


def forward_backward(model, ids, targets):
    model.zero_grad(set_to_none=True)
    logits = model(input_ids=ids, use_cache=False).logits
    losses = sample_losses(logits, targets)
    loss = losses.mean()
    loss.backward()
    result = {"logits": logits.detach(), "losses": losses.detach(), "loss": loss.detach()}
    return result | {f"grad/{name}": p.grad.clone() for name, p in model.named_parameters()}


def float32_error(actual, exact):
    return {
        "logits": float((actual["logits"] - exact["logits"]).abs().max()),
        "losses": float((actual["losses"] - exact["losses"]).abs().max()),
        "gradsRelative": max(
            float((actual[k] - exact[k]).abs().max() / exact[k].abs().max()) for k in exact if k.startswith("grad/")
        ),
    }


def greedy(model, prompt, penalty=1.0):
    """model.generate with a cache, checked against a full forward pass per token; also the narrowest lead of the
    chosen token over the second."""
    model.generation_config.eos_token_id = None
    new = model.generate(
        prompt[None],
        attention_mask=torch.ones_like(prompt)[None],
        do_sample=False,
        use_cache=True,
        max_new_tokens=NEW,
        repetition_penalty=penalty,
    )[0, len(prompt) :]
    assert len(new) == NEW
    sequence, margin = prompt, float("inf")
    for token in new:
        with torch.no_grad():
            scores = model(input_ids=sequence[None], use_cache=False).logits[0, -1].float()
        if penalty != 1.0:
            scores = transformers.RepetitionPenaltyLogitsProcessor(penalty)(sequence[None], scores[None])[0]
        top = scores.topk(2)
        assert top.indices[0] == token
        margin = min(margin, float(top.values[0] - top.values[1]))
        sequence = torch.cat([sequence, token[None]])
    assert margin > 2e-3, f"greedy choice too close to call: {margin}"
    return {"repetitionPenalty": penalty, "newIds": new.tolist(), "smallestMargin": margin}


def config_4x(config):
    """transformers 4.57: rope_theta and rope_scaling at the top, torch_dtype, no tie_word_embeddings (true)."""
    fields = dict(config)
    rope = fields.pop("rope_parameters")
    assert fields.pop("tie_word_embeddings") is True
    fields |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": None,
        "torch_dtype": fields.pop("dtype"),
        "transformers_version": "4.57.6",
    }
    return dict(sorted(fields.items()))


def check_features_matter(model, fields, ids):
    """Each feature of the capped model must move the logits, or the golden could not catch its absence."""
    for change in (
        {"attn_logit_softcapping": None},
        {"final_logit_softcapping": None},
        {"layer_types": ["full_attention"] * 4},
        {"layer_types": ["full_attention", "sliding_attention"] * 2},
        {"query_pre_attn_scalar": 16},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    ):
        other = VaultGemmaForCausalLM._from_config(VaultGemmaConfig(**fields | change), attn_implementation="eager")
        other.load_state_dict(model.state_dict())
        with torch.no_grad():
            moved = (other.eval()(input_ids=ids).logits - model(input_ids=ids).logits).abs().max()
        print("   without", list(change)[0], f"logits move by {float(moved):.3f}")
        assert moved > 0.1, change


def write_json(path, fields):
    lines = ",\n".join(f"\t{json.dumps(k)}: {json.dumps(v)}" for k, v in fields.items())
    path.write_text("{\n" + lines + "\n}\n")


def make(name):
    fields, dtype, seed = MODELS[name]
    directory = ROOT / name
    shutil.rmtree(directory, ignore_errors=True)
    build(fields, seed).to(dtype).save_pretrained(directory)

    config = json.loads((directory / "config.json").read_text())
    (directory / "config.4x.json").write_text(json.dumps(config_4x(config), indent=2) + "\n")
    read_back = VaultGemmaConfig.from_json_file(directory / "config.4x.json")
    assert read_back.rope_parameters["rope_theta"] == fields["rope_parameters"]["rope_theta"]
    assert read_back.tie_word_embeddings and read_back.layer_types == fields["layer_types"]

    model = load(name)
    ids, labels, targets = batch(fields["vocab_size"], seed)
    result = forward_backward(model, ids, targets)
    with float64_arithmetic():
        exact = forward_backward(load(name).double(), ids, targets)
        assert exact["logits"].dtype == torch.float64
    # transformers' own loss on one sample is that sample's mean over learned tokens
    for b in range(BATCH):
        own = model(input_ids=ids[b : b + 1], labels=labels[b : b + 1]).loss
        torch.testing.assert_close(own, result["losses"][b])

    save_file({k: v.contiguous() for k, v in result.items()}, directory / "expected.safetensors", {"format": "pt"})
    prompt = ids[0, :PROMPT]
    error = float32_error(result, exact)
    write_json(
        directory / "expected.json",
        {
            "source": f"transformers {transformers.__version__}, torch {torch.__version__}, eager attention, float32",
            "ids": ids.tolist(),
            "labels": labels.tolist(),
            "targets": targets.tolist(),
            "prompt": prompt.tolist(),
            "greedy": greedy(model, prompt),
            "greedyPenalised": greedy(model, prompt, 1.3),
            "float32Error": error,
        },
    )
    logits = result["logits"]
    print(name, f"logits std {float(logits.std()):.2f} max {float(logits.abs().max()):.2f}", error)
    if name == "capped":
        check_features_matter(model, fields, ids)


def load(name):
    return VaultGemmaForCausalLM.from_pretrained(
        ROOT / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()


if __name__ == "__main__":
    for name in MODELS:
        make(name)
