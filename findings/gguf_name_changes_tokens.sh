#!/usr/bin/env bash
# A GGUF's display name changes how llama.cpp tokenizes, on every architecture.
#
# Versions: llama-cpp-python 0.3.36 (the llama.cpp it carries), gguf 0.19.0, Python 3.11, Linux x86-64, CPU.
# Input: one valid SentencePiece vocabulary, written three times; only `general.name`, the name for people, differs.
# Expected: the same token ids each time, because the tokenizer's own keys are equal.
# Seen: with "phi-3" or "phi3" anywhere in the name, white space after a control token is dropped ("<|end|> a" gives [262, 261] instead of
# [262, 259, 261], and a line break vanishes too), and a vocabulary without "<|endoftext|>" is refused ("Failed to load model from file").
# So a user who calls a fine-tune "my phi-3 notes" gets another prompt than was trained on, or no model, though every weight is right.
#
# usage: bash findings/gguf_name_changes_tokens.sh    (llama-cpp-python compiles for some minutes where pip has no wheel of it)
# Exit code 0: still so. 1: the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet "llama-cpp-python==0.3.36" "gguf==0.19.0"

cat > try.py <<'PYTHON'
import sys

import gguf
import llama_cpp

KINDS = gguf.TokenType


def write(path: str, name: str, tokens: list) -> None:
    """A vocabulary alone, as a GGUF."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def ids(name: str, tokens: list) -> list:
    """What llama.cpp makes of two short texts, or why it does not load the file."""
    write("vocabulary.gguf", name, tokens)
    try:
        model = llama_cpp.Llama("vocabulary.gguf", vocab_only=True, verbose=False)
    except ValueError as error:
        return [str(error).partition(":")[0]]
    return [model.tokenize(text, add_bos=False, special=True) for text in (b"<|end|> a", b"<|end|>\na")]


small = [("<unk>", KINDS.UNKNOWN), ("<s>", KINDS.CONTROL), ("</s>", KINDS.CONTROL)]
small += [(f"<0x{byte:02X}>", KINDS.BYTE) for byte in range(256)]
small += [("\u2581", KINDS.NORMAL), ("a", KINDS.NORMAL), ("\u2581a", KINDS.NORMAL), ("<|end|>", KINDS.CONTROL)]
whole = [*small, ("<|endoftext|>", KINDS.CONTROL)]

seen = {(name, len(tokens)): ids(name, tokens) for tokens in (whole, small) for name in ("my notes", "my phi-3 notes", "my-phi3")}
for (name, size), result in seen.items():
    print(f"{name!r:18} {size} tokens: {result}")

plain = [[262, 259, 261], [262, 259, 13, 260]]
stripped = [[262, 261], [262, 261]]
refused = ["Failed to load model from file"]
expected = {
    ("my notes", len(whole)): plain,
    ("my phi-3 notes", len(whole)): stripped,
    ("my-phi3", len(whole)): stripped,
    ("my notes", len(small)): plain,
    ("my phi-3 notes", len(small)): refused,
    ("my-phi3", len(small)): refused,
}
sys.exit(0 if seen == expected else "The behavior has changed.")
PYTHON
venv/bin/python try.py 2> errors.txt || { cat errors.txt; exit 1; }
echo "still so: the name decides"
