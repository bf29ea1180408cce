"""A LoRA adapter on the tiny model vaultgemma/capped: the files peft writes, logits and per-sample gradients.

    PYTHONHASHSEED=0 python tests/goldens/lora.py

Made with torch 2.13.0, transformers 5.18.0, peft 0.21.0, safetensors 0.8.0 on a CPU, one thread, float32, after
vaultgemma.py. PYTHONHASHSEED fixes the order in which peft writes target_modules, a set. Writes, under lora/:
  adapter/, adapter_rslora/    adapter_config.json, adapter_model.safetensors as PeftModel.save_pretrained writes them
                               (the same A and B; the second has use_rslora)
  expected.safetensors         logits, logits_rslora [3,11,101], losses, losses_rslora [3], and for the first adapter
                               persample/<name in adapter_model.safetensors> [3, ...]: gradient of losses[b]
  expected.json                ids, targets, peft's line of trainable parameters, the adapted modules, float32Error

r 4, alpha 8, no dropout, all seven projections; A as peft initialises it, B normal with deviation 0.05. losses[b]
is the mean cross-entropy over the targets of sample b that are not -100. float32Error: see vaultgemma.py.
"""

import contextlib
import io
import os
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.dont_write_bytecode = True
assert os.environ.get("PYTHONHASHSEED") == "0", "run with PYTHONHASHSEED=0"

import peft
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

import vaultgemma  # asserts the versions of torch, transformers and safetensors

assert peft.__version__ == "0.21.0", peft.__version__

ROOT = Path(__file__).resolve().parent / "lora"
BASE = "capped"
SEED = 21


def adapt(use_rslora):
    torch.manual_seed(SEED)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        task_type="CAUSAL_LM",
        use_rslora=use_rslora,
    )
    base = vaultgemma.load(BASE)
    base.name_or_path = f"vaultgemma/{BASE}"
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.05)
    return model


def save(model, directory):
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink()


def file_name(parameter_name):
    return parameter_name.replace(".default.", ".")


def run(model, ids, targets):
    """Logits and losses of the batch, and the gradient of each sample's loss from a batch of that sample alone."""
    trainable = {file_name(n): p for n, p in model.named_parameters() if p.requires_grad}
    per_sample = {name: [] for name in trainable}
    for b in range(len(ids)):
        logits = model(input_ids=ids[b : b + 1], use_cache=False).logits
        loss = vaultgemma.sample_losses(logits, targets[b : b + 1])[0]
        for name, grad in zip(trainable, torch.autograd.grad(loss, list(trainable.values()))):
            per_sample[name].append(grad)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
        losses = vaultgemma.sample_losses(logits, targets)
    return {"logits": logits, "losses": losses}, {name: torch.stack(grads) for name, grads in per_sample.items()}


def main():
    model, rslora = adapt(False), adapt(True)
    save(model, ROOT / "adapter")
    save(rslora, ROOT / "adapter_rslora")
    weights = load_file(ROOT / "adapter" / "adapter_model.safetensors")
    for name, value in load_file(ROOT / "adapter_rslora" / "adapter_model.safetensors").items():
        assert torch.equal(weights[name], value)

    ids, _, targets = vaultgemma.batch(vaultgemma.CAPPED["vocab_size"], vaultgemma.MODELS[BASE][2])
    plain, per_sample = run(model, ids, targets)
    scaled, _ = run(rslora, ids, targets)
    assert set(per_sample) == set(weights)
    base_logits = load_file(vaultgemma.ROOT / BASE / "expected.safetensors")["logits"]
    for kind, logits in (("adapter", plain["logits"]), ("rslora", scaled["logits"])):
        print(kind, "moves the logits by", float((logits - base_logits).abs().max()))
    for directory, logits in (("adapter", plain["logits"]), ("adapter_rslora", scaled["logits"])):
        reloaded = PeftModel.from_pretrained(vaultgemma.load(BASE), ROOT / directory).eval()
        assert torch.equal(reloaded(input_ids=ids, use_cache=False).logits, logits)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        model.print_trainable_parameters()
    with vaultgemma.float64_arithmetic():
        exact, exact_per_sample = run(adapt(False).double(), ids, targets)
    error = vaultgemma.float32_error(
        plain | {f"grad/{k}": v for k, v in per_sample.items()},
        exact | {f"grad/{k}": v for k, v in exact_per_sample.items()},
    )

    tensors = plain | {f"{k}_rslora": v for k, v in scaled.items()}
    tensors |= {f"persample/{name}": value for name, value in per_sample.items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, ROOT / "expected.safetensors", {"format": "pt"})
    vaultgemma.write_json(
        ROOT / "expected.json",
        {
            "source": f"peft {peft.__version__}, transformers {vaultgemma.transformers.__version__}, "
            f"torch {torch.__version__}, eager attention, float32",
            "ids": ids.tolist(),
            "targets": targets.tolist(),
            "printTrainableParameters": printed.getvalue().strip(),
            "targetedModules": model.base_model.targeted_module_names,
            "float32Error": error,
        },
    )
    print(printed.getvalue().strip(), error)


if __name__ == "__main__":
    main()
