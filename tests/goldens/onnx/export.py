"""Writes cases.json, cases.safetensors and summary.json: the ONNX backend test cases of kind "node" as plain tensors.

The cases are those of the package onnx (Apache-2.0). Made with Python 3.11, onnx 1.23.1, numpy 2.4.6, ml_dtypes 0.6.0
and safetensors 0.8.0:
    python3 -m venv VENV && VENV/bin/pip install onnx==1.23.1 numpy==2.4.6 safetensors==0.8.0
    VENV/bin/python export.py

A case is kept if it is one node of an operator in SUPPORTED, whose inputs and outputs are tensors of types that can be
held, and that has at most 64 KiB of data. int64 values that fit 32 bits are written as int32. Every case that is left
out is counted under the first reason that applies.
"""

import json
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from safetensors.numpy import save_file

HERE = Path(__file__).parent
LIMIT = 64 * 1024

SUPPORTED = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BlackmanWindow Cast
CastLike Ceil Celu CenterCropPad Clip Compress Concat Constant ConstantOfShape Conv Cos Cosh CumProd CumSum DepthToSpace
DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization
HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LayerNormalization
LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean
MeanVarianceNormalization Min Mish Mod Mul Neg NegativeLogLikelihoodLoss Not OneHot Or PRelu Pad Pow RMSNormalization
Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare Relu Reshape ReverseSequence RotaryEmbedding Round Scatter ScatterElements ScatterND Selu Shape Shrink
Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub
Sum SwiGLU Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
""".split()

# ONNX element type: (name in cases.json, dtype in the safetensors file)
TYPES = {
    TensorProto.FLOAT: ("f32", "float32"),
    TensorProto.FLOAT16: ("f16", "float16"),
    TensorProto.BFLOAT16: ("bf16", "bfloat16"),
    TensorProto.INT32: ("i32", "int32"),
    TensorProto.INT64: ("i32", "int32"),
    TensorProto.UINT8: ("u8", "uint8"),
    TensorProto.UINT32: ("u32", "uint32"),
    TensorProto.BOOL: ("bool", "bool"),
}


class LeftOut(Exception):
    """The case is not written, for the reason given."""


def array_of(value):
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value)


class Writer:
    def __init__(self):
        self.tensors = {}

    def tensor(self, key, elem_type, value):
        """The description of one tensor; its bytes go to `self.tensors`."""
        if elem_type == TensorProto.DOUBLE:
            raise LeftOut("float64")
        if elem_type not in TYPES:
            raise LeftOut(f"type {TensorProto.DataType.Name(elem_type).lower()}")
        array = np.ascontiguousarray(array_of(value))
        if elem_type == TensorProto.INT64:
            if array.size and (array.max() > 2**31 - 1 or array.min() < -(2**31)):
                raise LeftOut("int64 values that need more than 32 bits")
            array = array.astype(np.int32)
        name, stored = TYPES[elem_type]
        if array.dtype.name != stored:
            raise ValueError(f"{key}: {array.dtype.name} is not {stored}")
        shape = list(array_of(value).shape)
        self.tensors[key] = array.reshape(shape)
        return {"dtype": name, "shape": shape}

    def attribute(self, case, a):
        if a.type == AttributeProto.TENSOR:
            key = f"{case}/{a.name}"
            return {"tensor": key, **self.tensor(key, a.t.data_type, a.t)}
        value = helper.get_attribute_value(a)
        if isinstance(value, bytes):
            return value.decode()
        if a.type in (AttributeProto.INT, AttributeProto.FLOAT):
            return value
        if a.type in (AttributeProto.INTS, AttributeProto.FLOATS):
            return list(value)
        raise LeftOut("attributes that are no numbers, text or tensor")


def describe(case, writer):
    model = case.model
    if case.name.endswith("_expanded") or "_expanded_" in case.name:
        raise LeftOut("body of a function, the same operator expanded")
    if len(model.graph.node) != 1:
        raise LeftOut("several nodes")
    (node,) = model.graph.node
    values = [*model.graph.input, *model.graph.output]
    if any(not v.type.HasField("tensor_type") for v in values):
        raise LeftOut("sequences, optionals or maps")
    if any(v.type.tensor_type.elem_type == TensorProto.STRING for v in values):
        raise LeftOut("text")
    if node.op_type not in SUPPORTED or node.domain not in ("", "ai.onnx"):
        raise LeftOut("unsupported op")
    if len(case.data_sets) != 1 or len(model.graph.initializer) > 0:
        raise ValueError(f"{case.name}: unexpected layout")
    inputs, outputs = case.data_sets[0]

    def side(kind, names, infos, data):
        by_name = {info.name: (info.type.tensor_type.elem_type, value) for info, value in zip(infos, data, strict=True)}
        return [
            {"name": name, **(writer.tensor(f"{case.name}/{kind}{i}", *by_name[name]) if name else {})}
            for i, name in enumerate(names)
        ]

    return {
        "name": case.name,
        "opType": node.op_type,
        "opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "attributes": {a.name: writer.attribute(case.name, a) for a in node.attribute},
        "inputs": side("input", node.input, model.graph.input, inputs),
        "outputs": side("output", node.output, model.graph.output, outputs),
    }


def main():
    warnings.simplefilter("ignore", RuntimeWarning)
    all_cases = load_model_tests(kind="node")
    kept, tensors = [], {}
    reasons, unsupported = Counter(), Counter()
    for case in sorted(all_cases, key=lambda c: c.name):
        writer = Writer()
        try:
            description = describe(case, writer)
            if sum(t.nbytes for t in writer.tensors.values()) > LIMIT:
                raise LeftOut("more than 64 KiB of data")
        except LeftOut as why:
            reasons[str(why)] += 1
            if str(why) == "unsupported op":
                node = case.model.graph.node[0]
                unsupported[f"{node.domain}.{node.op_type}" if node.domain else node.op_type] += 1
            continue
        kept.append(description)
        tensors.update(writer.tensors)
    save_file(tensors, HERE / "cases.safetensors", metadata={"onnx": onnx.__version__})
    (HERE / "cases.safetensors").chmod(0o644)
    lines = ",\n".join(json.dumps(c, allow_nan=False) for c in kept)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    summary = {
        "onnx": onnx.__version__,
        "total": len(all_cases),
        "kept": len(kept),
        "supported": SUPPORTED,
        "leftOut": dict(sorted(reasons.items())),
        "unsupported": dict(sorted(unsupported.items())),
    }
    (HERE / "summary.json").write_text(json.dumps(summary, indent="\t") + "\n")


if __name__ == "__main__":
    main()
