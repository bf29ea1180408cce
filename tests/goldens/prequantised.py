"""The plain golden model with its linear layers in NF4 by bitsandbytes itself, from weights of each float type.

    PYTHONPATH=<a checkout of bitsandbytes, tag 0.50.1> python tests/goldens/prequantised.py

Made with bitsandbytes 0.50.1 (its pure-torch backend: no compiled library), torch 2.13.0, transformers 5.18.0,
safetensors 0.8.0 on a CPU, eager attention, one thread. Writes prequantised/{F32,BF16,F16}/ beside this script:
  config.json, model.safetensors   a pre-quantised checkpoint: Linear4bit.state_dict(), double quantisation; the rest in the float type
  expected.safetensors             logits [3,11,V] in float32 arithmetic on the dequantised weights, and the dequantised q_proj

A product takes the weight as dequantize_4bit gives it, in the type that it was made from (quant_state.dtype), and multiplies in
the type of the activations, here float32: Linear4bit up to 0.49, and its backward pass today. The fused forward product that
0.50 brought dequantises to the type of the activations instead: the same in bfloat16, not in float32.
"""

import json
import os
import shutil
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import bitsandbytes as bnb
import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import VaultGemmaForCausalLM

assert bnb.__version__ == "0.50.1", bnb.__version__
assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert transformers.__version__ == "5.18.0", transformers.__version__
assert safetensors.__version__ == "0.8.0", safetensors.__version__
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

HERE = Path(__file__).resolve().parent
PLAIN = HERE / "vaultgemma" / "plain"
Q = "model.layers.0.self_attn.q_proj"


class Linear4bit(bnb.nn.Linear4bit):
    def forward(self, x):
        return torch.nn.functional.linear(x, bnb.functional.dequantize_4bit(self.weight.data, self.weight.quant_state).to(x.dtype))


def quantised(linear, dtype):
    four = Linear4bit(
        linear.in_features, linear.out_features, bias=False, compute_dtype=torch.float32, compress_statistics=True, quant_type="nf4"
    )
    four.weight = bnb.nn.Params4bit(linear.weight.data.to(dtype), requires_grad=False, compress_statistics=True, quant_type="nf4")
    four = four.to("cpu")
    assert four.weight.quant_state is not None and four.weight.quant_state.dtype == dtype
    return four


def make(name, dtype):
    model = VaultGemmaForCausalLM.from_pretrained(PLAIN, dtype=torch.float32, attn_implementation="eager").eval()
    tensors = {k: v.to(dtype) for k, v in load_file(PLAIN / "model.safetensors").items()}
    for k, p in model.named_parameters():
        p.data = tensors[k].float()
    for path, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and path != "lm_head":
            four = quantised(module, dtype)
            del tensors[f"{path}.weight"]
            tensors |= {f"{path}.{k}": v.contiguous() for k, v in four.state_dict().items()}
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, four)
    ids = torch.tensor(json.loads((PLAIN / "expected.json").read_text())["ids"])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
    q = model.get_submodule(Q).weight
    weight = bnb.functional.dequantize_4bit(q.data, q.quant_state)
    assert weight.dtype == dtype
    directory = HERE / "prequantised" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    config = json.loads((PLAIN / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "float32",
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    save_file({"logits": logits.float(), Q: weight.float()}, directory / "expected.safetensors", {"format": "pt"})
    return logits


logits = {name: make(name, dtype) for name, dtype in {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}.items()}
for name in ("BF16", "F16"):
    print(name, "logits moved by", float((logits[name] - logits["F32"]).abs().max()))
