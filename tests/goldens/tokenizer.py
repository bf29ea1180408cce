"""What SentencePiece itself makes of texts with tokenizer/tiny.model, written to tokenizer.json.

    python assets/train_tokenizer.py 600 tests/goldens/tokenizer/tiny.model    (only for new texts or settings)
    python tests/goldens/tokenizer.py

Made with sentencepiece 0.2.2, protobuf 7.36.2. encode: {text, ids}; marked: the same of texts that hold turn markers. decode: {ids, text}, ids at random, so with bytes
that form no character. prefixed: decode, by the same model with a dummy prefix (tokenizer/prefixed.model), as Llama has.
"""

import json
import random
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

assert sentencepiece.__version__ == "0.2.2", sentencepiece.__version__

HERE = Path(__file__).resolve().parent / "tokenizer"
tokenizer = sentencepiece.SentencePieceProcessor(str(HERE / "tiny.model"))
proto = sentencepiece_model_pb2.ModelProto.FromString((HERE / "tiny.model").read_bytes())
proto.normalizer_spec.add_dummy_prefix = True
(HERE / "prefixed.model").write_bytes(proto.SerializeToString())
prefixed = sentencepiece.SentencePieceProcessor(str(HERE / "prefixed.model"))
random.seed(20261124)

texts = [
    "", " ", "  ", "   ", " " * 8, " " * 17, "\n", "\n\n", "\n" * 7, "\t", "a", " a", "a ", "  a  b   c    ",
    "hello world", "Hello World", "HELLO", "12345", "3.14159", "2026-11-24", "grabbed", " grabbed",
    "The kidney filters the blood.", "What is the most common cause of anaemia?", "one line\nand another line",
    "a\u0000b", "1\u00002\uFFFD3", "£5 and €6", "naïve café", "Ωmega µg", "ҔӌԐڎ", "日本語のテキスト", "🦙Ꙋ", "👩‍⚕️",
    "e\u0301", "\u00a0", "\u2581", "a\u2581b", "\ufeffx", "x\u200by", "<bos>", "<eos>text<pad>", "<unk>", "<mask>",
    "<0x41>", "[x](y)", "{\"a\": [1, 2]}", "def main():\n\tpass", "\r\n", "tabs\t\tand  spaces", "don't", "'quoted'",
    "I bought an apple for $1.00 at the store.", "x" * 200, "the " * 50, "\\n", "%s %d", "C6H12O6", "pH 7.4", "10 mg/kg",
]  # fmt: skip
alphabet = "abcdefghij ABC.,\n  12é£日🦙"
texts += ["".join(random.choice(alphabet) for _ in range(random.randrange(1, 60))) for _ in range(60)]

spelt = ["<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<", ">", " ", "\n", "user", "model", "é", "the "]
marked = ["<start_of_turn>", "a<start_of_turn>user\nHi<end_of_turn>\n", "<<start_of_turn>>", "<start_of_turn", "<start_of_turn><end_of_turn>"]
marking = random.Random(7)
marked += ["".join(marking.choice(spelt) for _ in range(marking.randrange(1, 12))) for _ in range(60)]

size = tokenizer.get_piece_size()
runs = [[random.randrange(size) for _ in range(random.randrange(1, 12))] for _ in range(40)]
bytes_ = [i for i in range(size) if tokenizer.is_byte(i)]
runs += [[random.choice(bytes_) for _ in range(random.randrange(1, 9))] for _ in range(40)]
runs += [tokenizer.encode("🦙£日")[:n] for n in range(1, 9)]

starts = [i for i in range(size) if tokenizer.id_to_piece(i).startswith("\u2581")] + [tokenizer.unk_id(), tokenizer.bos_id()]
starts += [tokenizer.piece_to_id("<0x20>"), tokenizer.piece_to_id("<0x86>")] * 20
prefixed_runs = [[random.choice(starts) for _ in range(random.randrange(1, 5))] for _ in range(60)]

out = {
    "encode": [{"text": t, "ids": tokenizer.encode(t)} for t in texts],
    "marked": [{"text": t, "ids": tokenizer.encode(t)} for t in marked],
    "decode": [{"ids": ids, "text": tokenizer.decode(ids)} for ids in runs],
    "prefixed": [{"ids": ids, "text": prefixed.decode(ids)} for ids in prefixed_runs],
}
lines = ",\n".join(f"\t{json.dumps(k)}: [\n" + ",\n".join(f"\t\t{json.dumps(v)}" for v in rows) + "\n\t]" for k, rows in out.items())
Path(__file__).with_suffix(".json").write_text("{\n" + lines + "\n}\n")
