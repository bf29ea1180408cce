"""Trains assets/tiny-vaultgemma/tokenizer.model on assets/pretraining/*.txt with Gemma's settings.

    python assets/train_tokenizer.py [vocabulary size] [output file]

Made with sentencepiece 0.2.2, one thread; the same texts give the same file, wherever the repository lies: the model
holds the names of its texts, so they are given relative to this folder.
"""

import io
import os
import sys
from pathlib import Path

import sentencepiece

assert sentencepiece.__version__ == "0.2.2", sentencepiece.__version__

HERE = Path(__file__).resolve().parent
size = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
target = Path(sys.argv[2] if len(sys.argv) > 2 else HERE / "tiny-vaultgemma" / "tokenizer.model").absolute()
target.parent.mkdir(exist_ok=True)
os.chdir(HERE)
model = io.BytesIO()

sentencepiece.SentencePieceTrainer.train(
    input=",".join(str(p) for p in sorted(Path("pretraining").glob("*.txt"))),
    model_writer=model,
    vocab_size=size,
    model_type="bpe",
    byte_fallback=True,
    normalization_rule_name="identity",
    add_dummy_prefix=False,
    remove_extra_whitespaces=False,
    allow_whitespace_only_pieces=True,
    split_digits=True,
    character_coverage=1.0,
    pad_id=0,
    eos_id=1,
    bos_id=2,
    unk_id=3,
    pad_piece="<pad>",
    eos_piece="<eos>",
    bos_piece="<bos>",
    unk_piece="<unk>",
    # Gemma's own, in Gemma's order, with fewer unused ones and shorter runs of newlines and spaces.
    user_defined_symbols=["<mask>", "<start_of_turn>", "<end_of_turn>"]
    + ["\n" * n for n in range(1, 5)]
    + ["\u2581" * n for n in range(2, 9)],
    num_threads=1,
    max_sentence_length=100_000,
)
target.write_bytes(model.getvalue())
print(target, target.stat().st_size, "bytes")
