"""Writes show.json: arrays of f32, i32 and bool, and how numpy prints them with 4 digits. Needs numpy 2.2.6."""

import json
from pathlib import Path

import numpy as np

np.set_printoptions(precision=4)

ARRAYS = [
    np.array([[1, 2.5], [3, -4]], np.float32),
    np.array(3, np.float32),
    np.array([], np.float32),
    np.zeros((2, 0), np.float32),
    np.zeros(3, np.float32),
    np.array([1e-7, 3, np.nan, np.inf], np.float32),
    np.array([np.nan, -np.inf, 1.5], np.float32),
    np.array([1e8, 1], np.float32),
    np.array([0.00012, 0.0001], np.float32),
    np.array([1000.5, 1], np.float32),
    np.array([1001.5, 1], np.float32),
    np.array([-0.0, 0.33333334, 12.75], np.float32),
    np.arange(1200, dtype=np.float32).reshape(30, 40),
    np.arange(1200, dtype=np.int32),
    np.arange(2 * 3 * 4 * 60, dtype=np.int32).reshape(2, 3, 4, 60),
    np.arange(1000, dtype=np.int32).reshape(10, 100) - 500,
    np.array([[[True, False]], [[False, False]]]),
    np.sin(np.arange(2 * 3 * 20, dtype=np.float32)).reshape(2, 3, 20),
    np.array([1e-40, 1e38], np.float32),
]


def entry(a: np.ndarray) -> dict:
    dtype = {"float32": "f32", "int32": "i32", "bool": "bool"}[str(a.dtype)]
    bits = a.astype(np.int32) if a.dtype == bool else a
    return {"dtype": dtype, "shape": list(a.shape), "words": bits.view(np.int32).ravel().tolist(), "text": str(a)}


Path(__file__).with_name("show.json").write_text(json.dumps([entry(a) for a in ARRAYS]))
