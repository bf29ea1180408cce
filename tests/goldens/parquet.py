"""Writes parquet/*.parquet, the same table as pyarrow writes it in several ways, and parquet/rows.json, its rows as pyarrow reads them back.

    pip install pyarrow==25.0.1
    python tests/goldens/parquet.py
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent / "parquet"

SUBJECTS = ["Herz", "Lunge", "naïve Zellen", "μ-Rezeptor", "肝臓", "🫀 and 🫁", "two\nlines", 'a "quote", a comma', "tab\there", "e\u0301 combined"]
ROWS = 47


def table():
    number = range(ROWS)
    question = [None if i in (5, 30) else f"What is {SUBJECTS[i % len(SUBJECTS)]} ({i % 7})?" for i in number]
    answer = [None if i == 11 else "" if i == 12 else f"{SUBJECTS[(3 * i) % len(SUBJECTS)]}, no. {i}" for i in number]
    ward = pa.array(["ward A" if i % 3 else "ward B" for i in number]).dictionary_encode()
    return pa.table(
        {
            "patient": pa.array([None if i == 20 else i // 3 for i in number], pa.int64()),
            "question": pa.array(question, pa.string()),
            "answer": pa.array(answer, pa.large_string()),
            "ward": ward,
            "age": pa.array([20.5 + i for i in number], pa.float64()),
            "consents": pa.array([i % 2 == 0 for i in number], pa.bool_()),
        }
    )


WAYS = {
    "snappy": {"compression": "snappy", "row_group_size": 20, "use_dictionary": True},
    "plain": {"compression": "none", "row_group_size": 16, "use_dictionary": False},
    "zstd-v2": {"compression": "zstd", "row_group_size": 47, "use_dictionary": ["ward"], "data_page_version": "2.0"},
    "gzip-delta": {
        "compression": "gzip",
        "row_group_size": 10,
        "use_dictionary": False,
        "column_encoding": {"question": "DELTA_BYTE_ARRAY", "answer": "DELTA_LENGTH_BYTE_ARRAY", "patient": "DELTA_BINARY_PACKED"},
    },
    "brotli": {"compression": "brotli", "row_group_size": 25, "use_dictionary": True, "data_page_size": 64},
    "lz4": {"compression": "lz4", "row_group_size": 25, "use_dictionary": True},
}

HERE.mkdir(exist_ok=True)
written = table()
for name, how in WAYS.items():
    path = HERE / f"{name}.parquet"
    pq.write_table(written, path, **how)
    assert pq.read_table(path).to_pylist() == written.to_pylist()
text = json.dumps({"pyarrow": pa.__version__, "rows": written.to_pylist()}, ensure_ascii=False, indent="\t")
(HERE / "rows.json").write_text(text + "\n")
