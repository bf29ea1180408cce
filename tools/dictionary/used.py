"""
Writes used.json: the tensor functions of torch that transformers 4.57.6 uses most, with how often.

Counted in all of its Python sources for torch, by Python's own parser: calls `torch.NAME(...)`, `F.NAME(...)` and `nn.functional.NAME(...)`, and
`....NAME(...)` as a method where torch.Tensor has it and str, list, dict and torch.nn.Module have not. Names of one function count
together. Needs transformers 4.57.6 and torch 2.13; run `python tools/dictionary/used.py`.
"""

import ast
import collections
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import torch

TENSOR = {n for n in dir(torch.Tensor) if not n.startswith("_") and callable(getattr(torch.Tensor, n, None))}
OTHERS = {n for t in (str, list, dict, set, torch.nn.Module) for n in dir(t)}
FUNCTIONS = {n for n in dir(torch) if callable(getattr(torch, n)) and not isinstance(getattr(torch, n), type)}
FUNCTIONAL = {n for n in dir(torch.nn.functional) if callable(getattr(torch.nn.functional, n))}
NOT_TENSOR = {
    "no_grad", "compile", "load", "save", "manual_seed", "set_grad_enabled", "inference_mode", "is_tensor", "is_grad_enabled", "get_default_dtype",
    "set_default_dtype", "is_autocast_enabled", "get_autocast_gpu_dtype", "get_autocast_dtype", "autocast", "device", "Generator",
    "get_device_module", "is_floating_point", "data_ptr", "stride", "element_size", "tolist", "cuda", "cpu", "get_device",
    "is_complex", "is_storage", "as_tensor", "_check",
}  # fmt: skip

counts: collections.Counter[str] = collections.Counter()
for path in Path(find_spec("transformers").submodule_search_locations[0]).rglob("*.py"):
    text = path.read_text()
    if "torch" not in text or "_tf_" in path.name or "_flax_" in path.name:
        continue
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, base = node.func.attr, ast.unparse(node.func.value)
        if base == "torch":
            hit = name in FUNCTIONS
        elif base in ("F", "nn.functional", "torch.nn.functional"):
            hit = name in FUNCTIONAL
        else:
            hit = name in TENSOR and name not in OTHERS and not base.split(".")[0] in ("np", "os", "tf", "jnp", "logger", "re")
        if hit and name not in NOT_TENSOR:
            counts[name.removesuffix("_") if name.removesuffix("_") in FUNCTIONS | TENSOR else name] += 1

out = Path(__file__).with_name("used.json")
out.write_text(json.dumps(dict(counts.most_common(int(sys.argv[1]) if len(sys.argv) > 1 else 120)), indent="\t") + "\n")
